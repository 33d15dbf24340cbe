//! The kernel's announcements of devices.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// The kernel's own group; group 2 is udev's, which does not run here.
const KERNEL_GROUP: u32 = 1;

/// The kernel's limit is 2,048 bytes of variables behind a path.
const MAX_UEVENT: usize = 8192;

/// Room for announcements that were not read yet. The kernel's default holds those of some forty SCSI
/// disks that come at once, and drops the others.
const BACKLOG_BYTES: usize = 8 << 20;

/// One announcement about a whole disk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Uevent {
    /// `add`, `remove`, `change`, and others that do not concern us.
    pub(crate) action: String,
    /// The kernel's name of the disk, such as `vda`.
    pub(crate) name: String,
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
            let socket = socket_with(
                AddressFamily::NETLINK,
                SocketType::DGRAM,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                Some(KOBJECT_UEVENT),
            )?;
            set_socket_recv_buffer_size_force(&socket, BACKLOG_BYTES)?;
            bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
            Ok(socket)
        };
        open()
            .map(|socket| Self { socket })
            .map_err(|errno: rustix::io::Errno| format!("cannot listen to the kernel: {errno}"))
    }

    /// The next announcement about a disk, if one is waiting.
    pub(crate) fn next(&self) -> Option<Uevent> {
        let mut buffer = [0; MAX_UEVENT];
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => {
                    if let Some(event) = parse(&buffer[..length]) {
                        return Some(event);
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return None,
                // NOBUFS: some were lost. The host's next `disks` rescans, so go on.
                Err(_) => return None,
            }
        }
    }
}

/// Reads `add@/devices/…\0ACTION=add\0SUBSYSTEM=block\0…`; anything but a whole disk is `None`.
fn parse(datagram: &[u8]) -> Option<Uevent> {
    let text = String::from_utf8_lossy(datagram);
    let variable = |name: &str| {
        text.split('\0')
            .filter_map(|field| field.split_once('='))
            .find_map(|(key, value)| (key == name).then(|| value.to_owned()))
    };
    if variable("SUBSYSTEM")? != "block" || variable("DEVTYPE")? != "disk" {
        return None;
    }
    Some(Uevent { action: variable("ACTION")?, name: variable("DEVNAME")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_disks_are_reported() {
        let disk = b"add@/devices/x\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=vda\0DEVTYPE=disk\0";
        let partition = b"add@/d\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=vda1\0DEVTYPE=partition\0";
        let expected = Uevent { action: "add".to_owned(), name: "vda".to_owned() };
        assert_eq!(parse(disk), Some(expected));
        assert_eq!(parse(partition), None);
        assert_eq!(parse(b"\xff\xfe not a uevent"), None);
        assert_eq!(parse(b""), None);
    }
}
