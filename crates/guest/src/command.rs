//! What the host may ask for, and what the guest remembers between two lines.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Advice, fadvise};
use rustix::system::RebootCommand;

use crate::disk::Disk;
use crate::uevent::Uevent;
use crate::{drive, mounts};

/// The most bytes one `read` returns: the answer is one line.
const MAX_READ: usize = 2048;

/// What becomes of a command.
#[derive(Debug)]
pub(crate) enum Disposition {
    /// Say this.
    Answer(String),
    /// Say this, then leave.
    Power(String, RebootCommand),
}

/// What the guest remembers.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// By the kernel's name: when a disk has left, nothing but this tells its serial.
    known: HashMap<String, Disk>,
    /// By serial: files kept open, which is what a busy disk looks like.
    held: HashMap<String, File>,
}

impl Session {
    /// Takes in all disks there are and returns the lines for those not known yet.
    pub(crate) fn rescan(&mut self) -> Vec<String> {
        Disk::all().into_iter().filter_map(|disk| self.came_or_changed(disk)).collect()
    }

    /// Takes in what the kernel said and returns the lines to pass on.
    pub(crate) fn heard(&mut self, event: &Uevent) -> Option<String> {
        match event.action.as_str() {
            "add" | "change" => {
                let disk = Disk::look_up(&event.name)?;
                self.came_or_changed(disk)
            }
            "remove" => {
                let disk = self.known.remove(&event.name)?;
                Some(format!("-disk {} serial={}", disk.name, disk.serial))
            }
            _ => None,
        }
    }

    fn came_or_changed(&mut self, disk: Disk) -> Option<String> {
        let line = disk.to_string();
        match self.known.insert(disk.name.clone(), disk.clone()) {
            None => Some(format!("+disk {line}")),
            Some(before) if before != disk => Some(format!("~disk {line}")),
            Some(_) => None,
        }
    }

    /// Carries a command out.
    pub(crate) fn obey(&mut self, line: &str) -> Disposition {
        let words: Vec<&str> = line.split_whitespace().collect();
        let done = match words[..] {
            ["ping"] => Ok("pong".to_owned()),
            ["disks"] => Ok(list()),
            ["write", serial, offset, _, ..] => write(serial, offset, text_after(line, 3)),
            ["read", serial, offset, length] => read(serial, offset, length),
            ["hold", serial] => self.hold(serial),
            ["release", serial] => match self.held.remove(serial) {
                Some(_) => Ok("released".to_owned()),
                None => Err(format!("'{serial}' is not held")),
            },
            ["mount", serial, kind] => find(serial)
                .and_then(|disk| mounts::attach(&disk, kind))
                .map(|place| place.display().to_string()),
            ["unmount", serial] => mounts::detach(serial).map(|()| "unmounted".to_owned()),
            ["udev", serial, id_serial] => find(serial)
                .and_then(|disk| disk.note_for_udev(id_serial))
                .map(|()| "noted".to_owned()),
            ["drives"] => Ok(drive::names().join(" ")),
            ["medium", name] => drive::medium(name),
            ["poweroff"] => {
                return Disposition::Power("ok poweroff".to_owned(), RebootCommand::PowerOff);
            }
            ["reboot"] => {
                return Disposition::Power("ok reboot".to_owned(), RebootCommand::Restart);
            }
            _ => Err(format!("no such command: {}", line.escape_debug())),
        };
        Disposition::Answer(match done {
            Ok(answer) => format!("ok {answer}").trim_end().to_owned(),
            Err(reason) => format!("error {reason}"),
        })
    }

    fn hold(&mut self, serial: &str) -> Result<String, String> {
        // A drive has no serial that the kernel tells. Holding one locks its tray.
        let node = match drive::device_node(serial) {
            Some(node) => node,
            None => find(serial)?.device_node(),
        };
        let file = open(&node, false)?;
        self.held.insert(serial.to_owned(), file);
        Ok("held".to_owned())
    }
}

fn list() -> String {
    let disks: Vec<String> = Disk::all().iter().map(Disk::to_string).collect();
    disks.join("; ")
}

/// The rest of a line behind its first words, with the white space in it as it was sent.
fn text_after(line: &str, words: usize) -> &str {
    let mut rest = line.trim_start();
    for _ in 0..words {
        let word_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        rest = rest[word_end..].trim_start();
    }
    rest
}

fn find(serial: &str) -> Result<Disk, String> {
    Disk::all()
        .into_iter()
        .find(|disk| disk.serial == serial)
        .ok_or_else(|| format!("no disk has the serial '{serial}'"))
}

fn open(node: &Path, writable: bool) -> Result<File, String> {
    OpenOptions::new()
        .read(true)
        .write(writable)
        .open(node)
        .map_err(|error| format!("cannot open {}: {error}", node.display()))
}

fn write(serial: &str, offset: &str, text: &str) -> Result<String, String> {
    let offset: u64 = number(offset)?;
    let disk = find(serial)?;
    let file = open(&disk.device_node(), true)?;
    // The sync also flushes the disk's own cache, so the host finds the bytes in its image.
    file.write_all_at(text.as_bytes(), offset)
        .and_then(|()| file.sync_all())
        .map_err(|error| format!("cannot write to {}: {error}", disk.name))?;
    Ok(format!("{} bytes", text.len()))
}

fn read(serial: &str, offset: &str, length: &str) -> Result<String, String> {
    let offset: u64 = number(offset)?;
    let length: usize = number(length)?;
    if length > MAX_READ {
        return Err(format!("at most {MAX_READ} bytes can be read at once"));
    }
    let disk = find(serial)?;
    let file = open(&disk.device_node(), false)?;
    // Pages read before would hide what the host has changed since.
    fadvise(&file, 0, None, Advice::DontNeed)
        .map_err(|errno| format!("cannot drop cached pages of {}: {errno}", disk.name))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|error| format!("cannot read from {}: {error}", disk.name))?;
    Ok(bytes.escape_ascii().to_string())
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("'{word}' is not a number in range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_input_is_an_error_and_no_more() {
        let mut session = Session::default();
        for line in [
            "",
            "write",
            "write x",
            "write x 0",
            "read nobody 99999999999999999999 1",
            "read nobody 0 -1",
            "read nobody 0 4096",
            "hold nobody",
            "release nobody",
            "mount nobody ext4",
            "udev nobody x",
            "unmount nobody",
            "medium nobody",
            "\u{fffd}\u{0}",
        ] {
            match session.obey(line) {
                Disposition::Answer(answer) => {
                    assert!(answer.starts_with("error "), "{line:?}: {answer}");
                    assert!(!answer.contains('\n'));
                }
                Disposition::Power(..) => panic!("{line:?} must not turn the guest off"),
            }
        }
    }

    #[test]
    fn a_text_keeps_its_inner_spaces() {
        assert_eq!(text_after("write data 512 hello  big world", 3), "hello  big world");
    }
}
