//! Times, as ratios to the bare loop's.

use std::process::Command;

use qplug_testbed::{Error, Result};

use super::stand_in::StandIn;

/// The bare loop's name.
pub(super) const FLOOR: &str = "floor";

/// What somebody's turns took.
#[derive(Debug, Default)]
pub(super) struct Turns {
    who: String,
    /// Nanoseconds for doing the work once, in each round.
    once: Vec<f64>,
    /// How many events were not handed over, in all rounds.
    pub(super) missed: u64,
    /// How often the work was done, in all rounds.
    pub(super) count: u64,
}

/// A median, and the quarters below and above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

/// Has the entrants take turns.
pub(super) fn take(
    stand_in: &StandIn,
    work: &str,
    rounds: u32,
    entrants: &[String],
) -> Result<Vec<Turns>> {
    let mut command = Command::new(stand_in.program("timed"));
    command.args(["time", work, &rounds.to_string()]).args(entrants);
    let output = stand_in.run(&mut command)?;
    let mut turns = Vec::<Turns>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let [who, count, nanoseconds, missed] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(Error::failed(format!("not a turn: {line}")));
        };
        let number = |text: &str| {
            text.parse::<u64>().map_err(|_| Error::failed(format!("not a number: {text}")))
        };
        let at = turns.iter().position(|turns| turns.who == who).unwrap_or_else(|| {
            turns.push(Turns { who: who.to_owned(), ..Turns::default() });
            turns.len() - 1
        });
        let (count, turn) = (number(count)?, &mut turns[at]);
        turn.once.push(number(nanoseconds)? as f64 / count as f64);
        turn.missed += number(missed)?;
        turn.count += count;
    }
    Ok(turns)
}

impl Turns {
    /// Somebody's turns among all.
    pub(super) fn of<'t>(all: &'t [Self], who: &str) -> Result<&'t Self> {
        let missing = || Error::failed(format!("{who} took no turn"));
        all.iter().find(|turns| turns.who == who).ok_or_else(missing)
    }

    /// Nanoseconds for doing the work once.
    pub(super) fn once(&self) -> Spread {
        Spread::of(self.once.clone())
    }

    /// The time in another's of the same round.
    pub(super) fn ratio(&self, other: &Self) -> Spread {
        Spread::of(self.once.iter().zip(&other.once).map(|(ours, other)| ours / other).collect())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let share = |share: f64| {
            let place = values.len().saturating_sub(1) as f64 * share;
            values.get(place.round() as usize).copied().unwrap_or(f64::NAN)
        };
        Self { low: share(0.25), median: share(0.5), high: share(0.75) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let turns = |once: &[f64]| Turns { once: once.to_vec(), ..Turns::default() };
        let ratio = turns(&[2.0, 40.0, 9.0]).ratio(&turns(&[1.0, 10.0, 3.0]));
        assert_eq!(ratio, Spread { low: 3.0, median: 3.0, high: 4.0 });
    }
}
