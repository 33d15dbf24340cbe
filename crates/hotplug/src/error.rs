//! What can go wrong with a hotplug: whose fault, what state the machine is in, what to do next.

use qplug_proto::ErrorReply;

use crate::command::Command;
use crate::dialect::{Ability, Dialect, DriveError};
use crate::disk::DiskError;
use crate::inventory::{Board, Port};
use crate::name::DiskName;
use crate::texts::Meaning;

/// A hotplug that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guest uses the disk, as its agent tells.
    #[error(
        "{name} {} in the guest: {}. Nothing was changed. Unmount it there first, or pull it out all the same with --force",
        if *is_certain { "is in use" } else { "may be in use" },
        by.join(", ")
    )]
    InGuest {
        /// The disk.
        name: DiskName,
        /// Where it is mounted, and what holds it.
        by: Vec<String>,
        /// Whether the agent tells which of the guest's disks it is.
        is_certain: bool,
    },
    /// The guest's agent did not tell.
    #[error(
        "the guest's agent did not answer to {command}: {why}. Nothing was changed. A detach does without it with --force"
    )]
    AgentSilent {
        /// What it was asked.
        command: &'static str,
        /// Why there is no answer.
        why: String,
    },
    /// The guest's file systems were not frozen.
    #[error(
        "the guest's file systems were not frozen: {why}. They are as they were, and so is the machine"
    )]
    NotFrozen {
        /// Why not.
        why: String,
        /// Whether the agent refused; else it did not answer in time.
        is_refused: bool,
    },
    /// The guest's file systems could not be thawed, or nobody knows.
    #[error(
        "the guest's file systems may still be frozen: {why}. 'qplug thaw' thaws them, with the same --agent; where the agent does not answer any more, start it again in the guest, or reset the machine"
    )]
    MayBeFrozen {
        /// Why that is not known.
        why: String,
    },
    /// Some disk cannot have such a snapshot.
    #[error(
        "no snapshot was taken: {why}. Nothing was changed. Only qcow2 images that can be written to have snapshots inside; name the disks that can"
    )]
    SnapshotUnfit {
        /// Each disk that cannot, and why.
        why: String,
    },
    /// The transaction was sent, and no answer came.
    #[error(
        "whether QEMU took the snapshot {tag} is unknown: {why}. 'qplug snapshot --list' tells: it is in all disks, or in none"
    )]
    SnapshotUnknown {
        /// The snapshot.
        tag: String,
        /// Why there was no answer.
        why: String,
    },
    /// There is no such snapshot.
    #[error(
        "there is no snapshot {tag} in {}; nothing was changed. 'qplug snapshot --list' tells which there are",
        if disks.is_empty() { "any disk".to_owned() } else { disks.join(", ") }
    )]
    NoSuchSnapshot {
        /// The name.
        tag: String,
        /// The disks that were named and do not have it.
        disks: Vec<String>,
    },
    /// The name belongs to a disk over another image, or of other properties.
    #[error(
        "the name {name} is taken: it is {holds}. Nothing was changed. Detach it first, or take another name with --name"
    )]
    NameTaken {
        /// The name.
        name: DiskName,
        /// What it names.
        holds: String,
    },
    /// A device has the name, or holds the disk, that qplug did not make.
    #[error(
        "{name} was not attached by qplug: {holds}. Nothing was changed. If you mean it: qplug exec device_del id={name}"
    )]
    NotOurs {
        /// The name.
        name: DiskName,
        /// What it names.
        holds: String,
    },
    /// The image is open in this machine under another name, and one of the two writes.
    #[error(
        "the image {image} is in use in this machine already, by {by}. Nothing was changed. Detach it there first; two disks can share an image only when both are read-only"
    )]
    ImageInUse {
        /// The image.
        image: String,
        /// The disk or node that has it open.
        by: String,
    },
    /// Something uses the disk's image besides its device, so that it cannot be closed.
    #[error(
        "{name} is in use by {by}. Nothing was changed. End that first, then run the command again"
    )]
    Busy {
        /// The disk.
        name: DiskName,
        /// What uses it.
        by: String,
    },
    /// What was to be removed because no disk used it has a disk again.
    #[error("{shared} has a disk of another client's again, and stays")]
    InUseAgain {
        /// Its id.
        shared: String,
    },
    /// An attach or a detach of another image ended early under this name.
    #[error(
        "the name {name} is taken: {image} was left open under it by an attach or a detach that ended early. Nothing was changed. 'qplug detach {name}' closes it; attaching {image} again finishes it"
    )]
    NameHalfDone {
        /// The name.
        name: DiskName,
        /// The image that is open.
        image: String,
    },
    /// The disk itself, before any machine was looked at.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Two disks of the list have one name.
    #[error(
        "two disks of the list are called {name}; nothing was changed. Give each a name of its own"
    )]
    NamedTwice {
        /// The name.
        name: DiskName,
    },
    /// Another disk of the list cannot be attached, so that none was.
    #[error("nothing was changed, because another disk of the list cannot be attached")]
    NotTried,
    /// What the disk shares with others could not be made.
    #[error(
        "{shared} could not be made, which the disk was to share: {why}. Nothing was changed for it"
    )]
    NotShared {
        /// The id of what is shared.
        shared: String,
        /// Why not.
        why: String,
    },
    /// The guest was asked to let go of the disk, and has not answered yet.
    #[error(
        "{name} is being detached: the guest was asked to let go, and has not answered yet. Nothing was changed. 'qplug detach {name}' goes on with it, then attach it again"
    )]
    Leaving {
        /// The disk.
        name: DiskName,
    },
    /// The machine is being migrated, so that QEMU takes no device.
    #[error(
        "the machine is being migrated ({status}), and takes no disk meanwhile; nothing was changed. Wait until the migration ends ('qplug exec query-migrate')"
    )]
    Migrating {
        /// QEMU's word for how it stands.
        status: String,
    },
    /// The disk wants something that this machine cannot.
    #[error(
        "this machine cannot have {ability}: it is QEMU {version}, in its dialect '{dialect}', and QEMU {since} is the first that can; nothing was changed",
        since = ability.since(*dialect)
    )]
    NotAble {
        /// What it cannot.
        ability: Ability,
        /// Its version.
        version: String,
        /// Its dialect.
        dialect: Dialect,
    },
    /// The machine has no command that brings a disk.
    #[error(
        "this QEMU ({version}) has no command that plugs disks: neither blockdev-add and blockdev-del, nor a human monitor with drive_add, nor __com.redhat_drive_add; nothing was changed"
    )]
    NoDialect {
        /// Its version.
        version: String,
    },
    /// The disk cannot be a drive of a machine that has no nodes.
    #[error("{0}. Nothing was changed")]
    Drive(#[from] DriveError),
    /// This QEMU cannot open such an image.
    #[error(
        "this QEMU has no block driver {driver}; nothing was changed. It may be in a package of its own (qemu-block-extra), or need a QEMU that was built with it"
    )]
    NoDriver {
        /// The driver.
        driver: String,
    },
    /// There is no such throttle group, and no limits to make one of.
    #[error(
        "there is no throttle group {group} in this machine; nothing was changed. Give its limits with --throttle, and it is made"
    )]
    NoSuchGroup {
        /// The group's name.
        group: String,
    },
    /// There is such a throttle group already, so that the limits would not hold.
    #[error(
        "there is a throttle group {group} already; nothing was changed. Leave out --throttle to join it; 'qplug throttle' changes its limits"
    )]
    GroupExists {
        /// The group's name.
        group: String,
    },
    /// There is no USB controller with an id.
    #[error(
        "this machine has no USB controller with an id; nothing was changed. Start QEMU with one (-device qemu-xhci,id=xhci)"
    )]
    NoUsbBus,
    /// There is no such drive.
    #[error(
        "there is no CD or floppy drive {drive} in this machine; nothing was changed{}",
        list("there is", known)
    )]
    NoSuchDrive {
        /// What was asked for.
        drive: String,
        /// The drives there are.
        known: Vec<String>,
    },
    /// The medium of this device cannot be changed.
    #[error(
        "{drive} is a hard disk, and has no medium to change; nothing was changed. 'qplug attach' and 'qplug detach' are for those"
    )]
    NotRemovable {
        /// The device.
        drive: String,
    },
    /// There is something in the drive.
    #[error(
        "there is a medium in {drive} already: {image}; nothing was changed. 'qplug swap' puts another in its place, 'qplug eject' takes it out"
    )]
    MediumInside {
        /// The drive.
        drive: String,
        /// What is in it.
        image: String,
    },
    /// Another client changed the drive's medium meanwhile.
    #[error(
        "another client of this machine changed the medium of {drive} meanwhile; what this command had done is undone. Look at 'qplug list', and run it again if you still want to"
    )]
    DriveOvertaken {
        /// The drive.
        drive: String,
    },
    /// There is no such device, or nothing is in it.
    #[error(
        "there is no disk or device called {name} in this machine; nothing was changed{}",
        list("there is", known)
    )]
    NoSuchDevice {
        /// The name.
        name: String,
        /// The devices that have a disk.
        known: Vec<String>,
    },
    /// The size is one that the disk cannot have.
    #[error("{name} cannot be given {bytes} bytes: {why}; nothing was changed")]
    SizeUnfit {
        /// The disk.
        name: String,
        /// The size that was asked for.
        bytes: u64,
        /// Why not.
        why: String,
    },
    /// There is no such disk.
    #[error("there is no disk called {name} in this machine{}", list("qplug attached", known))]
    NoSuchDisk {
        /// The name.
        name: DiskName,
        /// The disks that qplug made.
        known: Vec<String>,
    },
    /// All ports are taken.
    #[error("no free port in this machine ({board}: {places}); nothing was changed. To make room, {}", board.how_to_make_room())]
    NoFreePort {
        /// The kind of machine.
        board: Board,
        /// What there is, in a few words.
        places: String,
    },
    /// There is no port of that name.
    #[error(
        "there is no port {port} in this machine; nothing was changed{}",
        list("free are", free)
    )]
    NoSuchPort {
        /// The name that was asked for.
        port: String,
        /// The ports that are free.
        free: Vec<String>,
    },
    /// The port that was asked for cannot take the disk.
    #[error("the port {port} cannot take a disk: it {why}; nothing was changed")]
    PortUnfit {
        /// The port.
        port: Port,
        /// Why.
        why: String,
    },
    /// QEMU refused a step.
    #[error("QEMU refused to {doing}: {}. {after}{}", reply.desc, remedy(*meaning))]
    Refused {
        /// What was to be done, such as 'open the image'.
        doing: &'static str,
        /// QEMU's words.
        reply: ErrorReply,
        /// What they mean, where that is known.
        meaning: Option<Meaning>,
        /// What state the machine is in.
        after: After,
    },
    /// A step was not sent, because the connection was lost before it.
    #[error(
        "the connection was lost before qplug could {doing}: {why}. {after}. Run the same command again"
    )]
    NotSent {
        /// What was to be done.
        doing: &'static str,
        /// Why it was not sent.
        why: String,
        /// What state the machine is in.
        after: After,
    },
    /// A step was sent, and no answer came.
    #[error(
        "whether QEMU could {doing} for {name} is unknown: {why}. Run the same command again: it reads the machine and goes on from there"
    )]
    Unknown {
        /// The disk, or what disks share.
        name: String,
        /// What was to be done.
        doing: &'static str,
        /// Why there was no answer.
        why: String,
    },
    /// A query had no answer. Nothing was changed.
    #[error("{command} was not answered: {why}. Nothing was changed")]
    QueryLost {
        /// The query.
        command: &'static str,
        /// Why there was no answer.
        why: String,
    },
    /// QEMU refused a query. Nothing was changed.
    #[error(
        "QEMU refused {command}: {reply}. Nothing was changed; 'qplug status' tells what this QEMU can"
    )]
    QueryRefused {
        /// The query.
        command: &'static str,
        /// QEMU's words.
        reply: ErrorReply,
    },
    /// QEMU's answer has an unknown shape.
    #[error(
        "QEMU's answer to {command} is not understood ({reason}). Nothing was changed; please report it with QEMU's version"
    )]
    NotUnderstood {
        /// The query.
        command: &'static str,
        /// What the decoder found wrong.
        reason: String,
    },
}

/// What state a refused step left the machine in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum After {
    /// No step was carried out.
    #[error("Nothing was changed")]
    Unchanged,
    /// The steps before it were undone.
    #[error("The machine is as it was: what was done before was undone")]
    Undone,
    /// The steps of this run were undone; an image that an earlier run had left open still is.
    #[error("The machine is as it was, with the image left open by an earlier attach or detach")]
    AsFound,
    /// The guest has let go, and the image could not be closed.
    #[error("The guest has let go of the disk, and its image is still open in the machine")]
    StillOpen,
    /// Something could not be undone.
    #[error("Not everything that was done could be undone; left is {}. 'qplug recover' removes what is left", left(.0))]
    Left(Vec<Left>),
}

/// Something that an attach made and could not take back.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// The command that removes it.
    pub undo: Command,
    /// Why it could not be removed.
    pub why: String,
}

/// Who is to blame, for exit codes and for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The caller asked the impossible; nothing that changes the machine was sent.
    Impossible,
    /// QEMU refused.
    Refused,
    /// The guest was asked to let go of the disk, and has not answered yet.
    Pending,
    /// A step was sent and not answered.
    Unknown,
    /// The connection failed before anything was changed.
    Connection,
}

impl Error {
    /// Who is to blame.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Disk(_)
            | Self::Drive(_)
            | Self::NotAble { .. }
            | Self::NoDialect { .. }
            | Self::NamedTwice { .. }
            | Self::NotTried
            | Self::Migrating { .. }
            | Self::NoDriver { .. }
            | Self::NoSuchGroup { .. }
            | Self::GroupExists { .. }
            | Self::NoUsbBus
            | Self::NoSuchDrive { .. }
            | Self::NotRemovable { .. }
            | Self::MediumInside { .. }
            | Self::DriveOvertaken { .. }
            | Self::SizeUnfit { .. }
            | Self::SnapshotUnfit { .. }
            | Self::NoSuchSnapshot { .. }
            | Self::NoSuchDevice { .. }
            | Self::NameTaken { .. }
            | Self::NotOurs { .. }
            | Self::ImageInUse { .. }
            | Self::Busy { .. }
            | Self::InUseAgain { .. }
            | Self::InGuest { .. }
            | Self::NameHalfDone { .. }
            | Self::NoSuchDisk { .. }
            | Self::NoFreePort { .. }
            | Self::NoSuchPort { .. }
            | Self::PortUnfit { .. } => Kind::Impossible,
            Self::Leaving { .. } => Kind::Pending,
            Self::NotFrozen { is_refused: false, .. } => Kind::Connection,
            Self::NotFrozen { .. }
            | Self::NotShared { .. }
            | Self::Refused { .. }
            | Self::QueryRefused { .. }
            | Self::NotUnderstood { .. } => Kind::Refused,
            Self::Unknown { .. } | Self::SnapshotUnknown { .. } | Self::MayBeFrozen { .. } => {
                Kind::Unknown
            }
            Self::QueryLost { .. } | Self::AgentSilent { .. } | Self::NotSent { .. } => {
                Kind::Connection
            }
        }
    }
}

fn left(left: &[Left]) -> String {
    let each = left.iter().map(|left| format!("'qplug exec {}' ({})", left.undo, left.why));
    each.collect::<Vec<_>>().join(", ")
}

fn list(what: &str, names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names {
        [] => format!("; {what} none"),
        names if names.len() <= SHOWN => format!("; {what} {}", names.join(", ")),
        names => {
            let shown = names[..SHOWN].join(", ");
            format!("; {what} {shown} and {} more", names.len() - SHOWN)
        }
    }
}

fn remedy(meaning: Option<Meaning>) -> String {
    meaning
        .and_then(Meaning::remedy)
        .map(|text| format!(". {}", capitalised(text)))
        .unwrap_or_default()
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
