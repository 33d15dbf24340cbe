//! What a QEMU can say that has no schema: the names of its commands, and of its events.

use qplug_qmp::Client;
use serde_json::json;

use super::properties::did_you_mean;
use super::{NO_SCHEMA, impossible, source};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// `qplug schema` where there is none: all names, or whether there is one.
pub(super) async fn run(
    client: &Client,
    name: Option<String>,
    output: &Output,
) -> Result<Exit, Failure> {
    let commands = source::listed(client, "query-commands").await?.unwrap_or_default();
    // Since 1.2.
    let events = source::listed(client, "query-events").await?;
    if commands.is_empty() {
        return Err(impossible(NO_SCHEMA));
    }
    let Some(name) = name else {
        output.remark(&format!("{NO_SCHEMA}: names are all that is known"));
        let named = |names: &[String]| -> Vec<_> {
            names.iter().map(|name| json!({"name": name})).collect()
        };
        let events = events.unwrap_or_default();
        let value = json!({"commands": named(&commands), "events": named(&events)});
        output
            .result(&value, |out| {
                commands.iter().chain(&events).try_for_each(|name| writeln!(out, "{name}"))
            })
            .await?;
        return Ok(Exit::Done);
    };
    let kind = match &events {
        _ if commands.contains(&name) => "command",
        Some(events) if events.contains(&name) => "event",
        events => {
            let known: Vec<_> = commands.iter().chain(events.iter().flatten()).cloned().collect();
            let like = did_you_mean(&name, &known);
            let what = match events {
                Some(_) => "command and no such event",
                None => "command; which events it has, it does not say",
            };
            return Err(impossible(format!("{name}: this QEMU has no such {what}{like}")));
        }
    };
    let text = format!("{kind} {name}");
    let value = json!({"name": name, "lines": [{"depth": 0, "text": text}]});
    output.remark(&format!("{NO_SCHEMA}: that it is there is all that is known"));
    output.result(&value, |out| writeln!(out, "{text}")).await?;
    Ok(Exit::Done)
}
