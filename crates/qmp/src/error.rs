//! What can go wrong, by blame.

use std::path::PathBuf;
use std::time::Duration;

use qplug_proto::{ErrorReply, ProtocolError};

/// No conversation came about. Nothing was sent that changes the machine.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is nothing at the path.
    #[error("there is no socket at {}; is QEMU running, with -qmp unix:{},server=on,wait=off?", path.display(), path.display())]
    NoSocket {
        /// The path that was tried.
        path: PathBuf,
    },
    /// There is nothing at the path of a guest agent's socket.
    #[error("there is no socket at {}; is QEMU running, with -chardev socket,id=agent,path={},server=on,wait=off and a virtserialport for it, named org.qemu.guest_agent.0?", path.display(), path.display())]
    NoAgentSocket {
        /// The path that was tried.
        path: PathBuf,
    },
    /// There is something else than a socket at the path.
    #[error("{} is not a socket; give the path of QEMU's -qmp option", path.display())]
    NotASocket {
        /// The path that was tried.
        path: PathBuf,
    },
    /// Nobody listens: the QEMU that made the socket has ended.
    #[error(
        "nobody listens at {address}; its QEMU has probably ended: start it again, or remove the stale socket"
    )]
    NoListener {
        /// The address that was tried.
        address: String,
    },
    /// The operating system forbids the connection.
    #[error("not allowed to connect to {address}; run as the user that QEMU runs as")]
    Denied {
        /// The address that was tried.
        address: String,
    },
    /// Connected, but the peer stays silent, as QEMU does while another client has the monitor.
    #[error("{address} accepts the connection but stays silent for {} s; another client probably holds this monitor: disconnect it, or give QEMU a second -qmp socket", limit.as_secs_f32())]
    Busy {
        /// The address that was tried.
        address: String,
        /// How long the greeting was waited for.
        limit: Duration,
    },
    /// Connected, but no guest agent answers.
    #[error("no guest agent answers at {address} within {} s; is it running in the guest (qemu-guest-agent), and does no other client hold its socket?", limit.as_secs_f32())]
    NoAgent {
        /// The address that was tried.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection did not come about in time.
    #[error("connecting to {address} took longer than {} s", limit.as_secs_f32())]
    TimedOut {
        /// The address that was tried.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The peer closed the connection before its greeting.
    #[error("{address} closed the connection without a greeting; is it a QMP monitor?")]
    Closed {
        /// The address that was tried.
        address: String,
    },
    /// The peer does not speak QMP.
    #[error(
        "{address} does not speak QMP: {error}; is it a human monitor or a guest agent socket?"
    )]
    NotQmp {
        /// The address that was tried.
        address: String,
        /// What it did instead.
        error: ProtocolError,
    },
    /// Any other failure of the operating system.
    #[error("cannot connect to {address}: {source}")]
    Io {
        /// The address that was tried.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Why a connection that once worked is no more.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Closed {
    /// The peer closed it: QEMU ended, or dropped this client.
    #[error("QEMU closed the connection")]
    ByPeer,
    /// The last handle of this client was dropped, or its runtime ended.
    #[error("the connection was dropped on this side")]
    ByUs,
    /// The operating system reported an error.
    #[error("the connection failed: {0}")]
    Io(String),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
}

/// A command that has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU refused the command; the machine is as it was.
    #[error("QEMU refused {command}: {reply}")]
    Refused {
        /// The command's name.
        command: String,
        /// QEMU's words.
        reply: ErrorReply,
    },
    /// The command was not sent, because the connection is closed.
    #[error("{command} was not sent: {closed}")]
    NotSent {
        /// The command's name.
        command: String,
        /// Why the connection is closed.
        closed: Closed,
    },
    /// The command may have been sent, and the connection closed before a reply: nobody knows
    /// whether QEMU carried it out.
    #[error("the outcome of {command} is unknown: {closed}")]
    Unknown {
        /// The command's name.
        command: String,
        /// Why the connection is closed.
        closed: Closed,
    },
    /// The command was sent and no reply came in time: it may still be carried out.
    #[error("the outcome of {command} is unknown: no reply within {} s", limit.as_secs_f32())]
    Overdue {
        /// The command's name.
        command: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The arguments cannot be sent; the caller's fault.
    #[error("{command} was not sent: {reason}")]
    Unsendable {
        /// The command's name.
        command: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The reply does not have the shape that was asked for.
    #[error("the reply to {command} is not understood: {reason}")]
    Decode {
        /// The command's name.
        command: String,
        /// What the decoder found wrong.
        reason: String,
    },
}

impl Error {
    /// QEMU's words, when it refused the command.
    #[must_use]
    pub fn refusal(&self) -> Option<&ErrorReply> {
        match self {
            Self::Refused { reply, .. } => Some(reply),
            _ => None,
        }
    }

    /// Whether QEMU may or may not have carried the command out.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Overdue { .. })
    }
}
