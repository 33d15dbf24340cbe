//! `qplug shell`: a line is a command of qplug, a command of QMP, or a message in JSON.
//!
//! | file | owns |
//! |---|---|
//! | `shell/line.rs` | what a line says: words, quotes, JSON, where the output goes |
//! | `shell/session.rs` | what becomes of a line |
//! | `shell/verb.rs` | the commands of qplug among them |
//! | `shell/built_in.rs` | the shell's own |
//! | `shell/message.rs` | messages in JSON |
//! | `shell/transaction.rs` | several changes at once |
//! | `shell/sink.rs` | files and pipes for the output |
//! | `shell/link.rs` | the connection, which comes and goes |
//! | `shell/filter.rs` | which events are shown |
//! | `shell/interactive.rs` | somebody at a terminal |
//! | `shell/editor.rs` and its folder | the line editor, and what is said above its line |
//! | `shell/complete.rs` and its folder | what may be put at the cursor |
//! | `shell/hint.rs` | what is said behind the cursor |
//! | `shell/help.rs` | what `help` says |
//! | `shell/live.rs` and its folder | the names that completion asks the machine and the host for |
//! | `shell/offers.rs` | completion for whoever else has a line of commands |
//! | `shell/history.rs` | what is remembered, and what is not |
//! | `shell/script.rs` | lines from a file |

mod built_in;
mod complete;
mod editor;
mod filter;
mod help;
mod hint;
mod history;
mod interactive;
pub(crate) mod line;
mod link;
mod live;
mod message;
pub(crate) mod offers;
mod script;
mod session;
mod sink;
mod transaction;
pub(crate) mod verb;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use crate::args::Shell;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// Why there is no shell at a terminal that shows a part of it alone.
const HALF_A_TERMINAL: &str = "standard input is a terminal, but standard output or error is none: \
    in the shell, a line may end with '| COMMAND' or '> FILE'; -x runs the lines of a file";

/// Talks to one machine: somebody at a terminal does, or a script.
pub(crate) async fn run(args: Shell, monitor: Monitor, output: &Output) -> Result<Exit, Failure> {
    match args.script {
        Some(script) => script::run(script, monitor, output).await,
        None if io::stdin().is_terminal() => {
            if !Output::is_seen() {
                return Err(Failure::usage(HALF_A_TERMINAL));
            }
            interactive::run(monitor, output).await
        }
        None => script::run(PathBuf::from("-"), monitor, output).await,
    }
}
