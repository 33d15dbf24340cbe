//! Taking turns, so that a busy host is busy for all.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use crate::Failure;
use crate::contestant::{Contestant, Contestants};
use crate::work::Work;

/// Someone who takes part, from `NAME=COUNT=SOCKET`.
#[derive(Debug, Clone)]
pub(crate) struct Entrant {
    name: String,
    /// How often the work is done in one round: slow ones do it less often.
    count: u32,
    path: PathBuf,
}

impl FromStr for Entrant {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let mut parts = text.splitn(3, '=');
        let mut part = || parts.next().ok_or("an entrant is NAME=COUNT=SOCKET");
        Ok(Self { name: part()?.to_owned(), count: part()?.parse()?, path: part()?.into() })
    }
}

/// Prints a line for each turn: who, how often, nanoseconds, events missed.
pub(crate) fn run(work: Work, rounds: u32, entrants: &[Entrant]) -> Result<(), Failure> {
    let contestants = Contestants::new()?;
    let mut open = Vec::new();
    for entrant in entrants {
        open.push((entrant, contestants.open(&entrant.name, &entrant.path)?));
    }
    // The first turns only warm up.
    for (entrant, contestant) in &mut open {
        turn(work, entrant, contestant.as_mut())?;
    }
    for _ in 0..rounds {
        for (entrant, contestant) in &mut open {
            let (nanoseconds, missed) = turn(work, entrant, contestant.as_mut())?;
            println!("{}\t{}\t{nanoseconds}\t{missed}", entrant.name, entrant.count);
        }
    }
    Ok(())
}

fn turn(
    work: Work,
    entrant: &Entrant,
    contestant: &mut dyn Contestant,
) -> Result<(u128, u64), Failure> {
    let began = Instant::now();
    let missed = contestant
        .run(work, entrant.count)
        .map_err(|error| format!("{}: {error}", entrant.name))?;
    Ok((began.elapsed().as_nanos(), missed))
}
