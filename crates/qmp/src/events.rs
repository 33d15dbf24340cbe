//! Subscriptions to a machine's events.

use std::sync::Arc;

use qplug_proto::Event;
use tokio::sync::broadcast;

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
    pub(crate) receiver: broadcast::Receiver<Arc<Event>>,
    pub(crate) shared: Arc<crate::driver::Shared>,
}

/// Why there is no next event.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EventsError {
    /// The subscriber was too slow, and this many events were dropped. The next call goes on with
    /// the oldest that is left.
    #[error("{0} events were missed: they came faster than they were taken")]
    Missed(u64),
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
        self.receiver.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(count) => EventsError::Missed(count),
            broadcast::error::RecvError::Closed => EventsError::Closed(self.shared.closed()),
        })
    }
}
