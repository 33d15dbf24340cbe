//! The words of the command line: what one process does.

use std::alloc::System;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use stats_alloc::StatsAlloc;

use crate::Failure;
use crate::contestant::Contestants;
use crate::process;
use crate::rounds;
use crate::server::{self, Heard};
use crate::work::Work;

/// The allocator, where it counts.
pub type Heap = &'static StatsAlloc<System>;

const USAGE: &str = "one of
  serve SOCKET                          stand in for QEMU
  time WORK ROUNDS NAME=COUNT=SOCKET…   take turns, and print how long each took
  do WORK COUNT NAME SOCKET             do a work, for a tool that counts from outside
  allocations WORK COUNT NAME SOCKET    do a work, and print how often memory was asked for
  memory COUNT NAME SOCKET              print how much memory so many connections take
  bytes COUNT NAME SOCKET               serve at SOCKET, and print how much was sent in all
  pin PID CPU                           keep another process on a processor
with CPU in the environment's QPLUG_BENCH_CPU";

/// Runs the role that the command line names.
pub fn run(heap: Option<Heap>) -> ExitCode {
    match role(heap) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn role(heap: Option<Heap>) -> Result<(), Failure> {
    if let Ok(cpu) = std::env::var("QPLUG_BENCH_CPU") {
        process::pin(cpu.parse()?)?;
    }
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().ok_or(USAGE);
    match word()?.as_str() {
        "serve" => {
            process::allow_descriptors()?;
            Ok(server::serve(Path::new(&word()?), &Arc::default())?)
        }
        "time" => {
            let (work, count) = (parse(&word()?)?, word()?.parse()?);
            let entrants = words.map(|text| text.parse()).collect::<Result<Vec<_>, _>>()?;
            rounds::run(work, count, &entrants)
        }
        "do" => work(parse(&word()?)?, word()?.parse()?, &word()?, &word()?),
        "allocations" => {
            let heap = heap.ok_or("this program does not count")?;
            work(parse(&word()?)?, word()?.parse()?, &word()?, &word()?)?;
            let stats = heap.stats();
            println!("{}", stats.allocations + stats.reallocations);
            Ok(())
        }
        "memory" => memory(heap, word()?.parse()?, &word()?, &word()?),
        "bytes" => bytes(word()?.parse()?, &word()?, word()?.into()),
        "pin" => process::pin_process(word()?.parse()?, word()?.parse()?),
        _ => Err(USAGE.into()),
    }
}

fn parse(work: &str) -> Result<Work, Failure> {
    Ok(Work::from_str(work)?)
}

fn work(work: Work, count: u32, who: &str, path: &str) -> Result<(), Failure> {
    Contestants::new()?.open(who, Path::new(path))?.run(work, count)?;
    Ok(())
}

/// Prints bytes a connection: of the heap, and of resident memory.
fn memory(heap: Option<Heap>, count: u32, who: &str, path: &str) -> Result<(), Failure> {
    let heap = heap.ok_or("this program does not count")?;
    process::allow_descriptors()?;
    let used = || {
        let stats = heap.stats();
        stats.bytes_allocated - stats.bytes_deallocated
    };
    let contestants = Contestants::new()?;
    // What all connections share is there before the first of those that are counted.
    let mut open = vec![contestants.open(who, Path::new(path))?];
    open[0].run(Work::Single, 1)?;
    open.reserve_exact(count as usize);
    let (heap_before, resident_before) = (used(), process::resident_bytes()?);
    for _ in 0..count {
        let mut contestant = contestants.open(who, Path::new(path))?;
        contestant.run(Work::Single, 1)?;
        open.push(contestant);
    }
    let heap_more = used() - heap_before;
    let resident_more = process::resident_bytes()?.saturating_sub(resident_before);
    println!("{}\t{}", heap_more / count as usize, resident_more / u64::from(count));
    Ok(())
}

/// Prints the requests and the bytes that a client sent for so many commands, its first ones apart.
fn bytes(count: u32, who: &str, path: PathBuf) -> Result<(), Failure> {
    let heard = Arc::<Heard>::default();
    let server = (path.clone(), Arc::clone(&heard));
    thread::spawn(move || server::serve(&server.0, &server.1));
    while !path.exists() {
        thread::yield_now();
    }
    let mut contestant = Contestants::new()?.open(who, &path)?;
    let before = heard.bytes.load(Ordering::SeqCst);
    contestant.run(Work::Single, count)?;
    println!("{}", heard.bytes.load(Ordering::SeqCst) - before);
    Ok(())
}
