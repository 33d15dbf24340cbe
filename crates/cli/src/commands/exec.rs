//! `qplug exec` and `qplug hmp`

mod check;

use std::time::Duration;

use qplug_qmp::{Client, Options};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::args::{Exec, Hmp};
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;
pub(crate) use check::{Typed, problems};

/// How long a reply may take when nobody said how long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) async fn run(args: Exec, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let typed = Typed { command: &args.command, texts: &args.arguments };
    let guessed = typed.guessed()?;
    let client = connect(monitor, args.timeout).await?;
    let reply = if args.raw {
        client.execute(&args.command, guessed.as_ref()).await?
    } else {
        let checked = typed.checked(&client, output).await?;
        match client.execute(&args.command, checked.arguments.as_ref()).await {
            Ok(reply) => reply,
            Err(error) => return Err(checked.explained(error, &client).await),
        }
    };
    drop(client);
    print(&reply, output).await
}

/// Prints a reply. For programs it passes through as QEMU wrote it.
pub(crate) async fn print(reply: &RawValue, output: &Output) -> Result<Exit, Failure> {
    output
        .result(&reply, |out| match serde_json::from_str::<Value>(reply.get()) {
            Ok(value) => writeln!(out, "{value:#}"),
            Err(_) => writeln!(out, "{}", reply.get()),
        })
        .await?;
    Ok(Exit::Done)
}

/// What a user runs may take long, such as saving a machine.
async fn connect(monitor: &Monitor, command_timeout: Duration) -> Result<Client, Failure> {
    monitor.connect_with(Options { command_timeout, ..Options::default() }).await
}

pub(super) async fn run_hmp(
    args: Hmp,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let arguments = json!({"command-line": args.command_line.join(" ")});
    let client = connect(monitor, args.timeout).await?;
    let reply = client.execute("human-monitor-command", Some(&arguments)).await?;
    drop(client);
    // Empty output is {} up to QEMU 1.0, and "" later.
    let text = serde_json::from_str::<String>(reply.get()).unwrap_or_default();
    let text = text.replace("\r\n", "\n");
    if let Some(complaint) = human_refusal(&text) {
        let message = format!("QEMU's human monitor refused it: {}", complaint.trim_end());
        return Err(Failure { exit: Exit::Refused, message });
    }
    output
        .result(&json!({"output": text}), |out| {
            write!(out, "{text}")?;
            if text.is_empty() || text.ends_with('\n') { Ok(()) } else { writeln!(out) }
        })
        .await?;
    Ok(Exit::Done)
}

/// The human monitor's errors are text in a successful reply. This is the one that has a form of its
/// own; others cannot be told from output.
fn human_refusal(text: &str) -> Option<&str> {
    text.starts_with("unknown command: ").then_some(text)
}
