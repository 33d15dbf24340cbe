//! Messages of QMP as somebody types them.

use qplug_qmp::{Options, strict_json};
use serde_json::Value;

use crate::commands::exec;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// A command in JSON.
#[derive(Debug, PartialEq)]
struct Message {
    command: String,
    arguments: Option<Value>,
    /// Whether it overtakes others.
    is_oob: bool,
}

/// Gives a command as it stands: nothing of it is checked, as it is QMP itself. Its id is left out:
/// the shell has ids of its own.
pub(super) async fn run(text: &str, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let Message { command, arguments, is_oob } = read(text)?;
    if command == "qmp_capabilities" {
        return Err(Failure::usage("the shell has negotiated already: give commands"));
    }
    let client =
        monitor.connect_with(Options { command_timeout: exec::PATIENCE, ..Options::default() });
    let client = client.await?;
    let reply = if is_oob {
        client.execute_oob(&command, arguments.as_ref()).await?
    } else {
        client.execute(&command, arguments.as_ref()).await?
    };
    exec::print(&reply, output).await
}

/// Reads JSON as QEMU does, with single quotes too.
pub(super) fn read_json(text: &str) -> Result<Value, Failure> {
    let strict = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => strict_json(text).map_err(|_| error),
    };
    let value = strict.and_then(|text| serde_json::from_str(&text));
    value.map_err(|error| Failure::usage(format!("this is no JSON: {error}")))
}

fn read(text: &str) -> Result<Message, Failure> {
    let value = read_json(text)?;
    let Value::Object(mut members) = value else { return Err(no_message("it is no object")) };
    let (execute, oob) = (members.remove("execute"), members.remove("exec-oob"));
    let is_oob = oob.is_some();
    let command = match (execute, oob) {
        (Some(Value::String(command)), None) | (None, Some(Value::String(command))) => command,
        (Some(_), Some(_)) => return Err(no_message("it has both execute and exec-oob")),
        (None, None) => return Err(no_message("it has no execute")),
        _ => return Err(no_message("its command is no string")),
    };
    let arguments = members.remove("arguments");
    members.remove("id");
    match members.keys().next() {
        Some(key) => Err(no_message(&format!("QMP knows no {key:?} there"))),
        None => Ok(Message { command, arguments, is_oob }),
    }
}

fn no_message(why: &str) -> Failure {
    Failure::usage(format!(
        "this is no message of QMP: {why}; such as {{\"execute\": \"query-block\", \"arguments\": {{}}}}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_read_as_qemu_reads_it() {
        let message = |command: &str, arguments, is_oob| Message {
            command: command.to_owned(),
            arguments,
            is_oob,
        };
        for (text, expected) in [
            (r#"{"execute": "stop"}"#, message("stop", None, false)),
            (r#"{"execute": "stop", "id": 7}"#, message("stop", None, false)),
            (
                "{'execute': 'eject',\n 'arguments': {'id': 'cd'}}",
                message("eject", Some(json!({"id": "cd"})), false),
            ),
            (r#"{"exec-oob": "yank", "arguments": {}}"#, message("yank", Some(json!({})), true)),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_said() {
        for (text, part) in [
            ("{}", "no execute"),
            (r#"{"execute": 1}"#, "no string"),
            (r#"{"execute": "a", "exec-oob": "b"}"#, "both"),
            (r#"{"execute": "a", "argument": {}}"#, "\"argument\""),
            ("{nonsense}", "no JSON"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.message.contains(part), "{text}: {}", failure.message);
        }
    }
}
