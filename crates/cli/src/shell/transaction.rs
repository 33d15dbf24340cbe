//! Several changes at once: QEMU makes all of them, or none.

use qplug_qapi::introspection::Schema;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::commands::exec;
use crate::commands::schema::source::{self, Freshness};
use crate::failure::{Exit, Failure};
use crate::key_values;
use crate::monitor::Monitor;

/// The command that makes them.
pub(super) const COMMAND: &str = "transaction";

/// The most changes that one transaction has.
const MAX_ACTIONS: usize = 1000;

/// Changes that are being put together.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// What is said of all of them, such as `properties`.
    arguments: Map<String, Value>,
    actions: Vec<Value>,
}

impl Transaction {
    /// Begins with what is said of all.
    pub(super) async fn begin(words: &[String], monitor: &Monitor) -> Result<Self, Failure> {
        let pairs = pairs(words)?;
        let client = monitor.connect().await?;
        let commands = source::commands(&client).await?;
        if commands.is_some_and(|commands| !commands.iter().any(|it| it == COMMAND)) {
            let message = "this QEMU has no transactions: give each change by itself".to_owned();
            return Err(Failure { exit: Exit::Impossible, message });
        }
        let known = source::live(&client, Freshness::Cached).await?;
        let arguments = match known {
            Some(known) => coerce(&known.schema, &pairs)?,
            None => guess(words)?,
        };
        Ok(Self { arguments, actions: Vec::new() })
    }

    /// How many there are so far.
    pub(super) fn len(&self) -> usize {
        self.actions.len()
    }

    /// Adds one, in words: its type, and its arguments as key=value. What QEMU would not take is not
    /// added.
    pub(super) async fn add(&mut self, words: &[String], monitor: &Monitor) -> Result<(), Failure> {
        let Some((kind, rest)) = words.split_first() else { return Ok(()) };
        let client = monitor.connect().await?;
        let given = match rest {
            [only] if only.starts_with('{') => Some(super::message::read_json(only)?),
            _ => None,
        };
        let make = |schema: &Schema| match &given {
            Some(data) => Ok(json!({"type": kind, "data": data})),
            None => action(schema, kind, rest),
        };
        let (action, problems) = match source::live(&client, Freshness::Cached).await? {
            Some(known) => {
                let judge = |schema: &Schema| {
                    let action = make(schema)?;
                    let arguments = json!({"actions": [&action]});
                    let problems = exec::problems(schema, COMMAND, Some(&arguments));
                    Ok((action, problems))
                };
                known.judge(&client, judge).await?
            }
            None => {
                let data = given.map_or_else(|| guess(rest).map(Value::Object), Ok)?;
                (json!({"type": kind, "data": data}), Vec::new())
            }
        };
        if problems.is_empty() {
            return self.add_json(action);
        }
        let problems = problems.join("\n  ").replace("actions.0.data.", "");
        let message = format!(
            "{kind} is not added:\n  {problems}\n(the transaction has {} so far; commit sends them, abort drops them)",
            self.actions.len()
        );
        Err(Failure { exit: Exit::Impossible, message })
    }

    /// Adds one as it stands.
    pub(super) fn add_json(&mut self, action: Value) -> Result<(), Failure> {
        if self.actions.len() >= MAX_ACTIONS {
            return Err(Failure::usage(format!("a transaction has {MAX_ACTIONS} actions at most")));
        }
        self.actions.push(action);
        Ok(())
    }

    /// Has QEMU make them, and gives its reply.
    pub(super) async fn commit(&self, monitor: &Monitor) -> Result<Box<RawValue>, Failure> {
        if self.actions.is_empty() {
            return Err(Failure::usage("nothing to commit: the transaction has no actions"));
        }
        let mut arguments = self.arguments.clone();
        arguments.insert("actions".to_owned(), self.actions.clone().into());
        let client = monitor.connect().await?.with_command_timeout(exec::PATIENCE);
        Ok(client.execute(COMMAND, Some(&Value::Object(arguments))).await?)
    }
}

/// An action of key=value words, each value as the schema has it.
fn action(schema: &Schema, kind: &str, words: &[String]) -> Result<Value, Failure> {
    let inside =
        pairs(words)?.into_iter().map(|(key, value)| (format!("actions.0.data.{key}"), value));
    let mut all: Vec<_> = inside.collect();
    all.push(("actions.0.type".to_owned(), kind.to_owned()));
    let mut arguments = coerce(schema, &all)?;
    let first = arguments.get_mut("actions").and_then(|actions| actions.get_mut(0));
    let Some(mut action) = first.map(Value::take) else {
        // This QEMU's schema tells of no actions, or of none in a list.
        return Ok(json!({"type": kind, "data": guess(words)?}));
    };
    // One that takes nothing has a member for that all the same.
    if let Some(action) = action.as_object_mut() {
        action.entry("data").or_insert_with(|| json!({}));
    }
    Ok(action)
}

fn pairs(words: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!("{word:?} is not key=value"))),
    };
    words.iter().map(pair).collect()
}

fn coerce(schema: &Schema, pairs: &[(String, String)]) -> Result<Map<String, Value>, Failure> {
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    schema.coerce(COMMAND, pairs).map_err(|error| Failure::usage(error.to_string()))
}

/// What they are taken for where no schema says.
fn guess(words: &[String]) -> Result<Map<String, Value>, Failure> {
    match key_values::parse(words).map_err(Failure::usage)? {
        Some(Value::Object(members)) => Ok(members),
        _ => Ok(Map::new()),
    }
}
