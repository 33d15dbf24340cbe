//! Plugs disks into running QEMU machines, and pulls them out again, with outcomes that can be
//! trusted.
//!
//! ```text
//! inventory (what is there) → plan (what to do) → run (do it, or undo it) → outcome
//! ```
//!
//! All of it is pure but [`Machine`], which moves an operation over a connection, and
//! [`DiskBuilder::image`], which looks at the image.
//!
//! | file | owns |
//! |---|---|
//! | `name.rs` | what a disk may be called, and what it is called in the machine |
//! | `disk.rs`, `image.rs`, `format.rs` | the disk that is wanted: its image, and what its header may be believed |
//! | `inventory.rs` | the machine as its answers show it |
//! | `command.rs`, `texts.rs` | the QMP commands given, and the table of QEMU's error texts |
//! | `plan.rs`, `run.rs` | what to do, each step with its undo |
//! | `attach.rs`, `detach.rs`, `list.rs`, `ports.rs`, `status.rs` | the operations |
//! | `preview.rs` | what an attach or a detach would do |
//! | `wait.rs`, `native.rs` | whether the guest uses a disk, and whether its port is a slow one |
//! | `agent.rs`, `identity.rs` | what a guest's agent says of a disk, and how it is found there |
//! | `operation.rs`, `drive.rs` | what operations have in common, and what moves them |
//! | `error.rs` | what can go wrong, and in which state it leaves the machine |

mod agent;
mod attach;
mod bus;
mod command;
mod crowd;
mod departure;
mod detach;
mod disk;
mod drive;
mod error;
mod format;
mod identity;
mod image;
mod inventory;
mod leaving;
mod list;
mod machine;
mod media;
mod name;
mod native;
mod observe;
mod operation;
mod options;
mod places;
mod plan;
mod ports;
mod preview;
mod recover;
mod resize;
mod run;
mod spares;
mod status;
mod step;
mod steps;
mod storage;
mod texts;
mod throttle;
mod throttling;
mod wait;

pub use attach::{Attach, Attached};
pub use bus::{Bus, BusError};
pub use command::{Command, Descriptor};
pub use detach::{Departures, Detach, Detached, Which};
pub use disk::{Disk, DiskBuilder, DiskError};
pub use error::{After, Error, Kind, Left};
pub use format::{Distrust, Format, UnknownFormat};
pub use image::ImageError;
pub use inventory::{Board, Port};
pub use list::{DiskState, List, ListedDisk};
pub use machine::Machine;
pub use media::{Change, ChangeMedium, Changed};
pub use name::{DiskName, MAX_NAME_BYTES, NameError, Serial};
pub use operation::{Answer, Operation};
pub use options::{
    Access, Aio, Cache, DetectZeroes, DeviceOptions, OnError, OptionError, UnknownWord,
};
pub use ports::{ListPorts, ListedPort, PortKind, PortState, Ports};
pub use preview::{Planned, PlannedStep, Plans, Preview};
pub use recover::{Recover, Recovered};
pub use resize::{Resize, Resized, Size};
pub use status::{AskStatus, Status};
pub use storage::Storage;
pub use texts::Meaning;
pub use throttle::{LimitError, Limits, Throttle};
pub use throttling::{Limited, SetLimits, Throttled};
pub use wait::AwaitGuest;
