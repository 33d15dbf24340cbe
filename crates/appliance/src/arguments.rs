//! QEMU's command line for an appliance, as data.

use std::path::{Path, PathBuf};

use qplug_agent::wire::{CONTROL_PORT, FILES_PORT, LANES, port_of_lane};

use crate::accel::Accel;
use crate::cache::Key;
use crate::error::Result;
use crate::lane::socket;
use crate::qemu::Qemu;
use crate::registry::Place;

/// The SCSI controller that disks are plugged into, there from the start: no port has to be found for a
/// disk, 255 fit, and the kernel probes one device at boot and not one for each port to spare. It is
/// not called as the controllers that qplug plugs in, which leave with their last disk.
pub(crate) const CONTROLLER: &str = "disks";

/// Memory when the caller does not say, in MiB. A larger one takes longer to save.
pub(crate) const DEFAULT_MEMORY_MIB: u32 = 256;

/// The socket of qplug's own monitor, which no other program is started with.
pub(crate) const CONTROL: &str = "socket,id=control0,fd=0,server=on,wait=on";

/// What the kernel is told. Under TCG every self-test and calibration takes its time, and nothing that
/// these leave out is of use in a machine that is gone tomorrow. Making the kernel's text read-only splits
/// its large pages and looks through all of them, a tenth of the boot; having it forget that there could be
/// more processors changes thousands of places, each through a mapping of its own.
const KERNEL_WORDS: &str = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable \
    no_timer_check cryptomgr.notests 8250.nr_uarts=1 audit=0 random.trust_cpu=on \
    rodata=off noreplace-smp";

/// What shapes a machine. A saved one fits into another of the same shape alone.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) qemu: Qemu,
    pub(crate) accel: Accel,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

/// How a machine begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With its kernel.
    Cold,
    /// As it was saved, once it is told where that is.
    Saved,
}

impl Shape {
    /// The whole command line, the program first. It is run in the folder of the machine.
    pub(crate) fn command_line(&self, start: Start) -> Vec<String> {
        let mut words = vec![self.qemu.program.display().to_string()];
        words.extend(self.qemu.arguments.iter().cloned());
        words.extend(self.machine());
        words.extend(surroundings());
        if start == Start::Saved {
            words.extend(["-incoming", "defer"].map(String::from));
        }
        words
    }

    /// Adds to a key all that shapes the machine.
    pub(crate) fn key(&self, key: Key) -> Result<Key> {
        let key = self.qemu.key(key)?.with_file(&self.kernel)?;
        Ok(self.machine().iter().fold(key, |key, word| key.with(word)))
    }

    /// What the machine is made of, as the guest sees it.
    fn machine(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let mut words =
            ["-nodefaults", "-no-user-config", "-display", "none"].map(String::from).to_vec();
        // An appliance that reboots has ended, and one that panics reboots.
        words.push("-no-reboot".to_owned());
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        add("-machine", "q35,usb=off,hpet=off".to_owned());
        add("-accel", self.accel.name().to_owned());
        add("-cpu", self.accel.processor().to_owned());
        add("-smp", self.cpus.to_string());
        add("-m", self.memory_mib.to_string());
        // The first port is a console's, and stays empty; each more that could be costs time at boot.
        add("-device", format!("virtio-serial-pci,id=ports,max_ports={}", 2 * LANES + 1));
        for lane in 0..LANES {
            for (kind, name) in [("agent", CONTROL_PORT), ("files", FILES_PORT)] {
                let (id, name) = (format!("{kind}{lane}"), port_of_lane(name, lane));
                let port = format!("virtserialport,bus=ports.0,id={id},chardev={id},name={name}");
                add("-device", port);
            }
        }
        add("-device", format!("virtio-scsi-pci,id={CONTROLLER}"));
        // Its number changes with each machine that is restored, at which Linux seeds its random
        // numbers anew, so that no two of them draw the same.
        add("-device", "vmgenid,id=generation,guid=auto".to_owned());
        add("-kernel", path(&self.kernel));
        add("-initrd", path(&self.initramfs));
        add("-append", KERNEL_WORDS.to_owned());
        words
    }
}

/// Sockets and logs, by their names in the folder of the machine: what a saved machine does not depend
/// on. The listening socket of qplug's own monitor is QEMU's standard input, so that it is there before QEMU
/// is, and the machine does not run before it is told to. One monitor more is for whoever else wants one.
fn surroundings() -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    add("-chardev", format!("file,id=console,path={}", Place::CONSOLE));
    add("-serial", "chardev:console".to_owned());
    let mut listen = |id: String, path: &str| {
        add("-chardev", format!("socket,id={id},path={path},server=on,wait=off"));
    };
    for lane in 0..LANES {
        listen(format!("agent{lane}"), &socket(Place::AGENT, lane));
        listen(format!("files{lane}"), &socket(Place::FILES, lane));
    }
    for lane in 1..LANES {
        listen(format!("control{lane}"), &socket(Place::CONTROL, lane));
    }
    listen("monitor".to_owned(), Place::MONITOR);
    add("-chardev", CONTROL.to_owned());
    for lane in 0..LANES {
        add("-mon", format!("chardev=control{lane},mode=control"));
    }
    add("-mon", "chardev=monitor,mode=control".to_owned());
    add("-pidfile", Place::PID.to_owned());
    words.push("-S".to_owned());
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    fn shape() -> Shape {
        Shape {
            qemu: Qemu::at(Path::new("/usr/bin/qemu-system-x86_64")),
            accel: Accel::Tcg,
            memory_mib: DEFAULT_MEMORY_MIB,
            cpus: 1,
            kernel: "/k/vmlinux".into(),
            initramfs: "/i/initramfs".into(),
        }
    }

    fn value<'a>(words: &'a [String], option: &str) -> Vec<&'a str> {
        let pairs = words.windows(2).filter(|pair| pair[0] == option);
        pairs.map(|pair| pair[1].as_str()).collect()
    }

    #[test]
    fn the_command_line_has_all_that_shapes_the_machine() {
        let words = shape().command_line(Start::Cold);
        assert_eq!(words[0], "/usr/bin/qemu-system-x86_64");
        assert_eq!(value(&words, "-m"), ["256"]);
        assert_eq!(value(&words, "-kernel"), ["/k/vmlinux"]);
        assert_eq!(value(&words, "-initrd"), ["/i/initramfs"]);
        assert!(value(&words, "-device").iter().any(|it| it.ends_with("name=org.qplug.agent.0")));
        assert!(value(&words, "-device").contains(&"virtio-scsi-pci,id=disks"));
        assert!(words.contains(&"-S".to_owned()));
        assert!(value(&words, "-incoming").is_empty());
        assert_eq!(value(&shape().command_line(Start::Saved), "-incoming"), ["defer"]);
    }

    #[test]
    fn no_two_machines_of_different_shape_share_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let mut base = shape();
        base.qemu = Qemu::at(&file("qemu"));
        base.kernel = file("kernel");
        let key = |shape: &Shape| shape.key(Key::default()).unwrap().to_string();
        let larger = Shape { memory_mib: 512, ..base.clone() };
        let other = Shape { kernel: file("kernel-2"), ..base.clone() };
        let newer = Shape { qemu: Qemu::at(&file("qemu-2")), ..base.clone() };
        let keys = [key(&base), key(&larger), key(&other), key(&newer)];
        assert_eq!(key(&base), keys[0]);
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
