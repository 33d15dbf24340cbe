//! Who waits for which command.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use qplug_proto::{CommandId, ErrorReply};
use serde_json::value::RawValue;

use crate::error::Closed;

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Answer {
    Replied(Result<Box<RawValue>, ErrorReply>),
    Unanswered(Unanswered),
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Unanswered {
    Overdue,
    NotSent(Closed),
    Closed(Closed),
}

/// A place for each command that was given, in their order, until its answer is taken. A queue costs
/// less than a channel a command: replies come in about the order of the commands.
#[derive(Debug, Default)]
pub(crate) struct Waiters(VecDeque<(CommandId, Waiter)>);

#[derive(Debug)]
enum Waiter {
    /// Not asked about yet, or by this task.
    Waiting(Option<Waker>),
    Answered(Answer),
    /// Taken, or nobody waits any more.
    Gone,
}

impl Waiters {
    pub(crate) fn add(&mut self, id: CommandId) {
        self.0.push_back((id, Waiter::Waiting(None)));
    }

    /// Keeps an answer until it is asked for. One that nobody waits for is dropped.
    pub(crate) fn answer(&mut self, id: CommandId, answer: Answer) {
        let Some(at) = self.find(id) else { return };
        match std::mem::replace(&mut self.0[at].1, Waiter::Answered(answer)) {
            Waiter::Waiting(Some(waker)) => waker.wake(),
            Waiter::Waiting(None) | Waiter::Answered(_) => {}
            Waiter::Gone => self.leave(at),
        }
    }

    /// The answer, once.
    pub(crate) fn poll(&mut self, id: CommandId, context: &Context<'_>) -> Poll<Option<Answer>> {
        let Some(at) = self.find(id) else { return Poll::Ready(None) };
        match &mut self.0[at].1 {
            Waiter::Waiting(Some(waker)) => waker.clone_from(context.waker()),
            Waiter::Waiting(waker @ None) => *waker = Some(context.waker().clone()),
            waiter @ (Waiter::Answered(_) | Waiter::Gone) => {
                let taken = std::mem::replace(waiter, Waiter::Gone);
                self.leave(at);
                return Poll::Ready(match taken {
                    Waiter::Answered(answer) => Some(answer),
                    Waiter::Waiting(_) | Waiter::Gone => None,
                });
            }
        }
        Poll::Pending
    }

    /// Takes in that nobody waits for this answer any more.
    pub(crate) fn forget(&mut self, id: CommandId) {
        if let Some(at) = self.find(id) {
            self.leave(at);
        }
    }

    fn find(&self, id: CommandId) -> Option<usize> {
        // Ids grow, but begin anew after four billion, and on a new connection.
        let at = self.0.binary_search_by_key(&id, |(of, _)| *of).ok();
        at.or_else(|| self.0.iter().position(|(of, _)| *of == id))
    }

    fn leave(&mut self, at: usize) {
        self.0[at].1 = Waiter::Gone;
        while let Some((_, Waiter::Gone)) = self.0.front() {
            self.0.pop_front();
        }
    }
}
