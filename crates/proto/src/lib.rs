//! QMP, the QEMU Machine Protocol, with no I/O.
//!
//! Bytes and time go in, bytes and messages come out. [`Client`] is the state machine of a client:
//! it learns neither the time nor that sockets exist, so the asynchronous client, the tests and
//! everything later drive the same one.
//!
//! | file | owns |
//! |---|---|
//! | `frame.rs` | where a message ends in a stream of bytes |
//! | `message.rs` | what a message means: greeting, reply, error, event |
//! | `client.rs` | the conversation: greeting, negotiation, pending commands, deadlines |
//!
//! The wire format is described in QEMU's `docs/interop/qmp-spec.rst`.

mod client;
mod frame;
mod message;

pub use client::{
    Client, CommandId, ExecuteError, Incoming, MAX_PENDING_COMMANDS, ProtocolError, Traffic,
};
pub use frame::{FrameError, Framer, MAX_FRAME_BYTES, MAX_NESTING};
pub use message::{ErrorReply, Event, Greeting, Message, QemuVersion, Timestamp};
