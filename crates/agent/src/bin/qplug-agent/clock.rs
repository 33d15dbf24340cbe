//! The time of day, and how long the machine has run.

use std::time::SystemTime;

use qplug_proto::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::refusal::{Result, cannot};

const MICROS: i64 = 1_000_000;

/// Now, for events.
pub(crate) fn timestamp() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(-1),
        microseconds: i64::from(since.subsec_micros()),
    }
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    micros(clock_gettime(ClockId::Realtime))
}

/// Milliseconds since the kernel started.
pub(crate) fn uptime_ms() -> u64 {
    u64::try_from(micros(clock_gettime(ClockId::Boottime)) / 1000).unwrap_or(0)
}

/// Sets the clock.
pub(crate) fn set(time_us: i64) -> Result<()> {
    let time =
        Timespec { tv_sec: time_us.div_euclid(MICROS), tv_nsec: time_us.rem_euclid(MICROS) * 1000 };
    clock_settime(ClockId::Realtime, time).map_err(cannot("set the clock"))
}

fn micros(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(MICROS).saturating_add(time.tv_nsec / 1000)
}
