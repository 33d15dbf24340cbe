//! Plugs disks into running QEMU machines, and pulls them out again, with outcomes that can be
//! trusted.
//!
//! ```text
//! inventory (what is there) → plan (what to do) → run (do it, or undo it) → outcome
//! ```
//!
//! All of it is pure but [`Machine`], which moves an operation over a connection, [`GuestView::ask`] and
//! [`Freezer`], which talk to a guest's agent, and [`StorageBuilder::look`], which looks at the image.
//!
//! | file | owns |
//! |---|---|
//! | `name.rs` | what a disk may be called, and what it is called in the machine |
//! | `disk.rs`, `options.rs`, `throttle.rs` | the disk that is wanted |
//! | `bus.rs`, `places.rs`, `spares.rs` | what a bus makes of a disk, where there is room, and what else to try |
//! | `storage.rs`, `image.rs`, `format.rs`, `secret.rs` | what QEMU is to open, what a header may be believed, and who has it open |
//! | `dialect.rs` | which of its dialects the machine speaks, and what it can |
//! | `observe.rs`, `inventory.rs` | the queries, and the machine as their answers show it |
//! | `command.rs`, `texts.rs` | the QMP commands given, and the table of QEMU's error texts |
//! | `plan.rs`, `steps.rs`, `step.rs`, `run.rs` | an attach's steps, each with its undo, and carrying them out |
//! | `departure.rs`, `leaving.rs`, `crowd.rs` | what must go with a disk, how one leaves, how many leave together |
//! | `attach.rs`, `detach.rs`, `recover.rs`, `preview.rs` | the operations on disks |
//! | `media.rs`, `resize.rs`, `throttling.rs` | the operations on what is there |
//! | `snapshot.rs`, `freeze.rs` | snapshots within images, and guests that hold still meanwhile |
//! | `agent.rs`, `wait.rs`, `identity.rs`, `native.rs` | the guest's side: what it uses, and whether it has looked |
//! | `list.rs`, `ports.rs`, `status.rs`, `activity.rs` | what there is, for people and programs |
//! | `window.rs` | how many commands are on their way at once |
//! | `operation.rs`, `drive.rs` | what operations have in common, and what moves them |
//! | `error.rs` | what can go wrong, and in which state it leaves the machine |

mod activity;
mod agent;
mod attach;
mod bus;
mod command;
mod crowd;
mod departure;
mod detach;
mod dialect;
mod disk;
mod drive;
mod error;
mod format;
mod freeze;
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
mod secret;
mod snapshot;
mod spares;
mod status;
mod step;
mod steps;
mod storage;
mod texts;
mod throttle;
mod throttling;
mod wait;
mod window;

pub use activity::{Activity, AskActivity};
pub use agent::{GuestDisk, GuestView};
pub use attach::{Attach, Attached};
pub use bus::{Bus, BusError};
pub use command::{Command, Descriptor};
pub use detach::{Departures, Detach, Detached, Which};
pub use dialect::{Ability, Dialect, DriveError, Features, Probe, UnknownDialect};
pub use disk::{Disk, DiskBuilder, DiskError};
pub use error::{After, Error, Kind, Left};
pub use format::{Distrust, Format, UnknownFormat};
pub use freeze::Freezer;
pub use identity::Identities;
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
pub use secret::Secret;
pub use snapshot::{
    DeleteSnapshot, Deletions, ListSnapshots, ListedSnapshot, MAX_TAG_BYTES, PlanSnapshot, Snapped,
    Snapshot, SnapshotPlan, Tag, TagError, TakeSnapshot,
};
pub use status::{AskStatus, Lacking, Status};
pub use storage::{LocationError, Storage, StorageBuilder};
pub use texts::Meaning;
pub use throttle::{LimitError, Limits, Throttle};
pub use throttling::{Limited, SetLimits, Throttled};
pub use wait::AwaitGuest;
