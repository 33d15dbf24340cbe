//! Disks of real appliances: who they are, that they stay who they are, and that none is lost; and files.
//!
//! | file | owns |
//! |---|---|
//! | `room.rs` | appliances for tests |
//! | `journey.rs` | disks made, filled and taken out, and what is in their images then |
//! | `names.rs`, `root.rs` | labels that stay where kernels' names move, and the disk that has none |
//! | `many.rs` | many disks, and one many times |
//! | `copies.rs` | files in and out, several at once |
//! | `safety.rs`, `trouble.rs` | what is in use, and what goes wrong |

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod copies;
mod journey;
mod many;
mod names;
mod room;
mod root;
mod safety;
mod trouble;
