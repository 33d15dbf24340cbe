//! Looking whether a device is gone, where the machine does not say so (QEMU before 1.5).

use std::time::{Duration, Instant};

use super::{ASK, Leaving, State};
use crate::command;
use crate::dialect;
use crate::inventory::{Pci, Tree};
use crate::operation::{Answer, decode};

/// The first pause before looking whether a device is gone, where nothing says so; each further one
/// is twice as long, up to [`LOOK_PAUSE_MAX`].
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The longest of these pauses: a look costs the machine a fraction of a millisecond.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(1);

/// When to look whether the device is still there, and how long to pause after that.
#[derive(Debug, Clone, Copy)]
pub(super) struct LookAgain {
    pub(super) at: Instant,
    pause: Duration,
}

impl Leaving {
    pub(super) fn wait(&mut self, ask_at: Instant, now: Instant) {
        self.state = State::Waiting { ask_at };
        if !self.goods.is_announced && self.look_again.is_none() {
            self.look_again = Some(LookAgain { at: now + LOOK_PAUSE, pause: LOOK_PAUSE });
        }
    }

    pub(super) fn look(&mut self, ask_at: Instant, at_all: bool) {
        self.state = State::Looking { ask_at, at_all };
        self.outbox = Some(if at_all { dialect::show_tree() } else { command::query_pci() });
    }

    /// Whether the device is still there. A `drive_del` of one that is would tear its image out.
    pub(super) fn handle_looked(
        &mut self,
        ask_at: Instant,
        at_all: bool,
        answer: Answer,
        now: Instant,
    ) {
        let why = match &answer {
            Answer::Lost(why) | Answer::NotSent(why) => Some(why.clone()),
            _ => None,
        };
        if let Some(why) = why {
            return self.lose(ASK, why);
        }
        let device = self.goods.device.as_deref().unwrap_or_default();
        let is_gone = match at_all {
            false => decode::<Pci>(&command::query_pci(), answer).is_ok_and(|it| !it.has(device)),
            true => Tree::read(answer).is_ok_and(|it| it.named().all(|(id, _)| id != device)),
        };
        match (is_gone, at_all) {
            (true, false) => return self.look(ask_at, true),
            (true, true) => return self.close(0),
            (false, _) => {}
        }
        let pause = self.look_again.map_or(LOOK_PAUSE, |it| (it.pause * 2).min(LOOK_PAUSE_MAX));
        self.look_again = Some(LookAgain { at: now + pause, pause });
        match ask_at <= now {
            true => self.ask(),
            false => self.state = State::Waiting { ask_at },
        }
    }
}
