//! One disk more, and a list, where there are many disks already: QEMU's own time, and qplug's.
//!
//! QEMU's is that of a bare script which says the very same, queries too. qplug's is the rest, and,
//! with no noise, its instructions outside the kernel. The guest never runs: it would look at
//! thousands of disks while others are timed.

use std::fs;
use std::path::Path;
use std::process::Command;

use qplug_testbed::proxy::{Said, Side};
use qplug_testbed::{Board, Error, Machine, Qemu, Result};

use super::FEWEST_ROUNDS;
use crate::bench::bounded;
use crate::bench::images::Images;
use crate::bench::protocol::is_installed;
use crate::bench::sample::{Milliseconds, Sample};
use crate::bench::script::{self, Script};
use crate::cargo::{cargo, succeed};

/// How many disks are there already, in turn.
const SIZES: [usize; 4] = [10, 100, 1000, MOST];
/// The most.
pub(super) const MOST: usize = 3000;
/// How many disks are planned at once, into a machine with as many nodes as the last of `SIZES` has.
const PLANNED: usize = 1000;
/// A longer step goes into a file: Linux takes 128 KiB an argument.
const MAX_ARGUMENT_BYTES: usize = 64 << 10;
/// What is done to one disk.
const WORKS: [&str; 3] = ["attach", "detach", "list"];

/// What one work took.
#[derive(Debug, Default)]
struct Cost {
    qplug: Sample,
    bare: Sample,
    instructions: Option<u64>,
}

/// Measures, and prints a line for each size and work.
pub(super) fn run(
    qemu: &Qemu,
    images: &Images,
    qplug: &Path,
    bare: &Path,
    count: u32,
) -> Result<()> {
    println!(
        "\n{:>5} there  {:<7} {:>7} {:>9} {:>9} {:>13}",
        "disks", "", "qplug", "QEMU's own", "qplug's own", "instructions"
    );
    let machine = Machine::builder(qemu, Board::Q35).scsi().halted()?;
    let rounds = (count / 3).max(FEWEST_ROUNDS.min(count));
    let mut there = 0;
    for size in SIZES {
        fill(&machine, images, qplug, there, size)?;
        there = size;
        let bench = Bench { machine: &machine, images, qplug, bare };
        for (work, cost) in WORKS.iter().zip(bench.costs(rounds)?) {
            let (ours, qemu) = (cost.qplug.median().0, cost.bare.median().0);
            let instructions = cost
                .instructions
                .map_or_else(String::new, |it| format!("{:.1} M", it as f64 / 1e6));
            println!(
                "{size:>5}        {work:<7} {:>7} {:>10} {:>11} {instructions:>13}",
                Milliseconds(ours),
                Milliseconds(qemu),
                Milliseconds(ours - qemu),
            );
        }
    }
    plan(&machine, images, qplug)
}

fn fill(machine: &Machine, images: &Images, qplug: &Path, from: usize, to: usize) -> Result<()> {
    let mut command = Command::new(qplug);
    command.args(["attach", "--format", "raw", "--bus", "virtio-scsi"]);
    command.args((from..to).map(|number| images.path(number)));
    command.env("QPLUG_SOCKET", machine.qmp_path()).stdout(std::process::Stdio::null());
    bounded::run(&mut command).map(drop)
}

struct Bench<'a> {
    machine: &'a Machine,
    images: &'a Images,
    qplug: &'a Path,
    bare: &'a Path,
}

impl Bench<'_> {
    /// The costs of each of `WORKS`.
    fn costs(&self, rounds: u32) -> Result<[Cost; 3]> {
        let image = self.images.path(MOST).to_string_lossy().into_owned();
        let name = Images::name(MOST);
        let works: [Vec<&str>; 3] = [
            vec!["attach", "--format", "raw", "--bus", "virtio-scsi", &image],
            vec!["detach", &name],
            vec!["list"],
        ];
        let mut costs = <[Cost; 3]>::default();
        let mut scripts = Vec::new();
        for words in &works {
            // A list does not tell its traffic, so there is nothing to compare it with.
            let (said, _) = script::conversation(self.machine, self.qplug, words)?;
            scripts.push(Script::of(&said));
        }
        for _ in 0..rounds {
            for ((words, script), cost) in works.iter().zip(&scripts).zip(&mut costs) {
                cost.qplug.time(&mut self.command(words))?;
                if words[0] == "list" {
                    cost.bare.time(&mut self.script(script)?)?;
                }
            }
            for (script, cost) in scripts.iter().zip(&mut costs).take(2) {
                cost.bare.time(&mut self.script(script)?)?;
            }
        }
        if is_installed("valgrind") {
            for (words, cost) in works.iter().zip(&mut costs) {
                cost.instructions = Some(self.instructions(words)?);
            }
        }
        Ok(costs)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.qplug);
        command.args(words).env("QPLUG_SOCKET", self.machine.qmp_path());
        command
    }

    fn script(&self, script: &Script) -> Result<Command> {
        let mut command = Command::new(self.bare);
        command.arg(self.machine.qmp_path());
        for (number, step) in script.steps.iter().enumerate() {
            if step.len() < MAX_ARGUMENT_BYTES {
                command.arg(step);
                continue;
            }
            let path = self.images.folder().join(format!("step{number}"));
            fs::write(&path, step).map_err(Error::file("write", &path))?;
            command.arg(format!("@{}", path.display()));
        }
        Ok(command)
    }

    /// Outside the kernel, the start of the program included.
    fn instructions(&self, words: &[&str]) -> Result<u64> {
        let list = self.images.folder().join("instructions");
        let mut command = Command::new("valgrind");
        command
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}", list.display()))
            .arg(self.qplug)
            .args(words)
            .env("QPLUG_SOCKET", self.machine.qmp_path())
            .stdout(std::process::Stdio::null());
        bounded::run(&mut command)?;
        let text = fs::read_to_string(&list).map_err(Error::file("read", &list))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let total = total.and_then(|total| total.trim().parse().ok());
        total.ok_or_else(|| Error::failed("callgrind counted nothing"))
    }
}

/// Has the machine's own answers fed to an attach of many, with no socket between.
fn plan(machine: &Machine, images: &Images, qplug: &Path) -> Result<()> {
    let image = images.path(MOST).to_string_lossy().into_owned();
    let words = ["attach", "--format", "raw", "--bus", "virtio-scsi", &image];
    let (said, _) = script::conversation(machine, qplug, &words)?;
    let answers = images.folder().join("answers");
    fs::write(&answers, questions_and_answers(&said)).map_err(Error::file("write", &answers))?;
    let mut command = cargo(["run", "--quiet", "--release", "--package", "qplug-hotplug"]);
    command.args(["--example", "planning", "--"]).arg(&answers).arg(PLANNED.to_string());
    succeed(command)
}

/// Each command on a line, and its reply on the next. QEMU answers in order.
fn questions_and_answers(conversation: &[Said]) -> String {
    let commands = conversation.iter().filter(|said| said.by == Side::Client);
    let replies = conversation.iter().filter(|said| said.by == Side::Qemu);
    let replies = replies.filter(|said| said.text.starts_with("{\"return\""));
    commands.zip(replies).map(|(asked, told)| format!("{}\n{}\n", asked.text, told.text)).collect()
}
