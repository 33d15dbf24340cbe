//! Set-up, demo, tests and benchmarks of the project.
//!
//! | file | owns |
//! |---|---|
//! | `setup.rs` | what real machines need, unpacked into the cache folder |
//! | `demo.rs` | the main job, told as a story |
//! | `test.rs` | everything that must hold before a change is kept |
//! | `check.rs` | which file may touch the outside world, and which crate may use which |
//! | `bench.rs` | what qplug costs beside what QEMU and the guest take anyway |
//! | `codegen.rs` | the typed commands and events, from recorded schemas |
//! | `pages.rs` | shell completions and manual pages |
//! | `conformance.rs` | whether the tests that docs/conformance.md names exist |
//! | `fuzz.rs` | bytes that nobody thought of, for the protocol |
//! | `cargo.rs` | running cargo |

mod bench;
mod cargo;
mod check;
mod codegen;
mod conformance;
mod demo;
mod fuzz;
mod pages;
mod setup;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, demo, tests and benchmarks of qplug.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Fetch QEMU and a kernel into the cache folder, and build the guest's initramfs.
    Setup,
    /// Plug a disk into a real machine and pull it out again, told as a story.
    Demo,
    /// Run every check and every test.
    Test {
        /// The QEMUs to run on: all, or versions such as 7.2 or 7.2,10.0.
        #[arg(long, default_value = "all")]
        qemu: String,
        /// Run the slow tests, and nothing else: those that are marked as ignored, and take minutes.
        #[arg(long)]
        slow: bool,
    },
    /// Check which file touches the outside world, and which crate uses which.
    Check,
    /// Write the typed commands and events of crates/qapi.
    Codegen {
        /// Write nothing; fail when something is not as it would be written.
        #[arg(long)]
        check: bool,
    },
    /// Write shell completions and manual pages.
    Pages {
        /// Where: completions/ and man/ are made there [default: target/pages].
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Measure how long qplug takes, against a bare script and against virsh.
    Bench(bench::Args),
    /// Fuzz the protocol, for so many seconds in all.
    Fuzz {
        /// Seconds; each of the targets has an equal part of them.
        #[arg(default_value_t = 60)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Setup => setup::run(),
        Task::Demo => demo::run(),
        Task::Test { qemu, slow: false } => test::run(&qemu),
        Task::Test { qemu, slow: true } => test::run_slow(&qemu),
        Task::Check => check::run(),
        Task::Codegen { check } => codegen::run(check),
        Task::Pages { out } => pages::run(out.as_deref()),
        Task::Bench(args) => bench::run(&args),
        Task::Fuzz { seconds } => fuzz::run(seconds),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
