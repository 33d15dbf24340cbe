//! What a machine would not take is not sent, and what it refuses is explained.

use qplug_qapi::introspection::{Problem, Properties, Schema, Trouble, is_fragile};
use qplug_qmp::{Client, Error, redact};
use serde_json::{Map, Value};

use crate::commands::schema::impossible;
use crate::commands::schema::properties::{self, Class};
use crate::commands::schema::source::{self, Freshness};
use crate::failure::Failure;
use crate::key_values;
use crate::output::Output;

/// A command as it was typed.
pub(crate) struct Typed<'c> {
    pub(crate) command: &'c str,
    /// Its arguments: `key=value`, or one JSON object.
    pub(crate) texts: &'c [String],
}

/// A command that the machine would try, as far as can be known.
pub(crate) struct Checked<'c> {
    typed: Typed<'c>,
    pub(crate) arguments: Option<Value>,
    /// What the device or object takes that it makes.
    more: Option<Properties>,
}

impl<'c> Typed<'c> {
    /// The arguments as they look, with no schema.
    ///
    /// # Errors
    /// When they are neither pairs nor JSON: what is wrong without a schema is wrong with one.
    pub(crate) fn guessed(&self) -> Result<Option<Value>, Failure> {
        key_values::parse(self.texts).map_err(Failure::usage)
    }

    /// The arguments as the machine's schema has them. With no arguments, nothing is looked at.
    ///
    /// # Errors
    /// When the machine would not take them; then nothing was sent but questions.
    pub(crate) async fn checked(
        self,
        client: &Client,
        output: &Output,
    ) -> Result<Checked<'c>, Failure> {
        let Some(guessed) = self.guessed()? else {
            return Ok(Checked { typed: self, arguments: None, more: None });
        };
        let Some(known) = source::live(client, Freshness::Cached).await? else {
            output.remark("this QEMU has no schema (there is one since 2.5): nothing is checked");
            return Ok(Checked { typed: self, arguments: Some(guessed), more: None });
        };
        let more = self.properties(&known.schema, &guessed, client, output).await?;
        let judge = |schema: &Schema| self.judged(schema, &guessed, more.as_ref());
        let (arguments, problems) = known.judge(client, judge).await?;
        if !problems.is_empty() {
            return Err(self.refused(&problems));
        }
        Ok(Checked { typed: self, arguments: Some(arguments), more })
    }

    /// What a device or object takes that the command makes.
    async fn properties(
        &self,
        schema: &Schema,
        guessed: &Value,
        client: &Client,
        output: &Output,
    ) -> Result<Option<Properties>, Failure> {
        let is_open = schema.takes_more(self.command);
        let Some((class, key)) = Class::made_by(self.command).filter(|_| is_open) else {
            return Ok(None);
        };
        let Some(type_name) = guessed[key].as_str() else { return Ok(None) };
        let more = properties::of(client, class, type_name).await?;
        if is_fragile(type_name) {
            output
                .remark(&format!("what {type_name} takes is not checked: QEMU may end when asked"));
        }
        Ok(more)
    }

    fn judged(
        &self,
        schema: &Schema,
        guessed: &Value,
        more: Option<&Properties>,
    ) -> Result<(Value, Vec<String>), Failure> {
        let is_json = matches!(self.texts, [only] if only.trim_start().starts_with('{'));
        let arguments = if is_json {
            guessed.clone()
        } else {
            let pairs = self.texts.iter().filter_map(|text| text.split_once('='));
            let none = Properties::default();
            let coerced = schema.coerce_with(self.command, more.unwrap_or(&none), pairs);
            Value::Object(coerced.map_err(|error| Failure::usage(error.to_string()))?)
        };
        let problems = schema.check_with(self.command, more, Some(&arguments));
        let problems = told(self.command, Some(&arguments), problems);
        Ok((arguments, problems))
    }

    fn refused(&self, problems: &[String]) -> Failure {
        let command = self.command;
        impossible(format!(
            "{command} is not sent:\n  {}\n({} shows what it takes; --raw sends it as it is)",
            problems.join("\n  "),
            match Class::made_by(command) {
                Some((Class::Device, _)) => "qplug schema device DRIVER".to_owned(),
                _ => format!("qplug schema {command}"),
            }
        ))
    }
}

impl Checked<'_> {
    /// A refusal, with what is known of why.
    pub(crate) async fn explained(&self, error: Error, client: &Client) -> Failure {
        let is_refusal = error.refusal().is_some();
        let mut failure = Failure::from(error);
        if is_refusal {
            for line in self.reasons(client).await.unwrap_or_default() {
                failure.message += &format!("\n  {line}");
            }
        }
        failure
    }

    async fn reasons(&self, client: &Client) -> Result<Vec<String>, Failure> {
        let command = self.typed.command;
        let Some(arguments) = &self.arguments else {
            let known = source::live(client, Freshness::Cached).await?;
            let problems = known.map(|known| problems(&known.schema, command, None));
            return Ok(problems.unwrap_or_default());
        };
        let Some((class, key)) = Class::made_by(command) else { return Ok(Vec::new()) };
        if let Some(more) = &self.more {
            let nothing = Map::new();
            let inside = arguments.get("props").unwrap_or(arguments);
            let doubts = more.doubts(inside.as_object().unwrap_or(&nothing));
            return Ok(told(command, Some(arguments), doubts));
        }
        let Some(type_name) = arguments[key].as_str() else { return Ok(Vec::new()) };
        let types = properties::types(client, class).await?;
        let is_known = types.is_empty() || types.iter().any(|it| it == type_name);
        let like = properties::did_you_mean(type_name, &types);
        Ok(if is_known || like.is_empty() {
            Vec::new()
        } else {
            vec![format!("{key}: {type_name}{like}")]
        })
    }
}

/// What is wrong with a command by its schema, in words.
pub(crate) fn problems(schema: &Schema, command: &str, arguments: Option<&Value>) -> Vec<String> {
    told(command, arguments, schema.check(command, arguments))
}

/// What is wrong, in words. Of a command with a secret, values are left out.
fn told(command: &str, arguments: Option<&Value>, problems: Vec<Problem>) -> Vec<String> {
    let is_secret = arguments.is_some_and(|it| redact::redacted(command, it).is_some());
    let problems = problems.into_iter();
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
