//! The agent as PID 1 of real machines.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod host;
mod real {
    pub(crate) mod disks;
    pub(crate) mod files;
    pub(crate) mod room;
    pub(crate) mod talk;
}
