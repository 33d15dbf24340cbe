//! A disk as a drive's options, for machines that have no nodes.

use super::human::{self, MAX_WORD_BYTES};
use super::{Ability, Dialect, Features};
use crate::bus::Bus;
use crate::command::{self, Command};
use crate::disk::Disk;
use crate::error::Error;
use crate::storage::Protocol;
use crate::throttle;

/// Why a disk cannot be a drive of this machine; found before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriveError {
    /// The human monitor would cut the options off, and open another file.
    #[error(
        "the image's path is too long for this QEMU's human monitor: with the options it takes {bytes} bytes, and {MAX_WORD_BYTES} is the most that it reads. Give it a shorter one, by a symbolic link or so"
    )]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// QEMU before 1.2 takes all before a colon for a protocol, behind a slash too
    /// (`path_has_protocol` in `block.c`).
    #[error(
        "this QEMU takes what stands before the colon in {path} for a protocol, as all before 1.2 do. Give the image a path without a colon, by a symbolic link or so"
    )]
    Colon {
        /// The path.
        path: String,
    },
}

/// An option of a drive: its name, and its value.
type DriveOption = (String, String);

impl Disk {
    /// The first thing that this disk wants and the machine cannot.
    pub(crate) fn lacks(&self, features: &Features) -> Option<Ability> {
        self.wants().into_iter().find(|ability| !features.can(*ability))
    }

    /// What this disk wants that not every machine can.
    fn wants(&self) -> Vec<Ability> {
        let storage = &self.storage;
        let limits = self.throttle.as_ref().map(|throttle| &throttle.limits);
        let is_burst = |key: &String| key.contains("-max") || key == "iops-size";
        let served = |layer: &crate::storage::Layer| matches!(layer.protocol, Protocol::Served(_));
        let wants = [
            (self.bus.is_some_and(|bus| bus != Bus::VirtioBlk), Ability::OtherBuses),
            (storage.layers.iter().any(served), Ability::Network),
            (storage.passphrase.is_some(), Ability::Encryption),
            (storage.overlay.is_some(), Ability::Snapshots),
            (storage.layers.len() > 1 || storage.no_backing, Ability::Layers),
            (storage.has_descriptors(), Ability::Descriptors),
            (!self.access.set.is_empty(), Ability::NodeOptions),
            (self.throttle.as_ref().is_some_and(|it| it.group.is_some()), Ability::ThrottleGroups),
            (self.throttle.is_some(), Ability::Throttling),
            (limits.is_some_and(|it| it.keys().any(is_burst)), Ability::Bursts),
            (self.iothread.is_some(), Ability::IoThreads),
            (self.access.discard.is_some(), Ability::Discard),
            (self.access.detect_zeroes.is_some(), Ability::DetectZeroes),
            (self.device.write_cache.is_some(), Ability::WriteCache),
        ];
        wants.into_iter().filter(|(wanted, _)| *wanted).map(|(_, ability)| ability).collect()
    }

    /// The command that opens the image as a drive.
    pub(crate) fn add_drive(&self, features: &Features) -> Result<Command, Error> {
        let path = self.storage.plain_path().unwrap_or_default();
        if features.is_before_1_2() && path.contains(':') {
            return Err(DriveError::Colon { path: path.to_owned() }.into());
        }
        let options = self.drive_options(features);
        if features.dialect == Dialect::Rhel6 {
            return Ok(command::add_red_hat_drive(options));
        }
        let given = options.iter().map(|(key, value)| human::option(key, value));
        let word = ["if=none".to_owned()].into_iter().chain(given).collect::<Vec<_>>().join(",");
        if word.len() > MAX_WORD_BYTES {
            return Err(DriveError::TooLong { bytes: word.len() }.into());
        }
        // The slot in front is for drives that bring a device along.
        Ok(command::human(human::line(&["drive_add", "0", &word])))
    }

    fn drive_options(&self, features: &Features) -> Vec<DriveOption> {
        let top = self.storage.layers.first();
        let read_only =
            if features.has_drive_option("read-only") { "read-only" } else { "readonly" };
        let discard = self.access.discard.map(|unmap| if unmap { "unmap" } else { "ignore" });
        let id = self.name.format_node();
        let options = [
            ("id", Some(id.as_str())),
            // Any other was refused before: see what a disk wants.
            ("file", self.storage.plain_path()),
            ("format", top.map(|layer| layer.format.as_str())),
            (read_only, self.read_only.then_some("on")),
            ("serial", features.has_drive_serials().then(|| self.serial.as_str())),
            ("cache", self.access.cache.map(crate::Cache::as_str)),
            ("aio", self.access.aio.map(crate::Aio::as_str)),
            ("discard", discard),
            ("detect-zeroes", self.access.detect_zeroes.map(crate::DetectZeroes::as_str)),
            ("rerror", self.device.read_error.map(crate::OnError::as_str)),
            ("werror", self.device.write_error.map(crate::OnError::as_str)),
        ];
        let given = options.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        let given = given.map(|(key, value)| (key, value.to_owned()));
        let limits = self.throttle.iter().flat_map(|throttle| &throttle.limits);
        let limits = limits.map(|(key, value)| (throttle::drive_option(key), value.to_string()));
        given.chain(limits).collect()
    }
}
