//! How QEMU gets at an image: the node that does it, and what that node shows.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::command::Descriptor;
use crate::inventory::Fdsets;
use crate::name::DiskName;

use super::location::{Location, Rbd, Server};

/// The path of a set of descriptors, without its number.
const FDSET: &str = "/dev/fdset/";

/// How a node's `file` begins where QEMU has no shorter form for it.
const JSON: &str = "json:";

/// The largest number of a set: QEMU reads the path's as an `int`.
const MAX_SET: u32 = i32::MAX as u32;

/// How QEMU gets at an image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Protocol {
    /// A regular file, by its path where QEMU runs.
    File(String),
    /// A block device of the host, by its path where QEMU runs.
    HostDevice(String),
    /// An open file, which is handed over.
    Handed(Handed),
    /// Anything that is no file.
    Served(Location),
}

/// An open file to hand over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Handed {
    pub(crate) descriptor: Descriptor,
    /// The number of its set in the machine.
    pub(crate) set: u32,
    /// What the next attach knows it by: `DEVICE:INODE`, but for a throw-away overlay, of which one
    /// is as good as another.
    pub(crate) mark: String,
    /// What is in it, and in nothing else: `DEVICE:INODE`.
    pub(crate) content: String,
    pub(crate) is_device: bool,
    /// The image in words.
    pub(crate) label: String,
}

impl Protocol {
    /// The node, without its name.
    pub(crate) fn node(&self, name: &DiskName) -> Value {
        match self {
            Self::File(path) => json!({"driver": "file", "filename": path}),
            Self::HostDevice(path) => json!({"driver": "host_device", "filename": path}),
            Self::Handed(handed) => {
                let driver = if handed.is_device { "host_device" } else { "file" };
                json!({"driver": driver, "filename": format!("{FDSET}{}", handed.set)})
            }
            Self::Served(location) => location.node(name),
        }
    }

    pub(crate) fn driver(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::HostDevice(_) => "host_device",
            Self::Handed(handed) if handed.is_device => "host_device",
            Self::Handed(_) => "file",
            Self::Served(location) => location.driver(),
        }
    }

    /// Whether it is the host's own file or device, which alone take `aio` and are locked.
    pub(crate) fn is_local(&self) -> bool {
        !matches!(self, Self::Served(_))
    }

    /// The image in words, with no secret.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::File(path) | Self::HostDevice(path) => path.clone(),
            Self::Handed(handed) => handed.label.clone(),
            Self::Served(location) => location.label(),
        }
    }

    /// What a node over this image shows in its `file`, where that can be told before.
    pub(crate) fn shown(&self) -> Option<String> {
        match self {
            Self::File(path) | Self::HostDevice(path) => Some(path.clone()),
            Self::Handed(_) => None,
            Self::Served(location) => location.shown(),
        }
    }

    /// Whether this is what a node shows.
    pub(crate) fn is_shown_as(&self, shown: &str, sets: Option<&Fdsets>) -> bool {
        match self {
            Self::Handed(handed) => {
                let set = shown.strip_prefix(FDSET).and_then(|number| number.parse().ok());
                let owner = set.zip(sets).and_then(|(set, sets)| sets.owner(set));
                owner.and_then(mark_of) == Some(&handed.mark)
            }
            Self::Served(location) if location.shown().is_none() => location.is_json(shown),
            _ => self.shown().as_deref() == Some(shown),
        }
    }

    /// Whether this lies under a format node that shows this.
    pub(crate) fn is_shown_below(&self, shown: &str, sets: Option<&Fdsets>) -> bool {
        let Some(node) = of_json(shown) else { return self.is_shown_as(shown, sets) };
        let Some(Value::Object(file)) = node.get("file") else { return false };
        match (self, file.get("filename").and_then(Value::as_str)) {
            (Self::Served(location), None) => location.is_among(file),
            (_, Some(path)) => self.is_shown_as(path, sets),
            (_, None) => false,
        }
    }
}

/// The node that a `file` of the long form shows.
fn of_json(shown: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(shown.strip_prefix(JSON)?).ok()
}

impl Handed {
    /// Gives its set a number that is not taken, and then is.
    pub(crate) fn number(&mut self, name: &DiskName, taken: &mut HashSet<u64>) {
        let text = format!("{name} {}", self.content);
        let mut number = fnv(text.as_bytes()) & MAX_SET;
        // There is a free one: the machine has no 2^31 sets.
        while number == 0 || !taken.insert(number.into()) {
            number = (number + 1) & MAX_SET;
        }
        self.set = number;
    }
}

/// The hash of Fowler, Noll and Vo: the same in every program, and nobody's to choose here.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// How a descriptor says whose it is, and which file: two attaches of the same file know each other.
pub(crate) fn owner(name: &DiskName, mark: &str) -> String {
    format!("qplug {name} {mark}")
}

/// Which file a descriptor is.
fn mark_of(owner: &str) -> Option<&str> {
    owner.strip_prefix("qplug ")?.split_once(' ').map(|(_, mark)| mark)
}

impl Location {
    fn driver(&self) -> &'static str {
        match self {
            Self::Path(_) => "file",
            Self::Nbd { .. } => "nbd",
            Self::Http { tls: false, .. } => "http",
            Self::Http { tls: true, .. } => "https",
            Self::Ssh { .. } => "ssh",
            Self::Iscsi { .. } => "iscsi",
            Self::Rbd(_) => "rbd",
        }
    }

    /// Whether a server lets us in only with a password that it can be given.
    pub(crate) fn takes_password(&self) -> bool {
        match self {
            Self::Http { user, .. } | Self::Iscsi { user, .. } => user.is_some(),
            Self::Rbd(_) => true,
            _ => false,
        }
    }

    fn node(&self, name: &DiskName) -> Value {
        let mut node = self.identity();
        match self {
            Self::Nbd { tls: true, .. } => node["tls-creds"] = json!(name.tls()),
            Self::Ssh { user: Some(user), .. } => node["user"] = json!(user),
            _ => {}
        }
        node
    }

    /// The node as the secret's object goes into it.
    pub(crate) fn write_password(&self, node: &mut Value, name: &DiskName) {
        let key = if matches!(self, Self::Rbd(_)) { "key-secret" } else { "password-secret" };
        node[key] = json!(name.auth());
    }

    /// What makes it this image and no other.
    fn identity(&self) -> Value {
        let mut node = match self {
            Self::Path(path) => json!({"filename": path}),
            Self::Nbd { server, export, .. } => {
                let mut node = json!({"server": server.node()});
                write(&mut node, "export", export.as_deref());
                node
            }
            Self::Http { url, user, .. } => {
                let mut node = json!({"url": url});
                write(&mut node, "username", user.as_deref());
                node
            }
            Self::Ssh { host, port, path, .. } => {
                json!({"server": {"host": host, "port": port.to_string()}, "path": path})
            }
            Self::Iscsi { user, portal, target, lun } => {
                let mut node =
                    json!({"transport": "tcp", "portal": portal, "target": target, "lun": lun});
                write(&mut node, "user", user.as_deref());
                node
            }
            Self::Rbd(rbd) => rbd.node(),
        };
        node["driver"] = json!(self.driver());
        node
    }

    /// QEMU's own forms (7.2 and 10.0: `block/nbd.c`, `block/curl.c`, `block/ssh.c`); the others have
    /// none.
    fn shown(&self) -> Option<String> {
        match self {
            Self::Path(path) => path.to_str().map(ToOwned::to_owned),
            Self::Nbd { server: Server::Inet { host, port }, export, .. } => Some(match export {
                Some(export) => format!("nbd://{host}:{port}/{export}"),
                None => format!("nbd://{host}:{port}"),
            }),
            Self::Nbd { server: Server::Unix { path }, export, .. } => Some(match export {
                Some(export) => format!("nbd+unix:///{export}?socket={path}"),
                None => format!("nbd+unix://?socket={path}"),
            }),
            Self::Http { url, user: None, .. } => Some(url.clone()),
            Self::Ssh { user: Some(user), host, port, path } => {
                Some(format!("ssh://{user}@{host}:{port}{path}"))
            }
            Self::Http { .. } | Self::Ssh { .. } | Self::Iscsi { .. } | Self::Rbd(_) => None,
        }
    }

    fn is_json(&self, shown: &str) -> bool {
        // Without a user given, QEMU logs in as its own, and shows that one.
        if let Self::Ssh { user: None, host, port, path } = self {
            let rest = shown.strip_prefix("ssh://").and_then(|rest| rest.split_once('@'));
            return rest.is_some_and(|(_, rest)| rest == format!("{host}:{port}{path}"));
        }
        of_json(shown).is_some_and(|shown| self.is_among(&shown))
    }

    /// Whether a node's options, as QEMU shows them, are of this image. There may be more of them;
    /// those that make another image of it are there or not in both.
    fn is_among(&self, shown: &Map<String, Value>) -> bool {
        let (ours, shown) = (flat(&self.identity()), flat(&Value::Object(shown.clone())));
        let deciding = ["snapshot", "namespace", "username", "export"];
        let no_others = deciding.iter().all(|key| shown.get(*key) == ours.get(*key));
        no_others && ours.iter().all(|(key, value)| shown.get(key) == Some(value))
    }

    fn label(&self) -> String {
        match self {
            // What stands behind the ? may be a key.
            Self::Http { url, .. } => url.split('?').next().unwrap_or(url).to_owned(),
            Self::Iscsi { portal, target, lun, .. } => format!("iscsi://{portal}/{target}/{lun}"),
            Self::Rbd(rbd) => rbd.label(),
            Self::Ssh { host, port, path, .. } => format!("ssh://{host}:{port}{path}"),
            Self::Path(_) | Self::Nbd { .. } => self.shown().unwrap_or_default(),
        }
    }
}

/// Options with their paths, as text: QEMU shows some nested, some not, and numbers either way.
fn flat(node: &Value) -> HashMap<String, String> {
    let mut flat = HashMap::new();
    let mut open = vec![(String::new(), node)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(members) => open.extend(members.iter().map(|(key, value)| {
                (if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value)
            })),
            Value::String(text) => drop(flat.insert(path, text.clone())),
            value => drop(flat.insert(path, value.to_string())),
        }
    }
    flat
}

fn write(node: &mut Value, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        node[key] = json!(value);
    }
}

impl Server {
    fn node(&self) -> Value {
        match self {
            Self::Inet { host, port } => {
                json!({"type": "inet", "host": host, "port": port.to_string()})
            }
            Self::Unix { path } => json!({"type": "unix", "path": path}),
        }
    }
}

impl Rbd {
    fn node(&self) -> Value {
        let mut node = json!({"pool": self.pool, "image": self.image});
        write(&mut node, "namespace", self.namespace.as_deref());
        write(&mut node, "snapshot", self.snapshot.as_deref());
        write(&mut node, "user", self.user.as_deref());
        write(&mut node, "conf", self.conf.as_deref());
        node
    }

    fn label(&self) -> String {
        let namespace = self.namespace.as_ref().map(|it| format!("{it}/")).unwrap_or_default();
        let snapshot = self.snapshot.as_ref().map(|it| format!("@{it}")).unwrap_or_default();
        format!("rbd:{}/{namespace}{}{snapshot}", self.pool, self.image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(text: &str) -> Protocol {
        Protocol::Served(Location::parse(text).unwrap())
    }

    #[test]
    fn nodes_are_as_qemu_takes_them() {
        let name = DiskName::new("d").unwrap();
        for (text, expected) in [
            (
                "nbds://h/e",
                json!({"driver": "nbd", "server": {"type": "inet", "host": "h", "port": "10809"},
                       "export": "e", "tls-creds": name.tls()}),
            ),
            (
                "nbd+unix:///?socket=/s",
                json!({"driver": "nbd", "server": {"type": "unix", "path": "/s"}}),
            ),
            ("http://u@h/x", json!({"driver": "http", "url": "http://h/x", "username": "u"})),
            (
                "ssh://me@h/x",
                json!({"driver": "ssh", "server": {"host": "h", "port": "22"}, "path": "/x", "user": "me"}),
            ),
            (
                "iscsi://h/iqn.x/3",
                json!({"driver": "iscsi", "transport": "tcp", "portal": "h:3260", "target": "iqn.x", "lun": 3}),
            ),
            (
                "rbd:p/i@s:id=u",
                json!({"driver": "rbd", "pool": "p", "image": "i", "snapshot": "s", "user": "u"}),
            ),
        ] {
            assert_eq!(served(text).node(&name), expected, "{text}");
        }
    }

    #[test]
    fn an_image_is_known_by_what_a_node_shows() {
        for (text, shown, is_it) in [
            ("nbd://127.0.0.1:1/e%20x", "nbd://127.0.0.1:1/e x", true),
            ("nbd://127.0.0.1:1/e", "nbd://127.0.0.1:1/f", false),
            ("nbd+unix:///e?socket=/s", "nbd+unix:///e?socket=/s", true),
            ("nbd+unix:///?socket=/s", "nbd+unix://?socket=/s", true),
            ("https://h/x?y", "https://h/x?y", true),
            (
                "https://u@h/x",
                r#"json:{"driver":"https","url":"https://h/x","username":"u"}"#,
                true,
            ),
            (
                "https://u@h/x",
                r#"json:{"driver":"https","url":"https://h/x","username":"v"}"#,
                false,
            ),
            ("ssh://me@h/x", "ssh://me@h:22/x", true),
            ("ssh://h/x", "ssh://root@h:22/x", true),
            ("ssh://h/x", "ssh://root@h:22/y", false),
            (
                "iscsi://h/t/1",
                r#"json:{"driver":"iscsi","transport":"tcp","portal":"h:3260","target":"t","lun":"1"}"#,
                true,
            ),
            ("rbd:p/i", r#"json:{"driver":"rbd","pool":"p","image":"i"}"#, true),
            ("rbd:p/i", r#"json:{"driver":"rbd","pool":"p","image":"i","snapshot":"s"}"#, false),
            ("rbd:p/i@s", r#"json:{"driver":"rbd","pool":"p","image":"i"}"#, false),
            // Cut short by QEMU.
            ("rbd:p/i", r#"json:{"driver":"rbd","pool":"p","im..."#, false),
        ] {
            assert_eq!(served(text).is_shown_as(shown, None), is_it, "{text} {shown}");
        }
    }

    #[test]
    fn a_label_keeps_keys_to_itself() {
        assert_eq!(served("https://u@h/x?key=1").label(), "https://h/x");
        assert_eq!(served("rbd:p/n/i@s:id=u").label(), "rbd:p/n/i@s");
    }

    #[test]
    fn an_owner_names_the_disk_and_the_file() {
        let owner = owner(&DiskName::new("a.b").unwrap(), "8:1");
        assert_eq!((owner.as_str(), mark_of(&owner)), ("qplug a.b 8:1", Some("8:1")));
        assert_eq!((mark_of("libvirt"), mark_of("qplug a")), (None, None));
    }
}
