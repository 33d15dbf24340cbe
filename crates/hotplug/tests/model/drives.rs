//! Other clients of a machine that has drives and no nodes.

use std::time::Instant;

use qplug_sim::{Machine, Version};
use serde_json::{Value, json};

use crate::foreign::Others;
use crate::story::{Foreign, IMAGES, THEIR_IMAGE};

/// Another client's hands.
struct Hands<'a> {
    machine: &'a mut Machine,
    now: Instant,
}

impl Hands<'_> {
    fn execute(&mut self, command: &str, arguments: Value) -> Option<Value> {
        self.machine.execute(command, Some(&arguments), &mut Vec::new(), self.now).ok()
    }

    fn human(&mut self, line: &str) -> String {
        let printed = self.execute("human-monitor-command", json!({"command-line": line}));
        printed.unwrap_or_default().as_str().unwrap_or_default().to_owned()
    }

    /// Opens an image as a drive; whether that went well.
    fn open(&mut self, drive: &str, path: &str, read_only: bool) -> bool {
        let read_only = if read_only { "on" } else { "off" };
        if self.machine.version() == Version::Rhel6 {
            let drive =
                json!({"id": drive, "file": path, "format": "raw", "readonly": read_only == "on"});
            return self.execute("__com.redhat_drive_add", drive).is_some();
        }
        let options = format!("if=none,id={drive},file={path},format=raw,readonly={read_only}");
        self.human(&format!("drive_add 0 {options}")) == "OK\r\n"
    }

    /// Takes a drive; whether there was one.
    fn close(&mut self, drive: &str) -> bool {
        match self.machine.version() {
            Version::Rhel6 => {
                self.execute("__com.redhat_drive_del", json!({"id": drive})).is_some()
            }
            _ => self.human(&format!("drive_del {drive}")).is_empty(),
        }
    }

    fn has_drive(&mut self, drive: &str) -> bool {
        let drives = self.execute("query-block", json!({})).unwrap_or_default();
        drives.as_array().into_iter().flatten().any(|it| it["device"] == drive)
    }

    /// Plugs a disk in wherever there is room.
    fn plug(&mut self, id: &str, drive: &str) -> bool {
        let driver = "virtio-blk-pci";
        // Two in one port leave together.
        let mut places = (0..6).map(|port| json!({"bus": format!("rp{port}"), "addr": "0"}));
        let mut plug = |mut device: Value| {
            device["driver"] = driver.into();
            device["id"] = id.into();
            device["drive"] = drive.into();
            self.execute("device_add", device).is_some()
        };
        places.any(&mut plug) || plug(json!({"bus": "pci.0"}))
    }
}

impl Others {
    /// Does what another client does, as far as it can be done with drives.
    pub(crate) fn act_on_drives(&mut self, foreign: &Foreign, machine: &mut Machine, now: Instant) {
        let mut hands = Hands { machine, now };
        self.made += 1;
        let drive = format!("theirs.{}", self.made);
        match foreign {
            Foreign::Open => {
                self.names.extend(hands.open(&drive, THEIR_IMAGE, true).then_some(drive));
            }
            Foreign::OpenOurs(image) => {
                self.names.extend(hands.open(&drive, IMAGES[*image].0, false).then_some(drive));
            }
            Foreign::Device(disk) => self.plug(disk, drive, &mut hands),
            Foreign::TidyUp => {
                let tree = hands.human("info qtree");
                let is_free = |drive: &String| {
                    let is_held = tree.contains(&format!("drive = {drive}\r"))
                        || tree.contains(&format!("drive = \"{drive}\"\r"));
                    drive.starts_with("theirs.") && !is_held
                };
                let free: Vec<_> = self.names.iter().filter(|it| is_free(it)).cloned().collect();
                for drive in free.iter().filter(|drive| hands.close(drive)) {
                    self.names.remove(drive);
                }
            }
            Foreign::Unplug(disk) if !self.made(disk) => {
                let _ = hands.execute("device_del", json!({"id": disk}));
            }
            Foreign::Drop(disk) => {
                hands.close(&format!("{disk}.format"));
            }
            // A drive that is called as a disk's cannot be told from it, and the rest is newer.
            Foreign::Unplug(_)
            | Foreign::Lookalike(_)
            | Foreign::Secret(_)
            | Foreign::Group
            | Foreign::Job(_)
            | Foreign::Export(_)
            | Foreign::EndJobs => {}
        }
    }

    fn plug(&mut self, disk: &str, drive: String, hands: &mut Hands<'_>) {
        // One over what qplug left half done looks as if qplug had ended it.
        if hands.has_drive(&format!("{disk}.format")) || !hands.open(&drive, THEIR_IMAGE, true) {
            return;
        }
        if hands.plug(disk, &drive) {
            self.devices.insert(disk.to_owned(), drive.clone());
            self.names.extend([drive, disk.to_owned()]);
        } else {
            hands.close(&drive);
        }
    }
}
