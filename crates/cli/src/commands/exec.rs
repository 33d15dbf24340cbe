//! `qplug exec` and `qplug hmp`

use std::time::Duration;

use qplug_qapi::introspection::{Problem, Schema, Trouble};
use qplug_qmp::{Client, Error, Options, redact};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::schema::{impossible, source};
use crate::args::{Exec, Hmp};
use crate::failure::{Exit, Failure};
use crate::key_values;
use crate::monitor::Monitor;
use crate::output::Output;

/// How long a reply may take when nobody said how long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) async fn run(args: Exec, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    // What is wrong without a schema is wrong with one, and is said before anything is sent.
    let guessed = key_values::parse(&args.arguments).map_err(Failure::usage)?;
    let client = connect(monitor, args.timeout).await?;
    let arguments = match guessed {
        Some(guessed) if !args.raw => Some(checked(&args, guessed, &client, output).await?),
        guessed => guessed,
    };
    let reply = match client.execute(&args.command, arguments.as_ref()).await {
        Err(error) if arguments.is_none() && !args.raw && error.refusal().is_some() => {
            return Err(explained(&args, error, &client).await);
        }
        reply => reply?,
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

/// The arguments as the machine's schema has them, when it would take them.
async fn checked(
    args: &Exec,
    guessed: Value,
    client: &Client,
    output: &Output,
) -> Result<Value, Failure> {
    let Some(schema) = source::of(client).await? else {
        output.remark("this QEMU has no schema (there is one since 2.5): nothing is checked");
        return Ok(guessed);
    };
    let is_json = matches!(args.arguments.as_slice(), [only] if only.trim_start().starts_with('{'));
    let arguments = if is_json {
        guessed
    } else {
        let pairs = args.arguments.iter().filter_map(|argument| argument.split_once('='));
        let coerced = schema.coerce(&args.command, pairs);
        Value::Object(coerced.map_err(|error| Failure::usage(error.to_string()))?)
    };
    let problems = problems(&schema, &args.command, Some(&arguments));
    if problems.is_empty() {
        return Ok(arguments);
    }
    Err(impossible(format!(
        "{} is not sent:\n  {}\n(qplug schema {} shows what it takes; --raw sends it as it is)",
        args.command,
        problems.join("\n  "),
        args.command
    )))
}

/// What is wrong. Of a command with a secret, values are left out.
pub(crate) fn problems(schema: &Schema, command: &str, arguments: Option<&Value>) -> Vec<String> {
    let is_secret = arguments.is_some_and(|it| redact::redacted(command, it).is_some());
    let problems = schema.check(command, arguments).into_iter();
    problems
        .map(|problem| match problem {
            Problem { path, trouble: Trouble::WrongType { takes, .. } } if is_secret => {
                format!("{path}: it takes {takes}")
            }
            Problem { path, trouble: Trouble::NoSuchWord { words, .. } } if is_secret => {
                format!("{path}: it takes {}", words.join(" | "))
            }
            problem => problem.to_string(),
        })
        .collect()
}

/// A refusal of a command that was given nothing, with what its schema says of that.
async fn explained(args: &Exec, error: Error, client: &Client) -> Failure {
    let mut failure = Failure::from(error);
    if let Ok(Some(schema)) = source::of(client).await {
        for problem in problems(&schema, &args.command, None) {
            failure.message += &format!("\n  {problem}");
        }
    }
    failure
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
