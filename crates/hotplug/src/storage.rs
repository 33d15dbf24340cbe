//! Where a disk's bytes are, as QEMU opens them: the nodes, and what they need beside them.

use serde_json::{Map, Value, json};

use crate::command::Descriptor;
use crate::format::Format;
use crate::inventory::{Fdsets, Node};
use crate::name::DiskName;
use crate::options::Access;

/// Where a disk's bytes are, and in which format.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    pub(crate) protocol: Protocol,
    pub(crate) format: Format,
}

/// How QEMU gets at an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// A regular file, by its path where QEMU runs.
    File(String),
    /// A block device of the host, by its path where QEMU runs.
    HostDevice(String),
}

/// An object that a disk owns, such as a secret.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) properties: Map<String, Value>,
}

impl Storage {
    pub(crate) fn of(protocol: Protocol, format: Format) -> Self {
        Self { protocol, format }
    }

    /// The nodes: the format node with all that it lies on, as `blockdev-add` takes them.
    pub(crate) fn nodes(&self, name: &DiskName, read_only: bool, access: &Access) -> Value {
        let (driver, path) = match &self.protocol {
            Protocol::File(path) => ("file", path),
            Protocol::HostDevice(path) => ("host_device", path),
        };
        let mut file = json!({"driver": driver, "node-name": name.file_node(), "filename": path});
        let mut format = json!({"driver": self.format.as_str(), "node-name": name.format_node()});
        access.write_both(&mut file, read_only);
        access.write_file(&mut file);
        access.write_both(&mut format, read_only);
        access.write_format(&mut format);
        format["file"] = file;
        format
    }

    /// The objects that must be there before the nodes.
    pub(crate) fn objects(&self, _name: &DiskName) -> Vec<Object> {
        Vec::new()
    }

    /// Whether descriptors must be handed over.
    pub(crate) fn has_descriptors(&self) -> bool {
        false
    }

    /// Numbers the sets of descriptors: none of these that are there already.
    pub(crate) fn number_descriptors(&mut self, _there: Option<&Fdsets>) {}

    /// The descriptors that must be handed over before the nodes, with the number of their sets.
    pub(crate) fn descriptors(&self) -> Vec<(u32, Descriptor)> {
        Vec::new()
    }

    /// The drivers that not every QEMU has, so that it is asked first.
    pub(crate) fn rare_drivers(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The image as QEMU shows it, in a node's `file`; nothing where that cannot be told before.
    pub(crate) fn shown(&self) -> Option<&str> {
        match &self.protocol {
            Protocol::File(path) | Protocol::HostDevice(path) => Some(path),
        }
    }

    /// The image in words.
    pub(crate) fn label(&self) -> &str {
        match &self.protocol {
            Protocol::File(path) | Protocol::HostDevice(path) => path,
        }
    }

    /// Whether the format node is one over this image.
    pub(crate) fn is_under(&self, node: &Node) -> bool {
        self.shown() == Some(&node.path) && node.driver == self.format.as_str()
    }
}
