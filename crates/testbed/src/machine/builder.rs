//! What a machine is made of, and how it comes to life.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::devices::Devices;
use super::{BOOT_WITHIN, Board, Machine, saved};
use crate::boot_files::{BootFiles, KERNEL_ARGUMENTS};
use crate::cache::Key;
use crate::evidence::CONSOLE_LOG;
use crate::{Error, Qemu, Result};

/// Root ports a test may ask for: `pcie.0` has 32 slots, and QEMU takes a few itself.
const MAX_PORTS: u8 = 24;
/// Root ports when a test does not say.
const DEFAULT_PORTS: u8 = 4;
/// The kernel boots in this, and a small machine is saved and restored quickly.
const DEFAULT_MEMORY_MIB: u32 = 128;

/// Has Linux tell what it does with ports.
const PORTS_TOLD: &str = "loglevel=8 pciehp.dyndbg=+p";
/// What it says then of a port that it tried to turn on, found empty, and has turned off: both lamps
/// are told to be out.
const PORT_OFF: &str = "write cmd 300";
/// How long all ports may take to settle; it takes three seconds.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// Time between two looks at the console.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A machine to be. Ports are ignored by boards that have none, such as [`Board::Pc`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it boots, restores or halts"]
pub struct Builder {
    qemu: Qemu,
    board: Board,
    ports: u8,
    fixed_ports: u8,
    unnamed_ports: u8,
    native_hotplug: bool,
    pretty: bool,
    memory_mib: u32,
    accel: String,
    devices: Devices,
    extra: Vec<String>,
}

impl Builder {
    pub(super) fn new(qemu: &Qemu, board: Board) -> Self {
        Self {
            qemu: qemu.clone(),
            board,
            ports: DEFAULT_PORTS,
            fixed_ports: 0,
            unnamed_ports: 0,
            native_hotplug: false,
            pretty: false,
            memory_mib: DEFAULT_MEMORY_MIB,
            accel: "tcg".to_owned(),
            devices: Devices::default(),
            extra: Vec::new(),
        }
    }

    /// Root ports that take a disk, called `rp0`, `rp1`, …
    pub fn ports(mut self, count: u8) -> Self {
        self.ports = count;
        self
    }

    /// Root ports with `hotplug=off`, called `fixed0`, …, behind the others.
    pub fn fixed_ports(mut self, count: u8) -> Self {
        self.fixed_ports = count;
        self
    }

    /// Root ports that take a disk and have no id, behind the others.
    pub fn unnamed_ports(mut self, count: u8) -> Self {
        self.unnamed_ports = count;
        self
    }

    /// Hotplug by PCI Express itself (attention button, 6 s to unplug) in place of ACPI.
    pub fn native_hotplug(mut self) -> Self {
        self.native_hotplug = true;
        self
    }

    /// A virtio-scsi controller called `scsi0`, whose bus is `scsi0.0`.
    pub fn scsi(mut self) -> Self {
        self.devices.scsi = true;
        self
    }

    /// A USB 3 controller called `xhci`, whose bus is `xhci.0`.
    pub fn usb(mut self) -> Self {
        self.devices.usb = true;
        self
    }

    /// An empty CD drive called `cd0`, on the board's own IDE or SATA controller; the guest's `sr0`.
    pub fn cdrom(mut self) -> Self {
        self.devices.cdrom = true;
        self
    }

    /// An empty CD drive called `cd1` on the controller of [`Builder::scsi`], which comes along.
    pub fn scsi_cdrom(mut self) -> Self {
        self.devices.scsi_cdrom = true;
        self
    }

    /// A bridge to a conventional PCI bus that is called `br0` as well: a `pci-bridge` on
    /// [`Board::Pc`], and on [`Board::Q35`] a `pcie-pci-bridge` in a root port of its own.
    pub fn bridge(mut self) -> Self {
        self.devices.bridge = true;
        self
    }

    /// QEMU's guest agent runs in the guest; its socket is [`Machine::agent_path`].
    pub fn agent(mut self) -> Self {
        self.devices.agent = true;
        self
    }

    /// The product's monitor breaks lines inside messages.
    pub fn pretty(mut self) -> Self {
        self.pretty = true;
        self
    }

    /// The guest's memory.
    pub fn memory_mib(mut self, count: u32) -> Self {
        self.memory_mib = count;
        self
    }

    /// Runs on `kvm` in place of `tcg`; see [`crate::accel`].
    pub fn accel(mut self, name: &str) -> Self {
        name.clone_into(&mut self.accel);
        self
    }

    /// More arguments, passed as they are. They are part of a saved machine's name, so keep
    /// changing paths out of them: QEMU runs in [`Machine::folder`], where relative paths work.
    pub fn arguments<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.extra.extend(words.into_iter().map(Into::into));
        self
    }

    /// Boots the guest's kernel and waits until the guest is up.
    pub fn boot(self) -> Result<Machine> {
        self.boot_within(BOOT_WITHIN)
    }

    /// [`Builder::boot`] with less or more patience.
    pub fn boot_within(self, within: Duration) -> Result<Machine> {
        let files = self.boot_files()?;
        let mut machine = Machine::launch(&self.qemu, &self.full_arguments(&files)?)?;
        machine.guest.wait_ready(within)?;
        self.wait_settled(&machine)?;
        Ok(machine)
    }

    /// Whether the guest has to find its empty ports empty first. In QEMU before 6.1 each looks
    /// to Linux as if a card were in it, and it tries for a second to turn that on, and takes another
    /// to turn the port off. A disk that is plugged in meanwhile is turned off with its port, or its
    /// coming is taken for a press of the button, and it is thrown out five seconds later.
    fn settles(&self) -> bool {
        self.board == Board::Q35 && !self.qemu.has_acpi_ports()
    }

    fn wait_settled(&self, machine: &Machine) -> Result<()> {
        let ports = usize::from(if self.settles() { self.ports + self.unnamed_ports } else { 0 });
        let deadline = Instant::now() + SETTLED_WITHIN;
        let evidence = machine.evidence();
        while evidence.console().matches(PORT_OFF).count() < ports {
            if Instant::now() > deadline {
                return Err(evidence.failure("the guest never said that its ports are empty"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// A machine that has booted already, loaded from the cache in a fraction of a second; the
    /// first use boots and saves it.
    pub fn restored(self) -> Result<Machine> {
        let files = self.boot_files()?;
        saved::restored(&self, &files)
    }

    /// The file in the cache that [`Builder::restored`] loads, whether it is there yet or not.
    pub fn saved_place(&self) -> Result<PathBuf> {
        saved::place(self, &self.boot_files()?)
    }

    /// A machine that never ran: no guest, no kernel, only QEMU.
    pub fn halted(self) -> Result<Machine> {
        let mut arguments = self.machine_arguments()?;
        arguments.extend(self.surroundings());
        arguments.push("-S".to_owned());
        Machine::launch(&self.qemu.for_board(self.board)?, &arguments)
    }

    fn boot_files(&self) -> Result<BootFiles> {
        if !Board::ALL.contains(&self.board) {
            let name = self.board.name();
            return Err(Error::failed(format!("there is no guest for {name}; use halted()")));
        }
        if self.devices.agent { BootFiles::ready_with_agent() } else { BootFiles::ready() }
    }

    /// Launches a machine that waits for a saved state, with no guest code running until `cont`.
    pub(super) fn incoming(&self, files: &BootFiles) -> Result<Machine> {
        let mut arguments = self.full_arguments(files)?;
        arguments.extend(["-S", "-incoming", "defer"].map(String::from));
        let mut machine = Machine::launch(&self.qemu, &arguments)?;
        announce_migration(&mut machine)?;
        Ok(machine)
    }

    /// What must be equal for a saved state to fit.
    pub(super) fn saved_key(&self, files: &BootFiles) -> Result<Key> {
        let mut key = Key::default()
            .with(self.qemu.version.to_string())
            .with(self.qemu.path.as_os_str().as_encoded_bytes());
        for argument in self.machine_arguments()?.iter().chain(&self.boot_arguments(files)) {
            key = key.with(argument);
        }
        Ok(key)
    }

    fn full_arguments(&self, files: &BootFiles) -> Result<Vec<String>> {
        let mut arguments = self.machine_arguments()?;
        arguments.extend(self.boot_arguments(files));
        arguments.extend(self.surroundings());
        Ok(arguments)
    }

    /// The devices: what the guest sees, and what a saved state depends on.
    fn machine_arguments(&self) -> Result<Vec<String>> {
        let mut words: Vec<String> =
            ["-nodefaults", "-no-user-config", "-display", "none"].map(String::from).to_vec();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        add("-machine", self.board.name().to_owned());
        add("-accel", self.accel.clone());
        add("-m", self.memory_mib.to_string());
        if self.board.has_root_ports() {
            if self.native_hotplug && self.board == Board::Q35 && self.qemu.has_acpi_ports() {
                let acpi_off = "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off";
                add("-global", acpi_off.to_owned());
            }
            for port in self.root_ports()? {
                add("-device", port);
            }
        }
        words.extend(self.devices.arguments(self.board));
        words.extend(self.extra.iter().cloned());
        Ok(words)
    }

    fn root_ports(&self) -> Result<Vec<String>> {
        let named = (0..self.ports).map(|index| format!(",id=rp{index}"));
        let fixed = (0..self.fixed_ports).map(|index| format!(",id=fixed{index},hotplug=off"));
        let unnamed = (0..self.unnamed_ports).map(|_| String::new());
        let ports: Vec<String> = named
            .chain(fixed)
            .chain(unnamed)
            .zip(1..)
            .map(|(text, chassis)| format!("pcie-root-port,bus=pcie.0,chassis={chassis}{text}"))
            .collect();
        if ports.len() > usize::from(MAX_PORTS) {
            return Err(Error::failed(format!(
                "the test asks for {} root ports; pcie.0 has room for {MAX_PORTS}",
                ports.len()
            )));
        }
        Ok(ports)
    }

    /// Sockets, logs and firmware: what a saved state does not depend on.
    fn surroundings(&self) -> Vec<String> {
        let pretty = if self.pretty { ",pretty=on" } else { "" };
        let mut words = self.qemu.firmware_arguments();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        add("-chardev", format!("file,id=console,path={CONSOLE_LOG}"));
        add("-serial", "chardev:console".to_owned());
        for socket in ["guest", "qmp", "oracle"] {
            let path = format!("socket,id={socket},path={socket}.sock,server=on,wait=off");
            add("-chardev", path);
        }
        add("-serial", "chardev:guest".to_owned());
        add("-mon", format!("chardev=qmp,mode=control{pretty}"));
        add("-mon", "chardev=oracle,mode=control".to_owned());
        words.extend(self.devices.surroundings());
        words
    }

    fn boot_arguments(&self, files: &BootFiles) -> [String; 6] {
        let path = |path: &Path| path.display().to_string();
        let kernel = if self.settles() {
            KERNEL_ARGUMENTS.replace("quiet", PORTS_TOLD)
        } else {
            KERNEL_ARGUMENTS.to_owned()
        };
        [
            "-kernel".to_owned(),
            path(&files.kernel),
            "-initrd".to_owned(),
            path(&files.initramfs),
            "-append".to_owned(),
            kernel,
        ]
    }
}

/// Turns MIGRATION events on: the end of a save or a load is then waited for, not polled.
pub(super) fn announce_migration(machine: &mut Machine) -> Result<()> {
    let events = json!({"capabilities": [{"capability": "events", "state": true}]});
    machine.oracle.demand("migrate-set-capabilities", events)?;
    Ok(())
}
