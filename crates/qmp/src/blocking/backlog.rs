//! Events that came and were not taken yet.

use std::collections::VecDeque;

use qplug_proto::Event;

use crate::events::EVENT_BACKLOG;

/// A moment in the stream of a client's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The number of the next event.
    at: u64,
    /// How many had been lost by then.
    lost: u64,
}

/// At [`EVENT_BACKLOG`] the oldest event is lost, and counted.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: VecDeque<Event>,
    /// The number of the oldest event here; the first of a connection is number 0.
    first: u64,
    /// How many were lost.
    lost: u64,
    /// How many of them a caller was told of.
    told: u64,
    /// The number of the event behind the last lost one.
    lost_before: u64,
}

impl Backlog {
    pub(super) fn push(&mut self, event: Event) {
        if self.events.len() == EVENT_BACKLOG {
            self.events.pop_front();
            self.first += 1;
            self.lost += 1;
            self.lost_before = self.first;
        }
        self.events.push_back(event);
    }

    /// Takes the oldest event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.first += 1;
        Some(event)
    }

    /// How many were lost since this was asked last.
    pub(super) fn take_lost(&mut self) -> u64 {
        let untold = self.lost - self.told;
        self.told = self.lost;
        untold
    }

    /// The moment between the last event that came and the next one.
    pub(super) fn now(&self) -> Mark {
        Mark { at: self.first + self.events.len() as u64, lost: self.lost }
    }

    /// The first event since `mark` that is wanted.
    pub(super) fn find(
        &self,
        mark: Mark,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Option<&Event> {
        let skip = usize::try_from(mark.at.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.events.iter().skip(skip).find(|event| wanted(event))
    }

    /// How many events since `mark` were lost.
    pub(super) fn lost_since(&self, mark: Mark) -> u64 {
        // Of those lost since then, some may have come before it.
        (self.lost - mark.lost).min(self.lost_before.saturating_sub(mark.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> Event {
        Event { name: number.to_string(), data: None, timestamp: None }
    }

    #[test]
    fn a_mark_passes_over_what_came_before_it() {
        let mut backlog = Backlog::default();
        backlog.push(event(1));
        let mark = backlog.now();
        assert!(backlog.find(mark, |_| true).is_none());
        backlog.push(event(2));
        backlog.push(event(3));
        assert_eq!(backlog.find(mark, |_| true).unwrap().name, "2");
        assert_eq!(backlog.pop().unwrap().name, "1");
        assert_eq!(backlog.find(mark, |_| true).unwrap().name, "2");
        assert_eq!(backlog.lost_since(mark), 0);
    }

    #[test]
    fn at_the_bound_the_oldest_are_lost_and_counted() {
        let mut backlog = Backlog::default();
        let mark = backlog.now();
        (0..EVENT_BACKLOG + 3).for_each(|number| backlog.push(event(number)));
        assert_eq!(backlog.take_lost(), 3);
        assert_eq!(backlog.take_lost(), 0);
        assert_eq!(backlog.lost_since(mark), 3);
        assert_eq!(backlog.pop().unwrap().name, "3");
    }
}
