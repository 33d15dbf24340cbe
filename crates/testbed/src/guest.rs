//! The host's end of the guest's line protocol; the guest's end is `crates/guest`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::lines::Lines;
use crate::{Error, Evidence, Result};

/// How long the guest may take to carry a command out.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A disk as the guest's kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name, such as `vda`: never promised, so identify disks by serial.
    pub name: String,
    /// What identifies it; odd bytes are written `%XX`.
    pub serial: String,
    /// Size.
    pub bytes: u64,
    /// Whether the kernel refuses writes.
    pub read_only: bool,
}

/// What is inside a CD drive, as the guest's kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Size.
    pub bytes: u64,
    /// Its first bytes, up to a zero and 32 at the most; odd ones are written `\xNN`.
    pub first: String,
}

/// Something the guest reported unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The guest is up; also said after a reboot.
    Ready,
    /// A disk came.
    Added(Disk),
    /// A disk is not what it was, most often in size.
    Changed(Disk),
    /// A disk left.
    Removed {
        /// The kernel's name it had.
        name: String,
        /// Its serial.
        serial: String,
    },
}

/// The talk with one guest.
#[derive(Debug)]
pub struct Guest {
    lines: Lines,
    reports: VecDeque<Report>,
    evidence: Evidence,
}

impl Guest {
    pub(crate) fn new(lines: Lines, evidence: Evidence) -> Self {
        Self { lines, reports: VecDeque::new(), evidence }
    }

    /// Waits until the guest says that it is up.
    pub fn wait_ready(&mut self, within: Duration) -> Result<()> {
        self.wait("to say that it is ready", within, |report| {
            matches!(report, Report::Ready).then_some(())
        })
    }

    /// Waits until the guest sees a disk with this serial come, and takes that report.
    pub fn wait_added(&mut self, serial: &str, within: Duration) -> Result<Disk> {
        let what = format!("to see the disk '{serial}' come");
        self.wait(&what, within, |report| match report {
            Report::Added(disk) if disk.serial == serial => Some(disk.clone()),
            _ => None,
        })
    }

    /// Waits until the guest sees the disk with this serial change, and takes that report.
    pub fn wait_changed(&mut self, serial: &str, within: Duration) -> Result<Disk> {
        let what = format!("to see the disk '{serial}' change");
        self.wait(&what, within, |report| match report {
            Report::Changed(disk) if disk.serial == serial => Some(disk.clone()),
            _ => None,
        })
    }

    /// Waits until the guest sees the disk with this serial leave, and takes that report.
    pub fn wait_removed(&mut self, serial: &str, within: Duration) -> Result<()> {
        let what = format!("to see the disk '{serial}' leave");
        self.wait(&what, within, |report| match report {
            Report::Removed { serial: left, .. } if left == serial => Some(()),
            _ => None,
        })
    }

    /// Asks for a sign of life.
    pub fn ping(&mut self) -> Result<()> {
        self.command("ping").map(drop)
    }

    /// The disks there are now.
    pub fn disks(&mut self) -> Result<Vec<Disk>> {
        let answer = self.command("disks")?;
        answer
            .split("; ")
            .filter(|text| !text.is_empty())
            .map(|text| {
                parse_disk(text)
                    .ok_or_else(|| self.evidence.failure(&format!("not a disk: '{text}'")))
            })
            .collect()
    }

    /// Writes a text (no line breaks) and waits until it is on the disk.
    pub fn write(&mut self, serial: &str, offset: u64, text: &str) -> Result<()> {
        self.command(&format!("write {serial} {offset} {text}")).map(drop)
    }

    /// Reads from the disk, not from the guest's memory; odd bytes come back as `\xNN`.
    pub fn read(&mut self, serial: &str, offset: u64, length: usize) -> Result<String> {
        self.command(&format!("read {serial} {offset} {length}"))
    }

    /// Opens a disk and keeps it open.
    pub fn hold(&mut self, serial: &str) -> Result<()> {
        self.command(&format!("hold {serial}")).map(drop)
    }

    /// Closes what [`Guest::hold`] opened.
    pub fn release(&mut self, serial: &str) -> Result<()> {
        self.command(&format!("release {serial}")).map(drop)
    }

    /// Mounts a disk's file system (`ext4`), and tells where in the guest.
    pub fn mount(&mut self, serial: &str, kind: &str) -> Result<String> {
        self.command(&format!("mount {serial} {kind}"))
    }

    /// Takes back [`Guest::mount`], also of a disk that has left.
    pub fn unmount(&mut self, serial: &str) -> Result<()> {
        self.command(&format!("unmount {serial}")).map(drop)
    }

    /// Has the guest agent tell this as a disk's serial: udev's `ID_SERIAL`, which is the serial alone
    /// for virtio-blk only. The test guest has no udev, so the agent tells none by itself.
    pub fn name_for_udev(&mut self, serial: &str, id_serial: &str) -> Result<()> {
        self.command(&format!("udev {serial} {id_serial}")).map(drop)
    }

    /// The kernel's names of the CD drives, such as `sr0`. [`Guest::hold`] and [`Guest::release`]
    /// take them in place of a serial: a tray whose drive is held is locked.
    pub fn drives(&mut self) -> Result<Vec<String>> {
        Ok(self.command("drives")?.split_whitespace().map(str::to_owned).collect())
    }

    /// What is inside a CD drive now; `None` when it is empty or its tray is open.
    pub fn medium(&mut self, drive: &str) -> Result<Option<Medium>> {
        let answer = self.command(&format!("medium {drive}"))?;
        if answer == "none" {
            return Ok(None);
        }
        let medium = parse_medium(&answer);
        medium.map(Some).ok_or_else(|| self.evidence.failure(&format!("no medium: '{answer}'")))
    }

    /// Turns the guest off.
    pub fn poweroff(&mut self) -> Result<()> {
        self.command("poweroff").map(drop)
    }

    /// Restarts the guest, which says [`Report::Ready`] when it is up again.
    pub fn reboot(&mut self) -> Result<()> {
        self.command("reboot").map(drop)
    }

    /// Sends any command line; the answer without its `ok`, or an error that quotes the guest.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.evidence.note(&format!("> {line}"));
        self.lines.send(line).map_err(|error| {
            self.evidence.failure(&format!("the guest's port takes nothing: {error}"))
        })?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let heard = self.next_line(deadline)?;
            let (verdict, rest) = heard.split_once(' ').unwrap_or((&heard, ""));
            match verdict {
                "ok" => return Ok(rest.to_owned()),
                "error" => {
                    return Err(Error::failed(format!("guest refused '{line}': {rest}")));
                }
                _ => self.reports.extend(parse_report(&heard)),
            }
        }
    }

    /// All reports that came so far and were not taken by a wait.
    pub fn reports(&mut self) -> impl Iterator<Item = &Report> {
        let now = Instant::now();
        while let Ok(line) = self.lines.next(now) {
            self.evidence.note(&format!("< {line}"));
            self.reports.extend(parse_report(&line));
        }
        self.reports.iter()
    }

    fn wait<T>(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Report) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        let mut seen = 0;
        loop {
            while let Some(report) = self.reports.get(seen) {
                if let Some(found) = wanted(report) {
                    self.reports.remove(seen);
                    return Ok(found);
                }
                seen += 1;
            }
            let line = self.next_line(deadline).map_err(|error| {
                error.while_doing(&format!("waited {within:?} for the guest {what}"))
            })?;
            self.reports.extend(parse_report(&line));
        }
    }

    fn next_line(&mut self, deadline: Instant) -> Result<String> {
        let line = self
            .lines
            .next(deadline)
            .map_err(|reason| self.evidence.failure(&format!("the guest's port {reason}")))?;
        self.evidence.note(&format!("< {line}"));
        Ok(line)
    }
}

/// Reads an unasked line. One that makes no sense is left to the log.
fn parse_report(line: &str) -> Option<Report> {
    if line == "ready" {
        return Some(Report::Ready);
    }
    let (sign, text) = line.split_once("disk ")?;
    match sign {
        "+" => parse_disk(text).map(Report::Added),
        "~" => parse_disk(text).map(Report::Changed),
        "-" => {
            let (name, serial) = text.split_once(" serial=")?;
            Some(Report::Removed { name: name.to_owned(), serial: serial.to_owned() })
        }
        _ => None,
    }
}

/// Reads `vda serial=data bytes=16777216 ro=0`.
fn parse_disk(text: &str) -> Option<Disk> {
    let mut words = text.split(' ');
    let name = words.next()?.to_owned();
    let mut field = |key| words.next()?.strip_prefix(key);
    Some(Disk {
        name,
        serial: field("serial=")?.to_owned(),
        bytes: field("bytes=")?.parse().ok()?,
        read_only: field("ro=")? == "1",
    })
}

/// Reads `bytes=1048576 first=hello`.
fn parse_medium(text: &str) -> Option<Medium> {
    let (bytes, first) = text.strip_prefix("bytes=")?.split_once(" first=")?;
    Some(Medium { bytes: bytes.parse().ok()?, first: first.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_medium_may_start_with_anything() {
        let medium = |first: &str| Some(Medium { bytes: 2048, first: first.to_owned() });
        assert_eq!(parse_medium("bytes=2048 first=two words"), medium("two words"));
        assert_eq!(parse_medium("bytes=2048 first="), medium(""));
        assert_eq!(parse_medium("none"), None);
    }

    #[test]
    fn lines_of_the_guest() {
        let disk = Disk {
            name: "vda".to_owned(),
            serial: "my%20disk".to_owned(),
            bytes: 16_777_216,
            read_only: true,
        };
        assert_eq!(
            parse_report("+disk vda serial=my%20disk bytes=16777216 ro=1"),
            Some(Report::Added(disk))
        );
        let removed = Report::Removed { name: "vdb".to_owned(), serial: String::new() };
        assert_eq!(parse_report("-disk vdb serial="), Some(removed));
        assert_eq!(parse_report("ready"), Some(Report::Ready));
        assert_eq!(parse_report("+disk vda"), None);
        assert_eq!(parse_report("noise"), None);
    }
}
