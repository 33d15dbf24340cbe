//! `qplug shell`: a line is a command of qplug, a command of QMP, or a message in JSON. `qplug appliance
//! shell`: it is a command of an appliance.
//!
//! | file | owns |
//! |---|---|
//! | `shell/line.rs` | what a line says: words, quotes, JSON, where the output goes |
//! | `shell/session.rs` | what becomes of a line |
//! | `shell/partner.rs` | what a shell talks to, behind one trait: a machine, or an appliance |
//! | `shell/vocabulary.rs` | what a line may begin with |
//! | `shell/built_in.rs` | what every shell has of its own |
//! | `shell/face.rs` | what a prompt shows |
//! | `shell/machine.rs` | a machine as a partner |
//! | `shell/verb.rs` | the commands of qplug, for a machine |
//! | `shell/appliance.rs` and its folder | an appliance as a partner, and its commands |
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

pub(crate) mod appliance;
mod built_in;
mod complete;
mod editor;
mod face;
mod filter;
mod help;
mod hint;
mod history;
mod interactive;
pub(crate) mod line;
mod link;
mod live;
mod machine;
mod message;
pub(crate) mod offers;
mod partner;
mod script;
mod session;
mod sink;
mod transaction;
pub(crate) mod verb;
mod vocabulary;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use tokio::task::AbortHandle;

use crate::args::Shell;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// Why there is no shell at a terminal that shows a part of it alone.
const HALF_A_TERMINAL: &str = "standard input is a terminal, but standard output or error is none: \
    in the shell, a line may end with '| COMMAND' or '> FILE'; -x runs the lines of a file";

/// Talks to one machine: somebody at a terminal does, or a script.
pub(crate) async fn run(args: Shell, monitor: Monitor, output: &Output) -> Result<Exit, Failure> {
    match lines(args.script)? {
        Some(script) => machine::run_script(script, monitor, output).await,
        None => machine::converse(monitor, output).await,
    }
}

/// Where the lines come from: a file, or nothing where they are typed.
fn lines(script: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    match script {
        Some(script) => Ok(Some(script)),
        None if !io::stdin().is_terminal() => Ok(Some(PathBuf::from(script::STANDARD_INPUT))),
        None if Output::is_seen() => Ok(None),
        None => Err(Failure::usage(HALF_A_TERMINAL)),
    }
}

/// Ends a task that has no end of its own.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}
