//! QMP, the QEMU Machine Protocol, with no I/O.
//!
//! Bytes and time go in, bytes and messages come out. [`Client`] and [`Server`] are twins: neither
//! learns the time nor that sockets exist, so the asynchronous client, the blocking one, the servers
//! and the tests drive the same two state machines.
//!
//! | file | owns |
//! |---|---|
//! | `frame.rs` | where a message of a server ends in a stream of bytes |
//! | `message.rs` | what a message of a server means: greeting, reply, error, event |
//! | `client.rs` | the client's conversation: greeting, negotiation, pending commands, deadlines |
//! | `lenient.rs` | the JSON that QEMU's monitor reads, made strict |
//! | `generation.rs` | which QEMU's monitor a server is like |
//! | `server.rs` | the server's conversation: negotiation, requests in their order, replies, events |
//!
//! The wire format is described in QEMU's `docs/interop/qmp-spec.rst`.

mod client;
mod frame;
mod generation;
mod lenient;
mod message;
mod server;

pub use client::{
    Client, CommandId, Dialect, ExecuteError, Incoming, MAX_PENDING_COMMANDS, OOB_IN_FLIGHT,
    ProtocolError, Traffic, Unanswered,
};
pub use frame::{FrameError, Framer, MAX_FRAME_BYTES, MAX_NESTING};
pub use generation::Generation;
pub use lenient::{MAX_TOKEN_BYTES, MAX_TOKENS, strict_json};
pub use message::{ErrorReply, Event, Greeting, Message, QemuVersion, Timestamp};
pub use server::{OOB_QUEUE_LIMIT, OUTPUT_HIGH_WATER, OUTPUT_LIMIT, Request, RequestId, Server};
