//! What is remembered of what was typed, and what is not.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use qplug_qmp::redact::redacted;
use reedline::{
    CommandLineSearch, FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId,
    ReedlineError, ReedlineErrorVariants, Result, SearchDirection, SearchFilter, SearchQuery,
};
use serde_json::{Map, Value};

use super::line::{self, Request, Sink, Target};
use super::message;

/// How many lines are remembered.
const MAX_LINES: usize = 10_000;

/// What makes a line a secret that cannot be read otherwise.
const SECRET_SIGNS: [&str; 4] = ["secret", "passw", "passphrase", "cookie"];

/// Commands whose arguments are lines that somebody else reads: the human monitor, or an appliance.
const FOREIGN: [&str; 3] = ["hmp", "human-monitor-command", "sh"];

/// The lines of this and of earlier sessions, without those that hold a secret.
pub(super) struct Discreet(FileBackedHistory);

impl Discreet {
    /// Opens the user's in a file of this name; without a place to keep it, this session is all that is remembered.
    pub(super) fn open(name: &str) -> (Self, Option<io::Error>) {
        let kept = path(name).map(|path| {
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
fn path(name: &str) -> Option<PathBuf> {
    let set =
        |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("qplug").join(name))
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
        if item.command_line.trim_start().starts_with('!') {
            return Ok(item);
        }
        if is_secret(&item.command_line) {
            // The editor brings a line back that could not be kept, until the next one.
            return Err(ReedlineError(ReedlineErrorVariants::OtherHistoryError("a secret")));
        }
        let saved = self.0.save(item)?;
        // A terminal may be closed at any time. Where nothing can be kept, the session goes on.
        let _ = self.0.sync();
        Ok(saved)
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

/// Whether a text of lines holds a secret, or may: what cannot be read is judged by its words.
pub(super) fn is_secret(text: &str) -> bool {
    line::split(text).into_iter().any(is_secret_line)
}

fn looks_secret(text: &str) -> bool {
    has_sign(text) || text.split_whitespace().any(has_secret)
}

fn has_sign(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_SIGNS.iter().any(|sign| text.contains(sign))
}

/// Whether a word is an address with a password in it, or options in JSON, well quoted or not.
fn has_secret(word: &str) -> bool {
    redacted("", &word.into()).is_some() || word.contains("json:") && has_sign(word)
}

fn is_secret_line(text: &str) -> bool {
    let Ok(line) = line::parse(text) else { return looks_secret(text) };
    let is_secret = match line.request {
        Request::Nothing => false,
        Request::Message(message) => match message::read_json(&message) {
            Ok(value) => is_secret_message(&value),
            Err(_) => looks_secret(&message),
        },
        Request::Words(words) => are_secret(&words),
    };
    let is_told = match line.sink {
        Sink::Pipe(command) => looks_secret(&command),
        Sink::File { .. } | Sink::Shell => looks_secret(comment(text)),
    };
    is_secret || is_told
}

/// What follows the last word of a line.
fn comment(text: &str) -> &str {
    let scan = line::scan(text);
    let file = match &scan.target {
        Some(Target::File { path, .. }) => path.as_ref(),
        _ => None,
    };
    let last = scan.words.last().into_iter().chain(file).last();
    last.map_or(text, |word| &text[word.span.end..])
}

fn is_secret_message(value: &Value) -> bool {
    let command = value.get("execute").or_else(|| value.get("exec-oob"));
    let command = command.and_then(Value::as_str).unwrap_or_default();
    let arguments = value.get("arguments").unwrap_or(value);
    redacted(command, arguments).is_some() || redacted("", value).is_some()
}

fn are_secret(words: &[String]) -> bool {
    let is_foreign = |word: &String| FOREIGN.contains(&word.as_str());
    if words.iter().any(is_foreign) && looks_secret(&words.join(" ")) {
        return true;
    }
    let mut arguments = Map::new();
    for word in words {
        match word.split_once('=') {
            _ if word.starts_with('{') => match message::read_json(word) {
                Ok(Value::Object(members)) => arguments.extend(members),
                _ => return true,
            },
            // An image may be an address with a password in it.
            _ if has_secret(word) => return true,
            Some((key, value)) => {
                let value = message::read_json(value).unwrap_or_else(|_| value.into());
                arguments.insert(key.to_owned(), value);
            }
            None => {}
        }
    }
    // Which word is the command depends on the options before it.
    let arguments = Value::Object(arguments);
    words.iter().any(|word| redacted(word, &arguments).is_some())
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
            ("query-block | curl https://me:hush@host/", true),
            ("list # the password is hush", true),
            ("# the password is hush", true),
            ("list > x # the password is hush", true),
            ("list # all", false),
            ("list\nobject-add qom-type=secret id=s data=hush", true),
            ("exec -t 5 human-monitor-command command-line='set_password vnc hush'", true),
            ("--json hmp set_password vnc hush", true),
            ("hmp block_passwd d hush", true),
            ("hmp drive_add 0 file=https://me:hush@host/x", true),
            ("hmp info block", false),
            ("sh 'echo passw0rd | cryptsetup open /dev/disk/qplug/data x'", true),
            ("sh mkfs.ext4 -q /dev/disk/qplug/data", false),
            ("object-add qom-type=secret id=s props.data=hush", true),
            ("qom-set path=/objects/s property=data value=hush", true),
            ("qom-set path=/machine property=type value=x", false),
            ("change device=vnc target=password arg=hush", true),
            ("change device=ide1-cd0 target=a.iso", false),
            ("attach https://me:hu=sh@host/x.img", true),
            (r#"attach json:{"driver":"https","file.password":"hush"}"#, true),
            (r#"attach 'json:{"driver":"https","file.cookie":"hush"}'"#, true),
            (r#"{"exec-oob": "x", "argument": {"password": "hush"}}"#, true),
            ("object-add qom-type=sec'ret' id=s d\"a\"ta=hush", true),
        ] {
            assert_eq!(is_secret(line), secret, "{line}");
        }
    }

    #[test]
    fn a_mark_stands_for_an_earlier_line() {
        let mut history = Discreet(FileBackedHistory::default());
        for line in ["list", "attach a.img", "!!", "x password=y", "query-block"] {
            let saved = history.save(HistoryItem::from_command_line(line));
            assert_eq!(saved.is_err(), line.contains("password"), "{line}");
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
