//! What else decides about a hotplug: migration, drivers, descriptors.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

/// A migration, from `query-migrate`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Migration {
    status: Option<String>,
}

/// The block drivers of this QEMU, from `query-qmp-schema`.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<Value>")]
pub(crate) struct Drivers(HashSet<String>);

/// The sets of descriptors, from `query-fdsets`.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Vec<Fdset>")]
pub(crate) struct Fdsets {
    sets: Vec<Fdset>,
    by_number: HashMap<u64, usize>,
}

impl From<Vec<Fdset>> for Fdsets {
    fn from(sets: Vec<Fdset>) -> Self {
        let by_number = sets.iter().enumerate().map(|(at, set)| (set.id, at)).collect();
        Self { sets, by_number }
    }
}

#[derive(Debug, Deserialize)]
struct Fdset {
    #[serde(rename = "fdset-id")]
    id: u64,
    fds: Vec<Fd>,
}

#[derive(Debug, Deserialize)]
struct Fd {
    opaque: Option<String>,
}

impl Migration {
    /// QEMU's word for how it stands, while it is under way (`MigrationStatus`, 7.2 and 10.0): no
    /// device can be plugged in then.
    pub(crate) fn under_way(&self) -> Option<&str> {
        let over = ["none", "completed", "failed", "cancelled"];
        self.status.as_deref().filter(|status| !over.contains(status))
    }
}

impl From<Vec<Value>> for Drivers {
    /// Types have no names in the schema: the enumeration that has these drivers is the one.
    fn from(types: Vec<Value>) -> Self {
        let members = |kind: &Value| -> HashSet<String> {
            let values = kind["values"].as_array().into_iter().flatten();
            values.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        let is_it = |names: &HashSet<String>| {
            ["raw", "qcow2", "file", "null-co"].iter().all(|name| names.contains(*name))
        };
        let enums = types.iter().filter(|kind| kind["meta-type"] == "enum").map(members);
        Self(enums.filter(is_it).max_by_key(HashSet::len).unwrap_or_default())
    }
}

impl Drivers {
    /// Whether this QEMU has the driver. One that does not tell is taken to have it.
    pub(crate) fn has(&self, driver: &str) -> bool {
        self.0.is_empty() || self.0.contains(driver)
    }
}

impl Fdset {
    fn owner(&self) -> Option<&str> {
        self.fds.iter().find_map(|fd| fd.opaque.as_deref())
    }
}

impl Fdsets {
    /// Each set's number and whose it is, as far as its owner said.
    pub(crate) fn owned(&self) -> impl Iterator<Item = (u64, &str)> {
        self.sets.iter().filter_map(|set| Some((set.id, set.owner()?)))
    }

    /// Whose the set of this number is, as far as its owner said.
    pub(crate) fn owner(&self, number: u64) -> Option<&str> {
        self.sets[*self.by_number.get(&number)?].owner()
    }

    /// The numbers of all sets.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.sets.iter().map(|set| set.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_under_way_until_it_is_over() {
        let status = |text: &str| serde_json::from_str::<Migration>(text).unwrap();
        assert_eq!(status("{}").under_way(), None);
        assert_eq!(status(r#"{"status": "completed"}"#).under_way(), None);
        assert_eq!(status(r#"{"status": "active", "ram": {}}"#).under_way(), Some("active"));
        assert_eq!(status(r#"{"status": "brand-new"}"#).under_way(), Some("brand-new"));
    }

    #[test]
    fn the_enumeration_of_drivers_is_found_by_its_members() {
        let drivers: Drivers = serde_json::from_str(
            r#"[{"name": "1", "meta-type": "enum", "values": ["raw", "file"]},
                {"name": "2", "meta-type": "enum", "values": ["raw", "file", "qcow2", "null-co", "nbd"]}]"#,
        )
        .unwrap();
        assert!(drivers.has("nbd") && !drivers.has("rbd"));
        assert!(Drivers::default().has("rbd"));
    }

    #[test]
    fn a_set_of_descriptors_has_an_owner() {
        let sets: Fdsets = serde_json::from_str(
            r#"[{"fdset-id": 4, "fds": [{"fd": 20, "opaque": "qplug data"}]},
                {"fdset-id": 1, "fds": [{"fd": 21}]}]"#,
        )
        .unwrap();
        assert_eq!(sets.owned().collect::<Vec<_>>(), [(4, "qplug data")]);
        assert_eq!((sets.owner(4), sets.owner(1)), (Some("qplug data"), None));
        assert_eq!(sets.numbers().collect::<Vec<_>>(), [4, 1]);
    }
}
