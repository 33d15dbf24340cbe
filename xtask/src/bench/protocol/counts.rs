//! What no noise touches: system calls, allocations, instructions, bytes.
//!
//! Each is the difference between doing a work so many times and twice as many times, so that
//! starting and connecting does not count.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use qplug_testbed::{Error, Result};

use super::stand_in::StandIn;

/// What doing a work once costs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) system_calls: Option<f64>,
    pub(super) allocations: Option<f64>,
    pub(super) instructions: Option<f64>,
    /// Sent.
    pub(super) bytes: Option<f64>,
}

/// The tools that are not here, and what is not counted for that.
pub(super) fn missing_tools() -> Vec<String> {
    [("strace", "system calls"), ("valgrind", "instructions")]
        .into_iter()
        .filter(|(tool, _)| !is_installed(tool))
        .map(|(tool, counts)| format!("{counts}; {tool} is not installed (apt install {tool})"))
        .collect()
}

pub(in crate::bench) fn is_installed(tool: &str) -> bool {
    let quiet = Stdio::null;
    let status = Command::new(tool).arg("--version").stdout(quiet()).stderr(quiet()).status();
    status.is_ok_and(|status| status.success())
}

/// Counts for one client; those of another process, and with tools that are not here, stay unknown.
pub(super) fn count(stand_in: &StandIn, work: &str, who: &str, times: u32) -> Result<Counts> {
    if who == "python" {
        return Ok(Counts::default());
    }
    let twice = |count: &dyn Fn(u32) -> Result<u64>| -> Result<Option<f64>> {
        let (once, twice) = (count(times)?, count(times * 2)?);
        Ok(Some((twice as f64 - once as f64) / f64::from(times)))
    };
    let mut counts = Counts {
        allocations: twice(&|times| {
            let mut command = Command::new(stand_in.program("counted"));
            number_printed(stand_in, command.arg("allocations").args(words(work, times, who)))
        })?,
        ..Counts::default()
    };
    if is_installed("strace") {
        counts.system_calls = twice(&|times| system_calls(stand_in, work, who, times))?;
    }
    if is_installed("valgrind") {
        counts.instructions = twice(&|times| instructions(stand_in, work, who, times))?;
    }
    if work == "single" {
        counts.bytes = Some(bytes(stand_in, who, times)?);
    }
    Ok(counts)
}

/// Bytes of the heap and of resident memory that each of so many open connections takes.
pub(super) fn memory(stand_in: &StandIn, who: &str, open: u32) -> Result<(u64, u64)> {
    let mut command = Command::new(stand_in.program("counted"));
    command.args(["memory", &open.to_string(), who]).arg(stand_in.socket());
    let output = stand_in.run(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.next().zip(numbers.next()).ok_or_else(|| no_number(&text))
}

fn words(work: &str, times: u32, who: &str) -> [String; 3] {
    [work.to_owned(), times.to_string(), who.to_owned()]
}

fn number_printed(stand_in: &StandIn, command: &mut Command) -> Result<u64> {
    let output = stand_in.run(command.arg(stand_in.socket()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| no_number(&text))
}

fn no_number(text: &str) -> Error {
    Error::failed(format!("not what was to be counted: {text:?}"))
}

/// Of all threads of the client.
fn system_calls(stand_in: &StandIn, work: &str, who: &str, times: u32) -> Result<u64> {
    let list = stand_in.scratch("calls");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(&list);
    do_work(stand_in, &mut command, work, who, times)?;
    // percent, seconds, microseconds a call, calls, perhaps errors, "total"
    let text = read(&list)?;
    let total = text.lines().find(|line| line.ends_with("total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    calls.ok_or_else(|| no_number(&text))
}

/// Outside the kernel.
fn instructions(stand_in: &StandIn, work: &str, who: &str, times: u32) -> Result<u64> {
    let list = stand_in.scratch("instructions");
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    command.arg(format!("--callgrind-out-file={}", list.display()));
    do_work(stand_in, &mut command, work, who, times)?;
    let text = read(&list)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).ok_or_else(|| no_number("no totals"))
}

fn do_work(
    stand_in: &StandIn,
    tool: &mut Command,
    work: &str,
    who: &str,
    times: u32,
) -> Result<()> {
    tool.arg(stand_in.program("timed")).arg("do").args(words(work, times, who));
    stand_in.run(tool.arg(stand_in.socket())).map(drop)
}

/// Bytes a command, with ids as they are for the first so many.
fn bytes(stand_in: &StandIn, who: &str, times: u32) -> Result<f64> {
    let socket = stand_in.scratch(&format!("{who}.bytes"));
    let mut command = Command::new(stand_in.program("timed"));
    command.args(["bytes", &times.to_string(), who]).arg(socket);
    let output = stand_in.run(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let bytes: f64 = text.trim().parse().map_err(|_| no_number(&text))?;
    Ok(bytes / f64::from(times))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::file("read", path))
}
