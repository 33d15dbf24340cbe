//! Once a device is gone: its mark is removed, its image closed, and what was there for it alone
//! cleared away.

use std::time::{Duration, Instant};

use qplug_proto::ErrorReply;

use super::{CLEAR, CLOSE, Leaving, State};
use crate::command;
use crate::detach::Detached;
use crate::error::{After, Error};
use crate::texts::Meaning;

/// The pause before closing an image again that still had a user.
const CLOSE_PAUSE: Duration = Duration::from_millis(10);

/// How often closing is tried: QEMU drops the last use of a node a moment after DEVICE_DELETED.
const CLOSE_TRIES: u32 = 100;

impl Leaving {
    pub(super) fn close(&mut self, tries: u32) {
        let unmark = std::mem::take(&mut self.goods.is_marked)
            .then(|| command::remove_object(&self.goods.mark));
        match (&self.goods.close, unmark) {
            (Some(_), Some(unmark)) => {
                self.state = State::Unmarking;
                self.outbox = Some(unmark);
            }
            (Some(close), None) => {
                self.state = State::Closing { tries };
                self.outbox = Some(close.clone());
            }
            (None, unmark) => {
                self.goods.rest.extend(unmark);
                self.clear();
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.state = State::Clearing;
        match self.goods.rest.front() {
            Some(command) => self.outbox = Some(command.clone()),
            None => self.end(Ok(Detached::Removed { was_gone: self.was_gone })),
        }
    }

    /// One that cannot be removed now is tried again at the end, and told then.
    pub(super) fn handle_unmarked(&mut self, reply: Result<(), ErrorReply>) {
        let remove = command::remove_object(&self.goods.mark);
        if reply.is_err_and(|reply| !Meaning::is_gone(&reply, &remove)) {
            self.goods.rest.push_back(remove);
        }
        self.close(0);
    }

    pub(super) fn handle_closed(
        &mut self,
        tries: u32,
        reply: Result<(), ErrorReply>,
        now: Instant,
    ) {
        let Err(reply) = reply else { return self.clear() };
        let close = self.goods.close.as_ref();
        match Meaning::of(&reply) {
            _ if close.is_some_and(|close| Meaning::is_gone(&reply, close)) => self.clear(),
            Some(Meaning::NodeInUse) if tries < CLOSE_TRIES => {
                self.state = State::ClosingAgain { tries: tries + 1, at: now + CLOSE_PAUSE };
            }
            meaning => {
                let after = After::StillOpen;
                self.end(Err(Error::Refused { doing: CLOSE, reply, meaning, after }));
            }
        }
    }

    pub(super) fn handle_cleared(&mut self, reply: Result<(), ErrorReply>) {
        let Some(command) = self.goods.rest.pop_front() else { return };
        match reply {
            Err(reply) if !Meaning::is_gone(&reply, &command) => {
                let meaning = Meaning::of(&reply);
                let left = crate::error::Left { undo: command, why: reply.desc.clone() };
                let after = After::Left(vec![left]);
                self.end(Err(Error::Refused { doing: CLEAR, reply, meaning, after }));
            }
            _ => self.clear(),
        }
    }
}
