//! How long something took, many times over.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qplug_testbed::Result;

use super::bounded;

/// The times that one thing took.
#[derive(Debug, Default)]
pub(super) struct Sample(Vec<Duration>);

impl Sample {
    /// Runs a command and notes how long it took as a whole, from its start until it has ended.
    pub(super) fn time(&mut self, command: &mut Command) -> Result<()> {
        self.time_all(std::slice::from_mut(command))
    }

    /// The same for several commands, one after the other.
    pub(super) fn time_all(&mut self, commands: &mut [Command]) -> Result<()> {
        for command in &mut *commands {
            command.stdout(Stdio::null());
        }
        let began = Instant::now();
        for command in commands {
            bounded::run(command)?;
        }
        let took = began.elapsed();
        self.0.push(took);
        Ok(())
    }

    /// Notes how long something took that was timed otherwise.
    pub(super) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Forgets everything, as after a round that only warms up.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether nothing was timed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Half took less; zero when there is nothing.
    pub(super) fn median(&self) -> Milliseconds {
        self.share(0.5)
    }

    /// The middle half: a quarter took less than the first, a quarter more than the second.
    pub(super) fn middle_half(&self) -> (Milliseconds, Milliseconds) {
        (self.share(0.25), self.share(0.75))
    }

    fn share(&self, share: f64) -> Milliseconds {
        let mut times: Vec<f64> = self.0.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let Some(last) = times.len().checked_sub(1) else { return Milliseconds(0.0) };
        let place = last as f64 * share;
        let (below, above) = (times[place.floor() as usize], times[place.ceil() as usize]);
        Milliseconds(below + (above - below) * place.fract())
    }
}

/// A time as the report tells it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Milliseconds(pub(super) f64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = if self.0.abs() < 10.0 { 2 } else { 1 };
        // Through a text, so that a table's width and alignment are kept.
        formatter.pad(&format!("{:.places$}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_a_few() {
        let sample = Sample([5, 1, 3, 2, 4].map(Duration::from_millis).to_vec());
        assert_eq!(sample.median(), Milliseconds(3.0));
        assert_eq!(sample.middle_half(), (Milliseconds(2.0), Milliseconds(4.0)));
        let two = Sample([1, 2].map(Duration::from_millis).to_vec());
        assert_eq!(two.median(), Milliseconds(1.5));
        assert_eq!(Sample::default().median(), Milliseconds(0.0));
    }

    #[test]
    fn times_line_up() {
        assert_eq!(format!("{:>7}", Milliseconds(1.234)), "   1.23");
        assert_eq!(format!("{:>7}", Milliseconds(61.26)), "   61.3");
    }
}
