//! What happened, newest last.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::output::printable;

/// How many lines are kept.
pub(crate) const LOG_LINES: usize = 500;

/// The longest line, in characters: a reply may be megabytes.
const LONGEST_LINE: usize = 2000;

/// Whose line it is, which a colour tells too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The machine said it.
    Event,
    /// A command of the user's.
    Asked,
    /// What became of one, and what is to be known.
    Said,
    /// What went wrong.
    Failed,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The time of day in UTC, `HH:MM:SS`.
    pub(crate) clock: String,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// How often it came in a row.
    pub(crate) times: u64,
}

/// The lines.
#[derive(Debug, Default)]
pub(crate) struct Log(VecDeque<Entry>);

impl Log {
    /// Adds lines, made safe for a terminal. One that is as the last is only counted.
    pub(crate) fn add(&mut self, now: SystemTime, mut kind: Kind, text: &str) {
        let clock = clock(now);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let line = line.chars().take(LONGEST_LINE).collect::<String>();
            let text = printable(line.trim_end());
            if let Some(last) = self.0.back_mut()
                && last.kind == kind
                && last.text == text
            {
                last.times += 1;
                last.clock.clone_from(&clock);
                continue;
            }
            if self.0.len() == LOG_LINES {
                self.0.pop_front();
            }
            self.0.push_back(Entry { clock: clock.clone(), kind, text, times: 1 });
            // What went wrong is told once, and the rest says more of it.
            if kind == Kind::Failed {
                kind = Kind::Said;
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Oldest first.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.0.iter()
    }
}

fn clock(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_are_bounded_safe_and_counted_when_they_repeat() {
        let now = UNIX_EPOCH + Duration::from_secs(86_400 + 3 * 3600 + 62);
        let mut log = Log::default();
        log.add(now, Kind::Event, "A\u{1b}[2J\n\nB\n");
        for _ in 0..3 {
            log.add(now, Kind::Event, "B");
        }
        log.add(now, Kind::Said, "B");
        let lines: Vec<_> =
            log.entries().map(|it| (it.clock.as_str(), it.text.as_str(), it.times)).collect();
        let clock = "03:01:02";
        assert_eq!(lines, [(clock, "A\\u{1b}[2J", 1), (clock, "B", 4), (clock, "B", 1)]);
        for number in 0..2 * LOG_LINES {
            log.add(now, Kind::Event, &number.to_string());
        }
        log.add(now, Kind::Event, &"x".repeat(LONGEST_LINE * 2));
        assert_eq!(log.len(), LOG_LINES);
        let longest = log.entries().map(|it| it.text.len()).max();
        assert_eq!(longest, Some(LONGEST_LINE));
    }
}
