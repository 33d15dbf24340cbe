//! Signals that end programs.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end programs, from the making of this on; they end this one no more.
pub(crate) struct Endings([Signal; 3]);

impl Endings {
    pub(crate) fn new() -> io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
