//! What a peer speaks, and where the conversation with it stands.

use std::time::Instant;

use super::OOB_IN_FLIGHT;

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// QMP: greeting, negotiation, ids, events.
    Qmp,
    /// QMP, and out-of-band commands where the server offers them.
    QmpWithOob,
    /// The guest agent's: no greeting, no negotiation, no ids, no events, one command at a time. A
    /// client begins with `guest-sync-delimited`, whose answer comes behind a byte 0xFF, and drops
    /// what came before it, which an earlier client had asked for.
    Agent {
        /// A number that no earlier client used, such as one made of the time.
        token: u32,
    },
}

/// The byte that no JSON in UTF-8 has: an agent sends it ahead of the answer to a synchronization,
/// and forgets what it had read when it receives it.
pub(super) const MARK: u8 = 0xff;

/// Where the conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Connected; commands given now wait.
    AwaitingGreeting {
        deadline: Option<Instant>,
        oob: bool,
        /// Whether a reply came already. QEMU carries out one command at a time, so one may be left
        /// over from an earlier client; a second is none of QMP's.
        left_over: bool,
    },
    /// Negotiation sent, its reply outstanding.
    Negotiating { oob: bool },
    /// Commands and events.
    Ready { oob: bool },
    /// Synchronization sent; nothing before the mark counts.
    Synchronizing { deadline: Option<Instant>, token: u32, seen_mark: bool },
    /// Commands, one at a time.
    Agent,
}

impl State {
    /// How many in-band commands may be in flight.
    pub(super) fn in_flight_limit(self) -> usize {
        match self {
            Self::AwaitingGreeting { .. } | Self::Synchronizing { .. } => 0,
            Self::Agent => 1,
            Self::Negotiating { oob: true } | Self::Ready { oob: true } => OOB_IN_FLIGHT,
            Self::Negotiating { .. } | Self::Ready { .. } => usize::MAX,
        }
    }

    /// By when the peer must have shown itself.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::AwaitingGreeting { deadline, .. } | Self::Synchronizing { deadline, .. } => {
                deadline
            }
            Self::Negotiating { .. } | Self::Ready { .. } | Self::Agent => None,
        }
    }

    pub(super) fn has_ids(self) -> bool {
        !matches!(self, Self::Synchronizing { .. } | Self::Agent)
    }

    pub(super) fn has_oob(self) -> bool {
        matches!(self, Self::Negotiating { oob: true } | Self::Ready { oob: true })
    }

    pub(super) fn mark_seen(&mut self) {
        if let Self::Synchronizing { seen_mark, .. } = self {
            *seen_mark = true;
        }
    }
}

/// The question that brings an agent and its client in step. The mark ends whatever an earlier
/// client left half sent.
pub(super) fn synchronize(token: u32) -> Vec<u8> {
    let command =
        format!("{{\"execute\":\"guest-sync-delimited\",\"arguments\":{{\"id\":{token}}}}}\n");
    [&[MARK], command.as_bytes()].concat()
}
