//! How a client connects, waits, and comes back.

use std::path::PathBuf;
use std::time::Duration;

use crate::trace::Trace;

/// How a client connects and how long it waits.
#[derive(Debug, Clone)]
pub struct Options {
    /// For the connection to come about, and again for the greeting.
    pub connect_timeout: Duration,
    /// For the reply to a command.
    pub command_timeout: Duration,
    /// Whether out-of-band commands are enabled, where the server offers them. At most
    /// [`OOB_IN_FLIGHT`](qplug_proto::OOB_IN_FLIGHT) ordinary commands are in flight then.
    pub oob: bool,
    /// The certificates for an address with TLS.
    pub tls: Option<TlsFolder>,
    /// Whether to come back when the connection is lost; never, unless the caller chooses to.
    pub reconnect: Option<Reconnect>,
    /// Where the conversation is written down, if it is.
    pub trace: Option<Trace>,
}

impl Default for Options {
    /// 5 s to connect, 30 s for a reply, no out-of-band commands, no way back, no trace.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(30),
            oob: false,
            tls: None,
            reconnect: None,
            trace: None,
        }
    }
}

/// A folder of certificates, laid out as for QEMU's `tls-creds-x509`: `ca-cert.pem`, and, for
/// servers that ask for one, `client-cert.pem` with `client-key.pem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFolder(pub PathBuf);

/// How to come back when a connection is lost.
///
/// Commands that were in flight end as [`Error::Unknown`](crate::Error::Unknown), those given
/// meanwhile as [`Error::NotSent`](crate::Error::NotSent), and every subscriber is told with
/// [`EventsError::Reconnected`](crate::EventsError::Reconnected) that events may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// The pause before the first try. Each later one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long to try before the connection is given up for good.
    pub give_up_after: Duration,
}

impl Default for Reconnect {
    /// From 0.1 s to 5 s, for a minute.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            give_up_after: Duration::from_secs(60),
        }
    }
}
