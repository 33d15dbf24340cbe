//! The kernel's announcements of devices.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// The kernel's own group of the netlink family.
const KERNEL_GROUP: u32 = 1;

/// The kernel has at most 2,048 bytes of variables, behind a path.
const MAX_UEVENT: usize = 8192;

/// Room for announcements not read yet: 255 disks with partitions that come at once are some 1,000, and
/// each takes a kilobyte or two of the kernel's memory.
const BACKLOG_BYTES: usize = 8 << 20;

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Uevent {
    /// A disk, or a partition.
    Block(BlockEvent),
    /// Another kind of device.
    Other,
    /// The answer to [`ask`].
    Answer(u64),
    /// Announcements were lost: everything may have changed.
    Lost,
}

/// An announcement about a disk or one of its partitions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BlockEvent {
    /// Whether what it is about is leaving; sysfs may still show it.
    pub(crate) is_removal: bool,
    /// The kernel's name of the disk.
    pub(crate) disk: String,
    /// The kernel's name of the partition, where it is about one.
    pub(crate) partition: Option<String>,
}

/// The socket on which they come.
pub(crate) struct Uevents {
    socket: OwnedFd,
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Uevents {
    /// Starts to listen; announcements from now on are queued by the kernel.
    pub(crate) fn listen() -> Result<Self, String> {
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let family = Some(KOBJECT_UEVENT);
            let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, family)?;
            set_socket_recv_buffer_size_force(&socket, BACKLOG_BYTES)?;
            bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
            Ok(socket)
        };
        open()
            .map(|socket| Self { socket })
            .map_err(|errno: Errno| format!("cannot listen to the kernel: {errno}"))
    }

    /// The next announcement. `None` when none came in time.
    pub(crate) fn next(&self, within: Option<&Timespec>) -> Option<Uevent> {
        let mut buffer = [0; MAX_UEVENT];
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => return Some(parse(&buffer[..length])),
                Err(Errno::AGAIN) => {
                    let mut readable = [PollFd::new(&self.socket, PollFlags::IN)];
                    match poll(&mut readable, within) {
                        Ok(0) => return None,
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(_) => return None,
                    }
                }
                Err(Errno::INTR) => {}
                // NOBUFS says that some were lost; anything else is no better.
                Err(_) => return Some(Uevent::Lost),
            }
        }
    }
}

/// A device that is always there.
const ANY_DEVICE: &str = "/sys/devices/virtual/mem/null/uevent";

/// How the kernel wants a question to look: a UUID.
const QUESTION: &str = "71706c75-6700-4000-8000-";

/// Has the kernel announce [`Uevent::Answer`] with this number, behind all that it has announced before.
pub(crate) fn ask(number: u64) -> std::io::Result<()> {
    std::fs::write(ANY_DEVICE, format!("change {QUESTION}{number:012x}"))
}

/// Reads `add@/devices/…\0ACTION=add\0SUBSYSTEM=block\0…`.
fn parse(datagram: &[u8]) -> Uevent {
    let text = String::from_utf8_lossy(datagram);
    let variable = |name: &str| {
        let mut fields = text.split('\0').filter_map(|field| field.split_once('='));
        fields.find_map(|(key, value)| (key == name).then_some(value))
    };
    let block = || {
        let name = variable("DEVNAME")?.to_owned();
        let is_removal = variable("ACTION")? == "remove";
        if variable("DEVTYPE")? == "disk" {
            return Some(BlockEvent { is_removal, disk: name, partition: None });
        }
        // A partition is a folder in its disk's.
        let disk = variable("DEVPATH")?.rsplit('/').nth(1)?.to_owned();
        Some(BlockEvent { is_removal, disk, partition: Some(name) })
    };
    let answer = || u64::from_str_radix(variable("SYNTH_UUID")?.strip_prefix(QUESTION)?, 16).ok();
    if let Some(number) = answer() {
        return Uevent::Answer(number);
    }
    match variable("SUBSYSTEM") {
        Some("block") => block().map_or(Uevent::Other, Uevent::Block),
        _ => Uevent::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_partitions_are_told_apart() {
        let disk = b"add@/d/block/vda\0ACTION=add\0DEVPATH=/d/block/vda\0SUBSYSTEM=block\0DEVNAME=vda\0DEVTYPE=disk\0";
        let partition = b"remove@/d/block/vda/vda1\0ACTION=remove\0DEVPATH=/d/block/vda/vda1\0SUBSYSTEM=block\0DEVNAME=vda1\0DEVTYPE=partition\0";
        let event = |is_removal, partition: Option<&str>| {
            let partition = partition.map(str::to_owned);
            Uevent::Block(BlockEvent { is_removal, disk: "vda".to_owned(), partition })
        };
        assert_eq!(parse(disk), event(false, None));
        assert_eq!(parse(partition), event(true, Some("vda1")));
        assert_eq!(parse(b"change@/x\0ACTION=change\0SUBSYSTEM=virtio-ports\0"), Uevent::Other);
        let answer = b"change@/devices/virtual/mem/null\0SUBSYSTEM=mem\0SYNTH_UUID=71706c75-6700-4000-8000-00000000001f\0";
        assert_eq!(parse(answer), Uevent::Answer(31));
        assert_eq!(parse(b"\xff\xfe"), Uevent::Other);
        assert_eq!(parse(b""), Uevent::Other);
    }
}
