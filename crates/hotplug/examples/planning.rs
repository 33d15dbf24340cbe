//! How long an attach of many disks thinks: `planning ANSWERS COUNT` plays a machine's recorded
//! answers to it, with no socket, up to the first command that changes something.
//!
//! `ANSWERS` has a command on a line, as it went over the wire, and QEMU's reply on the next.

use std::env;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use qplug_hotplug::{Answer, Attach, Bus, Command, Disk, Format, Operation};
use serde_json::Value;
use serde_json::value::RawValue;

/// How often it is played; the median is told.
const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let (Some(answers), Some(count)) = (words.next(), words.next()) else {
        return Err("usage: planning ANSWERS COUNT".into());
    };
    let answers = Answers::read(&answers)?;
    let count: usize = count.parse()?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(play(&answers, disks(count)?)?);
    }
    rounds.sort_by_key(|(_, thinks)| *thinks);
    let (reads, thinks) = rounds[ROUNDS / 2];
    let bytes: usize = answers.0.iter().map(|(_, reply)| reply.get().len()).sum();
    println!("planning {count} disks: {thinks:.1?}; reading {bytes} bytes of answers: {reads:.1?}");
    Ok(())
}

fn disks(count: usize) -> Result<Vec<Disk>, Box<dyn Error>> {
    let raw: Format = "raw".parse().map_err(|error| format!("{error}"))?;
    let disk = |number| {
        let disk = Disk::named(&format!("new{number}"))?;
        let disk = disk.format(Some(raw.clone())).bus(Some(Bus::VirtioScsi));
        disk.remote_image(format!("/images/new{number}.img"))
    };
    Ok((0..count).map(disk).collect::<Result<_, _>>()?)
}

/// How long it took to take the answers in, and how long to plan: what follows the last answer, and
/// the beginning.
fn play(answers: &Answers, disks: Vec<Disk>) -> Result<(Duration, Duration), Box<dyn Error>> {
    let (mut reads, mut thinks) = (Duration::ZERO, Duration::ZERO);
    let began = Instant::now();
    let mut attach = Attach::new(disks);
    thinks += began.elapsed();
    loop {
        let mut asked: Vec<Command> = Vec::new();
        while let Some(command) = attach.poll_transmit() {
            if command.name == "blockdev-add" {
                return Ok((reads, thinks));
            }
            asked.push(command);
        }
        if let Some(outcome) = attach.poll_outcome() {
            return Err(format!("it ended: {:?}", outcome.first()).into());
        }
        let count = asked.len();
        for (number, command) in asked.into_iter().enumerate() {
            let answer = Answer::Returned(answers.to(&command)?);
            let began = Instant::now();
            attach.handle_answer(answer, began);
            let took = began.elapsed();
            // The last answer of a look is followed by what is made of them all.
            if number + 1 == count { thinks += took } else { reads += took }
        }
    }
}

struct Answers(Vec<(Value, Box<RawValue>)>);

impl Answers {
    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        #[derive(serde::Deserialize)]
        struct Reply {
            r#return: Box<RawValue>,
        }
        let text = fs::read_to_string(path)?;
        let mut lines = text.lines();
        let mut answers = Vec::new();
        while let (Some(command), Some(reply)) = (lines.next(), lines.next()) {
            let reply: Reply = serde_json::from_str(reply)?;
            answers.push((serde_json::from_str(command)?, reply.r#return));
        }
        Ok(Self(answers))
    }

    fn to(&self, command: &Command) -> Result<Box<RawValue>, Box<dyn Error>> {
        let is_it = |asked: &Value| {
            asked["execute"] == command.name && asked.get("arguments") == command.arguments.as_ref()
        };
        let found = self.0.iter().find(|(asked, _)| is_it(asked));
        found
            .map(|(_, reply)| reply.clone())
            .ok_or_else(|| format!("no answer to {command}").into())
    }
}
