//! Descriptors that came and were not taken yet.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many messages with descriptors are kept. At the bound the oldest are closed.
const MAX_BATCHES: usize = 8;

/// The oldest first.
#[derive(Debug, Default)]
pub(super) struct Passed(Mutex<VecDeque<Batch>>);

#[derive(Debug)]
struct Batch {
    fds: Vec<OwnedFd>,
    /// How many commands had begun when these came.
    begun: u64,
}

impl Passed {
    pub(super) fn take(&self) -> Vec<OwnedFd> {
        self.lock().pop_front().map(|batch| batch.fds).unwrap_or_default()
    }

    /// Adds descriptors that came when so many commands had begun. When none runs, those that an
    /// earlier command could have taken, and did not, are nobody's.
    pub(super) fn add(&self, fds: Vec<OwnedFd>, begun: u64, is_idle: bool) {
        let mut batches = self.lock();
        batches.retain(|batch| !is_idle || batch.begun == begun);
        if batches.len() == MAX_BATCHES {
            batches.pop_front();
        }
        batches.push_back(Batch { fds, begun });
    }

    /// No code panics while it holds the lock, so a poisoned one still guards sound data.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Batch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| std::io::pipe().unwrap().0.into()).collect()
    }

    #[test]
    fn they_are_taken_in_order_and_those_left_behind_are_dropped() {
        let passed = Passed::default();
        passed.add(batch(1), 0, true);
        // Still in front of the command that they are for.
        passed.add(batch(2), 0, true);
        assert_eq!((passed.take().len(), passed.take().len(), passed.take().len()), (1, 2, 0));
        passed.add(batch(1), 2, true);
        // A command began since then, which may yet take them.
        passed.add(batch(2), 3, false);
        // It did not.
        passed.add(batch(3), 3, true);
        assert_eq!((passed.take().len(), passed.take().len(), passed.take().len()), (2, 3, 0));
        (1..=MAX_BATCHES + 1).for_each(|count| passed.add(batch(count), 4, true));
        assert_eq!(passed.take().len(), 2);
    }
}
