//! `/dev/disk/qplug`: the user's disks by their labels. There is no udev here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use qplug_agent::wire::{Device, LINKS};

/// The links that were made: from names to the kernel's.
#[derive(Debug, Default)]
pub(crate) struct Links {
    made: BTreeMap<String, String>,
}

impl Links {
    /// Makes the links for these disks, and removes all others. What fails is returned.
    pub(crate) fn follow(&mut self, disks: &[Device]) -> Vec<String> {
        let wanted = wanted(disks);
        let mut complaints = Vec::new();
        let mut complain = |name: &str, outcome: io::Result<()>| {
            if let Err(error) = outcome {
                complaints.push(format!("cannot change the link of {name}: {error}"));
            }
        };
        for name in self.made.keys().filter(|name| !wanted.contains_key(*name)) {
            complain(name, fs::remove_file(Path::new(LINKS).join(name)));
        }
        for (name, target) in &wanted {
            if self.made.get(name) != Some(target) {
                complain(name, link(name, target));
            }
        }
        self.made = wanted;
        complaints
    }
}

/// Of two disks with one label, the one that came first has the link.
fn wanted(disks: &[Device]) -> BTreeMap<String, String> {
    let mut wanted = BTreeMap::new();
    for disk in disks {
        let Some(label) = &disk.label else { continue };
        if wanted.contains_key(label) {
            continue;
        }
        wanted.insert(label.clone(), disk.kernel_name.clone());
        for partition in &disk.partitions {
            wanted.insert(format!("{label}:{}", partition.number), partition.kernel_name.clone());
        }
    }
    wanted
}

/// At no moment is there no link where there was one.
fn link(name: &str, target: &str) -> io::Result<()> {
    fs::create_dir_all(LINKS)?;
    // No label begins with a dot.
    let new = Path::new(LINKS).join(".new");
    match symlink(Path::new("../..").join(target), &new) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    fs::rename(&new, Path::new(LINKS).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use qplug_agent::wire::Partition;

    #[test]
    fn the_first_of_two_disks_with_one_label_has_the_links() {
        let disk = |kernel_name: &str| Device {
            label: Some("data".to_owned()),
            kernel_name: kernel_name.to_owned(),
            sequence: 0,
            bytes: 0,
            sector_bytes: 512,
            read_only: false,
            partitions: vec![Partition {
                number: 2,
                kernel_name: format!("{kernel_name}2"),
                start_bytes: 0,
                bytes: 0,
            }],
        };
        let wanted = wanted(&[disk("vdb"), disk("vda")]);
        let pairs: Vec<_> = wanted.iter().map(|(name, to)| (name.as_str(), to.as_str())).collect();
        assert_eq!(pairs, [("data", "vdb"), ("data:2", "vdb2")]);
    }
}
