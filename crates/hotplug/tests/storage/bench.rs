//! A machine with a SCSI controller, which gives a disk back at once, and looks at what is left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use qplug_hotplug::{Attached, Bus, Detached, Disk, DiskError, Error, Machine, Storage};
use qplug_qmp::{Address, Client};
use qplug_testbed::image::{run, tool};
use qplug_testbed::{Board, Machine as Qemu, Qemu as Version};
use serde_json::{Value, json};

/// Longer than a disk takes to leave that no guest uses.
const PATIENCE: Duration = Duration::from_secs(20);

/// 8 MiB: every format can have it.
pub(crate) const BYTES: u64 = 8 << 20;

pub(crate) struct Bench {
    pub(crate) machine: Machine,
    pub(crate) qemu: Qemu,
    before: Value,
}

impl Bench {
    pub(crate) async fn new(version: &Version) -> Self {
        let mut qemu = Qemu::builder(version, Board::Pc).scsi().halted().unwrap();
        // QEMU 7.2 keeps descriptors that were given up until the machine runs.
        qemu.oracle.demand("cont", json!({})).unwrap();
        let client = Client::connect(&Address::Unix(qemu.qmp_path())).await.unwrap();
        let before = state(&mut qemu);
        Self { machine: Machine::new(client), qemu, before }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.qemu.folder().join(name)
    }

    pub(crate) async fn attach(&self, storage: Storage) -> Result<Attached, Error> {
        self.attach_with(storage, |disk| disk).await
    }

    pub(crate) async fn attach_with(
        &self,
        storage: Storage,
        change: impl FnOnce(Disk) -> Disk,
    ) -> Result<Attached, Error> {
        let builder = Disk::named("data").unwrap().bus(Some(Bus::VirtioScsi));
        self.machine.attach(change(builder.storage(storage).unwrap())).await
    }

    /// Attaches it, attaches it again, which must change nothing, writes and reads through QEMU,
    /// detaches it, and finds nothing left.
    pub(crate) async fn round(
        &mut self,
        what: &str,
        look: impl Fn() -> Result<Storage, DiskError>,
    ) {
        self.round_with(what, look, |disk| disk).await;
    }

    pub(crate) async fn round_with(
        &mut self,
        what: &str,
        look: impl Fn() -> Result<Storage, DiskError>,
        change: impl Fn(Disk) -> Disk,
    ) {
        let attached = self.attach_with(look().unwrap(), &change).await;
        let attached = attached.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!attached.already, "{what}");
        assert_eq!(self.bytes(), BYTES, "{what}");
        let there = state(&mut self.qemu);
        let again = self.attach_with(look().unwrap(), &change).await;
        assert!(again.unwrap_or_else(|error| panic!("{what}, again: {error}")).already, "{what}");
        assert_eq!(state(&mut self.qemu), there, "{what}");
        match attached.read_only {
            true => assert!(self.can_be_read(), "{what}"),
            false => self.write(90, "0", "512"),
        }
        self.detach(what).await;
    }

    /// Writes to the disk, in the words of `qemu-io`. What that prints is lost but for errors; look
    /// at what is there then.
    pub(crate) fn write(&mut self, byte: u8, offset: &str, length: &str) {
        let verb = format!("write -P {byte} {offset} {length}");
        let line = format!("qemu-io -d /machine/peripheral/data \"{verb}\"");
        let arguments = json!({"command-line": line});
        let answer = self.qemu.oracle.demand("human-monitor-command", arguments).unwrap();
        assert_eq!(answer, "", "{verb}");
        assert!(self.has(byte, offset, length), "{verb}");
    }

    /// Whether the disk can be read.
    fn can_be_read(&mut self) -> bool {
        self.look("read 0 512")
    }

    /// Whether the disk has this byte there, all over: read through an export, which prints.
    pub(crate) fn has(&mut self, byte: u8, offset: &str, length: &str) -> bool {
        self.look(&format!("read -P {byte} {offset} {length}"))
    }

    fn look(&mut self, request: &str) -> bool {
        let path = self.path("look.sock");
        let address = json!({"type": "unix", "data": {"path": path}});
        let mut ask = |command: &str, arguments: Value| {
            self.qemu.oracle.demand(command, arguments).unwrap();
        };
        ask("nbd-server-start", json!({"addr": address}));
        let export = json!({"type": "nbd", "id": "look", "node-name": "data.format", "name": "x"});
        ask("block-export-add", export);
        let mut command = tool("qemu-io").unwrap();
        let uri = format!("nbd+unix:///x?socket={}", path.display());
        let read = run(command.args(["-r", "-f", "raw", "-c", request, &uri]));
        ask("block-export-del", json!({"id": "look", "mode": "hard"}));
        self.qemu.oracle.wait_event("BLOCK_EXPORT_DELETED", PATIENCE).unwrap();
        self.qemu.oracle.demand("nbd-server-stop", json!({})).unwrap();
        // A pattern that is not there is told, and is no failure to some versions.
        read.is_ok_and(|told| told.contains("bytes at offset") && !told.contains("failed"))
    }

    /// The size of the disk.
    fn bytes(&mut self) -> u64 {
        let blocks = self.qemu.oracle.demand("query-block", json!({})).unwrap();
        let block = blocks.as_array().unwrap().iter().find(|disk| is_ours(disk)).unwrap();
        block["inserted"]["image"]["virtual-size"].as_u64().unwrap()
    }

    pub(crate) async fn detach(&mut self, what: &str) {
        let name = qplug_hotplug::DiskName::new("data").unwrap();
        let detached = self.machine.detach(&name, PATIENCE).await;
        let detached = detached.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(detached, Detached::Removed { was_gone: false }, "{what}");
        self.is_clean(what);
    }

    /// Nothing is there that was not there before.
    pub(crate) fn is_clean(&mut self, what: &str) {
        assert_eq!(state(&mut self.qemu), self.before, "{what}");
        let folder = format!("/proc/{}/fd", self.qemu.pid());
        let links = std::fs::read_dir(folder).unwrap().flatten();
        let open = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        let open: Vec<_> = open.filter(|path| is_image(path)).collect();
        assert!(open.is_empty(), "{what}: {open:?}");
    }
}

fn is_ours(disk: &Value) -> bool {
    disk["qdev"].as_str().is_some_and(|path| path == "data" || path.contains("/data"))
}

/// Images of these tests end so, and overlays have no name any more.
fn is_image(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.ends_with(".img") || (text.ends_with("(deleted)") && !text.starts_with("/memfd"))
}

fn state(qemu: &mut Qemu) -> Value {
    let mut ask = |command: &str, arguments: Value, key: &str| -> Vec<String> {
        let answer = qemu.oracle.demand(command, arguments).unwrap();
        let items = answer.as_array().unwrap().iter();
        let mut names: Vec<_> = items.map(|item| item[key].to_string()).collect();
        names.sort();
        names
    };
    json!({
        "devices": ask("qom-list", json!({"path": "/machine/peripheral"}), "name"),
        "objects": ask("qom-list", json!({"path": "/objects"}), "name"),
        "nodes": ask("query-named-block-nodes", json!({}), "node-name"),
        "fdsets": ask("query-fdsets", json!({}), "fdset-id"),
    })
}

/// Makes an image with `qemu-img`.
pub(crate) fn make(path: &Path, format: &str, options: &[&str]) {
    let mut command = tool("qemu-img").unwrap();
    command.args(["create", "-q", "-f", format]).args(options).arg(path);
    run(command.arg(BYTES.to_string())).unwrap();
}

/// Opens the file for writing, as another machine would; fails when somebody has it open.
pub(crate) fn can_be_opened(path: &Path) {
    let mut command = tool("qemu-io").unwrap();
    run(command.args(["-f", "raw", "-c", "length"]).arg(path)).unwrap();
}
