//! Moves an operation over a connection. The only file of this crate that knows a client, and the
//! only one that reads the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qplug_qmp::{Agent, Client, Error, Event, Events, EventsError, Submitted};

use crate::agent::GuestView;
use crate::command::{Command, Descriptor};
use crate::error::Error as OperationError;
use crate::operation::{Answer, Operation};

/// Runs an operation to its outcome. Dropping the future stops it between two commands, which is as
/// safe as any other crash: the next run reads the machine and goes on.
pub(crate) async fn drive<O: Operation>(client: &Client, mut operation: O) -> O::Outcome {
    // Before the first command: the event that it causes may come before its reply.
    let mut events = Some(client.events());
    let mut sent: VecDeque<Submitted<'static>> = VecDeque::new();
    let mut lost = None;
    loop {
        while let Some(command) = operation.poll_transmit() {
            sent.push_back(submit(client, command));
        }
        if let Some(outcome) = operation.poll_outcome() {
            return outcome;
        }
        // Who waits for a reply is told by that reply first.
        if sent.is_empty()
            && let Some(why) = lost.take()
        {
            operation.handle_lost(why);
            continue;
        }
        let timeout = operation.poll_timeout();
        tokio::select! {
            // Events first: one that is here already came before a reply that is.
            biased;
            event = next_event(&mut events) => match event {
                Ok(event) => operation.handle_event(&event, now()),
                Err(EventsError::Missed(_) | EventsError::Reconnected) => {
                    operation.handle_missed(now());
                }
                Err(EventsError::Closed(closed)) => {
                    events = None;
                    lost = Some(closed.to_string());
                }
            },
            answer = next_answer(&mut sent) => operation.handle_answer(answer, now()),
            () = sleep_until(timeout) => operation.handle_timeout(now()),
        }
    }
}

fn submit(client: &Client, command: Command) -> Submitted<'static> {
    let arguments = command.arguments.as_ref();
    match command.descriptor {
        None => client.submit(command.name, arguments),
        Some(Descriptor(descriptor)) => {
            let duplicate = descriptor.try_clone().into_iter().collect();
            client.submit_with_fds(command.name, arguments, duplicate)
        }
    }
}

impl GuestView {
    /// Asks a guest's agent about its disks. One before QEMU 5.2 tells only what is mounted.
    ///
    /// # Errors
    /// [`Error::AgentSilent`](OperationError::AgentSilent).
    pub async fn ask(agent: &Agent) -> Result<Self, OperationError> {
        const DISKS: &str = "guest-get-disks";
        const FILE_SYSTEMS: &str = "guest-get-fsinfo";
        let silent = |command| {
            move |error: Error| OperationError::AgentSilent { command, why: agent_words(&error) }
        };
        let disks = match agent.query(DISKS).await {
            Err(Error::Refused { .. }) => None,
            disks => Some(disks.map_err(silent(DISKS))?),
        };
        let file_systems = agent.query(FILE_SYSTEMS).await.map_err(silent(FILE_SYSTEMS))?;
        Ok(Self { disks, file_systems })
    }
}

/// What an agent did in place of an answer.
pub(crate) fn agent_words(error: &Error) -> String {
    match error {
        Error::Refused { reply, .. } => format!("it refused: {}", reply.desc),
        Error::Overdue { limit, .. } => format!("no answer within {} s", limit.as_secs_f32()),
        error => error.to_string(),
    }
}

/// When something is given up.
pub(crate) struct Deadline(Instant);

/// Time between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);

impl Deadline {
    pub(crate) fn within(limit: Duration) -> Self {
        Self(now() + limit)
    }

    /// How long there is until then.
    pub(crate) fn left(&self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// Waits until it is time for another try.
    pub(crate) async fn pause(&self) {
        sleep_until(Some(self.0.min(now() + TRY_AGAIN_AFTER))).await;
    }
}

async fn next_event(events: &mut Option<Events>) -> Result<Arc<Event>, EventsError> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// The answer to the oldest command. QEMU answers in order.
async fn next_answer(sent: &mut VecDeque<Submitted<'static>>) -> Answer {
    let Some(oldest) = sent.front_mut() else { return std::future::pending().await };
    let answer = oldest.await;
    sent.pop_front();
    match answer {
        Ok(value) => Answer::Returned(value),
        Err(Error::Refused { reply, .. }) => Answer::Refused(reply),
        Err(error) if error.is_outcome_unknown() => Answer::Lost(error.to_string()),
        Err(error) => Answer::NotSent(error.to_string()),
    }
}

async fn sleep_until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
