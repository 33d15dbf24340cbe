//! The table at the end: what took how long, against what, and whether that was the aim.

use super::sample::{Milliseconds, Sample};

/// What is aimed at. Never a test: another machine has other times.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// At most so much more than the other, whichever of the two is more.
    Adds {
        /// Of the other's time.
        percent: f64,
        /// In any case.
        ms: f64,
    },
    /// At most this share of the other's time.
    Share(f64),
    /// At most this share of the other's time, and so much more.
    Above {
        /// Of the other's time.
        share: f64,
        /// Beside that.
        ms: f64,
    },
    /// At most so long.
    AtMost(f64),
}

impl Target {
    fn is_met(self, ours: f64, other: f64) -> bool {
        match self {
            Self::Adds { percent, ms } => ours - other <= (other * percent / 100.0).max(ms),
            Self::Share(share) => ours <= other * share,
            Self::Above { share, ms } => ours <= other * share + ms,
            Self::AtMost(ms) => ours <= ms,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Adds { percent, ms } => format!("+{percent} % or {ms} ms"),
            Self::Share(share) => format!("ratio {share}"),
            Self::Above { share, ms } => format!("ratio {share} + {ms} ms"),
            Self::AtMost(ms) => format!("{ms} ms"),
        }
    }
}

/// One comparison.
pub(super) struct Row<'a> {
    pub(super) what: String,
    pub(super) ours: &'a Sample,
    pub(super) other: &'static str,
    pub(super) other_sample: &'a Sample,
    /// Some comparisons are only worth knowing.
    pub(super) target: Option<Target>,
}

/// Prints the table; all times are in milliseconds.
pub(super) fn print(rows: &[Row<'_>]) {
    println!(
        "{:<20} {:>7}  {:<13} {:<20} {:>7}  {:<13} {:>6} {:>7}  at most",
        "whole command",
        "median",
        "middle half",
        "against",
        "median",
        "middle half",
        "ratio",
        "more"
    );
    for row in rows {
        let (ours, other) = (row.ours.median(), row.other_sample.median());
        let verdict = row.target.map_or_else(String::new, |target| {
            let verdict = if target.is_met(ours.0, other.0) { "met" } else { "missed" };
            format!("{:<18} {verdict}", target.text())
        });
        let line = format!(
            "{:<20} {ours:>7}  {:<13} {:<20} {other:>7}  {:<13} {:>6} {:>7}  {verdict}",
            row.what,
            spread(row.ours),
            row.other,
            spread(row.other_sample),
            ratio(ours.0 / other.0),
            Milliseconds(ours.0 - other.0),
        );
        println!("{}", line.trim_end());
    }
}

/// A small ratio tells as much as a large one.
fn ratio(ratio: f64) -> String {
    let places = if ratio < 0.1 { 3 } else { 2 };
    format!("{ratio:.places$}")
}

fn spread(sample: &Sample) -> String {
    let (low, high) = sample.middle_half();
    format!("{low}–{high}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ratios_have_their_digits() {
        assert_eq!([ratio(0.0028), ratio(0.68), ratio(12.6)], ["0.003", "0.68", "12.60"]);
    }

    #[test]
    fn targets_are_met_or_missed() {
        let adds = Target::Adds { percent: 15.0, ms: 3.0 };
        assert!(adds.is_met(8.0, 5.0) && !adds.is_met(8.1, 5.0));
        assert!(adds.is_met(115.0, 100.0) && !adds.is_met(116.0, 100.0));
        assert!(
            Target::Share(0.25).is_met(25.0, 100.0) && !Target::Share(0.25).is_met(26.0, 100.0)
        );
        let above = Target::Above { share: 1.03, ms: 3.0 };
        assert!(above.is_met(106.0, 100.0) && !above.is_met(106.1, 100.0));
        assert!(Target::AtMost(3.0).is_met(3.0, 1.0) && !Target::AtMost(3.0).is_met(3.1, 9.0));
    }
}
