//! Devices and objects, from `qom-list`.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::Port;
use super::pci::SLOTS_BEHIND_BRIDGE;
use crate::name::DiskName;

/// The devices that have ids, from `/machine/peripheral`, or those on a bus.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<Property>")]
pub(crate) struct Devices(HashMap<String, String>);

/// Objects, from `/objects`.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<Property>")]
pub(crate) struct Objects {
    /// The type of each, by its id.
    kinds: BTreeMap<String, String>,
    by_disk: HashMap<DiskName, Vec<String>>,
}

/// A property, as `qom-list` gives it: a child is one of type `child<TYPE>`.
#[derive(Debug, Deserialize)]
struct Property {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Property {
    fn child(self) -> Option<(String, String)> {
        let kind = self.kind.strip_prefix("child<")?.strip_suffix('>')?.to_owned();
        Some((self.name, kind))
    }
}

impl From<Vec<Property>> for Devices {
    fn from(properties: Vec<Property>) -> Self {
        // A bus links to its devices (`link<scsi-hd>`, named `child[0]`), and does not own them.
        let child = |property: Property| match property.name.starts_with("child[") {
            true => Some((property.name, property.kind)),
            false => property.child(),
        };
        Self(properties.into_iter().filter_map(child).collect())
    }
}

impl From<&super::Tree> for Devices {
    fn from(tree: &super::Tree) -> Self {
        Self(tree.named().map(|(id, device)| (id.to_owned(), device.kind.clone())).collect())
    }
}

impl From<Vec<Property>> for Objects {
    fn from(properties: Vec<Property>) -> Self {
        let kinds: BTreeMap<_, _> = properties.into_iter().filter_map(Property::child).collect();
        let mut by_disk: HashMap<_, Vec<_>> = HashMap::new();
        for id in kinds.keys() {
            if let Some(disk) = DiskName::of_object(id) {
                by_disk.entry(disk).or_default().push(id.clone());
            }
        }
        Self { kinds, by_disk }
    }
}

/// The types of PCI Express ports.
const ROOT_PORTS: [&str; 3] = ["pcie-root-port", "ioh3420", "xio3130-downstream"];

/// The QOM path of the device of this id.
pub(crate) fn device_path(id: &str) -> String {
    format!("/machine/peripheral/{id}")
}

impl Devices {
    /// How many there are.
    pub(crate) fn children(&self) -> usize {
        self.0.len()
    }

    /// The links of a bus, with their types, in order.
    pub(crate) fn links(&self) -> Vec<(&str, &str)> {
        self.all().into_iter().filter(|(name, _)| name.starts_with("child[")).collect()
    }

    /// Whether there is one of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The type of the one of this id.
    pub(crate) fn kind(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }

    /// Whether the USB device is there that the disk of this name sits in. A device of another type
    /// may have such an id, above all a disk whose name ends so.
    pub(crate) fn has_uas(&self, disk: &DiskName) -> bool {
        self.kind(&disk.uas()) == Some("usb-uas")
    }

    /// All ids with their types, in order.
    pub(crate) fn all(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<_> =
            self.0.iter().map(|(id, kind)| (id.as_str(), kind.as_str())).collect();
        all.sort_unstable();
        all
    }

    /// The PCI ports that devices are, in order: root ports, downstream ports of switches, and the
    /// slots behind bridges. It shows also those that no firmware has numbered yet.
    pub(crate) fn ports(&self) -> Vec<Port> {
        let ports = |(id, kind): (&str, &str)| match kind {
            kind if ROOT_PORTS.contains(&kind) => vec![Port::Root(id.to_owned())],
            "pci-bridge" | "pcie-pci-bridge" => {
                let slot = |slot| Port::Slot { bus: id.to_owned(), slot };
                SLOTS_BEHIND_BRIDGE.map(slot).collect()
            }
            _ => Vec::new(),
        };
        self.all().into_iter().flat_map(ports).collect()
    }

    /// Whether the device of this id is a PCI Express port.
    pub(crate) fn is_root_port(&self, id: &str) -> bool {
        self.kind(id).is_some_and(|kind| ROOT_PORTS.contains(&kind))
    }

    /// The ids of the virtio-scsi controllers, in order.
    pub(crate) fn controllers(&self) -> Vec<&str> {
        let is_one = |kind: &str| kind.starts_with("virtio-scsi-");
        let found = self.0.iter().filter(|(_, kind)| is_one(kind)).map(|(id, _)| id.as_str());
        let mut ids: Vec<_> = found.collect();
        ids.sort_unstable();
        ids
    }
}

impl Objects {
    /// Whether there is one of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.kinds.contains_key(id)
    }

    /// The type of the object of this id.
    pub(crate) fn kind(&self, id: &str) -> Option<&str> {
        self.kinds.get(id).map(String::as_str)
    }

    /// All ids, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// The ids of those that only this disk uses, in order.
    pub(crate) fn of_disk(&self, disk: &DiskName) -> &[String] {
        self.by_disk.get(disk).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_devices_and_other_properties_are_not() {
        let devices: Devices = serde_json::from_str(
            r#"[{"name": "type", "type": "string"}, {"name": "scsi0", "type": "child<virtio-scsi-pci>"},
                {"name": "data", "type": "child<scsi-hd>"}]"#,
        )
        .unwrap();
        assert_eq!((devices.children(), devices.controllers()), (2, vec!["scsi0"]));
        assert!(devices.has("data") && !devices.has("type"));
        let bus: Devices = serde_json::from_str(
            r#"[{"name": "hotplug-handler", "type": "link<hotplug-handler>"},
                {"name": "child[3]", "type": "link<scsi-hd>"}]"#,
        )
        .unwrap();
        assert_eq!(bus.children(), 1);
    }

    #[test]
    fn objects_have_types() {
        let objects: Objects = serde_json::from_str(
            r#"[{"name": "type", "type": "string"}, {"name": "io1", "type": "child<iothread>"},
                {"name": "qplug.disk.data.secret", "type": "child<secret>"}]"#,
        )
        .unwrap();
        assert_eq!(objects.kind("io1"), Some("iothread"));
        assert_eq!(objects.ids().collect::<Vec<_>>(), ["io1", "qplug.disk.data.secret"]);
        let of = |disk: &str| objects.of_disk(&DiskName::new(disk).unwrap());
        assert_eq!((of("data"), of("dat")), (&["qplug.disk.data.secret".to_owned()][..], &[][..]));
        assert!(!objects.has("type"));
    }
}
