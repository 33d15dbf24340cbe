//! `device_del`, what the guest makes of it, and how a device leaves.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::arguments::Arguments;
use crate::config::Version;
use crate::device::{DeviceKey, Pending, Place};
use crate::graph::{Claim, UserId, UserKind};
use crate::guest::Guest;
use crate::machine::{Fate, Machine, RunState, Timer};
use crate::pci::Hotplug;
use crate::plug::FINDS_BEHIND_NATIVE_PORT;
use crate::refusal::{self, Reply, generic};

/// How long pressing the attention button keeps others away (`pcie_cap_slot_unplug_request_cb`).
const BUTTON_EXPIRES: Duration = Duration::from_secs(5);

/// How long Linux takes to let go: by ACPI, and after the attention button, whose five seconds of
/// doubt it waits first.
const ACPI_TAKES: Duration = Duration::from_millis(40);
const BUTTON_TAKES: Duration = Duration::from_millis(6150);

impl Machine {
    /// `device_del`, in the order in which QEMU finds reasons against it.
    pub(crate) fn device_del(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        let id = arguments.required_text("id")?;
        arguments.finish()?;
        let Some((key, device)) = self.devices.find(&id) else {
            return Err(self.no_such_device(&id));
        };
        let shown = self.clock.at(now);
        let minds = self.version >= Version::V7_2;
        if minds
            && device
                .pending
                .is_some_and(|pending| pending.expires.is_none_or(|until| until > shown))
        {
            return Err(generic(format!("Device {id} is already in the process of unplug")));
        }
        let hotplug = match &device.place {
            Place::Pci { bus, .. } => match self.pci.bus(*bus).hotplug {
                None => return Err(refusal::no_hotplug(&self.pci.bus(*bus).name)),
                Some(Hotplug::NativeOff) => {
                    return Err(generic(format!(
                        "Hot-unplug failed: unsupported by the port device '{}'",
                        self.pci.bus(*bus).name
                    )));
                }
                hotplug => hotplug,
            },
            Place::Ide { bus } => return Err(refusal::no_hotplug(bus)),
            Place::Scsi { .. } | Place::Usb { .. } | Place::Serial { .. } => None,
        };
        if self.migration.is_active() {
            return Err(generic("device_del not allowed while migrating"));
        }
        let since = device.since;
        if self.version == Version::V1_2 && matches!(device.place, Place::Usb { .. }) {
            // An assertion of QEMU's fails (recorded): 1.2 cannot unplug a USB disk.
            self.fate = Fate::Dead;
            self.has_quit = true;
            return Err(generic("QEMU ended"));
        }
        match hotplug {
            None => self.let_go(key, now),
            // A slot without power needs nobody's leave.
            Some(Hotplug::Native) if !self.is_numbered => self.let_go(key, now),
            Some(Hotplug::Native) if self.is_busy(since, shown) || self.blinks(since, shown) => {
                return Err(generic("Hot-unplug failed: guest is busy (power indicator blinking)"));
            }
            Some(hotplug) => self.ask_guest(key, hotplug, shown),
        }
        Ok(json!({}))
    }

    fn no_such_device(&self, id: &str) -> qplug_proto::ErrorReply {
        if self.version >= Version::V7_2 && (id.is_empty() || self.is_path(id)) {
            let what = if self.version < Version::V10_0 {
                "is not a hotpluggable device"
            } else {
                "is not a device"
            };
            return generic(format!("{id} {what}"));
        }
        refusal::no_device(id)
    }

    fn is_busy(&self, since: Duration, shown: Duration) -> bool {
        matches!(self.guest, Guest::Busy(time) if shown < since + time)
    }

    /// The port's power indicator blinks until the guest has looked at what was plugged in.
    fn blinks(&self, since: Duration, shown: Duration) -> bool {
        self.guest != Guest::Dead && shown < since.max(self.boots_until) + FINDS_BEHIND_NATIVE_PORT
    }

    /// Asks, and sees what the guest makes of it. A request that is made while the machine stands
    /// still waits for `cont`; one that an early guest does not see is lost.
    fn ask_guest(&mut self, key: DeviceKey, hotplug: Hotplug, shown: Duration) {
        // A request through ACPI may be repeated at once. QEMU takes a time of 0 for none, so that on
        // a machine that never ran it may never be.
        let (expires, takes) = match hotplug {
            Hotplug::Acpi => (shown, ACPI_TAKES),
            Hotplug::Native | Hotplug::NativeOff => (shown + BUTTON_EXPIRES, BUTTON_TAKES),
        };
        let Some(device) = self.devices.at_mut(key) else { return };
        let since = device.since;
        let expires = (expires != Duration::ZERO).then_some(expires);
        device.pending = Some(Pending { expires });
        let is_lost = shown < self.boots_until
            || self.is_busy(since, shown)
            || self.run_state == RunState::Prelaunch;
        let (answer, later) = match self.guest {
            Guest::Dead => return,
            _ if is_lost => return,
            Guest::Slow(later) => (Timer::LetGo(key), later),
            Guest::Rejects => (Timer::Refuse(key), Duration::ZERO),
            _ => (Timer::LetGo(key), Duration::ZERO),
        };
        // Asking again does not make a guest slower that is about to answer.
        self.timers.cancel(|timer| *timer == answer && matches!(self.guest, Guest::Rejects));
        self.timers.at_guest(shown + takes + later, answer);
    }

    /// The guest says no.
    pub(crate) fn refuse(&mut self, key: DeviceKey, now: Instant) {
        let Some(device) = self.devices.at_mut(key) else { return };
        device.pending = None;
        let mut data = json!({"path": device.path});
        if let Some(id) = &device.id {
            data["device"] = json!(id);
        }
        self.emit("DEVICE_UNPLUG_GUEST_ERROR", Some(data), now);
    }

    /// The guest let go: the device leaves its bus at once, with all behind it and beside it, and
    /// QEMU itself a grace period later.
    pub(crate) fn let_go(&mut self, key: DeviceKey, now: Instant) {
        let Some(device) = self.devices.at(key).filter(|device| !device.is_leaving) else { return };
        let mut together = vec![key];
        if let Place::Pci { bus, devfn } = device.place {
            let paths = self.pci.bus(bus).leave_with(devfn);
            let others = self.devices.present().filter(|(_, it)| paths.contains(&it.path));
            together.extend(others.map(|(other, _)| other).filter(|other| *other != key));
        }
        for key in together {
            for behind in self.devices.behind(key) {
                self.leave(behind, now);
            }
            self.leave(key, now);
        }
        // Until RCU came, a device was gone at once.
        if self.version < Version::V7_2 {
            self.end_grace(now);
        }
    }

    fn leave(&mut self, key: DeviceKey, now: Instant) {
        let Some(device) = self.devices.at_mut(key) else { return };
        device.is_leaving = true;
        let place = device.place.clone();
        if let Place::Pci { bus, devfn } = place {
            self.pci.take(bus, devfn);
        }
        self.timers.cancel(|timer| {
            [Timer::LetGo(key), Timer::Refuse(key), Timer::Find(key)].contains(timer)
        });
        // Whoever goes while others do shares their grace period.
        if self.leaving.is_empty() && self.version >= Version::V7_2 {
            self.timers.at_host(now + self.grace, Timer::GraceEnds);
        }
        self.leaving.push(key);
    }

    /// QEMU lets go of all that were leaving: their nodes are free, and it says so.
    pub(crate) fn end_grace(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.leaving) {
            let Some(device) = self.devices.remove(key) else { continue };
            self.lose_drive(key, device.user);
            if let Some(path) = device.inner_path() {
                self.emit("DEVICE_DELETED", Some(json!({"path": path})), now);
            }
            let mut data = json!({"path": device.path});
            if let Some(id) = &device.id {
                data = json!({"device": id, "path": device.path});
            }
            self.emit("DEVICE_DELETED", Some(data), now);
        }
    }

    /// A device is gone: what becomes of its image.
    fn lose_drive(&mut self, key: DeviceKey, user: Option<UserId>) {
        let is_kept = self.drives.lose_device(key, user);
        let Some(user) = user else { return };
        if is_kept {
            let label = String::new();
            // What claims nothing is in conflict with nobody.
            let _ = self.graph.change_claim(user, label, UserKind::Drive, Claim::nothing());
        } else {
            self.graph.remove_user(user);
        }
    }
}
