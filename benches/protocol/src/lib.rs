//! The protocol's speed, measured beside a bare loop and other clients.
//!
//! | file | owns |
//! |---|---|
//! | `role.rs` | the words of the command line: what one process does |
//! | `work.rs` | what is measured |
//! | `server.rs` | the stand-in for QEMU |
//! | `reply.rs` | what it answers |
//! | `schema.rs` | its large reply, and the types that decode it |
//! | `contestant.rs` | who is measured: the bare loop, qplug, and its peers, a file each |
//! | `rounds.rs` | taking turns, so that a busy host is busy for all |
//! | `process.rs` | one processor, many descriptors, resident memory |
//!
//! `cargo xtask bench protocol` runs these roles, under counting tools too, and prints the table.

pub mod role;

mod contestant;
mod process;
mod reply;
mod rounds;
mod schema;
mod server;
mod work;

/// Anything that ends a measurement.
type Failure = Box<dyn std::error::Error + Send + Sync>;
