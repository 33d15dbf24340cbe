//! Nodes and disks, from `query-named-block-nodes` and `query-block`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::device_of_qom_path;
use crate::name::DiskName;

/// All nodes of the machine, by their names.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<Node>")]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    by_name: HashMap<String, usize>,
    by_path: HashMap<String, Vec<usize>>,
}

impl From<Vec<Node>> for Nodes {
    fn from(nodes: Vec<Node>) -> Self {
        let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, node) in nodes.iter().enumerate() {
            by_path.entry(node.path.clone()).or_default().push(at);
        }
        let by_name = nodes.iter().enumerate().map(|(at, node)| (node.name.clone(), at)).collect();
        Self { nodes, by_name, by_path }
    }
}

/// A node, or what a device's disk says of its node.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Node {
    #[serde(rename = "node-name", default)]
    pub(crate) name: String,
    /// The driver: for qplug's format nodes, the image's format.
    #[serde(rename = "drv")]
    pub(crate) driver: String,
    /// The file name of the node, or of the file it lies on.
    #[serde(rename = "file")]
    pub(crate) path: String,
    #[serde(rename = "ro")]
    pub(crate) read_only: bool,
    /// Before QEMU 1.6 there is none.
    pub(super) image: Option<NodeImage>,
    /// The limits to a drive's speed (QEMU 1.1), 0 where there is none: a burst has one below it.
    #[serde(default)]
    pub(super) iops: u64,
    #[serde(default)]
    pub(super) iops_rd: u64,
    #[serde(default)]
    pub(super) iops_wr: u64,
    #[serde(default)]
    pub(super) bps: u64,
    #[serde(default)]
    pub(super) bps_rd: u64,
    #[serde(default)]
    pub(super) bps_wr: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct NodeImage {
    #[serde(rename = "virtual-size")]
    virtual_size: u64,
    #[serde(rename = "backing-image")]
    backing: Option<Box<BackingImage>>,
    #[serde(default)]
    snapshots: Vec<InnerSnapshot>,
}

/// A snapshot within an image (`SnapshotInfo`), which a filter over the image shows too.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InnerSnapshot {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(rename = "date-sec")]
    pub(crate) seconds: u64,
    #[serde(rename = "vm-state-size")]
    pub(crate) vm_state_bytes: u64,
}

/// An image that another lies on, as that one's node tells.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BackingImage {
    filename: String,
    format: Option<String>,
    #[serde(rename = "backing-image")]
    backing: Option<Box<BackingImage>>,
}

impl BackingImage {
    /// As a node shows it in its `file`.
    pub(crate) fn filename(&self) -> &str {
        &self.filename
    }

    pub(crate) fn format(&self) -> Option<&str> {
        self.format.as_deref()
    }

    /// What this one lies on.
    pub(crate) fn backing(&self) -> Option<&BackingImage> {
        self.backing.as_deref()
    }
}

impl Node {
    /// Whether it may be of this driver: what a drive opened by itself has no driver that is told.
    pub(crate) fn may_be_of(&self, driver: &str) -> bool {
        self.driver.is_empty() || self.driver == driver
    }

    /// The size that the guest sees, in bytes, where the machine tells (QEMU 1.6).
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.image.as_ref().map(|image| image.virtual_size)
    }

    /// Whether the speed of what this is the top of is limited by itself, and not by a throttle node.
    pub(crate) fn is_slowed(&self) -> bool {
        let limits = [self.iops, self.iops_rd, self.iops_wr, self.bps, self.bps_rd, self.bps_wr];
        limits.into_iter().any(|limit| limit > 0)
    }

    /// The throttle group that this node is in, which a throttle node shows as a part of its file
    /// (QEMU 7.2 and 10.0).
    pub(crate) fn throttle_group(&self) -> Option<String> {
        let options: Value = serde_json::from_str(self.path.strip_prefix("json:")?).ok()?;
        Some(options["throttle-group"].as_str()?.to_owned())
    }

    /// The snapshots within the image.
    pub(crate) fn snapshots(&self) -> &[InnerSnapshot] {
        self.image.as_ref().map(|image| &image.snapshots[..]).unwrap_or_default()
    }

    /// The image that this one lies on.
    pub(crate) fn backing(&self) -> Option<&BackingImage> {
        self.image.as_ref()?.backing.as_deref()
    }
}

impl Nodes {
    /// The format node of a disk that qplug made, whether or not a device uses it.
    pub(crate) fn format_node(&self, name: &DiskName) -> Option<&Node> {
        self.node(&name.format_node())
    }

    /// The node of this name.
    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.by_name.get(name).map(|at| &self.nodes[*at])
    }

    /// The nodes that lie on this file.
    pub(crate) fn over(&self, path: &str) -> impl Iterator<Item = &Node> {
        self.by_path.get(path).into_iter().flatten().map(|at| &self.nodes[*at])
    }

    /// All nodes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The image of a disk that qplug made, as its lowest node shows it: the upper one of an
    /// encrypted image, or of one with layers, shows all its options.
    pub(crate) fn image_of(&self, name: &DiskName) -> Option<&str> {
        let node = self.node(&name.file_node()).or_else(|| self.format_node(name))?;
        Some(&node.path)
    }

    /// The disks that qplug made: both nodes are there.
    pub(crate) fn disks(&self) -> impl Iterator<Item = (DiskName, &Node)> {
        self.nodes.iter().filter_map(|node| {
            let name = DiskName::of_format_node(&node.name)?;
            self.by_name.contains_key(&name.file_node()).then_some((name, node))
        })
    }
}

/// The disks that devices use, by the devices' ids.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<Block>")]
pub(crate) struct Blocks {
    blocks: Vec<Block>,
    by_id: HashMap<String, usize>,
    /// By the node that the device holds; of several devices, the first.
    by_node: HashMap<String, usize>,
}

impl From<Vec<Block>> for Blocks {
    fn from(blocks: Vec<Block>) -> Self {
        let ids = blocks.iter().enumerate().map(|(at, block)| (block.id().to_owned(), at));
        let mut by_node = HashMap::new();
        for (at, block) in blocks.iter().enumerate() {
            if let Some(node) = &block.inserted {
                by_node.entry(node.name.clone()).or_insert(at);
            }
        }
        Self { by_id: ids.collect(), by_node, blocks }
    }
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(super) struct Block {
    /// The old name of the drive; empty for disks made with `blockdev-add`.
    #[serde(default)]
    pub(super) device: String,
    pub(super) qdev: Option<String>,
    pub(super) inserted: Option<Node>,
    #[serde(default)]
    pub(super) removable: bool,
    pub(super) tray_open: Option<bool>,
}

/// A disk as a device of the machine holds it.
#[derive(Debug)]
pub(crate) struct DeviceDisk<'a> {
    /// The device's id, else the name of its drive.
    pub(crate) id: &'a str,
    /// What is in it; nothing in an empty CD drive.
    pub(crate) node: Option<&'a Node>,
    /// Whether the device may have a controller, or a part of its own: every one but virtio-blk,
    /// whose disk is `virtio-backend`.
    pub(crate) may_have_parts: bool,
    /// What QEMU calls the device here: its id, or its path.
    pub(crate) qdev: Option<&'a str>,
    /// The name of its drive, where `-drive` or the board made it; else empty.
    pub(crate) old_name: &'a str,
    /// Whether the medium can be changed.
    pub(crate) removable: bool,
    /// Whether the tray is open; absent where there is none.
    pub(crate) tray_open: Option<bool>,
}

impl Block {
    /// The device's id, else its path, else the name of its drive.
    pub(super) fn id(&self) -> &str {
        match self.qdev.as_deref() {
            Some(path) => device_of_qom_path(path).unwrap_or(path),
            None => &self.device,
        }
    }

    fn disk(&self) -> DeviceDisk<'_> {
        let is_virtio_blk = |path: &str| path.ends_with("/virtio-backend");
        DeviceDisk {
            id: self.id(),
            node: self.inserted.as_ref(),
            may_have_parts: !self.qdev.as_deref().is_some_and(is_virtio_blk),
            qdev: self.qdev.as_deref(),
            old_name: &self.device,
            removable: self.removable,
            tray_open: self.tray_open,
        }
    }
}

impl Blocks {
    /// The disk that the device of this id holds.
    pub(crate) fn device(&self, id: &str) -> Option<DeviceDisk<'_>> {
        Some(self.blocks[*self.by_id.get(id)?].disk())
    }

    /// The device that holds this node. One that has just left the machine still holds it for a
    /// moment, and has neither id nor path then (QEMU 7.2): that is none.
    pub(crate) fn holder(&self, node: &str) -> Option<&str> {
        let id = self.by_node.get(node).map(|at| self.blocks[*at].id());
        id.filter(|id| !id.is_empty())
    }

    /// The disks of all devices.
    pub(crate) fn devices(&self) -> impl Iterator<Item = DeviceDisk<'_>> {
        self.blocks.iter().filter(|block| !block.id().is_empty()).map(Block::disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: &str = r#"[
        {"io-status": "ok", "device": "", "qdev": "/machine/peripheral/data/virtio-backend",
         "inserted": {"node-name": "data.format", "drv": "qcow2", "file": "/a.qcow2", "ro": false,
                      "image": {"virtual-size": 64, "filename": "/a.qcow2"}}},
        {"device": "ide1-cd0", "qdev": "/machine/unattached/device[23]", "removable": true},
        {"device": "old", "inserted": {"drv": "raw", "file": "/b", "ro": true,
         "image": {"virtual-size": 1}}}]"#;

    #[test]
    fn a_device_that_has_just_left_holds_nothing() {
        for qdev in ["", r#""qdev": "","#] {
            let left = format!(
                r#"[{{"device": "", {qdev} "inserted": {{"node-name": "data.format", "drv": "raw",
                "file": "/b", "ro": true, "image": {{"virtual-size": 1}}}}}}]"#
            );
            let blocks: Blocks = serde_json::from_str(&left).unwrap();
            assert_eq!(blocks.holder("data.format"), None);
        }
    }

    #[test]
    fn a_device_is_found_by_its_id_however_its_path_goes_on() {
        let blocks: Blocks = serde_json::from_str(BLOCKS).unwrap();
        let node = blocks.device("data").unwrap().node.unwrap();
        assert_eq!((node.name.as_str(), node.bytes()), ("data.format", Some(64)));
        assert!(blocks.device("dat").is_none());
        let ids: Vec<_> = blocks.devices().map(|disk| disk.id).collect();
        assert_eq!(ids, ["data", "/machine/unattached/device[23]", "old"]);
    }

    #[test]
    fn only_nodes_named_our_way_are_ours() {
        let nodes: Nodes = serde_json::from_str(
            r##"[{"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
                {"node-name": "#block1.format", "drv": "raw", "file": "/b", "ro": false, "image": {"virtual-size": 1}},
                {"node-name": "data.file", "drv": "file", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
                {"node-name": "mine.format", "drv": "raw", "file": "/c", "ro": false, "image": {"virtual-size": 1}}]"##,
        )
        .unwrap();
        let names: Vec<_> = nodes.disks().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["data"]);
        assert!(nodes.format_node(&DiskName::new("data").unwrap()).is_some());
        assert!(nodes.format_node(&DiskName::new("other").unwrap()).is_none());
    }
}
