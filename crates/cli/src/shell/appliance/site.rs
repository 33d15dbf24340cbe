//! What a shell knows of its appliance without asking it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qplug_appliance::{ApplianceName, Place};

use crate::output::Output;
use crate::shell::face::{Face, Mood, Subject};

/// How often it is looked whether the appliance lives while a line is typed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An appliance, and how it is. Clones are the same.
#[derive(Clone)]
pub(in crate::shell) struct Site(Arc<Shared>);

struct Shared {
    place: Place,
    /// How many lines there were: names may be others after each.
    age: AtomicU64,
    state: Mutex<State>,
}

struct State {
    health: Health,
    changed: Option<Box<dyn Fn() + Send>>,
}

/// How an appliance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Running,
    /// Its QEMU has ended.
    Dead,
    /// Somebody took it down.
    Gone,
}

impl Health {
    fn of(place: &Place) -> Self {
        match place.record().map(|record| record.identity.is_running()) {
            Some(true) => Self::Running,
            Some(false) => Self::Dead,
            None => Self::Gone,
        }
    }
}

impl Site {
    pub(super) fn new(place: Place) -> Self {
        let state = State { health: Health::of(&place), changed: None };
        Self(Arc::new(Shared { place, age: AtomicU64::new(0), state: Mutex::new(state) }))
    }

    /// The appliance's name.
    pub(in crate::shell) fn name(&self) -> &ApplianceName {
        self.0.place.name()
    }

    /// How many lines there were.
    pub(in crate::shell) fn age(&self) -> u64 {
        self.0.age.load(Ordering::Relaxed)
    }

    /// A line was done.
    pub(super) fn grow_older(&self) {
        self.0.age.fetch_add(1, Ordering::Relaxed);
        self.look();
    }

    /// Looks how the appliance is; how it is now, where that is something else than before.
    fn look(&self) -> Option<Health> {
        let health = Health::of(&self.0.place);
        let mut state = self.lock();
        let is_new = std::mem::replace(&mut state.health, health) != health;
        if is_new {
            state.tell();
        }
        is_new.then_some(health)
    }

    /// Says when the appliance ends, and when it is there again.
    pub(super) async fn keep(self, output: Output) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let name = self.name().as_str();
            match self.look() {
                Some(Health::Running) => output.announce(&format!("{name} is there again")),
                Some(Health::Dead) => output.announce(&format!(
                    "{name} is dead: its QEMU has ended; 'down' clears it away"
                )),
                Some(Health::Gone) => output.announce(&format!("{name} was taken down")),
                None => {}
            }
        }
    }

    /// What is to be done when the line is to be drawn anew.
    pub(in crate::shell) fn on_change(&self, changed: impl Fn() + Send + 'static) {
        self.lock().changed = Some(Box::new(changed));
    }

    /// Has the line drawn anew.
    pub(in crate::shell) fn redraw(&self) {
        self.lock().tell();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self) {
        if let Some(changed) = &self.changed {
            changed();
        }
    }
}

impl Subject for Site {
    fn face(&self) -> Face {
        let (state, mood) = match self.lock().health {
            Health::Running => ("running", Mood::Well),
            Health::Dead => ("dead", Mood::Away),
            Health::Gone => ("gone", Mood::Away),
        };
        Face { name: self.name().as_str().to_owned(), state: state.to_owned(), mood }
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("name", self.name()).finish_non_exhaustive()
    }
}
