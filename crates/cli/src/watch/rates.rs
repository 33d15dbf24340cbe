//! From counters to rates: what each disk does in a second, and did in the last minute.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use qplug_hotplug::Activity;

/// How many rates are kept of a disk, for its curve.
pub(crate) const SAMPLES: usize = 60;

/// Two looks that are closer than this say nothing of a rate.
const SHORTEST: Duration = Duration::from_millis(50);

/// What a disk does in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rate {
    /// Bytes that are read.
    pub(crate) read: u64,
    /// Bytes that are written.
    pub(crate) written: u64,
    /// Reads and writes.
    pub(crate) operations: u64,
}

impl Rate {
    pub(crate) fn bytes(self) -> u64 {
        self.read.saturating_add(self.written)
    }
}

/// A disk's counters, and the rates that came of them.
#[derive(Debug)]
pub(crate) struct Meter {
    last: Activity,
    at: Instant,
    /// Oldest first.
    rates: VecDeque<Rate>,
    /// Whether the newest rate is of now, and not of before the counters began anew.
    is_current: bool,
}

/// The meters of all disks, by their names.
#[derive(Debug, Default)]
pub(crate) struct Meters(HashMap<String, Meter>);

impl Meters {
    /// Takes in what the counters say at a time. Whether disks came or went.
    pub(crate) fn take(&mut self, told: Vec<Activity>, at: Instant) -> bool {
        let before = self.0.len();
        let mut meters = HashMap::with_capacity(told.len());
        let mut came = false;
        for activity in told {
            let name = activity.disk.clone();
            let meter = match self.0.remove(&name) {
                Some(meter) => meter.then(activity, at),
                None => {
                    came = true;
                    Meter { last: activity, at, rates: VecDeque::new(), is_current: false }
                }
            };
            meters.insert(name, meter);
        }
        self.0 = meters;
        came || self.0.len() != before
    }

    /// What a disk does, where that is known.
    pub(crate) fn now(&self, disk: &str) -> Option<Rate> {
        self.0.get(disk).filter(|it| it.is_current).and_then(|it| it.rates.back()).copied()
    }

    /// What a disk did, oldest first.
    pub(crate) fn before(&self, disk: &str) -> impl Iterator<Item = Rate> {
        self.0.get(disk).into_iter().flat_map(|it| it.rates.iter().copied())
    }

    /// What is known is old: the next look begins anew.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Meter {
    fn then(mut self, now: Activity, at: Instant) -> Self {
        let elapsed = at.saturating_duration_since(self.at);
        if elapsed < SHORTEST {
            return self;
        }
        let rate = rate(&self.last, &now, elapsed);
        self.is_current = rate.is_some();
        if let Some(rate) = rate {
            if self.rates.len() == SAMPLES {
                self.rates.pop_front();
            }
            self.rates.push_back(rate);
        }
        Self { last: now, at, ..self }
    }
}

/// Nothing where a counter went backwards: another disk has the name now.
fn rate(before: &Activity, now: &Activity, elapsed: Duration) -> Option<Rate> {
    let per_second = |before: u64, now: u64| {
        let millis = u128::from(now.checked_sub(before)?) * 1000 / elapsed.as_millis().max(1);
        Some(u64::try_from(millis).unwrap_or(u64::MAX))
    };
    let reads = per_second(before.reads, now.reads)?;
    Some(Rate {
        read: per_second(before.read_bytes, now.read_bytes)?,
        written: per_second(before.written_bytes, now.written_bytes)?,
        operations: reads.saturating_add(per_second(before.writes, now.writes)?),
    })
}

/// A curve of so many characters, the newest value last, the highest one full. Nothing at all is a
/// dot, so that little is told from nothing.
pub(crate) fn curve(values: impl Iterator<Item = u64>, width: usize) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<_> = values.collect();
    let shown = &values[values.len().saturating_sub(width)..];
    let highest = shown.iter().copied().max().unwrap_or(0);
    let step = |value: u64| match value {
        0 => '·',
        value => {
            let at = u128::from(value) * (STEPS.len() as u128 - 1) / u128::from(highest.max(1));
            usize::try_from(at).ok().and_then(|at| STEPS.get(at)).copied().unwrap_or('█')
        }
    };
    let drawn: String = shown.iter().map(|value| step(*value)).collect();
    format!("{drawn:>width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(disk: &str, bytes: u64, operations: u64) -> Activity {
        Activity {
            disk: disk.to_owned(),
            read_bytes: bytes,
            written_bytes: 2 * bytes,
            reads: operations,
            writes: operations,
        }
    }

    #[test]
    fn rates_are_by_the_clock_and_begin_with_the_second_look() {
        let (start, mut meters) = (Instant::now(), Meters::default());
        assert!(meters.take(vec![activity("a", 1000, 10)], start));
        assert_eq!(meters.now("a"), None);
        let later = start + Duration::from_millis(500);
        assert!(!meters.take(vec![activity("a", 2000, 15)], later));
        let rate = Rate { read: 2000, written: 4000, operations: 20 };
        assert_eq!((meters.now("a"), rate.bytes()), (Some(rate), 6000));
        // Too soon to say anything.
        meters.take(vec![activity("a", 9000, 99)], later + Duration::from_millis(1));
        assert_eq!(meters.now("a"), Some(rate));
    }

    #[test]
    fn a_counter_that_begins_anew_is_no_rate() {
        let (start, mut meters) = (Instant::now(), Meters::default());
        for (seconds, bytes) in [(0, 1000), (1, 5000), (2, 0), (3, 7)] {
            let at = start + Duration::from_secs(seconds);
            meters.take(vec![activity("a", bytes, 0)], at);
            assert_eq!(meters.now("a").is_some(), seconds % 2 == 1, "{seconds}");
        }
        assert_eq!(meters.before("a").count(), 2);
    }

    #[test]
    fn disks_that_come_and_go_are_noticed_and_forgotten() {
        let (start, mut meters) = (Instant::now(), Meters::default());
        assert!(!meters.take(Vec::new(), start));
        assert!(meters.take(vec![activity("a", 0, 0)], start));
        assert!(meters.take(vec![activity("b", 0, 0)], start));
        assert!(meters.take(Vec::new(), start));
        assert_eq!(meters.before("a").count(), 0);
    }

    #[test]
    fn only_so_many_rates_are_kept() {
        let (start, mut meters) = (Instant::now(), Meters::default());
        for second in 0..2 * SAMPLES as u64 {
            meters.take(vec![activity("a", second, 0)], start + Duration::from_secs(second));
        }
        assert_eq!(meters.before("a").count(), SAMPLES);
    }

    #[test]
    fn a_curve_ends_with_the_newest_value() {
        assert_eq!(curve([1, 0, 8].into_iter(), 5), "  ▁·█");
        assert_eq!(curve([9, 4, 8].into_iter(), 2), "▄█");
        assert_eq!(curve([0, 0].into_iter(), 3), " ··");
        assert_eq!(curve([u64::MAX, 1].into_iter(), 2), "█▁");
    }
}
