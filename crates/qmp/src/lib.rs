//! QMP over sockets: where a monitor is ([`Address`]), and an asynchronous [`Client`] for it.
//!
//! The protocol itself is `qplug-proto`'s; this crate moves bytes, keeps time and wakes callers.
//!
//! | file | owns |
//! |---|---|
//! | `address.rs` | the forms in which a user names a monitor |
//! | `options.rs` | how a client connects, waits, and comes back |
//! | `transport.rs` | connecting, and what each way of failing to connect means |
//! | `endpoint.rs` | what both clients share of reaching a socket |
//! | `client.rs` | the handle: commands and their replies |
//! | `driver.rs` | the task that moves bytes between the socket and the state machine |
//! | `shared.rs` | what that task and the handles share |
//! | `typed.rs` | commands that are types, on the wire and back |
//! | `waiters.rs` | who waits for which command |
//! | `events.rs` | subscriptions |
//! | `agent.rs` | the guest agent's dialect |
//! | `blocking.rs` | a client with no runtime |
//! | `server.rs` | a server, which runs a handler |
//! | `fds.rs` | descriptors that travel beside bytes |
//! | `trace.rs` | conversations written down |
//! | `aside.rs` | writing on a thread of its own, so that nobody waits for a reader of ours |
//! | `redact.rs` | what is secret, and must not be written down |
//! | `error.rs` | what can go wrong, by blame |

mod address;
mod agent;
mod aside;
pub mod blocking;
mod client;
mod driver;
mod endpoint;
mod error;
mod events;
pub mod fds;
mod options;
pub mod redact;
pub mod server;
mod shared;
mod trace;
mod transport;
mod typed;
mod waiters;

pub use address::{Address, ParseAddressError};
pub use agent::{Agent, AgentReach};
pub use aside::Aside;
pub use client::{Client, Submitted};
pub use error::{Closed, ConnectError, Error};
pub use events::{EVENT_BACKLOG, Events, EventsError};
pub use options::{Options, Reconnect, TlsFolder};
pub use qplug_proto::{
    ErrorReply, Event, Greeting, ProtocolError, QemuVersion, Timestamp, Traffic, strict_json,
};
pub use trace::{TRACE_BACKLOG, TRACE_PATIENCE, Trace};
