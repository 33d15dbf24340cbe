//! `qplug events`

use std::pin::pin;
use std::time::{Duration, UNIX_EPOCH};

use qplug_qmp::{Event, EventsError, Timestamp};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, Reader, dim, printable};

/// An event as programs see it.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
}

impl<'a> Report<'a> {
    pub(crate) fn of(event: &'a Event) -> Self {
        Self { event: &event.name, data: event.data.as_deref(), timestamp: event.timestamp }
    }
}

/// An event as people see it, in a line.
pub(crate) fn line(event: &Event) -> String {
    format!("{} {}", dim(clock(event.timestamp)), printable(&words(event)))
}

/// What happened, without the time.
pub(crate) fn words(event: &Event) -> String {
    let data = event.data.as_ref().and_then(|data| serde_json::from_str(data.get()).ok());
    let data = data.map(|data| pairs(&data)).unwrap_or_default();
    format!("{}{data}", event.name)
}

pub(super) async fn run(monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let client = monitor.connect().await?;
    let mut events = client.events();
    output.remark("following events; stop with Ctrl-C");
    // One for the whole run: a signal that comes while something is printed must not be lost.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let event = tokio::select! {
            biased;
            signal = &mut interrupted => {
                signal?;
                return Ok(Exit::Done);
            }
            event = events.next() => event,
        };
        match event {
            Ok(event) => {
                // Nor is it waited for a reader that is stuck.
                let printed = tokio::select! {
                    biased;
                    signal = &mut interrupted => {
                        signal?;
                        return Ok(Exit::Done);
                    }
                    printed = print(&event, output) => printed?,
                };
                if printed == Reader::Left {
                    return Ok(Exit::Done);
                }
            }
            Err(error @ (EventsError::Missed(_) | EventsError::Reconnected)) => {
                output.remark(&error.to_string());
            }
            Err(EventsError::Closed(closed)) => {
                return Err(Failure { exit: Exit::Connection, message: closed.to_string() });
            }
        }
    }
}

async fn print(event: &Event, output: &Output) -> Result<Reader, Failure> {
    output.result(&Report::of(event), |out| writeln!(out, "{}", line(event))).await
}

/// The event's data as `key=value` words.
fn pairs(data: &Value) -> String {
    match data {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) => format!(" {key}={text}"),
                other => format!(" {key}={other}"),
            })
            .collect(),
        other => format!(" {other}"),
    }
}

/// The host's time of the event, in UTC.
fn clock(timestamp: Option<Timestamp>) -> String {
    let since_1970 = timestamp.and_then(|time| {
        let seconds = u64::try_from(time.seconds).ok()?;
        let micros = u32::try_from(time.microseconds).ok().filter(|micros| *micros < 1_000_000)?;
        UNIX_EPOCH.checked_add(Duration::new(seconds, micros * 1000))
    });
    // QEMU says -1 where its host has no clock.
    since_1970.map_or_else(
        || "(no time)".to_owned(),
        |time| humantime::format_rfc3339_millis(time).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_qemu_does_not_know_is_said_so() {
        let at = |seconds, microseconds| clock(Some(Timestamp { seconds, microseconds }));
        assert_eq!(at(0, 1500), "1970-01-01T00:00:00.001Z");
        assert_eq!(at(-1, -1), "(no time)");
        assert_eq!(clock(None), "(no time)");
    }

    #[test]
    fn data_reads_as_words() {
        let data = serde_json::json!({"device": "data", "path": "/x", "n": 1});
        assert_eq!(pairs(&data), " device=data path=/x n=1");
    }
}
