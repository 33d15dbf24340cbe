//! Which command and which type belongs to what.

mod parts;

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Model, Root, RootKind};
pub(super) use parts::parts;

/// Where types stand that several topics use.
pub(super) const SHARED: &str = "shared";

/// Topics and the beginnings of names of commands and events, without `query-`, `x-` and `x-query-`,
/// in small letters with dashes. The longest beginning decides.
const TOPICS: &[(&str, &[&str])] = &[
    (
        "block",
        &[
            "block",
            "nbd-server",
            "drive-",
            "eject",
            "change",
            "change-backing-file",
            "job",
            "transaction",
            "snapshot",
            "named-block-nodes",
            "pr-manager",
            "debug-block",
            "debug-query-block",
            "quorum",
            "blockstats",
        ],
    ),
    (
        "device",
        &[
            "device",
            "qom",
            "object",
            "pci",
            "unplug-primary",
            "failover",
            "virtio",
            "iothreads",
            "mem-unplug",
            "acpi",
            "usb",
            "vfio",
            "vfu",
            "sync-config",
            "cryptodev",
        ],
    ),
    (
        "machine",
        &[
            "machines",
            "current-machine",
            "cpu",
            "cpus",
            "hotpluggable-cpus",
            "memdev",
            "memory",
            "memsave",
            "pmemsave",
            "numa",
            "set-numa",
            "set-cpu",
            "balloon",
            "hv-balloon",
            "kvm",
            "accel",
            "target",
            "uuid",
            "vm-generation-id",
            "status",
            "stop",
            "cont",
            "system",
            "quit",
            "reset",
            "resume",
            "suspend",
            "shutdown",
            "powerdown",
            "wakeup",
            "guest",
            "watchdog",
            "set-action",
            "rtc",
            "inject",
            "dump",
            "sev",
            "sgx",
            "gic",
            "s390x",
            "sclp",
            "interrupt",
            "irq",
            "ramblock",
            "roms",
            "jit",
            "opcount",
            "profile",
            "rdma-gid",
            "exit-preconfig",
            "xen",
            "tpm",
            "replay",
            "firmware",
            "gpa",
            "name",
        ],
    ),
    (
        "migration",
        &[
            "migrat",
            "client-migrate",
            "calc-dirty",
            "dirty-rate",
            "colo",
            "vcpu-dirty",
            "set-vcpu-dirty",
            "cancel-vcpu-dirty",
            "xen-replication",
            "xen-set-replication",
            "xen-colo",
            "xen-save",
            "xen-load",
            "xen-set-global",
        ],
    ),
    (
        "network",
        &[
            "netdev",
            "set-link",
            "announce",
            "rx-filter",
            "nic-rx",
            "rocker",
            "request-ebpf",
            "rdma",
        ],
    ),
    (
        "console",
        &[
            "vnc",
            "spice",
            "chardev",
            "display",
            "screendump",
            "send-key",
            "input",
            "mice",
            "set-password",
            "expire-password",
            "change-vnc",
            "ringbuf",
            "audiodevs",
            "vserport",
        ],
    ),
    ("cxl", &["cxl"]),
    (
        "monitor",
        &[
            "qmp",
            "commands",
            "events",
            "version",
            "command-line",
            "human-monitor",
            "getfd",
            "closefd",
            "add-fd",
            "remove-fd",
            "fdsets",
            "add-client",
            "trace",
            "stats",
            "yank",
        ],
    ),
];

/// Where a command goes that nobody sorted.
const REST: &str = "rest";

/// Each topic and what is in it.
#[derive(Debug, Default)]
pub(super) struct Topic {
    /// Indices of [`Model::roots`].
    pub(super) roots: Vec<usize>,
    /// Indices of [`Model::types`].
    pub(super) types: Vec<usize>,
}

/// Sorts commands, events and all the types that they use.
pub(super) fn sort(model: &Model) -> BTreeMap<&'static str, Topic> {
    let mut of: Vec<_> = model.roots.iter().map(|root| topic_of(&root.name)).collect();
    let mut users = used_by(model, &of);
    // A command whose own type others use, too, goes where they find it.
    loop {
        let is_shared = |(number, root): (usize, &Root)| {
            let class = root.takes.filter(|class| model.is_root(*class))?;
            let users = users.get(&class)?;
            let is_away = users.iter().any(|user| *user != of[number]);
            (is_away && of[number] != SHARED).then_some(number)
        };
        let shared: Vec<_> = model.roots.iter().enumerate().filter_map(is_shared).collect();
        if shared.is_empty() {
            break;
        }
        for number in shared {
            of[number] = SHARED;
        }
        users = used_by(model, &of);
    }
    let mut topics: BTreeMap<&'static str, Topic> = BTreeMap::new();
    for (number, topic) in of.into_iter().enumerate() {
        topics.entry(topic).or_default().roots.push(number);
    }
    for (class, users) in users {
        let topic = match users.first() {
            Some(only) if users.len() == 1 => only,
            _ => SHARED,
        };
        topics.entry(topic).or_default().types.push(class);
    }
    for topic in topics.values_mut() {
        let kind = |root: &usize| model.roots[*root].kind == RootKind::Event;
        topic.roots.sort_by(|one, other| {
            let key = |root| (kind(root), &model.roots[*root].ident);
            key(one).cmp(&key(other))
        });
        topic.types.sort_by(|one, other| model.types[*one].ident.cmp(&model.types[*other].ident));
    }
    topics
}

/// Which topics use each type, directly or not.
fn used_by(model: &Model, of: &[&'static str]) -> BTreeMap<usize, BTreeSet<&'static str>> {
    let mut users: BTreeMap<usize, BTreeSet<&'static str>> = BTreeMap::new();
    for (root, topic) in model.roots.iter().zip(of) {
        let mut found: Vec<usize> = root.uses();
        // The tag of a body that is a copy is that of the type.
        found.extend(root.takes.filter(|_| root.body.variants.is_some()));
        let mut seen = BTreeSet::new();
        while let Some(class) = found.pop() {
            if seen.insert(class) {
                users.entry(class).or_default().insert(topic);
                found.extend(model.types[class].uses());
            }
        }
    }
    users
}

fn topic_of(name: &str) -> &'static str {
    begins_with(TOPICS, name).unwrap_or(REST)
}

/// The entry of a table whose beginning of a command's or event's name is the longest.
fn begins_with(table: &[(&'static str, &[&str])], name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let bare = name.strip_prefix("x-").unwrap_or(&name);
    let bare = bare.strip_prefix("query-").unwrap_or(bare);
    let begins = |(topic, names): &(&'static str, &[&str])| {
        let names = names.iter().filter(|begin| bare.starts_with(**begin));
        names.map(|begin| begin.len()).max().map(|length| (length, *topic))
    };
    table.iter().filter_map(begins).max().map(|(_, topic)| topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_decides() {
        for (name, topic) in [
            ("query-block", "block"),
            ("change", "block"),
            ("change-vnc-password", "console"),
            ("query-migrate", "migration"),
            ("DEVICE_DELETED", "device"),
            ("BLOCK_IO_ERROR", "block"),
            ("x-query-irq", "machine"),
            ("query-rocker", "network"),
            ("xen-event-list", "machine"),
            ("qmp_capabilities", "monitor"),
            ("no-such", "rest"),
        ] {
            assert_eq!(topic_of(name), topic, "{name}");
        }
    }
}
