//! Subscriptions to a machine's events.

use std::sync::Arc;

use qplug_proto::Event;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::error::Closed;

/// How many events a subscriber may be behind. At the bound its oldest are dropped, and it is told
/// how many; replies and other subscribers are not held up.
pub const EVENT_BACKLOG: usize = 1024;

/// The events from the moment of subscribing on.
///
/// Subscribe *before* giving the command whose event is waited for: the event may come before the
/// command's own reply.
#[derive(Debug)]
pub struct Events {
    pub(crate) receiver: broadcast::Receiver<Item>,
    pub(crate) shared: Arc<crate::shared::Shared>,
}

/// Why there is no next event.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EventsError {
    /// The subscriber was too slow, and this many events were dropped. The next call goes on with
    /// the oldest that is left.
    #[error("{0} events were missed: they came faster than they were taken")]
    Missed(u64),
    /// The connection was lost and is there again: events may have been missed in between.
    #[error("the connection was lost and is there again; events may have been missed")]
    Reconnected,
    /// The connection is closed; no event will come any more.
    #[error(transparent)]
    Closed(#[from] Closed),
}

impl Events {
    /// Waits for the next event. May be cancelled without losing one.
    ///
    /// # Errors
    /// See [`EventsError`].
    pub async fn next(&mut self) -> Result<Arc<Event>, EventsError> {
        // What is there is taken without giving way to the driver, which would only bring more.
        let received = match self.receiver.try_recv() {
            Ok(item) => Ok(item),
            Err(TryRecvError::Lagged(count)) => Err(RecvError::Lagged(count)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Empty) => self.receiver.recv().await,
        };
        match received {
            Ok(Item::Event(event)) => Ok(event),
            Ok(Item::Reconnected) => Err(EventsError::Reconnected),
            Err(RecvError::Lagged(count)) => Err(EventsError::Missed(count)),
            Err(RecvError::Closed) => Err(EventsError::Closed(self.shared.closed())),
        }
    }

    /// Waits for the first event since the subscription, or since the last call, that is wanted.
    /// Those before it are passed over.
    ///
    /// # Errors
    /// See [`EventsError`]: the event may be among those that were missed.
    pub async fn first(
        &mut self,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Arc<Event>, EventsError> {
        loop {
            let event = self.next().await?;
            if wanted(&event) {
                return Ok(event);
            }
        }
    }
}

/// What subscribers are told.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Event(Arc<Event>),
    Reconnected,
}
