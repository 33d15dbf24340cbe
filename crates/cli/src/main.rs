//! `qplug`: plugs disks into running QEMU machines, and pulls them out again.
//!
//! The command parses, calls the library, prints and exits; what it can do, the library can do.
//!
//! | file | owns |
//! |---|---|
//! | `args.rs` | the command line |
//! | `commands/` | one file a command: from its arguments to its outcome |
//! | `shell.rs` and its folder | the shell: lines, completion, events while one types |
//! | `watch.rs` and its folder | the full-screen view |
//! | `endings.rs` | the signals that end programs |
//! | `monitor.rs` | where the machine is, and how it is reached |
//! | `key_values.rs` | `key=value` arguments, as QMP's JSON |
//! | `output.rs` | the only file that prints |
//! | `output/line.rs` | the moving line of a wait |
//! | `output/stream.rs` | bytes for a reader who may leave |
//! | `failure.rs` | exit codes, and which failure has which |

mod args;
mod commands;
mod endings;
mod failure;
mod key_values;
mod monitor;
mod output;
mod shell;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refuse_usage(&error),
    };
    let output = Output::new(args.json);
    if args.verbose {
        output.log_to_stderr();
    }
    // One thread is enough for one machine, and starts faster.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let exit = output.failure(&error.into());
            output.finish();
            return exit;
        }
    };
    let exit = match runtime.block_on(commands::run(args, &output)) {
        Ok(exit) => exit.into(),
        Err(failure) => output.failure(&failure),
    };
    runtime.block_on(commands::freeze::all_thawed());
    runtime.block_on(output.finish_or_interrupted());
    // Who was interrupted does not wait for a reader that is stuck.
    runtime.shutdown_background();
    exit
}

/// A command line that does not parse, or asks for help. Programs get their mistakes as JSON too.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || !std::env::args_os().any(|word| word == "--json") {
        error.exit();
    }
    let text = error.render().to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    let output = Output::new(true);
    let exit = output.failure(&Failure::usage(message));
    output.finish();
    exit
}
