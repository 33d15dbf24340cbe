//! Which commands are on their way, and whether more may follow.

use std::collections::VecDeque;

/// How many commands are on their way at once. QEMU answers one by one; more would only lengthen
/// the time in which a lost connection leaves outcomes unknown.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// A full window lets nothing in before so few are left: else each answer would bring one command,
/// in a write of its own. QEMU has enough to do meanwhile.
const REFILL_AT: usize = MAX_IN_FLIGHT / 2;

/// The commands on their way, oldest first, each with the number of whoever gave it.
#[derive(Debug, Default)]
pub(crate) struct Window {
    sent: VecDeque<usize>,
    /// Whether it was full, and is not down to `REFILL_AT` yet.
    drains: bool,
}

impl Window {
    /// Whether another command may be sent now.
    pub(crate) fn has_room(&self) -> bool {
        !self.drains
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Takes in that a command is sent.
    pub(crate) fn push(&mut self, by: usize) {
        self.sent.push_back(by);
        self.drains = self.sent.len() >= MAX_IN_FLIGHT;
    }

    /// Takes in that the oldest one is answered: whose it was.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        let by = self.sent.pop_front()?;
        self.drains &= self.sent.len() > REFILL_AT;
        Some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_sent_in_bursts_and_never_more_than_may_be() {
        let (mut window, mut bursts, mut given) = (Window::default(), 0, 0);
        while given < 1000 {
            let before = given;
            while window.has_room() {
                window.push(given);
                given += 1;
            }
            bursts += usize::from(given > before);
            assert!(window.sent.len() <= MAX_IN_FLIGHT);
            assert!(window.pop().is_some());
        }
        assert!(bursts <= 1000 / REFILL_AT, "{bursts} bursts");
    }

    #[test]
    fn answers_go_to_whoever_asked() {
        let mut window = Window::default();
        [7, 9].into_iter().for_each(|by| window.push(by));
        assert_eq!([window.pop(), window.pop(), window.pop()], [Some(7), Some(9), None]);
        assert!(window.is_empty() && window.has_room());
    }
}
