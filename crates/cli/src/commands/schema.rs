//! `qplug schema`, and where schemas come from.
//!
//! | file | owns |
//! |---|---|
//! | `schema/source.rs` | where schemas come from |
//! | `schema/cache.rs` | those that were read before |
//! | `schema/properties.rs` | what devices and objects take |
//! | `schema/names.rs` | what a QEMU can say that has no schema |

mod cache;
mod names;
pub(crate) mod properties;
pub(crate) mod source;

use std::io::{self, Write};

use qplug_qapi::introspection::{Change, Schema, diff};
use serde_json::{Value, json};

use crate::args::{About, Schema as Args};
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, dim};
use properties::Class;

/// What a QEMU without a schema says of itself.
const NO_SCHEMA: &str = "this QEMU has no schema (there is one since 2.5)";

pub(super) async fn run(args: Args, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    match args.about {
        Some(About::Device { name }) => {
            return properties::run(Class::Device, name, monitor, output).await;
        }
        Some(About::Object { name }) => {
            return properties::run(Class::Object, name, monitor, output).await;
        }
        // Served before, with no monitor to connect to.
        Some(About::Diff { .. }) | None => {}
    }
    let client = monitor.connect().await?;
    // What is shown is what the machine says.
    let Some(schema) = source::of(&client).await? else {
        return names::run(&client, args.name, output).await;
    };
    drop(client);
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
    (from, to): (&str, &str),
    sources: &source::Reach,
    output: &Output,
) -> Result<Exit, Failure> {
    let (from, to) = (sources.read(from).await?.schema, sources.read(to).await?.schema);
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

pub(crate) fn impossible(message: impl Into<String>) -> Failure {
    Failure { exit: Exit::Impossible, message: message.into() }
}
