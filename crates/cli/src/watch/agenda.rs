//! What to ask the machine next, and when: after events, and so that others have the monitor too.

use std::ops::{BitOr, BitOrAssign};
use std::time::{Duration, Instant};

/// Time between two looks at what disks read and write.
pub(crate) const BLOCKSTATS_EVERY: Duration = Duration::from_secs(1);

/// The longest time without a look at everything: not all changes are announced, such as another
/// client's resize.
pub(crate) const ALL_EVERY: Duration = Duration::from_secs(60);

/// After a look, the monitor is left alone for so many times what the look took.
pub(crate) const REST: u32 = 9;

/// The longest such rest: what took long may have been QEMU's being busy with something else.
pub(crate) const LONGEST_REST: Duration = Duration::from_secs(5);

/// Events that come within this are answered with one look.
const GATHER: Duration = Duration::from_millis(20);

/// Parts of the machine that can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Parts(u8);

impl Parts {
    pub(crate) const NONE: Self = Self(0);
    /// What it is, and whether it runs.
    pub(crate) const STATE: Self = Self(1);
    /// Disks, and what sits where.
    pub(crate) const TOPOLOGY: Self = Self(2);
    /// Jobs.
    pub(crate) const JOBS: Self = Self(4);
    /// What disks read and write.
    pub(crate) const ACTIVITY: Self = Self(8);
    pub(crate) const ALL: Self = Self(15);

    /// Whether these have any of those in them.
    pub(crate) fn has(self, parts: Self) -> bool {
        self.0 & parts.0 != 0
    }

    /// What an event may have changed. There are events of which nothing shown depends, such as the
    /// guest's clock being set.
    pub(crate) fn changed_by(event: &str) -> Self {
        match event {
            "DEVICE_DELETED"
            | "DEVICE_UNPLUG_GUEST_ERROR"
            | "DEVICE_TRAY_MOVED"
            | "MEM_UNPLUG_ERROR"
            | "ACPI_DEVICE_OST" => Self::TOPOLOGY,
            "STOP" | "RESUME" | "SHUTDOWN" | "POWERDOWN" | "SUSPEND" | "SUSPEND_DISK"
            | "WAKEUP" | "GUEST_PANICKED" | "GUEST_CRASHLOADED" | "WATCHDOG" | "MIGRATION" => {
                Self::STATE
            }
            // A reset completes what guests were asked to let go of.
            "RESET" => Self::STATE | Self::TOPOLOGY,
            // A machine may stop at an error (werror=stop), which STOP tells.
            "BLOCK_IO_ERROR" | "BLOCK_WRITE_THRESHOLD" => Self::ACTIVITY,
            "JOB_STATUS_CHANGE" | "BLOCK_JOB_READY" | "BLOCK_JOB_ERROR" | "BLOCK_JOB_PENDING" => {
                Self::JOBS
            }
            // What is done may have given a disk another image.
            "BLOCK_JOB_COMPLETED" | "BLOCK_JOB_CANCELLED" => Self::JOBS | Self::TOPOLOGY,
            _ => Self::NONE,
        }
    }
}

impl BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Parts {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// What is to be looked at. One look is under way at a time.
#[derive(Debug)]
pub(crate) struct Agenda {
    wanted: Parts,
    activity_at: Instant,
    all_at: Instant,
    /// Not before this, whatever is wanted.
    rest_until: Instant,
    /// When the look that is under way began.
    began: Option<Instant>,
}

impl Agenda {
    /// Everything is to be looked at, at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            wanted: Parts::ALL,
            activity_at: now,
            all_at: now + ALL_EVERY,
            rest_until: now,
            began: None,
        }
    }

    /// These may have changed.
    pub(crate) fn want(&mut self, parts: Parts, now: Instant) {
        if self.wanted == Parts::NONE && parts != Parts::NONE && self.began.is_none() {
            self.rest_until = self.rest_until.max(now + GATHER);
        }
        self.wanted |= parts;
    }

    /// What to look at now, if anything: that look is under way then.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Parts> {
        if self.began.is_some() || now < self.due()? {
            return None;
        }
        if now >= self.activity_at {
            self.wanted |= Parts::ACTIVITY;
        }
        if now >= self.all_at {
            self.wanted = Parts::ALL;
        }
        if self.wanted.has(Parts::ACTIVITY) {
            self.activity_at = now + BLOCKSTATS_EVERY;
        }
        if self.wanted == Parts::ALL {
            self.all_at = now + ALL_EVERY;
        }
        self.began = Some(now);
        Some(std::mem::take(&mut self.wanted))
    }

    /// The look is over.
    pub(crate) fn end(&mut self, now: Instant) {
        if let Some(began) = self.began.take() {
            let took = now.saturating_duration_since(began);
            self.rest_until = now + (took * REST).min(LONGEST_REST);
        }
    }

    /// When there is something to begin; nothing while a look is under way.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.began.is_some() {
            return None;
        }
        let next = match self.wanted {
            Parts::NONE => self.activity_at.min(self.all_at),
            _ => self.rest_until,
        };
        Some(next.max(self.rest_until))
    }

    /// For how long the machine has not answered.
    pub(crate) fn waits(&self, now: Instant) -> Duration {
        self.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// An agenda whose first look is over; it took so many milliseconds.
    fn after_the_first(start: Instant, took: u32) -> Agenda {
        let mut agenda = Agenda::new(start);
        assert_eq!(agenda.begin(start), Some(Parts::ALL));
        agenda.end(start + took * MS);
        agenda
    }

    #[test]
    fn disks_are_looked_at_every_second_and_everything_every_minute() {
        let start = Instant::now();
        let mut agenda = after_the_first(start, 0);
        for second in 1..60 {
            let at = start + 1000 * second * MS;
            assert_eq!(agenda.begin(at - MS), None, "{second}");
            assert_eq!(agenda.begin(at), Some(Parts::ACTIVITY), "{second}");
            agenda.end(at);
        }
        assert_eq!(agenda.begin(start + ALL_EVERY), Some(Parts::ALL));
    }

    #[test]
    fn a_burst_of_events_is_one_look() {
        let start = Instant::now();
        let mut agenda = after_the_first(start, 0);
        for _ in 0..1000 {
            agenda.want(Parts::changed_by("DEVICE_DELETED"), start);
            agenda.want(Parts::changed_by("STOP"), start);
            agenda.want(Parts::changed_by("RTC_CHANGE"), start);
        }
        assert_eq!(agenda.begin(start), None);
        let both = Parts::TOPOLOGY | Parts::STATE;
        assert_eq!(agenda.begin(start + GATHER), Some(both));
        // What comes meanwhile is for the next.
        agenda.want(Parts::JOBS, start + GATHER);
        assert_eq!(agenda.begin(start + 500 * MS), None);
        agenda.end(start + GATHER);
        assert_eq!(agenda.begin(start + GATHER), Some(Parts::JOBS));
    }

    #[test]
    fn a_slow_machine_is_left_alone_for_long() {
        let start = Instant::now();
        let mut agenda = after_the_first(start, 300);
        agenda.want(Parts::TOPOLOGY, start + 300 * MS);
        let rest = start + 300 * MS + REST * 300 * MS;
        assert_eq!(agenda.due(), Some(rest));
        assert_eq!(agenda.begin(rest - MS), None);
        assert_eq!(agenda.begin(rest), Some(Parts::TOPOLOGY | Parts::ACTIVITY));
        agenda.end(rest + 3600 * 1000 * MS);
        assert_eq!(agenda.due(), Some(rest + 3600 * 1000 * MS + LONGEST_REST));
    }

    #[test]
    fn how_long_a_look_takes_is_known() {
        let start = Instant::now();
        let mut agenda = Agenda::new(start);
        assert_eq!(agenda.waits(start + MS), Duration::ZERO);
        agenda.begin(start);
        assert_eq!((agenda.waits(start + 5 * MS), agenda.due()), (5 * MS, None));
    }
}
