//! One processor, many descriptors, resident memory.

use std::fs;
use std::io;

use rustix::param::page_size;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Failure;

/// Keeps this process, and those it starts from now on, on one processor.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    pin_thread(None, cpu)
}

/// Keeps all threads of another process on one processor.
pub(crate) fn pin_process(id: i32, cpu: usize) -> Result<(), Failure> {
    for entry in fs::read_dir(format!("/proc/{id}/task"))? {
        let name = entry?.file_name();
        let thread = name.to_string_lossy().parse().ok().and_then(Pid::from_raw);
        pin_thread(Some(thread.ok_or("a thread whose name is no number")?), cpu)?;
    }
    Ok(())
}

fn pin_thread(thread: Option<Pid>, cpu: usize) -> io::Result<()> {
    let mut processors = CpuSet::new();
    processors.set(cpu);
    Ok(sched_setaffinity(thread, &processors)?)
}

/// Lets this process have as many descriptors as it may.
pub(crate) fn allow_descriptors() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// How much of this process is in memory now, in bytes.
pub(crate) fn resident_bytes() -> Result<u64, Failure> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).ok_or("no second word in statm")?.parse()?;
    Ok(pages * page_size() as u64)
}
