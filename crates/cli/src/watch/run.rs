//! The loop that takes in what happens, from keys, the machine, looks and commands, and waits for none
//! of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use qplug_qmp::{Client, Event, EventsError};
use tokio::sync::mpsc;

use super::draw::{self, Look};
use super::driver::{Driver, Happening, Next, Session};
use super::log::Kind;
use super::screen::{Keys, Screen};
use super::work::Work;
use crate::endings::Endings;
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;

/// How much may have happened that nobody took yet. Who tells more waits.
const BACKLOG: usize = 256;

/// The shortest time between two pictures.
const DRAW_EVERY: Duration = Duration::from_millis(30);

/// Watches the machine behind this connection. What was left undone at the end, in words.
pub(super) async fn run(
    monitor: &Monitor,
    client: Client,
    look: Look,
) -> Result<Vec<String>, Failure> {
    // Each leaves the terminal as it was.
    let mut endings = Endings::new()?;
    let (happens, mut inbox) = mpsc::channel(BACKLOG);
    let (lines, mut said) = mpsc::channel(BACKLOG);
    let screen = Screen::enter()?;
    let inputs = happens.clone();
    let keys = Keys::read(move |input| inputs.blocking_send(Happening::Input(input)).is_ok());
    let mut driver = Driver::new(monitor.clone(), client, happens, lines);
    // What is shown first is drawn at once.
    let mut draw_at = Some(Instant::now());
    loop {
        driver.begin_look();
        let wake = driver.wake(draw_at);
        let mut has_changed = true;
        tokio::select! {
            biased;
            () = endings.next() => break,
            Some(line) = said.recv() => driver.say(Kind::Said, &line),
            happening = inbox.recv() => {
                let Some(happening) = happening else { break };
                if driver.take(happening, &screen) == Next::Leave {
                    break;
                }
            }
            event = next_event(&mut driver.session) => {
                if driver.take_event(event) == Next::Leave {
                    break;
                }
            }
            () = tokio::time::sleep_until(wake.into()) => has_changed = false,
        }
        let now = Instant::now();
        has_changed |= driver.look_at_clock(now);
        if has_changed {
            draw_at = draw_at.or(Some(now + DRAW_EVERY));
        }
        if draw_at.is_some_and(|at| at <= now) {
            draw_at = None;
            screen.show(draw::picture(&driver.view, driver.size, look));
        }
        if let Some(failure) = screen.failure() {
            let message = format!("the terminal cannot be written to: {failure}");
            driver.failure = Some(Failure { exit: Exit::Other, message });
            break;
        }
    }
    // It may be waiting for somebody to take a key.
    drop(inbox);
    drop(keys);
    match driver.failure {
        Some(failure) => Err(failure),
        None => Ok(driver.view.works.iter().map(Work::left).collect()),
    }
}

async fn next_event(session: &mut Option<Session>) -> Result<Arc<Event>, EventsError> {
    match session {
        Some(session) => session.events.next().await,
        None => std::future::pending().await,
    }
}
