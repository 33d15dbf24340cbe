//! What a machine has beside its root ports: controllers, drives, a bridge, the agent's port.

use super::Board;

/// The guest agent's socket, within a machine's folder.
pub(super) const AGENT_SOCKET: &str = "agent.sock";

/// The name by which the guest knows the agent's port.
const AGENT_PORT: &str = "org.qemu.guest_agent.0";

/// Which of them a machine is to have. None is the usual case.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Devices {
    /// A virtio-scsi controller, `scsi0`.
    pub(super) scsi: bool,
    /// A USB controller, `xhci`.
    pub(super) usb: bool,
    /// An empty CD drive on the board's own controller, `cd0`.
    pub(super) cdrom: bool,
    /// An empty CD drive on `scsi0`, `cd1`.
    pub(super) scsi_cdrom: bool,
    /// A bridge to conventional PCI, `br0`.
    pub(super) bridge: bool,
    /// A port for the guest agent.
    pub(super) agent: bool,
}

impl Devices {
    /// QEMU's arguments for them. The bridge comes last: on q35 it takes a root port of its own.
    pub(super) fn arguments(self, board: Board) -> Vec<String> {
        let mut devices = Vec::new();
        if self.scsi || self.scsi_cdrom {
            devices.push("virtio-scsi-pci,id=scsi0".to_owned());
        }
        if self.usb {
            devices.push("qemu-xhci,id=xhci".to_owned());
        }
        if self.cdrom {
            devices.push("ide-cd,id=cd0,bus=ide.0".to_owned());
        }
        if self.scsi_cdrom {
            devices.push("scsi-cd,id=cd1,bus=scsi0.0".to_owned());
        }
        if self.agent {
            devices.push("virtio-serial-pci,id=serial0".to_owned());
            let port = format!("virtserialport,bus=serial0.0,chardev=agent,name={AGENT_PORT}");
            devices.push(port);
        }
        match board {
            _ if !self.bridge => {}
            Board::Q35 | Board::Virt => {
                // No other chassis has this number, and none is called like that.
                devices.push("pcie-root-port,bus=pcie.0,chassis=200,id=br0port".to_owned());
                devices.push("pcie-pci-bridge,bus=br0port,id=br0".to_owned());
            }
            Board::Pc => devices.push("pci-bridge,bus=pci.0,chassis_nr=200,id=br0".to_owned()),
            Board::S390x | Board::Microvm => {}
        }
        devices.into_iter().flat_map(|device| ["-device".to_owned(), device]).collect()
    }

    /// The agent's socket, which a saved state does not depend on.
    pub(super) fn surroundings(self) -> Vec<String> {
        if !self.agent {
            return Vec::new();
        }
        let socket = format!("socket,id=agent,path={AGENT_SOCKET},server=on,wait=off");
        vec!["-chardev".to_owned(), socket]
    }
}
