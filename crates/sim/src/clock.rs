//! Times: the host's, and the guest's, which stands still while the machine does not run.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The guest's clock (`QEMU_CLOCK_VIRTUAL`).
#[derive(Debug)]
pub(crate) struct GuestClock {
    /// What it showed when it was started or stopped last.
    shown: Duration,
    running_since: Option<Instant>,
}

impl GuestClock {
    pub(crate) fn new(shown: Duration, running_since: Option<Instant>) -> Self {
        Self { shown, running_since }
    }

    pub(crate) fn at(&self, now: Instant) -> Duration {
        let ran = self.running_since.map(|since| now.saturating_duration_since(since));
        self.shown + ran.unwrap_or_default()
    }

    pub(crate) fn run(&mut self, now: Instant) {
        self.running_since.get_or_insert(now);
    }

    pub(crate) fn stop(&mut self, now: Instant) {
        self.shown = self.at(now);
        self.running_since = None;
    }

    /// When it will show this; `None` while it stands still.
    fn when(&self, shown: Duration) -> Option<Instant> {
        Some(self.running_since? + shown.saturating_sub(self.shown))
    }
}

/// What is to happen, in its order: by the host's clock, and by the guest's.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    host: BTreeMap<(Instant, u64), T>,
    guest: BTreeMap<(Duration, u64), T>,
    next: u64,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { host: BTreeMap::new(), guest: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn at_host(&mut self, when: Instant, what: T) {
        self.next += 1;
        self.host.insert((when, self.next), what);
    }

    pub(crate) fn at_guest(&mut self, when: Duration, what: T) {
        self.next += 1;
        self.guest.insert((when, self.next), what);
    }

    /// When something is due next.
    pub(crate) fn next_due(&self, clock: &GuestClock) -> Option<Instant> {
        let host = self.host.keys().next().map(|(when, _)| *when);
        let guest = self.guest.keys().next().and_then(|(shown, _)| clock.when(*shown));
        host.into_iter().chain(guest).min()
    }

    /// What is due, the earliest first, with the time that it was due at.
    pub(crate) fn take_due(&mut self, clock: &GuestClock, now: Instant) -> Option<(Instant, T)> {
        let due = self.next_due(clock).filter(|due| *due <= now)?;
        if let Some(entry) = self.host.first_entry()
            && entry.key().0 == due
        {
            return Some((due, entry.remove()));
        }
        self.guest.pop_first().map(|(_, what)| (due, what))
    }

    /// Forgets what was to happen, where this is true.
    pub(crate) fn cancel(&mut self, is_it: impl Fn(&T) -> bool) {
        self.host.retain(|_, what| !is_it(what));
        self.guest.retain(|_, what| !is_it(what));
    }
}
