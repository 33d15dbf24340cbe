//! `help`: what the shell has of its own, qplug's commands as the command line tells them, and those of
//! QMP as the machine's schema does.

use std::fmt::Write as _;

use qplug_qapi::introspection::{Schema, Trouble};

use super::built_in;
use super::complete::verb;

/// What there is to be said of a topic, or of everything.
///
/// # Errors
/// When there is no such topic; the text says what may have been meant.
pub(super) fn help(topic: Option<&str>, schema: Option<&Schema>) -> Result<String, String> {
    let Some(topic) = topic else { return Ok(overview()) };
    let is_qmp = schema.is_some_and(|schema| schema.command(topic).is_some());
    if let Some(built_in) = built_in::ALL.iter().find(|it| it.name == topic) {
        let text = format!("{} {}\n  {}\n", topic, built_in.words, built_in.about);
        return Ok(text.replacen(" \n", "\n", 1) + &also_in_qmp(topic, is_qmp));
    }
    if let Some(text) = verb::help(topic) {
        return Ok(text.trim_end().to_owned() + "\n" + &also_in_qmp(topic, is_qmp));
    }
    let Some(schema) = schema else {
        return Err(format!("nothing is known of {topic}: this QEMU has no schema"));
    };
    schema.describe(topic).map(|tree| tree.to_string()).ok_or_else(|| {
        let problems = schema.check(topic, None);
        let like = problems.into_iter().find_map(|problem| match problem.trouble {
            Trouble::NoSuchCommand { like } if !like.is_empty() => Some(like.join(" or ")),
            _ => None,
        });
        let like = like.map_or_else(String::new, |like| format!("; did you mean {like}?"));
        format!("there is no command and no event {topic}{like}")
    })
}

fn also_in_qmp(topic: &str, is_qmp: bool) -> String {
    if !is_qmp {
        return String::new();
    }
    format!(
        "\nQMP has a command of this name too: 'exec {topic}' runs it, 'schema {topic}' tells of it.\n"
    )
}

fn overview() -> String {
    let mut text = String::from("Commands of qplug:\n");
    let verbs: Vec<_> =
        verb::verbs().map(|it| (it.get_name().to_owned(), verb::about(it))).collect();
    table(&mut text, &verbs);
    text.push_str("\nOf the shell:\n");
    let all = built_in::ALL.iter().map(|it| (it.name.to_owned(), it.about.to_owned()));
    table(&mut text, &all.collect::<Vec<_>>());
    text.push_str(
        "
Any other word is a command of QMP, with key=value or JSON for its arguments; a line that begins with {
is a whole message. Tab completes, 'help COMMAND' says what a command takes, 'schema' lists all.
Behind a line, | COMMAND, > FILE and >> FILE say where its output goes.
",
    );
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

    #[test]
    fn all_that_can_be_typed_has_a_help() {
        let schema = schema("10.0");
        let overview = help(None, None).unwrap();
        for built_in in &built_in::ALL {
            assert!(help(Some(built_in.name), None).unwrap().contains(built_in.about));
            assert!(overview.contains(built_in.about));
        }
        for verb in verb::verbs() {
            let text = help(Some(verb.get_name()), None).unwrap();
            assert!(text.contains(&format!("Usage: {}", verb.get_name())), "{text}");
            assert!(!text.contains("--socket"), "{text}");
            assert!(overview.contains(verb.get_name()));
        }
        assert!(help(Some("blockdev-add"), Some(&schema)).unwrap().contains("with driver=qcow2"));
        assert!(help(Some("eject"), Some(&schema)).unwrap().contains("exec eject"));
        assert!(overview.lines().all(|line| line.chars().count() <= 110), "{overview}");
    }

    #[test]
    fn what_is_not_there_is_said_and_guessed() {
        let schema = schema("10.0");
        let error = help(Some("blokdev-add"), Some(&schema)).unwrap_err();
        assert!(error.contains("did you mean blockdev-add"), "{error}");
        assert!(help(Some("x"), None).unwrap_err().contains("no schema"));
    }
}
