//! What may happen to a machine: what qplug is told, what others do, what the guest does, and what
//! goes wrong meanwhile. All of it shrinks to a short story.

use std::time::Duration;

use proptest::prelude::*;
use qplug_hotplug::Bus;
use qplug_sim::{Config, Guest, Image, Start, Version};

use crate::wire::{Kill, Trouble};

/// The disks that there may be.
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// The images that there may be, with their formats.
pub(crate) const IMAGES: [(&str, &str); 6] = [
    ("/img/0", "raw"),
    ("/img/1", "raw"),
    ("/img/2", "qcow2"),
    ("/img/3", "qcow2"),
    LOCKED,
    MISSING,
];

/// One that another process writes to.
const LOCKED: (&str, &str) = ("/img/locked", "raw");

const MISSING: (&str, &str) = ("/img/missing", "raw");

/// An image that only others open.
pub(crate) const THEIR_IMAGE: &str = "/img/theirs";

const IMAGE_BYTES: u64 = 1 << 20;

/// A throttle group that disks may be in.
pub(crate) const GROUP: &str = "gold";

/// A disk as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    pub(crate) name: &'static str,
    pub(crate) image: usize,
    pub(crate) bus: Option<Bus>,
    pub(crate) read_only: bool,
    pub(crate) limits: Limited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limited {
    Not,
    Alone,
    /// In a group, which is made where it is not there.
    InGroup,
    /// In a group that is there.
    Joining,
}

#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Attach(Vec<Wish>),
    /// All of them where there are no names.
    Detach(Vec<&'static str>, Duration),
    Recover(Duration),
    Resize(&'static str, u64),
    List,
    /// A disk, or the group.
    Limit(Option<&'static str>),
}

/// What another client does.
#[derive(Debug, Clone)]
pub(crate) enum Foreign {
    /// Opens an image of its own.
    Open,
    /// Opens an image that a disk may want.
    OpenOurs(usize),
    /// A node that is called as one of a disk's, but for the node below.
    Lookalike(&'static str),
    /// A device that is called as a disk, over a node of its own.
    Device(&'static str),
    Secret(&'static str),
    /// A throttle group of the plain name.
    Group,
    /// Removes what it made, as far as it can.
    TidyUp,
    /// Asks the guest to let go of a disk of qplug's.
    Unplug(&'static str),
    /// A block job on a disk of qplug's.
    Job(&'static str),
    /// An export of a disk of qplug's.
    Export(&'static str),
    EndJobs,
    /// Takes the drive of a disk of qplug's, plugged or not, where there are drives.
    Drop(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Qplug(Deed, Trouble),
    /// qplug does this, and another client that, behind so many of its commands.
    Together(Deed, u64, Foreign),
    /// qplug does this while the machine is being migrated.
    Migrating(Deed),
    Foreign(Foreign),
    Guest(Guest),
    /// The guest lets go of a disk by itself.
    PullOut(&'static str),
    Stop,
    Cont,
    Reset,
    Wait(Duration),
    /// The guest answers, others end their jobs, and `recover` is run.
    Settle,
}

/// The machine that it all happens to.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) version: Version,
    /// Root ports of a q35; a pc where there is no number.
    pub(crate) ports: Option<u8>,
    pub(crate) native: bool,
    pub(crate) scsi: bool,
    pub(crate) usb: bool,
    pub(crate) prelaunch: bool,
}

impl Parts {
    pub(crate) fn config(&self) -> Config {
        let mut config = match self.ports {
            Some(ports) => Config::q35(ports),
            None => Config::pc(),
        };
        if self.native {
            config = config.native_hotplug();
        }
        if self.scsi {
            config = config.scsi("scsi0", self.ports.map(|_| "rp0"));
        }
        if self.usb {
            config = config.xhci("xhci");
        }
        if self.prelaunch {
            config = config.start(Start::Prelaunch);
        }
        config = config.version(self.version);
        for (path, format) in IMAGES.into_iter().filter(|image| *image != MISSING) {
            let image = Image::new(format, IMAGE_BYTES);
            let image = if (path, format) == LOCKED { image.locked() } else { image };
            config = config.image(path, image);
        }
        config.image(THEIR_IMAGE, Image::raw(IMAGE_BYTES))
    }
}

pub(crate) fn parts() -> impl Strategy<Value = Parts> {
    let version = prop_oneof![
        2 => Just(Version::V0_14),
        1 => Just(Version::Rhel6),
        2 => Just(Version::V1_2),
        2 => Just(Version::V2_5),
        2 => Just(Version::V2_9),
        3 => Just(Version::V7_2),
        3 => Just(Version::V10_0),
    ];
    let ports = prop_oneof![4 => (1_u8..6).prop_map(Some), 1 => Just(None)];
    let rarely = || prop::bool::weighted(0.2);
    (version, ports, rarely(), any::<bool>(), any::<bool>(), rarely()).prop_map(
        |(version, ports, native, scsi, usb, prelaunch)| {
            // Before these there was no such board, and there were no such controllers.
            let ports = ports.filter(|_| version >= Version::V2_9);
            Parts {
                version,
                native: native && ports.is_some(),
                ports,
                scsi: scsi && version >= Version::V2_9,
                usb: usb && version >= Version::V7_2,
                prelaunch,
            }
        },
    )
}

impl Wish {
    /// Whether this QEMU can have such a disk.
    pub(crate) fn is_able(&self, version: Version) -> bool {
        let can_limit = match self.limits {
            Limited::Not => true,
            // QEMU 1.1 to 2.8 limit drives, and 2.11 limits nodes.
            Limited::Alone => {
                version >= Version::V7_2 || matches!(version, Version::V1_2 | Version::V2_5)
            }
            Limited::InGroup | Limited::Joining => version >= Version::V7_2,
        };
        can_limit && (version >= Version::V2_9 || self.bus.is_none_or(|it| it == Bus::VirtioBlk))
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

fn wish() -> impl Strategy<Value = Wish> {
    let bus = prop_oneof![
        4 => Just(None),
        3 => Just(Some(Bus::VirtioBlk)),
        2 => Just(Some(Bus::VirtioScsi)),
        1 => Just(Some(Bus::Nvme)),
        1 => Just(Some(Bus::UsbStorage)),
    ];
    let limits = prop_oneof![
        6 => Just(Limited::Not),
        2 => Just(Limited::Alone),
        2 => Just(Limited::InGroup),
        1 => Just(Limited::Joining),
    ];
    let image = prop_oneof![8 => 0_usize..4, 1 => 4..IMAGES.len()];
    (name(), image, bus, prop::bool::weighted(0.3), limits).prop_map(
        |(name, image, bus, read_only, limits)| {
            // QEMU never closes the image of an nvme that it could not lock (docs/simulator.md).
            let bus = bus.filter(|bus| *bus != Bus::Nvme || IMAGES[image] != LOCKED);
            Wish { name, image, bus, read_only, limits }
        },
    )
}

/// How long a guest is waited for.
fn patience() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::from_secs(30)), (0_u64..40_000).prop_map(Duration::from_millis),]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => prop::collection::vec(wish(), 1..=1).prop_map(Deed::Attach),
        3 => prop::collection::vec(wish(), 2..5).prop_map(Deed::Attach),
        5 => (prop::collection::vec(name(), 1..=1), patience()).prop_map(|(n, p)| Deed::Detach(n, p)),
        2 => (prop::sample::subsequence(&NAMES[..], 0..=4), patience())
            .prop_map(|(n, p)| Deed::Detach(n, p)),
        2 => patience().prop_map(Deed::Recover),
        1 => (name(), 1_u64..4).prop_map(|(name, more)| Deed::Resize(name, more * 512)),
        1 => prop::option::of(name()).prop_map(Deed::Limit),
        1 => Just(Deed::List),
    ]
}

const COMMANDS: [&str; 15] = [
    "human-monitor-command",
    "human-monitor-command",
    "human-monitor-command",
    "human-monitor-command",
    "__com.redhat_drive_add",
    "query-block",
    "query-pci",
    "blockdev-add",
    "device_add",
    "device_del",
    "blockdev-del",
    "object-add",
    "object-del",
    "query-named-block-nodes",
    "qom-list",
];

fn fault() -> impl Strategy<Value = String> {
    let named = (prop::sample::select(&COMMANDS[..]), 1_u8..4)
        .prop_map(|(command, number)| format!("{command}:{number}"));
    let which = prop_oneof![named, (1_u8..20).prop_map(|number| number.to_string())];
    let event = prop_oneof![
        3 => Just("DEVICE_DELETED".to_owned()),
        3 => (1_u8..5).prop_map(|number| format!("DEVICE_DELETED:{number}")),
        1 => Just("DEVICE_UNPLUG_GUEST_ERROR".to_owned()),
    ];
    let to_event = prop_oneof![
        Just("lose".to_owned()),
        Just("double".to_owned()),
        (1_u16..20_000).prop_map(|ms| format!("delay {ms}ms")),
    ];
    let to_event = (event, to_event).prop_map(|(event, what)| match what.split_once(' ') {
        Some((verb, time)) => format!("{verb} {event} {time}"),
        None => format!("{what} {event}"),
    });
    let to_command = prop_oneof![
        3 => Just(("drop", " unheard")),
        3 => Just(("drop", " unanswered")),
        3 => Just(("drop", " answered")),
        4 => Just(("fail", " GenericError Something is wrong")),
        1 => Just(("fail", " GenericError Node x is in use")),
        1 => Just(("fail", " DeviceNotFound Device 'x' not found")),
        2 => Just(("twice", "")),
        2 => Just(("swap", "")),
        1 => Just(("garbage", " ]nonsense")),
    ];
    let to_command =
        (to_command, which).prop_map(|((verb, rest), which)| format!("{verb} {which}{rest}"));
    prop_oneof![3 => to_command, 1 => to_event]
}

fn kill() -> impl Strategy<Value = Kill> {
    prop_oneof![
        4 => (0_usize..1500).prop_map(Kill::Sent),
        1 => (0_usize..20_000).prop_map(Kill::Heard),
        1 => (0_u64..30_000).prop_map(|ms| Kill::Waited(Duration::from_millis(ms))),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let none = Just(Trouble::none());
    let size = || prop_oneof![3 => Just(usize::MAX), 1 => 1_usize..200];
    let faults = prop_oneof![
        2 => Just(Vec::new()),
        3 => prop::collection::vec(fault(), 1..4),
    ];
    let some =
        (
            faults,
            prop::option::of(kill()),
            size(),
            size(),
            any::<bool>(),
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.1),
        )
            .prop_map(|(faults, kill, up, down, events_first, reconnects, misses)| {
                Trouble { faults, kill, up, down, events_first, reconnects, misses }
            });
    prop_oneof![1 => none, 1 => some]
}

fn foreign() -> impl Strategy<Value = Foreign> {
    prop_oneof![
        2 => Just(Foreign::Open),
        2 => (0_usize..4).prop_map(Foreign::OpenOurs),
        1 => name().prop_map(Foreign::Lookalike),
        2 => name().prop_map(Foreign::Device),
        2 => name().prop_map(Foreign::Secret),
        1 => Just(Foreign::Group),
        3 => Just(Foreign::TidyUp),
        2 => name().prop_map(Foreign::Unplug),
        2 => name().prop_map(Foreign::Job),
        1 => name().prop_map(Foreign::Export),
        2 => Just(Foreign::EndJobs),
        2 => name().prop_map(Foreign::Drop),
    ]
}

fn guest() -> impl Strategy<Value = Guest> {
    let time = || (0_u64..25_000).prop_map(Duration::from_millis);
    prop_oneof![
        4 => Just(Guest::Quick),
        1 => time().prop_map(Guest::Slow),
        1 => time().prop_map(Guest::Busy),
        1 => Just(Guest::Dead),
        1 => time().prop_map(Guest::Booting),
        1 => time().prop_map(Guest::PullsOut),
        1 => Just(Guest::Rejects),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        14 => (deed(), trouble()).prop_map(|(deed, trouble)| Op::Qplug(deed, trouble)),
        3 => (deed(), 0_u64..20, foreign()).prop_map(|(deed, after, foreign)| {
            Op::Together(deed, after, foreign)
        }),
        1 => deed().prop_map(Op::Migrating),
        4 => foreign().prop_map(Op::Foreign),
        3 => guest().prop_map(Op::Guest),
        1 => name().prop_map(Op::PullOut),
        1 => Just(Op::Stop),
        1 => Just(Op::Cont),
        1 => Just(Op::Reset),
        1 => (0_u64..30_000).prop_map(|ms| Op::Wait(Duration::from_millis(ms))),
        2 => Just(Op::Settle),
    ]
}
