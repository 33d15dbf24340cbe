//! The bare script for many disks: what qplug said that changes the machine, in as few writes as
//! can be. It does not look at the machine, and plans nothing.

use std::fmt;
use std::fs;
use std::path::Path;

use qplug_testbed::proxy::{Said, Side};
use qplug_testbed::{Error, Result};

/// What asks and changes nothing.
const QUERIES: [&str; 4] = ["query-", "qom-get", "qom-list", "x-debug-query-"];

/// Commands of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) commands: usize,
    pub(super) bytes: usize,
}

/// A script, and what qplug said to the same end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// The arguments of `bare` behind the socket.
    pub(super) steps: Vec<String>,
    /// What changes the machine.
    pub(super) changes: Count,
    /// What qplug asked beside that; not part of the script.
    pub(super) queries: Count,
}

impl Stream {
    /// Makes a script of a conversation; its texts go into files in `folder`, as there may be more
    /// than fits an argument.
    pub(super) fn of(conversation: &[Said], folder: &Path, name: &str) -> Result<Self> {
        let (mut changes, mut queries) = (Count::default(), Count::default());
        // Guests are asked first; what follows waits until they all have let go.
        let (mut first, mut after, mut asked) = (String::new(), String::new(), 0);
        let mut begun = 0;
        for said in conversation.iter().filter(|said| said.by == Side::Client) {
            let Some(command) = command(&said.text) else { continue };
            if QUERIES.iter().any(|query| command.starts_with(query)) {
                queries.add(&said.text);
                continue;
            }
            if command == "qmp_capabilities" {
                begun += 1;
            } else {
                changes.add(&said.text);
            }
            asked += usize::from(command == "device_del");
            let waits = asked > 0 && command != "device_del";
            let text = if waits { &mut after } else { &mut first };
            text.push_str(&said.text);
            text.push('\n');
        }
        let early = begun + changes.commands - after.lines().count();
        let mut steps = vec!["greeting".to_owned(), file(folder, name, "first", &first)?];
        steps.push(format!("replies={early}"));
        if !after.is_empty() {
            steps.push(format!("deleted={asked}"));
            steps.push(file(folder, name, "after", &after)?);
            steps.push(format!("replies={}", begun + changes.commands));
        }
        Ok(Self { steps, changes, queries })
    }
}

impl Count {
    fn add(&mut self, text: &str) {
        self.commands += 1;
        // With the line's end.
        self.bytes += text.len() + 1;
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, queries, .. } = self;
        write!(f, "{} commands change the machine, in {} bytes", changes.commands, changes.bytes)?;
        write!(f, "; {} only ask, in {} bytes", queries.commands, queries.bytes)
    }
}

fn command(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("\"execute\":\"")?;
    rest.split('"').next()
}

fn file(folder: &Path, name: &str, part: &str, text: &str) -> Result<String> {
    let path = folder.join(format!("{name}.{part}.script"));
    fs::write(&path, text).map_err(Error::file("write", &path))?;
    Ok(format!("@{}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[test]
    fn queries_are_left_out_and_what_follows_an_unplug_waits() {
        let folder = tempfile::tempdir().unwrap();
        let said = |name: &str| Said {
            by: Side::Client,
            text: format!("{{\"execute\":\"{name}\",\"id\":1}}"),
        };
        let names = [
            "qmp_capabilities",
            "query-block",
            "qom-list",
            "device_del",
            "device_del",
            "blockdev-del",
        ];
        let conversation = names.map(said);
        let stream = Stream::of(&conversation, folder.path(), "x").unwrap();
        assert_eq!((stream.changes.commands, stream.queries.commands), (3, 2));
        let bytes = conversation[3..].iter().map(|said| said.text.len() + 1).sum::<usize>();
        assert_eq!(stream.changes.bytes, bytes);
        let waits: Vec<_> = stream.steps.iter().filter(|step| !step.starts_with('@')).collect();
        assert_eq!(waits, ["greeting", "replies=3", "deleted=2", "replies=4"]);
        let sent =
            |at: usize| fs::read_to_string(stream.steps[at].trim_start_matches('@')).unwrap();
        assert_eq!((sent(1).lines().count(), sent(4).lines().count()), (3, 1));
    }
}
