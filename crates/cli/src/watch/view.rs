//! What is shown: the machine as it was last seen, and where the user is.

use std::time::Duration;

use qplug_hotplug::{ListedDisk, PortKind, PortState, Ports, Status};

use super::jobs::{Job, Source};
use super::log::Log;
use super::prompt::{History, Prompt};
use super::rates::Meters;
use super::work::Work;
use crate::commands;
use crate::shell::offers::Known;

/// A part of the screen that can be scrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pane {
    Disks,
    Places,
    Jobs,
    Log,
}

impl Pane {
    pub(crate) const ALL: [Self; 4] = [Self::Disks, Self::Places, Self::Jobs, Self::Log];
}

/// What keys mean at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each key is a command.
    Browse,
    /// A command is being typed.
    Prompt(Prompt),
    /// A question waits for a yes.
    Confirm(Question),
    /// The keys are explained.
    Help,
}

/// A question before something that cannot be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) text: String,
    pub(crate) then: Then,
}

/// What a yes does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    /// Runs this command.
    Run(String),
    Quit,
}

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// What was asked so long ago has no answer yet.
    Silent(Duration),
    /// It is lost, and why. What is shown is of before.
    Down(String),
}

impl Link {
    /// Whether what is shown may not be so any more.
    pub(crate) fn is_stale(&self) -> bool {
        *self != Self::Up
    }
}

/// A place of the machine, or what sits in one that others share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The port; for what sits in a shared one, nothing.
    pub(crate) port: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) holds: String,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct View {
    /// QEMU's version.
    pub(crate) qemu: String,
    pub(crate) status: Option<Status>,
    pub(crate) link: Link,
    disks: Vec<ListedDisk>,
    places: Vec<Place>,
    /// Free places, and all of them.
    pub(crate) room: Option<(usize, usize)>,
    jobs: Vec<Job>,
    pub(crate) jobs_from: Source,
    pub(crate) meters: Meters,
    pub(crate) log: Log,
    pub(crate) works: Vec<Work>,
    pub(crate) history: History,
    pub(crate) mode: Mode,
    pub(crate) focus: Pane,
    /// Whether the pane in focus has the whole screen.
    pub(crate) is_zoomed: bool,
    /// Which row of each pane is chosen; of the log, counted from the newest.
    chosen: [usize; Pane::ALL.len()],
}

impl View {
    pub(crate) fn new(qemu: String) -> Self {
        Self {
            qemu,
            status: None,
            link: Link::Up,
            disks: Vec::new(),
            places: Vec::new(),
            room: None,
            jobs: Vec::new(),
            jobs_from: Source::Unknown,
            meters: Meters::default(),
            log: Log::default(),
            works: Vec::new(),
            history: History::default(),
            mode: Mode::Browse,
            focus: Pane::Disks,
            is_zoomed: false,
            chosen: [0; Pane::ALL.len()],
        }
    }

    pub(crate) fn disks(&self) -> &[ListedDisk] {
        &self.disks
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(crate) fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Takes in where everything sits. The disk that was chosen stays so, wherever it is now.
    pub(crate) fn take_topology(&mut self, disks: Vec<ListedDisk>, ports: Option<Ports>) {
        let chosen = self.disk().map(|disk| disk.name.clone());
        self.places = ports.iter().flat_map(|ports| places(ports, &disks)).collect();
        self.room = ports.map(|ports| {
            let is_free = |state| matches!(state, PortState::Free);
            let free = ports.ports.iter().filter(|port| is_free(port.state)).count();
            (free, ports.ports.len())
        });
        self.disks = disks;
        let at = self.disks.iter().position(|disk| Some(&disk.name) == chosen.as_ref());
        if let Some(at) = at {
            self.chosen[Pane::Disks as usize] = at;
        }
    }

    pub(crate) fn take_jobs(&mut self, from: Source, jobs: Vec<Job>) {
        self.jobs_from = from;
        self.jobs = jobs;
    }

    /// The disk that is chosen.
    pub(crate) fn disk(&self) -> Option<&ListedDisk> {
        self.disks.get(self.chosen(Pane::Disks))
    }

    /// How many rows a pane has.
    pub(crate) fn rows(&self, pane: Pane) -> usize {
        match pane {
            Pane::Disks => self.disks.len(),
            Pane::Places => self.places.len(),
            Pane::Jobs => self.jobs.len(),
            Pane::Log => self.log.len(),
        }
    }

    /// The row that is chosen in a pane; rows may have gone since.
    pub(crate) fn chosen(&self, pane: Pane) -> usize {
        self.chosen[pane as usize].min(self.rows(pane).saturating_sub(1))
    }

    /// Chooses a row so much further down in the pane in focus.
    pub(crate) fn choose(&mut self, down: isize) {
        let pane = self.focus;
        // The newest line of the log is at the bottom.
        let down = if pane == Pane::Log { down.saturating_neg() } else { down };
        let last = self.rows(pane).saturating_sub(1);
        self.chosen[pane as usize] = self.chosen(pane).saturating_add_signed(down).min(last);
    }

    pub(crate) fn focus_next(&mut self, back: bool) {
        let step = if back { Pane::ALL.len() - 1 } else { 1 };
        self.focus = Pane::ALL[(self.focus as usize + step) % Pane::ALL.len()];
    }

    /// The names that a command may be about.
    pub(crate) fn known(&self) -> Known {
        let ports = self.places.iter().map(|it| it.port.clone()).filter(|port| !port.is_empty());
        Known {
            disks: self.disks.iter().map(|disk| disk.name.clone()).collect(),
            ports: ports.collect(),
            jobs: self.jobs.iter().map(|job| job.id.clone()).collect(),
        }
    }

    /// The disk's state in a word: what is being done to it, or what it is.
    pub(crate) fn state_of(&self, disk: &ListedDisk) -> &'static str {
        let work = self.works.iter().rev().find(|work| work.disk.as_ref() == Some(&disk.name));
        work.map_or_else(|| commands::list::word(disk.state), |work| work.doing)
    }
}

/// A row a place, with what sits in it below where others may sit there too.
fn places<'a>(ports: &'a Ports, disks: &'a [ListedDisk]) -> impl Iterator<Item = Place> + 'a {
    commands::ports::rows(&ports.ports).flat_map(|(port, [name, kind, state, holds])| {
        let is_shared = !matches!(port.kind, PortKind::RootPort | PortKind::Slot);
        let here = move |disk: &&ListedDisk| is_shared && disk.port.as_ref() == Some(&port.port);
        let below = disks.iter().filter(here).map(|disk| Place {
            port: String::new(),
            kind: String::new(),
            state: String::new(),
            holds: disk.name.clone(),
        });
        [Place { port: name, kind, state, holds }].into_iter().chain(below)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::draw::tests::{disk, machine};

    #[test]
    fn the_chosen_disk_stays_chosen_when_others_come_and_go() {
        let mut view = machine(3);
        view.choose(1);
        assert_eq!(view.disk().map(|disk| disk.name.as_str()), Some("disk1"));
        view.take_topology(vec![disk("new"), disk("disk1")], None);
        assert_eq!((view.chosen(Pane::Disks), view.disks().len()), (1, 2));
        view.take_topology(vec![disk("new")], None);
        assert_eq!(view.disk().map(|disk| disk.name.as_str()), Some("new"));
        view.take_topology(Vec::new(), None);
        assert_eq!(view.disk(), None);
        view.choose(5);
        assert_eq!(view.chosen(Pane::Disks), 0);
    }

    #[test]
    fn panes_are_gone_round_both_ways() {
        let mut view = machine(1);
        view.focus_next(true);
        assert_eq!(view.focus, Pane::Log);
        view.focus_next(false);
        assert_eq!(view.focus, Pane::Disks);
    }
}
