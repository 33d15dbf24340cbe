//! The guests that there are: how they answer when a disk comes or is to go.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// What the guest does when it is asked to let go of a device. The time that the bus itself takes
/// (0.1 s with ACPI, 6.2 s on a native port) comes on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// Answers at once.
    Quick,
    /// Answers this much later.
    Slow(Duration),
    /// Is busy with each device for this long after it was plugged in: native ports refuse to
    /// ask it, and with ACPI the request is lost.
    Busy(Duration),
    /// Is paused when the simulation begins, and quick after `cont`.
    Paused,
    /// Never answers; only a reset completes an unplug.
    Dead,
    /// Boots for this long after the machine began to run or was reset: requests before are lost.
    Booting(Duration),
    /// Lets go of every disk by itself, this long after it was plugged in.
    PullsOut(Duration),
    /// Switches off, this long after the simulation began: the machine ends.
    SwitchesOff(Duration),
    /// Reboots once, this long after the simulation began.
    Reboots(Duration),
    /// Says no: `DEVICE_UNPLUG_GUEST_ERROR`. On x86 no PCI disk is refused that way by a real QEMU;
    /// other boards do it.
    Rejects,
}

/// A guest that there is not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "no such guest: {0:?} (there are quick, slow:2s, busy:3s, paused, dead, booting:10s, \
     pulls-out:5s, switches-off:5s, reboots:5s and rejects)"
)]
pub struct ParseGuestError(String);

impl FromStr for Guest {
    type Err = ParseGuestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, time) = match text.split_once(':') {
            Some((kind, time)) => (kind, Some(time)),
            None => (text, None),
        };
        let time = time.map(duration);
        Ok(match (kind, time) {
            ("quick", None) => Self::Quick,
            ("paused", None) => Self::Paused,
            ("dead", None) => Self::Dead,
            ("rejects", None) => Self::Rejects,
            ("slow", Some(Some(time))) => Self::Slow(time),
            ("busy", Some(Some(time))) => Self::Busy(time),
            ("booting", Some(Some(time))) => Self::Booting(time),
            ("pulls-out", Some(Some(time))) => Self::PullsOut(time),
            ("switches-off", Some(Some(time))) => Self::SwitchesOff(time),
            ("reboots", Some(Some(time))) => Self::Reboots(time),
            _ => return Err(ParseGuestError(text.to_owned())),
        })
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quick => f.write_str("quick"),
            Self::Slow(time) => write!(f, "slow:{time:?}"),
            Self::Busy(time) => write!(f, "busy:{time:?}"),
            Self::Paused => f.write_str("paused"),
            Self::Dead => f.write_str("dead"),
            Self::Booting(time) => write!(f, "booting:{time:?}"),
            Self::PullsOut(time) => write!(f, "pulls-out:{time:?}"),
            Self::SwitchesOff(time) => write!(f, "switches-off:{time:?}"),
            Self::Reboots(time) => write!(f, "reboots:{time:?}"),
            Self::Rejects => f.write_str("rejects"),
        }
    }
}

/// The longest time that can be given: a day. A longer one is a slip.
const MAX_SECONDS: f64 = 86_400.0;

/// Reads `2s`, `1.5s`, `300ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s')?, 1.0),
    };
    let seconds = number.parse::<f64>().ok()? * unit;
    (0.0..=MAX_SECONDS).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_read_and_shown_alike() {
        for text in [
            "quick",
            "slow:2s",
            "busy:300ms",
            "paused",
            "dead",
            "booting:10s",
            "switches-off:5s",
            "reboots:5s",
            "rejects",
        ] {
            assert_eq!(text.parse::<Guest>().map(|guest| guest.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("slow:1.5s".parse(), Ok(Guest::Slow(Duration::from_millis(1500))));
        for text in
            ["", "slow", "slow:", "slow:2", "slow:-1s", "quick:1s", "slow:NaNs", "slow:9e9s"]
        {
            assert!(text.parse::<Guest>().is_err(), "{text}");
        }
    }
}
