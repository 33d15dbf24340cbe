//! Nodes and disks of a machine that has drives in their place, or does not say which device a disk
//! is in: from `query-block` and `info qtree` together.

use serde::Deserialize;

use super::block::{Block, Blocks, Node, Nodes};
use super::device_path;
use super::tree::{Tree, TreeDevice};
use crate::name::DiskName;

/// The drives of a machine, from `query-block`.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<Block>")]
pub(crate) struct Drives(Vec<Block>);

impl From<Vec<Block>> for Drives {
    fn from(blocks: Vec<Block>) -> Self {
        Self(blocks)
    }
}

impl Drives {
    /// The drives as the nodes that they stand for: one that is called as a disk's format node is
    /// that, and the file that it opened by itself is the node below.
    pub(crate) fn nodes(&self) -> Nodes {
        let opened = self.0.iter().filter_map(|block| {
            let node = Node { name: block.device.clone(), ..block.inserted.clone()? };
            let file = DiskName::of_format_node(&node.name).map(|name| Node {
                name: name.file_node(),
                driver: String::new(),
                ..node.clone()
            });
            Some([node].into_iter().chain(file))
        });
        Nodes::from(opened.flatten().collect::<Vec<_>>())
    }

    /// The disks with their devices; `nodes` are those that devices may hold with no drive between,
    /// as 2.9 has it.
    pub(crate) fn blocks(&self, tree: &Tree, nodes: Option<&Nodes>) -> Blocks {
        let by_drive = tree.by_drive();
        let drives = self.0.iter().map(|block| {
            let device = by_drive.get(block.device.as_str());
            let mut block = block.clone();
            if let Some(node) = &mut block.inserted
                && !block.device.is_empty()
                && nodes.is_none()
            {
                node.name.clone_from(&block.device);
            }
            // One that no device has is shown as one whose medium can be changed (QEMU 1.2 to 7.2).
            block.removable &= device.is_some() || block.qdev.is_some();
            block.qdev = block.qdev.or_else(|| device.and_then(|it| it.id.clone()));
            block
        });
        // What no device uses is in no device: a drive of ours is as a node then.
        let is_idle = |block: &Block| {
            // A device need have no id.
            block.qdev.is_none()
                && !by_drive.contains_key(block.device.as_str())
                && DiskName::of_format_node(&block.device).is_some()
        };
        let mut blocks: Vec<_> = drives.filter(|block| !is_idle(block)).collect();
        let is_told = |id: &str| blocks.iter().any(|block| block.id() == id);
        let more = tree.named().filter(|(id, device)| is_disk(device) && !is_told(id));
        let more = more.map(|(id, device)| Block {
            qdev: Some(qdev(id, &device.kind)),
            inserted: device.drive.as_deref().and_then(|node| nodes?.node(node)).cloned(),
            ..Block::default()
        });
        let more: Vec<_> = more.collect();
        blocks.extend(more);
        Blocks::from(blocks)
    }
}

/// What QEMU calls the disk of the device of this id, as it does by itself since 2.10. With the id
/// alone, 2.9 finds no disk in a virtio-blk device, whose part it is.
fn qdev(id: &str, kind: &str) -> String {
    match kind.starts_with("virtio-blk-") {
        true => format!("{}/virtio-backend", device_path(id)),
        false => id.to_owned(),
    }
}

/// Whether it is a disk, also one whose drive was pulled out from under it: its id stays taken.
fn is_disk(device: &TreeDevice) -> bool {
    device.drive.is_some() || device.kind.starts_with("virtio-blk-")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 0.14.1 answered, with the drives renamed.
    const DRIVES: &str = r#"[
        {"device": "cd0", "locked": false, "removable": true, "type": "cdrom"},
        {"device": "data.format", "locked": false, "removable": false, "type": "hd",
         "inserted": {"ro": false, "drv": "raw", "encrypted": false, "file": "/images/d.raw"}},
        {"device": "foreign", "removable": true},
        {"device": "idle.format", "locked": false, "removable": true, "type": "hd",
         "inserted": {"ro": true, "drv": "qcow2", "encrypted": false, "file": "/images/q.qcow2"}}]"#;

    const TREE: &str = "bus: main-system-bus\n  dev: virtio-blk-pci, id \"data\"\n    dev-prop: drive = data.format\n  \
                        dev: virtio-blk-pci, id \"bare\"\n    dev-prop: drive = <null>\n  dev: ide-drive, id \"cd\"\n    dev-prop: drive = cd0\n";

    #[test]
    fn a_drive_is_the_node_that_it_is_called() {
        let drives: Drives = serde_json::from_str(DRIVES).unwrap();
        let nodes = drives.nodes();
        let names: Vec<_> = nodes.disks().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["data", "idle"]);
        let data = DiskName::new("data").unwrap();
        assert_eq!(nodes.image_of(&data), Some("/images/d.raw"));
        assert_eq!(nodes.format_node(&data).unwrap().bytes(), None);
    }

    #[test]
    fn devices_are_found_by_their_drives() {
        let drives: Drives = serde_json::from_str(DRIVES).unwrap();
        let blocks = drives.blocks(&Tree::parse(TREE).unwrap(), None);
        let node = blocks.device("data").unwrap().node.unwrap().name.clone();
        assert_eq!(node, "data.format");
        assert_eq!(blocks.holder("data.format"), Some("data"));
        assert_eq!(blocks.holder("idle.format"), None);
        let anonymous = TREE.replace("id \"data\"", "id \"\"");
        let blocks = drives.blocks(&Tree::parse(&anonymous).unwrap(), None);
        assert_eq!(blocks.holder("data.format"), Some("data.format"));
        let blocks = drives.blocks(&Tree::parse(TREE).unwrap(), None);
        assert!(blocks.device("cd").unwrap().removable);
        assert!(!blocks.device("foreign").unwrap().removable);
        // Its drive was pulled out from under it.
        assert!(blocks.device("bare").unwrap().node.is_none());
    }

    #[test]
    fn a_disk_that_only_the_tree_shows_is_called_by_its_path() {
        let disk = "bus: main-system-bus\n  dev: virtio-blk-pci, id \"data\"\n    bus: virtio-bus\n      \
                    dev: virtio-blk-device, id \"\"\n        drive = \"data.format\"\n";
        let nodes = r#"[{"node-name": "data.format", "drv": "raw", "file": "/d", "ro": false}]"#;
        let nodes: Nodes = serde_json::from_str(nodes).unwrap();
        let blocks = Drives::default().blocks(&Tree::parse(disk).unwrap(), Some(&nodes));
        let data = blocks.device("data").unwrap();
        assert_eq!(data.qdev, Some("/machine/peripheral/data/virtio-backend"));
        assert!(!data.may_have_parts && data.node.is_some());
    }
}
