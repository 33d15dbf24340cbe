//! What real machines answered, so that the simulated one is held to them where there is none too.
//!
//! A file a version: `== group: scenario`, then a line a step.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use qplug_sim::Version;

use super::script::Record;

/// The versions that are recorded.
pub(crate) const VERSIONS: [(&str, Version); 2] =
    [("7.2", Version::V7_2), ("10.0", Version::V10_0)];

/// Answers by group and scenario.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded(BTreeMap<String, Record>);

impl Recorded {
    pub(crate) fn add(&mut self, group: &str, scenario: &str, record: Record) {
        let before = self.0.insert(format!("{group}: {scenario}"), record);
        assert!(before.is_none(), "two scenarios are called {group}: {scenario}");
    }

    fn place(kind: &str, series: &str) -> PathBuf {
        let file = format!("{kind}-{series}.txt");
        [env!("CARGO_MANIFEST_DIR"), "tests", "scenarios", "recorded", &file].iter().collect()
    }

    pub(crate) fn read(kind: &str, series: &str) -> Self {
        let place = Self::place(kind, series);
        let text = std::fs::read_to_string(&place)
            .unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        let mut recorded = Self::default();
        let mut current = String::new();
        for line in text.lines().skip(1) {
            match line.strip_prefix("== ") {
                Some(name) => {
                    name.clone_into(&mut current);
                    recorded.0.entry(current.clone()).or_default();
                }
                None => recorded.0.get_mut(&current).unwrap().push(line.to_owned()),
            }
        }
        recorded
    }

    pub(crate) fn write(&self, kind: &str, series: &str) {
        let mut text = format!("# What QEMU {series} answers; written by tests/scenarios.\n");
        for (name, record) in &self.0 {
            writeln!(text, "== {name}").unwrap();
            for line in record {
                writeln!(text, "{line}").unwrap();
            }
        }
        std::fs::write(Self::place(kind, series), text).unwrap();
    }

    /// Fails with every line that differs.
    pub(crate) fn must_be(&self, expected: &Self, who: &str) {
        let mut differences = String::new();
        for (name, record) in &self.0 {
            let Some(expected) = expected.0.get(name) else {
                writeln!(differences, "== {name}: not recorded (QPLUG_RECORD=1 does it)").unwrap();
                continue;
            };
            let mut lines = record.iter().zip(expected).filter(|(is, was)| is != was).peekable();
            if lines.peek().is_some() || record.len() != expected.len() {
                writeln!(differences, "== {name}").unwrap();
            }
            for (is, was) in lines {
                writeln!(differences, "  real: {was}\n  here: {is}").unwrap();
            }
        }
        assert!(differences.is_empty(), "{who} answers otherwise:\n{differences}");
    }
}
