//! What is peculiar to each QEMU whatever the machine: how its monitor speaks, and which commands and
//! events it has.
//!
//! The lists are what `query-commands` and `query-events` returned in recordings of each version
//! (`crates/proto/tests/transcripts`; 10.0.2 was asked). RHEL 6's follows from documentation alone: it
//! is 0.14's with Red Hat's own two commands.

use qplug_proto::{Generation, Greeting, QemuVersion};

use crate::config::Version;

/// RHEL 6's own, in the place of the human monitor's `drive_add` and `drive_del`.
const RED_HATS: [&str; 2] = ["__com.redhat_drive_add", "__com.redhat_drive_del"];

/// The events of 0.14, which does not list them (QEMU 0.14's `QMP/qmp-events.txt`).
const EARLY_EVENTS: &str = "\
BLOCK_IO_ERROR
POWERDOWN
RESET
RESUME
RTC_CHANGE
SHUTDOWN
STOP
VNC_CONNECTED
VNC_DISCONNECTED
VNC_INITIALIZED
WATCHDOG
";

impl Version {
    /// How its monitor speaks.
    pub(crate) fn generation(self) -> Generation {
        match self {
            Self::V0_14 | Self::Rhel6 => Generation::V0_14,
            Self::V1_2 => Generation::V1_2,
            Self::V2_5 => Generation::V2_5,
            Self::V2_9 => Generation::V2_9,
            Self::V7_2 | Self::V10_0 => Generation::V7_2,
        }
    }

    /// How it greets. Out-of-band commands came with 3.0.
    pub(crate) fn greeting(self) -> Greeting {
        let (major, minor, micro) = self.numbers();
        let has_oob = self >= Self::V7_2;
        Greeting {
            version: QemuVersion { major, minor, micro },
            package: PACKAGE.to_owned(),
            capabilities: has_oob.then(|| "oob".to_owned()).into_iter().collect(),
        }
    }

    /// The commands that it lists, whether or not they are imitated.
    pub(crate) fn commands(self) -> impl Iterator<Item = &'static str> {
        let names = match self {
            Self::V0_14 | Self::Rhel6 => include_str!("release/0.14-commands.txt"),
            Self::V1_2 => include_str!("release/1.2-commands.txt"),
            Self::V2_5 => include_str!("release/2.5-commands.txt"),
            Self::V2_9 => include_str!("release/2.9-commands.txt"),
            Self::V7_2 => include_str!("release/7.2-commands.txt"),
            Self::V10_0 => include_str!("release/10.0-commands.txt"),
        };
        let own = if self == Self::Rhel6 { &RED_HATS[..] } else { &[] };
        names.lines().chain(own.iter().copied())
    }

    /// Whether it has a command of this name.
    pub(crate) fn has_command(self, name: &str) -> bool {
        self.commands().any(|known| known == name)
    }

    /// The events that it has. 7.2 and 10.0 do not list them, and have all that are imitated.
    pub(crate) fn events(self) -> Option<impl Iterator<Item = &'static str>> {
        let names = match self {
            Self::V0_14 | Self::Rhel6 => EARLY_EVENTS,
            Self::V1_2 => include_str!("release/1.2-events.txt"),
            Self::V2_5 => include_str!("release/2.5-events.txt"),
            Self::V2_9 => include_str!("release/2.9-events.txt"),
            Self::V7_2 | Self::V10_0 => return None,
        };
        Some(names.lines())
    }

    /// Whether it tells of events of this name.
    pub(crate) fn has_event(self, name: &str) -> bool {
        self.events().is_none_or(|mut known| known.any(|known| known == name))
    }
}

/// The vendor's text about the build, by which a client can tell that there is no QEMU.
pub(crate) const PACKAGE: &str = "qplug sim";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_events_come_with_their_version() {
        for (name, first) in [
            ("device_add", Version::V0_14),
            ("qom-list", Version::V1_2),
            ("object-add", Version::V2_5),
            ("blockdev-del", Version::V2_9),
            ("block-export-add", Version::V7_2),
        ] {
            for version in Version::ALL.into_iter().filter(|version| *version != Version::Rhel6) {
                assert_eq!(version.has_command(name), version >= first, "{name} {version:?}");
            }
        }
        assert!(Version::Rhel6.has_command("__com.redhat_drive_add"));
        assert!(!Version::V0_14.has_command("__com.redhat_drive_add"));
        assert!(!Version::V1_2.has_event("DEVICE_DELETED"));
        assert!(Version::V2_5.has_event("DEVICE_DELETED"));
        assert!(Version::V10_0.has_event("DEVICE_DELETED"));
    }
}
