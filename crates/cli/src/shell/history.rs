//! What is remembered of what was typed, and what is not.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use qplug_qmp::redact::redacted;
use reedline::{
    CommandLineSearch, FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId,
    Result, SearchDirection, SearchFilter, SearchQuery,
};
use serde_json::{Map, Value, json};

use super::line::{self, Request, Sink};
use super::message;

/// How many lines are remembered.
const MAX_LINES: usize = 10_000;

/// What makes a line a secret that cannot be read otherwise.
const SECRET_SIGNS: [&str; 3] = ["secret", "passw", "passphrase"];

/// The lines of this and of earlier sessions, without those that hold a secret.
pub(super) struct Discreet(FileBackedHistory);

impl Discreet {
    /// Opens the user's; without a place to keep it, this session is all that is remembered.
    pub(super) fn open() -> (Self, Option<io::Error>) {
        let kept = path().map(|path| {
            make(&path)?;
            FileBackedHistory::with_file(MAX_LINES, path).map_err(io::Error::other)
        });
        match kept {
            Some(Ok(history)) => (Self(history), None),
            Some(Err(error)) => (Self(FileBackedHistory::default()), Some(error)),
            None => (Self(FileBackedHistory::default()), None),
        }
    }
}

/// The file, in the user's state folder as the XDG base directory specification has it.
fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("qplug/history"))
}

/// Nobody else is to read it: it names machines and images.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

impl History for Discreet {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        // A line that repeats another is kept as what it stands for, by who resolves it.
        if item.command_line.trim_start().starts_with('!') || is_secret(&item.command_line) {
            return Ok(item);
        }
        self.0.save(item)
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.0.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.0.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.0.search(query)
    }

    fn update(
        &mut self,
        id: HistoryItemId,
        updater: &dyn Fn(HistoryItem) -> HistoryItem,
    ) -> Result<()> {
        self.0.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.0.delete(id)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.0.session()
    }
}

/// Whether a line holds a secret, or may: what cannot be read is judged by its words.
pub(super) fn is_secret(text: &str) -> bool {
    let looks_secret = |text: &str| {
        let text = text.to_lowercase();
        SECRET_SIGNS.iter().any(|sign| text.contains(sign))
    };
    let Ok(line) = line::parse(text) else { return looks_secret(text) };
    let is_secret = match line.request {
        Request::Nothing => looks_secret(text),
        Request::Message(message) => match message::read_json(&message) {
            Ok(value) => {
                let command = value.get("execute").and_then(Value::as_str).unwrap_or_default();
                redacted(command, value.get("arguments").unwrap_or(&value)).is_some()
            }
            Err(_) => looks_secret(&message),
        },
        Request::Words(words) => are_secret(&words),
    };
    is_secret || matches!(line.sink, Sink::Pipe(command) if looks_secret(&command))
}

fn are_secret(words: &[String]) -> bool {
    let (command, rest) = match words.split_first() {
        Some((first, rest)) if first == "exec" => {
            let command = rest.iter().find(|word| !word.starts_with('-'));
            (command.map_or("", String::as_str), rest)
        }
        Some((first, rest)) if first == "hmp" => {
            let line = json!({"command-line": rest.join(" ")});
            return redacted("human-monitor-command", &line).is_some();
        }
        Some((first, rest)) => (first.as_str(), rest),
        None => return false,
    };
    let mut arguments = Map::new();
    for word in rest {
        match word.split_once('=') {
            _ if word.starts_with('{') => match message::read_json(word) {
                Ok(Value::Object(members)) => arguments.extend(members),
                _ => return true,
            },
            Some((key, value)) => {
                let value = message::read_json(value).unwrap_or_else(|_| value.into());
                arguments.insert(key.to_owned(), value);
            }
            // An image may be an address with a password in it.
            None => {
                arguments.insert(word.clone(), word.clone().into());
            }
        }
    }
    redacted(command, &Value::Object(arguments)).is_some()
}

/// The line that a line with `!` stands for; `None` for one without.
pub(super) fn expand(
    text: &str,
    history: &dyn History,
) -> std::result::Result<Option<String>, String> {
    let Some(wanted) = text.trim().strip_prefix('!') else { return Ok(None) };
    let lines = lines(history);
    let found = match wanted {
        "" => return Err("! repeats a line: !!, !N, !-N, or !TEXT".to_owned()),
        "!" => lines.last(),
        number if number.parse::<i64>().is_ok() => {
            let number = number.parse::<i64>().unwrap_or_default();
            let at = if number < 0 { lines.len() as i64 + number } else { number - 1 };
            usize::try_from(at).ok().and_then(|at| lines.get(at))
        }
        prefix => lines.iter().rev().find(|line| line.starts_with(prefix)),
    };
    let found = found.ok_or_else(|| format!("no line for !{wanted} (history shows them)"))?;
    Ok(Some(found.clone()))
}

/// All that is remembered, the oldest first.
pub(super) fn lines(history: &dyn History) -> Vec<String> {
    let filter = SearchFilter::from_text_search(CommandLineSearch::Prefix(String::new()), None);
    let query = SearchQuery { filter, ..SearchQuery::everything(SearchDirection::Forward, None) };
    let items = history.search(query).unwrap_or_default();
    items.into_iter().map(|item| item.command_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_secrets_are_told_from_others() {
        for (line, secret) in [
            ("list", false),
            ("object-add qom-type=secret id=s data=hush", true),
            ("exec --raw object-add qom-type=secret id=s data=hush", true),
            (
                r#"{"execute": "object-add", "arguments": {"qom-type": "secret", "data": "x"}}"#,
                true,
            ),
            (r#"{"execute": "query-block"}"#, false),
            (r#"object-add {"qom-type": "secret", "data": "x"}"#, true),
            ("set_password vnc hush", false),
            ("hmp set_password vnc hush", true),
            ("set_password protocol=vnc password=hush", true),
            ("blockdev-add driver=qcow2 encrypt.key-secret=s node-name=n", false),
            ("attach https://me:hush@host/x.img", true),
            ("attach https://host/x.img", false),
            ("query-block | curl -u me --passwd-file x", true),
            ("{\"password\": ", true),
        ] {
            assert_eq!(is_secret(line), secret, "{line}");
        }
    }

    #[test]
    fn a_mark_stands_for_an_earlier_line() {
        let mut history = Discreet(FileBackedHistory::default());
        for line in ["list", "attach a.img", "!!", "x password=y", "query-block"] {
            history.save(HistoryItem::from_command_line(line)).unwrap();
        }
        for (text, expected) in [
            ("list", Ok(None)),
            ("!!", Ok(Some("query-block"))),
            ("!1", Ok(Some("list"))),
            ("!-2", Ok(Some("attach a.img"))),
            ("!att", Ok(Some("attach a.img"))),
        ] {
            let expected = expected.map(|it: Option<&str>| it.map(str::to_owned));
            assert_eq!(expand(text, &history), expected, "{text}");
        }
        for text in ["!", "!0", "!4", "!-4", "!zebra"] {
            assert!(expand(text, &history).is_err(), "{text}");
        }
    }
}
