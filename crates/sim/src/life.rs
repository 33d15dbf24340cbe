//! How a machine runs, begins anew and ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::config::Version;
use crate::guest::Guest;
use crate::machine::{Machine, RunState, Timer};
use crate::refusal::{Reply, generic};

/// Why a machine is reset or ends, in QEMU's words (`ShutdownCause`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A command was given.
    Command(&'static str),
    /// The guest did it.
    Guest(&'static str),
    /// The process got a signal.
    Signal,
}

impl Cause {
    fn data(self) -> Value {
        let (is_guest, reason) = match self {
            Self::Command(reason) => (false, reason),
            Self::Guest(reason) => (true, reason),
            Self::Signal => (false, "host-signal"),
        };
        json!({"guest": is_guest, "reason": reason})
    }
}

impl Machine {
    /// What the guest does by itself, from the time on that its clock shows.
    pub(crate) fn begin_life(&mut self, shown: Duration) {
        match self.guest {
            Guest::SwitchesOff(after) => self.timers.at_guest(shown + after, Timer::SwitchOff),
            Guest::Reboots(after) => self.timers.at_guest(shown + after, Timer::Reboot),
            _ => {}
        }
    }

    pub(crate) fn cont(&mut self, now: Instant) -> Reply {
        match self.run_state {
            RunState::Running => {}
            RunState::Postmigrate | RunState::Shutdown => {
                return Err(generic("Resetting the Virtual Machine is required"));
            }
            before => {
                self.clock.run(now);
                self.run_state = RunState::Running;
                if before == RunState::Prelaunch {
                    // Firmware runs, and numbers the buses.
                    self.is_numbered = true;
                    self.begin_boot(now);
                }
                self.emit("RESUME", None, now);
            }
        }
        Ok(json!({}))
    }

    pub(crate) fn stop(&mut self, now: Instant) -> Value {
        if self.is_running() {
            self.clock.stop(now);
            self.run_state = RunState::Paused;
            self.emit("STOP", None, now);
        }
        json!({})
    }

    /// The machine ends when the reply is sent.
    pub(crate) fn quit(&mut self, now: Instant) -> Value {
        self.announce("SHUTDOWN", Cause::Command("host-qmp-quit"), now);
        self.has_quit = true;
        json!({})
    }

    /// The guest is asked to switch off, and does not.
    pub(crate) fn power_down(&mut self, now: Instant) {
        if self.version < Version::V7_2 {
            self.timers.at_host(now, Timer::Tell("POWERDOWN"));
        } else {
            self.emit("POWERDOWN", None, now);
        }
    }

    pub(crate) fn query_status(&self) -> Value {
        let status = match self.run_state {
            RunState::Prelaunch => "prelaunch",
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Postmigrate => "postmigrate",
            RunState::Shutdown => "shutdown",
        };
        let mut shown = json!({"running": self.is_running()});
        if self.version >= Version::V1_2 {
            shown["status"] = json!(status);
        }
        if self.version < Version::V10_0 {
            shown["singlestep"] = json!(false);
        }
        shown
    }

    /// `system_reset`: whatever was asked to go goes, and the guest boots anew.
    pub(crate) fn system_reset(&mut self, arguments: Arguments, now: Instant) -> Reply {
        arguments.finish()?;
        self.reset(Cause::Command("host-qmp-system-reset"), now);
        Ok(json!({}))
    }

    /// The guest reboots.
    pub(crate) fn reboot(&mut self, now: Instant) {
        self.reset(Cause::Guest("guest-reset"), now);
    }

    /// The guest switches the machine off.
    pub(crate) fn switch_off(&mut self, now: Instant) {
        self.shut_down(Cause::Guest("guest-shutdown"), now);
    }

    /// The process was asked to end, as by SIGTERM. Only 0.14 lets `-no-shutdown` keep it from that,
    /// and once (recorded).
    pub(crate) fn terminate(&mut self, now: Instant) {
        self.no_shutdown &= self.version < Version::V1_2;
        self.shut_down(Cause::Signal, now);
    }

    pub(crate) fn begin_boot(&mut self, now: Instant) {
        if let Guest::Booting(time) = self.guest {
            self.boots_until = self.clock.at(now) + time;
        }
    }

    fn reset(&mut self, cause: Cause, now: Instant) {
        if self.no_reboot {
            return self.shut_down(cause, now);
        }
        self.announce("RESET", cause, now);
        let pending: Vec<_> = self
            .devices
            .present()
            .filter(|(_, device)| device.pending.is_some())
            .map(|(key, _)| key)
            .collect();
        for key in pending {
            self.let_go(key, now);
        }
        // A machine that was migrated or switched off may run again (`main_loop_should_exit`). Since
        // 2.9 one that does not run is as before its first start (recorded; 2.5 leaves it paused).
        let must_reset = matches!(self.run_state, RunState::Postmigrate | RunState::Shutdown);
        if must_reset || (self.run_state == RunState::Paused && self.version >= Version::V2_9) {
            self.run_state = RunState::Prelaunch;
        }
        self.begin_boot(now);
    }

    /// The machine ends, or stops in the place of it.
    fn shut_down(&mut self, cause: Cause, now: Instant) {
        self.announce("SHUTDOWN", cause, now);
        if !self.no_shutdown {
            self.has_quit = true;
            return;
        }
        self.stop(now);
        if self.version < Version::V1_2 {
            self.no_shutdown = false;
        } else {
            self.run_state = RunState::Shutdown;
        }
    }

    /// Tells of what happened to the whole machine. Before 7.2 QEMU has no data for it, and what came
    /// of a command is told behind its reply.
    fn announce(&mut self, name: &'static str, cause: Cause, now: Instant) {
        match cause {
            _ if self.version >= Version::V7_2 => self.emit(name, Some(cause.data()), now),
            Cause::Command(_) => self.timers.at_host(now, Timer::Tell(name)),
            Cause::Guest(_) | Cause::Signal => self.emit(name, None, now),
        }
    }
}
