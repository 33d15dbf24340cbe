//! `help`: what the shell has of its own, its commands as the command line tells them, and those of QMP as
//! the machine's schema does.

use std::fmt::Write as _;

use qplug_qapi::introspection::{Schema, Trouble};
use serde_json::json;

use super::complete::verb::about;
use super::vocabulary::Vocabulary;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// What there is to be said of a topic, or of everything.
///
/// # Errors
/// When there is no such topic; the text says what may have been meant.
pub(super) fn help(
    topic: Option<&str>,
    vocabulary: &'static Vocabulary,
    schema: Option<&Schema>,
) -> Result<String, String> {
    let Some(topic) = topic else { return Ok(overview(vocabulary)) };
    let is_qmp = schema.is_some_and(|schema| schema.command(topic).is_some());
    if let Some(built_in) = vocabulary.built_in(topic) {
        let text = format!("{} {}\n  {}\n", topic, built_in.words, built_in.about);
        return Ok(text.replacen(" \n", "\n", 1) + &also_in_qmp(topic, is_qmp));
    }
    if let Some(text) = vocabulary.help(topic) {
        return Ok(text.trim_end().to_owned() + "\n" + &also_in_qmp(topic, is_qmp));
    }
    if !vocabulary.speaks_qmp {
        return Err(no_such(topic, &vocabulary.like(topic)));
    }
    let Some(schema) = schema else {
        return Err(format!("nothing is known of {topic}: this QEMU has no schema"));
    };
    schema.describe(topic).map(|tree| tree.to_string()).ok_or_else(|| {
        let problems = schema.check(topic, None);
        let like = problems.into_iter().find_map(|problem| match problem.trouble {
            Trouble::NoSuchCommand { like } => Some(like),
            _ => None,
        });
        no_such(&format!("and no event {topic}"), &like.unwrap_or_default())
    })
}

/// Prints a help.
pub(super) async fn print(text: &str, output: &Output) -> Result<Exit, Failure> {
    output.result(&json!({"help": text}), |out| write!(out, "{text}")).await?;
    Ok(Exit::Done)
}

/// There is no such command, but there may be others.
pub(super) fn no_such(name: &str, like: &[String]) -> String {
    match like {
        [] => format!("there is no command {name}"),
        like => format!("there is no command {name}; did you mean {}?", like.join(" or ")),
    }
}

fn also_in_qmp(topic: &str, is_qmp: bool) -> String {
    if !is_qmp {
        return String::new();
    }
    format!(
        "\nQMP has a command of this name too: 'exec {topic}' runs it, 'schema {topic}' tells of it.\n"
    )
}

fn overview(vocabulary: &'static Vocabulary) -> String {
    let mut text = format!("{}:\n", vocabulary.title);
    let verbs = vocabulary.verbs().map(|it| (it.get_name().to_owned(), about(it)));
    table(&mut text, &verbs.collect::<Vec<_>>());
    text.push_str("\nOf the shell:\n");
    let own = vocabulary.built_ins.iter().map(|it| (it.name.to_owned(), it.about.to_owned()));
    table(&mut text, &own.collect::<Vec<_>>());
    text.push_str(vocabulary.notes);
    text
}

fn table(text: &mut String, rows: &[(String, String)]) {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, about) in rows {
        // A String takes all that is written.
        let _ = writeln!(text, "  {name:width$}  {about}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::complete::tests::schema;
    use crate::shell::verb::QPLUG;

    #[test]
    fn all_that_can_be_typed_has_a_help() {
        let schema = schema("10.0");
        let overview = help(None, &QPLUG, None).unwrap();
        for built_in in QPLUG.built_ins {
            assert!(help(Some(built_in.name), &QPLUG, None).unwrap().contains(built_in.about));
            assert!(overview.contains(built_in.about));
        }
        for verb in QPLUG.verbs() {
            let text = help(Some(verb.get_name()), &QPLUG, None).unwrap();
            assert!(text.contains(&format!("Usage: {}", verb.get_name())), "{text}");
            assert!(!text.contains("--socket"), "{text}");
            assert!(overview.contains(verb.get_name()));
        }
        assert!(
            help(Some("blockdev-add"), &QPLUG, Some(&schema))
                .unwrap()
                .contains("with driver=qcow2")
        );
        assert!(help(Some("eject"), &QPLUG, Some(&schema)).unwrap().contains("exec eject"));
        assert!(overview.lines().all(|line| line.chars().count() <= 110), "{overview}");
    }

    #[test]
    fn what_is_not_there_is_said_and_guessed() {
        let schema = schema("10.0");
        let error = help(Some("blokdev-add"), &QPLUG, Some(&schema)).unwrap_err();
        assert!(error.contains("did you mean blockdev-add"), "{error}");
        assert!(help(Some("x"), &QPLUG, None).unwrap_err().contains("no schema"));
    }
}
