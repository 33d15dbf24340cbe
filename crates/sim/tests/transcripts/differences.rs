//! The known differences: `differences/<scenario>.txt`, with `== reason` above those that have it,
//! and a line for each: the version, the command's line in the transcript, and the command, which
//! is there for the reader.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::transcript::Transcript;

/// What has no reason yet, but that it was not done.
const NOT_YET: &str = "not yet";

/// How much of a command is shown.
const SHOWN: usize = 150;

/// A command that is answered otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) line: usize,
    /// The version and the line.
    key: String,
    shown: String,
    what: String,
}

impl Found {
    pub(crate) fn new(transcript: &Transcript, line: usize, shown: &str, what: String) -> Self {
        let shown: String = shown.escape_debug().take(SHOWN).collect();
        let key = format!("{}:{line}", transcript.version);
        Self { line, key, shown: shown.replace("\\\"", "\"").replace("\\'", "'"), what }
    }

    /// Whether it asks how things stand, and changes nothing.
    pub(crate) fn is_query(&self) -> bool {
        self.shown.contains("\"query-") || self.shown.contains("\"info ")
    }
}

/// By scenario, and in it by key: the reason.
pub(crate) struct Differences(BTreeMap<String, BTreeMap<String, String>>);

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "transcripts", "differences"].iter().collect()
}

impl Differences {
    pub(crate) fn read_all() -> Self {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder()).unwrap() {
            let place = entry.unwrap().path();
            let name = place.file_stem().unwrap().to_str().unwrap().to_owned();
            let (mut reason, mut known) = (NOT_YET.to_owned(), BTreeMap::new());
            for line in fs::read_to_string(&place).unwrap().lines() {
                if let Some(next) = line.strip_prefix("== ") {
                    next.clone_into(&mut reason);
                } else if let Some(key) = line.split(' ').next().filter(|key| !key.is_empty()) {
                    known.insert(key.to_owned(), reason.clone());
                }
            }
            all.insert(name, known);
        }
        Self(all)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// What the documentation must have a row for.
    pub(crate) fn reasons(&self) -> Vec<&str> {
        let all = self.0.values().flat_map(BTreeMap::values).map(String::as_str);
        let mut reasons: Vec<_> = all.filter(|reason| *reason != NOT_YET).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// Fails with every difference that is not known, and every known one that is none.
    pub(crate) fn must_be(&self, found: &BTreeMap<String, Vec<Found>>) {
        let mut complaints = String::new();
        for (name, found) in found {
            let known = self.0.get(name).cloned().unwrap_or_default();
            for one in found.iter().filter(|one| !known.contains_key(&one.key)) {
                let Found { key, shown, what, .. } = one;
                writeln!(complaints, "{name} {key} {shown}\n  {what}").unwrap();
            }
            let is_found = |key: &String| found.iter().any(|one| one.key == *key);
            for (key, reason) in known.iter().filter(|(key, _)| !is_found(key)) {
                writeln!(complaints, "{name} {key} ({reason}): no difference any more").unwrap();
            }
        }
        for name in self.0.keys().filter(|name| !found.contains_key(*name)) {
            writeln!(complaints, "{name}: no such scenario").unwrap();
        }
        let what = "differ from what is known (QPLUG_RECORD=1 writes the lists anew)";
        assert!(complaints.is_empty(), "the simulated machine's answers {what}:\n{complaints}");
    }

    /// Writes the lists as they are to be, and says in what each difference lies.
    pub(crate) fn renew(&self, found: &BTreeMap<String, Vec<Found>>) {
        for (name, found) in found {
            let known = self.0.get(name);
            let mut by_reason: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
            for one in found {
                let reason = known.and_then(|known| known.get(&one.key));
                by_reason.entry(reason.map_or(NOT_YET, String::as_str)).or_default().push(one);
                println!("{name} {} {}\n  {}", one.key, one.shown, one.what);
            }
            let mut text = String::new();
            for (reason, all) in by_reason {
                writeln!(text, "== {reason}").unwrap();
                for Found { key, shown, .. } in all {
                    writeln!(text, "{key} {shown}").unwrap();
                }
            }
            let place = folder().join(format!("{name}.txt"));
            if text.is_empty() {
                let _ = fs::remove_file(place);
            } else {
                fs::write(place, text).unwrap();
            }
        }
    }
}
