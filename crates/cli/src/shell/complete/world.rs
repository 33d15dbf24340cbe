//! What completion knows of the world: the machine, and the host.

use std::sync::Arc;

use qplug_qapi::introspection::Schema;

use crate::shell::vocabulary::Vocabulary;

/// Whom completion asks for names.
pub(in crate::shell) trait World {
    /// What the shell understands.
    fn vocabulary(&self) -> &'static Vocabulary;

    /// The machine's schema, where it has one and it was read.
    fn schema(&self) -> Option<Arc<Schema>>;

    /// The names of a kind that there are now. It may ask the machine, and take a moment; what could
    /// not be had in that moment is not there.
    fn names(&self, kind: &Kind) -> Arc<Names>;
}

/// Names, and how many there are besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::shell) struct Names {
    /// Those that are told.
    pub(in crate::shell) names: Vec<Name>,
    /// How many are left out.
    pub(in crate::shell) left_out: usize,
}

/// A name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::shell) struct Name {
    /// What is typed.
    pub(in crate::shell) text: String,
    /// What is said of it; may be empty.
    pub(in crate::shell) note: String,
}

impl Name {
    pub(in crate::shell) fn new(text: impl Into<String>, note: impl Into<String>) -> Self {
        Self { text: text.into(), note: note.into() }
    }
}

/// What something is the name of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::shell) enum Kind {
    /// A command of QMP's, of a machine with no schema.
    Commands,
    /// A block node.
    Nodes,
    /// A block node, or what stands for one: a drive, or the device that has it.
    BlockDevices,
    /// A device with an id.
    Devices,
    /// A disk that qplug attached.
    Disks,
    /// A drive whose medium can be changed, as qplug calls it.
    Drives,
    /// The device of such a drive: its id, or its path in QOM.
    DriveDevices,
    /// A place for a disk, as `--port` takes it.
    Ports,
    /// A bus that devices are plugged into, as `device_add` takes it.
    Buses,
    /// A job.
    Jobs,
    /// A block export.
    Exports,
    /// An object that was made by `object-add`, or by `-object`.
    Objects,
    /// A character device.
    Chardevs,
    /// A network backend.
    Netdevs,
    /// A dirty bitmap of a node.
    Bitmaps(String),
    /// What is below a path in QOM, `/`-ended where there is more below it.
    QomChildren(String),
    /// A property of the object at a path in QOM.
    QomProperties(String),
    /// A type of device.
    DeviceTypes,
    /// Any type of QOM's.
    Types,
    /// A property of a type of device; the note begins with the property's type and `: `.
    Properties(String),
    /// A command of the human monitor's.
    HumanCommands,
    /// What the human monitor's `info` tells of.
    HumanInfo,
    /// A file in a folder of the host's, `/`-ended where it is a folder.
    Files(String),
    /// The same where the machine is, which may be elsewhere.
    MachineFiles(String),
    /// A program of the host's.
    HostCommands,
    /// A disk of an appliance's.
    Labels,
    /// A disk of an appliance's or a partition, which programs find under `/dev/disk/qplug`.
    Links,
    /// What can be mounted in an appliance: a disk, a partition, or what lies on one.
    Mountable,
    /// Where something is mounted in an appliance.
    Mounts,
    /// A file in a folder of an appliance's, `/`-ended where it is a folder.
    Tree(String),
}

impl Kind {
    /// Whether a machine has the same names for as long as it runs.
    pub(in crate::shell) fn is_fixed(&self) -> bool {
        let are_listed_once =
            [Self::Commands, Self::HumanCommands, Self::HumanInfo, Self::DeviceTypes, Self::Types];
        are_listed_once.contains(self) || matches!(self, Self::Properties(_))
    }
}
