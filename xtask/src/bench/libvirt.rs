//! A libvirt of our own, and a machine in it like the testbed's: the same QEMU, kernel and guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use qplug_testbed::boot_files::{BootFiles, KERNEL_ARGUMENTS};
use qplug_testbed::{Error, Qemu, Result};
use tempfile::TempDir;

use super::daemon::Daemon;
use super::emulator::{emulator, quoted};
use super::port::Port;
use super::rounds::DISK;

/// The machine's name.
const DOMAIN: &str = "bench";
/// Where virsh is to put the disk; the guest chooses the name itself.
const PLACE: &str = "vdb";
/// How long the guest may take to boot; it takes 2 s when nothing else runs.
const BOOT_WITHIN: Duration = Duration::from_secs(60);
/// Root ports, as many as the testbed's machines have.
const PORTS: usize = 4;

/// What the machine has beside its root ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) memory_mib: u32,
    /// Whether it has a virtio-scsi controller.
    pub(super) scsi: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { memory_mib: 128, scsi: false }
    }
}

/// A running machine in libvirt. Dropping it ends it, and the daemon.
#[derive(Debug)]
pub(super) struct Libvirt {
    /// The talk with its guest.
    pub(super) guest: Port,
    // Fields drop in this order: the daemon has to end before its folder goes.
    daemon: Daemon,
    folder: TempDir,
}

impl Libvirt {
    /// Starts the daemon and a machine, and waits until the guest is up.
    pub(super) fn start(qemu: &Qemu, shape: Shape) -> Result<Self> {
        let files = BootFiles::ready()?;
        // Sockets lie deep in it, and their paths must be short.
        let folder = tempfile::Builder::new()
            .prefix("qplug-libvirt-")
            .tempdir()
            .map_err(|error| Error::failed(format!("cannot make a temporary folder: {error}")))?;
        let daemon = Daemon::start(folder.path())?;
        let emulator = emulator(qemu, folder.path())?;
        let port = folder.path().join("guest.sock");
        let description = folder.path().join("machine.xml");
        let text = description_of_machine(shape, &files, &emulator, folder.path(), &port);
        fs::write(&description, text).map_err(Error::file("write", &description))?;
        daemon.ask(&["create", "--paused", &description.to_string_lossy()])?;
        let mut guest = Port::connect(&port)?;
        daemon.ask(&["resume", DOMAIN])?;
        guest.wait_ready(BOOT_WITHIN)?;
        Ok(Self { guest, daemon, folder })
    }

    /// libvirt's version.
    pub(super) fn version(&self) -> Result<String> {
        self.daemon.ask(&["--version"])
    }

    /// The command that attaches a qcow2 image.
    pub(super) fn attach(&self, image: &Path) -> Command {
        let mut command = self.daemon.virsh();
        command.args(["attach-disk", DOMAIN]).arg(image).args([PLACE, "--live", "--serial", DISK]);
        command.args(["--driver", "qemu", "--subdriver", "qcow2", "--sourcetype", "file"]);
        command
    }

    /// A description of a disk over a raw image, in a file that [`Libvirt::work`] takes.
    pub(super) fn describe(&self, number: usize, disk: &Disk<'_>) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{number}.{}.xml", disk.bus));
        let (target, address) = match disk.bus {
            "scsi" => {
                let address = "<address type='drive' controller='0' bus='0'";
                (letters("sd", number), format!("{address} target='{number}' unit='0'/>"))
            }
            _ => (letters("vd", number + 1), String::new()),
        };
        let text = format!(
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>\
             <target dev='{target}' bus='{bus}'/><serial>{serial}</serial>{address}</disk>",
            image = escaped(&disk.image.to_string_lossy()),
            bus = disk.bus,
            serial = disk.serial,
        );
        fs::write(&path, text).map_err(Error::file("write", &path))?;
        Ok(path)
    }

    /// The command that does this (`attach-device` or `detach-device`) with each of the disks, one
    /// after the other, over one connection.
    pub(super) fn work(&self, what: &str, descriptions: &[PathBuf]) -> Command {
        let one =
            |path: &PathBuf| format!("{what} {DOMAIN} {} --live", quoted(&path.to_string_lossy()));
        let mut command = self.daemon.virsh();
        command.arg(descriptions.iter().map(one).collect::<Vec<_>>().join("; "));
        command
    }

    /// The command that detaches it, and waits until the guest has let go.
    pub(super) fn detach(&self) -> Command {
        let mut command = self.daemon.virsh();
        command.args(["detach-disk", DOMAIN, PLACE, "--live"]);
        command
    }
}

/// A disk for libvirt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk<'a> {
    pub(super) image: &'a Path,
    pub(super) serial: &'a str,
    /// As libvirt calls it: `virtio` or `scsi`.
    pub(super) bus: &'a str,
}

/// A device's name as libvirt wants it: `sda` … `sdz`, `sdaa` and so on.
fn letters(begin: &str, number: usize) -> String {
    let last = char::from(b'a' + u8::try_from(number % 26).unwrap_or_default());
    match number / 26 {
        0 => format!("{begin}{last}"),
        more => format!("{}{last}", letters(begin, more - 1)),
    }
}

fn description_of_machine(
    shape: Shape,
    files: &BootFiles,
    emulator: &Path,
    folder: &Path,
    port: &Path,
) -> String {
    let text = |path: &Path| escaped(&path.to_string_lossy());
    let ports = "    <controller type='pci' model='pcie-root-port'/>\n".repeat(PORTS);
    let scsi = match shape.scsi {
        true => "    <controller type='scsi' index='0' model='virtio-scsi'/>\n",
        false => "",
    };
    format!(
        "<domain type='qemu'>
  <name>{DOMAIN}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initramfs}</initrd>
    <cmdline>{KERNEL_ARGUMENTS}</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
    <controller type='pci' model='pcie-root'/>
{ports}{scsi}    <serial type='file'><source path='{console}'/></serial>
    <serial type='unix'><source mode='bind' path='{port}'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
",
        memory = shape.memory_mib,
        kernel = text(&files.kernel),
        initramfs = text(&files.initramfs),
        emulator = text(emulator),
        console = text(&folder.join("console.log")),
        port = text(port),
    )
}

/// A text within XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_lettered_as_disks_are() {
        let names = [0, 25, 26, 52].map(|number| letters("sd", number));
        assert_eq!(names, ["sda", "sdz", "sdaa", "sdba"]);
    }

    #[test]
    fn odd_paths_stay_whole_in_xml() {
        assert_eq!(escaped("/a&b<c'd"), "/a&amp;b&lt;c&apos;d");
    }
}
