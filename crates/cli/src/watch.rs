//! `qplug watch`
//!
//! | file | owns |
//! |---|---|
//! | `watch/run.rs` | the loop that takes in what happens |
//! | `watch/driver.rs` | what becomes of it: the client, the clock and the view come together here |
//! | `watch/agenda.rs` | what to ask the machine next, and when |
//! | `watch/look.rs`, `watch/jobs.rs` | asking it |
//! | `watch/rates.rs` | from counters to rates |
//! | `watch/view.rs`, `watch/log.rs` | what is shown |
//! | `watch/keys.rs`, `watch/prompt.rs`, `watch/completion.rs` | what keys do, and the line in which one types |
//! | `watch/work.rs` | commands that run meanwhile |
//! | `watch/draw.rs` and its folder | from what is shown to cells |
//! | `watch/screen.rs` | the terminal, and the threads that read and write it |

pub(crate) mod agenda;
mod completion;
mod draw;
mod driver;
mod jobs;
mod keys;
mod log;
mod look;
mod prompt;
mod rates;
mod run;
mod screen;
mod view;
mod work;

use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::Output;

/// Watches one machine on a full screen.
pub(crate) async fn run(monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    if output.is_for_programs() {
        let text = "--json: 'qplug watch' is for people; programs have status, list and events";
        return Err(Failure::usage(text));
    }
    if !screen::is_there() {
        return Err(Failure::usage("'qplug watch' needs a terminal, at both ends"));
    }
    // What is wrong with the address is said where it was typed.
    let client = monitor.connect().await?;
    // What is logged meanwhile is for afterwards.
    let loan = output.screen().lend();
    let look = draw::Look { has_colour: output.has_colour() };
    let left = run::run(monitor, client, look).await;
    drop(loan);
    let left = left?;
    for remark in &left {
        output.remark(remark);
    }
    Ok(if left.is_empty() { Exit::Done } else { Exit::Interrupted })
}
