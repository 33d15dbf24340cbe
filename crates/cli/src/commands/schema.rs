//! `qplug schema`, and where schemas come from.

pub(crate) mod source;

use std::io::{self, Write};

use qplug_qapi::introspection::{Change, Schema, diff};
use serde_json::{Value, json};

use crate::args::{Between, Schema as Args};
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, dim};

/// What a QEMU without a schema has instead.
const NO_SCHEMA: &str = "this QEMU has no schema (there is one since 2.5); \
                         query-commands lists its commands: qplug exec query-commands";

pub(super) async fn run(args: Args, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let client = monitor.connect().await?;
    let schema = source::of(&client).await?;
    drop(client);
    let schema = schema.ok_or_else(|| impossible(NO_SCHEMA))?;
    let Some(name) = args.name else {
        return list(&schema, output).await;
    };
    let Some(tree) = schema.describe(&name) else {
        let problems = schema.check(&name, None);
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Err(impossible(format!("{name}: {}", told.join("; "))));
    };
    let lines: Vec<Value> =
        tree.lines.iter().map(|line| json!({"depth": line.depth, "text": line.text})).collect();
    let value = json!({"name": name, "lines": lines});
    output.result(&value, |out| write!(out, "{tree}")).await?;
    Ok(Exit::Done)
}

async fn list(schema: &Schema, output: &Output) -> Result<Exit, Failure> {
    let entry = |name: &str, features: &[String]| json!({"name": name, "features": features});
    let commands: Vec<_> =
        schema.commands().map(|command| entry(&command.name, &command.features)).collect();
    let events: Vec<_> = schema.events().map(|event| entry(&event.name, &event.features)).collect();
    let value = json!({"commands": commands, "events": events});
    let line = |out: &mut dyn Write, name: &str, features: &[String]| match features {
        [] => writeln!(out, "{name}"),
        features => writeln!(out, "{name} {}", dim(format_args!("({})", features.join(", ")))),
    };
    output
        .result(&value, |out| {
            for command in schema.commands() {
                line(out, &command.name, &command.features)?;
            }
            for event in schema.events() {
                line(out, &event.name, &event.features)?;
            }
            Ok(())
        })
        .await?;
    Ok(Exit::Done)
}

/// `qplug schema diff`
pub(super) async fn run_between(
    between: Between,
    sources: &source::Reach,
    output: &Output,
) -> Result<Exit, Failure> {
    let Between::Diff { from, to } = between;
    let (from, to) = (sources.read(&from).await?.schema, sources.read(&to).await?.schema);
    let changes = diff(&from, &to);
    let shown = |changes: &[Change]| -> Vec<Value> {
        let shown = |change: &Change| json!({"name": change.name, "path": change.path, "what": change.what.to_string()});
        changes.iter().map(shown).collect()
    };
    let value = json!({"commands": shown(&changes.commands), "events": shown(&changes.events)});
    let people = |out: &mut dyn Write| -> io::Result<()> {
        if changes.is_empty() {
            return writeln!(out, "no difference");
        }
        let mut all = changes.commands.iter().chain(&changes.events);
        all.try_for_each(|change| writeln!(out, "{change}"))
    };
    output.result(&value, people).await?;
    Ok(Exit::Done)
}

pub(super) fn impossible(message: impl Into<String>) -> Failure {
    Failure { exit: Exit::Impossible, message: message.into() }
}
