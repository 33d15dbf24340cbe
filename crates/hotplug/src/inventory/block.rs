//! Nodes and disks, from `query-named-block-nodes` and `query-block`.

use serde::Deserialize;

use super::device_of_qom_path;
use crate::name::DiskName;

/// All nodes of the machine.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Nodes(Vec<Node>);

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
    image: NodeImage,
}

#[derive(Debug, Clone, Deserialize)]
struct NodeImage {
    #[serde(rename = "virtual-size")]
    virtual_size: u64,
}

impl Node {
    /// The size that the guest sees, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.image.virtual_size
    }
}

impl Nodes {
    /// The format node of a disk that qplug made, whether or not a device uses it.
    pub(crate) fn format_node(&self, name: &DiskName) -> Option<&Node> {
        let wanted = name.format_node();
        self.0.iter().find(|node| node.name == wanted)
    }

    /// The nodes that lie on this file.
    pub(crate) fn over<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Node> {
        self.0.iter().filter(move |node| node.path == path)
    }

    /// The disks that qplug made.
    pub(crate) fn disks(&self) -> impl Iterator<Item = (DiskName, &Node)> {
        self.0.iter().filter_map(|node| Some((DiskName::of_format_node(&node.name)?, node)))
    }
}

/// The disks that devices use.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Blocks(Vec<Block>);

#[derive(Debug, Deserialize)]
struct Block {
    /// The old name of the drive; empty for disks made with `blockdev-add`.
    #[serde(default)]
    device: String,
    qdev: Option<String>,
    inserted: Option<Node>,
}

/// A disk as a device of the machine holds it.
#[derive(Debug)]
pub(crate) struct DeviceDisk<'a> {
    /// The device's id, else the name of its drive.
    pub(crate) id: &'a str,
    /// What is in it; nothing in an empty CD drive.
    pub(crate) node: Option<&'a Node>,
}

impl Blocks {
    /// The disk that the device of this id holds.
    pub(crate) fn device(&self, id: &str) -> Option<DeviceDisk<'_>> {
        self.devices().find(|disk| disk.id == id)
    }

    /// The disks of all devices.
    pub(crate) fn devices(&self) -> impl Iterator<Item = DeviceDisk<'_>> {
        self.0.iter().filter_map(|block| {
            let id = match block.qdev.as_deref() {
                Some(path) => device_of_qom_path(path).unwrap_or(path),
                None => block.device.as_str(),
            };
            (!id.is_empty()).then_some(DeviceDisk { id, node: block.inserted.as_ref() })
        })
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
    fn a_device_is_found_by_its_id_however_its_path_goes_on() {
        let blocks: Blocks = serde_json::from_str(BLOCKS).unwrap();
        let node = blocks.device("data").unwrap().node.unwrap();
        assert_eq!((node.name.as_str(), node.bytes()), ("data.format", 64));
        assert!(blocks.device("dat").is_none());
        let ids: Vec<_> = blocks.devices().map(|disk| disk.id).collect();
        assert_eq!(ids, ["data", "/machine/unattached/device[23]", "old"]);
    }

    #[test]
    fn only_nodes_named_our_way_are_ours() {
        let nodes: Nodes = serde_json::from_str(
            r##"[{"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
                {"node-name": "#block1.format", "drv": "raw", "file": "/b", "ro": false, "image": {"virtual-size": 1}},
                {"node-name": "data.file", "drv": "file", "file": "/a", "ro": false, "image": {"virtual-size": 1}}]"##,
        )
        .unwrap();
        let names: Vec<_> = nodes.disks().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["data"]);
        assert!(nodes.format_node(&DiskName::new("data").unwrap()).is_some());
        assert!(nodes.format_node(&DiskName::new("other").unwrap()).is_none());
    }
}
