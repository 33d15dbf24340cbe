//! The human monitor, which `human-monitor-command` reaches: how a line is written so that its
//! parser reads what was meant, and what the text says that comes back.
//!
//! A line is read by two parsers: the monitor's own, which takes words apart at blanks (`get_str` in
//! `monitor.c`: double quotes, and backslashes before `n`, `r`, `\`, `'` and `"` within them), and,
//! for options, one that takes them apart at commas (`get_opt_value` in `qemu-option.c`: a comma that
//! is meant is doubled).

use qplug_proto::ErrorReply;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::command::{self, Command};
use crate::operation::Answer;

/// The longest word that the monitor takes; what is longer it cuts off without a word (`buf[1024]`
/// in `monitor_parse_command`, also in QEMU 10.0).
pub(crate) const MAX_WORD_BYTES: usize = 1023;

/// Writes a line of these words.
pub(crate) fn line(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// The command that shows all devices, with their drives.
pub(crate) fn show_tree() -> Command {
    command::human(line(&["info", "qtree"]))
}

/// A word in quotes, where it needs them.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/,=+:@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut text = String::with_capacity(word.len() + 2);
    text.push('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// An option's value, as one of several with commas between them.
pub(crate) fn option(key: &str, value: &str) -> String {
    format!("{key}={}", value.replace(',', ",,"))
}

/// What an answer of the human monitor says: a command that is to say nothing, or `OK` in the end
/// behind warnings, says why it failed in a reply that succeeded. Nothing at all is `{}` up to 1.0 and
/// `""` later.
pub(crate) fn understand(answer: Answer) -> Answer {
    let Answer::Returned(value) = answer else { return answer };
    match text(&value) {
        Some(text) if !matches!(text.lines().next_back(), None | Some("" | "OK")) => {
            let desc = text.trim().replace("\r\n", " ");
            Answer::Refused(ErrorReply::new("GenericError", desc))
        }
        _ => Answer::Returned(value),
    }
}

/// The text that the human monitor printed; none where it printed nothing.
pub(crate) fn text(value: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Printed {
        Text(String),
        Nothing {},
    }
    match serde_json::from_str(value.get()).ok()? {
        Printed::Text(text) => Some(text),
        Printed::Nothing {} => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned(json: &str) -> Answer {
        understand(Answer::Returned(RawValue::from_string(json.to_owned()).unwrap()))
    }

    #[test]
    fn words_are_quoted_where_they_must_be() {
        for (word, written) in [
            ("hd1", "hd1"),
            ("file=/a,,b.raw", "file=/a,,b.raw"),
            ("/a b", r#""/a b""#),
            (r#"/q"\x"#, r#""/q\"\\x""#),
            ("a\nb\r", r#""a\nb\r""#),
            ("", r#""""#),
            ("$x;#", r#""$x;#""#),
            ("/über", "\"/über\""),
        ] {
            assert_eq!(line(&["drive_add", word]), format!("drive_add {written}"));
        }
        assert_eq!(option("file", "/a,b=c"), "file=/a,,b=c");
    }

    #[test]
    fn a_text_in_a_reply_that_succeeded_is_a_refusal() {
        for nothing in ["{}", r#""""#, r#""OK\r\n""#, r#""OK""#, r#""warning: so\r\nOK\r\n""#] {
            assert!(matches!(returned(nothing), Answer::Returned(_)), "{nothing}");
        }
        let refused = returned(r#""Device 'hd1' not found\r\n""#);
        let Answer::Refused(reply) = refused else { panic!("{refused:?}") };
        assert_eq!(reply.desc, "Device 'hd1' not found");
        let two_lines = returned(r#""Parameter 'id' expects an identifier\r\nIdentifiers …\r\n""#);
        let Answer::Refused(reply) = two_lines else { panic!("{two_lines:?}") };
        assert_eq!(reply.desc, "Parameter 'id' expects an identifier Identifiers …");
    }
}
