//! Waiting for events.

use std::time::Instant;

use qplug_proto::Event;

use super::{Client, Mark};
use crate::events::{EVENT_BACKLOG, EventsError};

impl Client {
    /// This moment in the stream of events, for [`Client::wait_event_after`]. Take it *before*
    /// giving the command whose event is waited for: the event may come before the reply.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.conversation.backlog.now()
    }

    /// Takes the oldest event that was not taken yet, waiting for it until `deadline`; `None` when
    /// there is none by then.
    ///
    /// # Errors
    /// See [`EventsError`].
    pub fn wait_event(&mut self, deadline: Instant) -> Result<Option<Event>, EventsError> {
        loop {
            match self.conversation.backlog.take_lost() {
                0 => {}
                lost => return Err(EventsError::Missed(lost)),
            }
            if let Some(event) = self.conversation.backlog.pop() {
                return Ok(Some(event));
            }
            if !self.conversation.hear(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Takes the events that have come by now, without waiting for any.
    ///
    /// # Errors
    /// See [`EventsError`]. What came before the connection closed is handed out first.
    pub fn events(&mut self) -> Result<Vec<Event>, EventsError> {
        let now = Instant::now();
        // Of a peer that never stops, no more is read than could be kept.
        let mut reads = (0..EVENT_BACKLOG).map(|_| self.conversation.hear(now));
        let stop = reads.find(|heard| !matches!(heard, Ok(true)));
        match self.conversation.backlog.take_lost() {
            0 => {}
            lost => return Err(EventsError::Missed(lost)),
        }
        let events: Vec<Event> = std::iter::from_fn(|| self.conversation.backlog.pop()).collect();
        match stop {
            Some(Err(closed)) if events.is_empty() => Err(closed),
            _ => Ok(events),
        }
    }

    /// Waits until `deadline` for the first event since `mark` that is wanted; `None` when there is
    /// none by then. The event stays where it is for [`Client::wait_event`] to take, and those that
    /// were taken are not found.
    ///
    /// # Errors
    /// [`EventsError::Missed`] when the event may be among those that were lost since the mark: go
    /// on with a new mark, after asking the machine. [`EventsError::Closed`] when the connection is.
    pub fn wait_event_after(
        &mut self,
        mark: Mark,
        mut wanted: impl FnMut(&Event) -> bool,
        deadline: Instant,
    ) -> Result<Option<Event>, EventsError> {
        let mut from = mark;
        loop {
            if let Some(event) = self.conversation.backlog.find(from, &mut wanted) {
                return Ok(Some(event.clone()));
            }
            match self.conversation.backlog.lost_since(mark) {
                0 => {}
                lost => return Err(EventsError::Missed(lost)),
            }
            from = self.conversation.backlog.now();
            if !self.conversation.hear(deadline)? {
                return Ok(None);
            }
        }
    }
}
