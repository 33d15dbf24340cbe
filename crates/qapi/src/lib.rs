//! What QEMU can do: the schema that it gives of itself.
//!
//! | file | owns |
//! |---|---|
//! | `introspection.rs` | the schema: commands, events and their types |

pub mod introspection;
