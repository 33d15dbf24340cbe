//! What the appliance's agent and its host say to each other, with no I/O.
//!
//! The agent is PID 1 of the appliance, and a QMP server on virtio-serial ports, [`wire::CONTROL_PORT`]. File
//! contents travel beside each on a second port, [`wire::FILES_PORT`], as numbered streams of bytes.
//!
//! | file | owns |
//! |---|---|
//! | `meeting.rs` | how a host and an agent that may hold old bytes for each other begin anew |
//! | `wire.rs` | commands, replies and events |
//! | `name.rs` | file names, which are bytes, in JSON |
//! | `streams.rs` | streams on the second port: framing and flow control |
//! | `probe.rs` | which file system is on a device, by its first bytes |
//!
//! The agent itself is the binary `qplug-agent`.

pub mod meeting;
mod name;
pub mod probe;
pub mod streams;
pub mod wire;

pub use name::Name;
