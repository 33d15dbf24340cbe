//! A migration, as far as it keeps devices from coming and going.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::machine::{Machine, RunState, Timer};
use crate::refusal::{Reply, generic, missing};

/// How long a migration that was asked for takes.
const TAKES: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Migration {
    /// QEMU's word for it; `None` before there was one.
    status: Option<&'static str>,
}

impl Migration {
    pub(crate) fn new(is_active: bool) -> Self {
        Self { status: is_active.then_some("active") }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == Some("active")
    }
}

impl Machine {
    pub(crate) fn migrate(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        if arguments.any("uri").or_else(|| arguments.any("channels")).is_none() {
            return Err(missing("uri"));
        }
        for option in ["blk", "inc", "detach", "resume"] {
            arguments.any(option);
        }
        arguments.finish()?;
        if self.migration.is_active() {
            return Err(generic("There's a migration process in progress"));
        }
        self.migration.status = Some("active");
        self.timers.at_host(now + TAKES, Timer::Migrated);
        Ok(json!({}))
    }

    pub(crate) fn migrate_cancel(&mut self) -> Reply {
        if self.migration.is_active() {
            self.migration.status = Some("cancelled");
            self.timers.cancel(|timer| *timer == Timer::Migrated);
        }
        Ok(json!({}))
    }

    pub(crate) fn end_migration(&mut self, now: Instant) {
        self.migration.status = Some("completed");
        if self.is_running() {
            self.clock.stop(now);
            self.emit("STOP", None, now);
        }
        self.run_state = RunState::Postmigrate;
    }

    pub(crate) fn query_migrate(&self) -> Value {
        self.migration.status.map_or_else(|| json!({}), |status| json!({"status": status}))
    }
}
