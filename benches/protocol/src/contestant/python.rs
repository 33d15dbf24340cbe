//! Python's `qemu.qmp`, in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Contestant, cannot};
use crate::Failure;
use crate::work::Work;

/// Names the interpreter that has the package.
const INTERPRETER: &str = "QPLUG_BENCH_PYTHON";

const PEER: &str = include_str!("python_peer.py");

pub(super) struct Python {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let interpreter = std::env::var_os(INTERPRETER).ok_or("no interpreter is named")?;
        let mut child = Command::new(interpreter)
            .args(["-c", PEER])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no pipe to read")?);
        let mut python = Self { child, orders, answers };
        python.expect("ready")?;
        Ok(python)
    }

    fn expect(&mut self, word: &str) -> Result<(), Failure> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.trim_end() == word { Ok(()) } else { Err("the Python client failed".into()) }
    }
}

impl Contestant for Python {
    fn run(&mut self, work: Work, count: u32) -> Result<u64, Failure> {
        let name = match work {
            Work::Single => "single",
            Work::InFlight => "in-flight",
            Work::Events => "events",
            Work::Decoded => "decoded",
            Work::Unparsed => return Err(cannot(work)),
        };
        let orders = self.orders.as_mut().ok_or("no pipe to write")?;
        writeln!(orders, "{name} {count}")?;
        self.expect("done")?;
        Ok(0)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends when there are no more orders.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}
