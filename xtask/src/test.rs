//! `cargo xtask test`: everything that must hold before a change is kept.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use qplug_testbed::{Error, Result};

use crate::cargo::{cargo, succeed};
use crate::{check, codegen, conformance, setup};

/// Sets up, then runs every check and every test, on the QEMUs that `qemu` names. Stops at the
/// first check that fails, but runs all tests.
pub(crate) fn run(qemu: &str) -> Result<()> {
    let began = Instant::now();
    step("set-up", setup::run)?;
    step("format", || succeed(cargo(["fmt", "--all", "--check"])))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("clippy", || succeed(cargo(clippy)))?;
    step("docs", || {
        let mut doc = cargo(["doc", "--workspace", "--no-deps", "--quiet"]);
        succeed(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("rooms", check::run)?;
    step("generated code", || codegen::run(true))?;
    step("conformance", conformance::run)?;
    println!("== tests (QEMU {qemu})");
    close(run_tests(qemu, &[], &[])?, began)
}

/// Runs the tests that a change need not wait for.
pub(crate) fn run_slow(qemu: &str) -> Result<()> {
    let began = Instant::now();
    step("set-up", setup::run)?;
    println!("== slow tests (QEMU {qemu})");
    // No examples in comments, of which some are not meant to be run.
    let targets = ["--lib", "--bins", "--tests"];
    close(run_tests(qemu, &targets, &["--ignored", "--nocapture"])?, began)
}

fn close(counts: Counts, began: Instant) -> Result<()> {
    println!("== took {:.0} s", began.elapsed().as_secs_f64());
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    if counts.failed > 0 || !counts.finished || counts.passed == 0 {
        return Err(Error::failed("not everything passed; the output above says what"));
    }
    Ok(())
}

fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    run().map_err(|error| error.while_doing(name))
}

/// Behind the name of a test that was not asked for.
const IGNORED: &str = " ... ignored";

/// What the test runner said in all, over all its programs.
#[derive(Debug, Default)]
struct Counts {
    passed: u32,
    failed: u32,
    skipped: u32,
    /// Those left to a run of their own, each with the reason.
    slow: Vec<String>,
    finished: bool,
}

fn run_tests(qemu: &str, targets: &[&str], options: &[&str]) -> Result<Counts> {
    let skipped = tempfile::NamedTempFile::new()
        .map_err(|error| Error::failed(format!("no temporary file: {error}")))?;
    let mut command = cargo(["test", "--workspace", "--no-fail-fast"]);
    command.args(targets).arg("--").args(options);
    // Without the first, a test with no QEMU to run on is passed over loudly; here it fails.
    command.env("QPLUG_REQUIRE_QEMU", "1").env("QPLUG_TEST_QEMU", qemu);
    command.env("QPLUG_SKIPPED", skipped.path());
    let mut counts = read_tests(&mut command)?;
    let lines = fs::read_to_string(skipped.path()).map_err(Error::file("read", skipped.path()))?;
    // What happened in the middle of so much output is seen by nobody.
    for line in lines.lines() {
        println!("{line}");
        counts.skipped += 1;
    }
    if !counts.slow.is_empty() {
        println!("left to cargo xtask test --slow:");
        counts.slow.iter().for_each(|test| println!("  {test}"));
    }
    Ok(counts)
}

fn read_tests(command: &mut Command) -> Result<Counts> {
    let cannot = |error: std::io::Error| Error::failed(format!("cannot run the tests: {error}"));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(cannot)?;
            println!("{line}");
            counts.add(&line);
        }
    }
    counts.finished = child.wait().map_err(cannot)?.success();
    Ok(counts)
}

impl Counts {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`, or
    /// `test many::disks ... ignored, slow`.
    fn add(&mut self, line: &str) {
        if let Some((test, why)) = line.strip_prefix("test ").and_then(|it| it.split_once(IGNORED))
        {
            self.slow.push(format!("{test}: {}", why.trim_start_matches(", ")));
        }
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        for part in rest.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(count) = count.parse::<u32>() else { continue };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        counts
            .add("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.add("test tests::x ... ok");
        counts.add("test many::disks ... ignored, takes minutes");
        assert_eq!((counts.passed, counts.failed, counts.skipped), (7, 2, 0));
        assert_eq!(counts.slow, ["many::disks: takes minutes"]);
    }
}
