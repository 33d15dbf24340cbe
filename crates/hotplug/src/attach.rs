//! Attaching disks: look, plan, run.
//!
//! ```text
//!  look ──► plan ──► make what they share ──► a run for each disk ──► [do they stay?] ──► outcomes
//!   ▲         │                                      │                     │
//!   │         └── one cannot: nothing is sent        │          taken out again where not
//!   └────────────── somebody else was faster ────────┴─────────────────────┘
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `attach/stay.rs` | whether a disk's controller is being unplugged by somebody else |
//!
//! A look at one disk costs three queries. Only where the name occurs in the machine already are
//! more asked, to tell a repeated attach from a name that is taken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use qplug_proto::Event;
use serde::Serialize;

use crate::bus::Bus;
use crate::command::Command;
use crate::crowd::Crowd;
use crate::departure;
use crate::detach::Detached;
use crate::dialect::Features;
use crate::disk::Disk;
use crate::error::{After, Error, Left};
use crate::inventory::{Board, Port};
use crate::observe::Observer;
use crate::operation::{Answer, Operation};
use crate::plan::{self, DiskPlan, Plan, Work};
use crate::run::{Ended, Run};
use crate::spares::Spares;
use crate::step::Step;
use crate::window::Window;
use stay::Stay;

mod stay;

/// A disk that is in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// The disk's name.
    pub name: String,
    /// The bus that it is on.
    pub bus: Bus,
    /// The serial that the guest sees.
    pub serial: String,
    /// Where a Linux guest with udev finds the disk.
    pub guest_path: String,
    /// The port that it sits in; absent where only the guest's firmware could tell.
    pub port: Option<String>,
    /// The image, by its path where QEMU runs.
    pub image: String,
    /// The image's format.
    pub format: String,
    /// Whether the guest may only read it.
    pub read_only: bool,
    /// Whether it was there before, so that nothing was changed.
    pub already: bool,
}

/// How often an attach looks again because other clients made something of its disks' names
/// meanwhile, or took it away.
const MAX_OVERTAKEN: u32 = 3;

/// How long a guest is given to let go of a controller that no disk came to use: longer than a native
/// hot-plug port takes.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);

/// An attach under way.
#[derive(Debug)]
pub struct Attach {
    disks: Vec<Disk>,
    /// The disks that have no outcome yet, by their places in the list.
    open: Vec<usize>,
    observer: Observer,
    stage: Stage,
    /// The runs of this stage, each with what it is for, until it ends.
    runs: Vec<Option<Run>>,
    /// The runs that have a command to send.
    ready: VecDeque<usize>,
    /// The runs whose commands are on their way.
    sent: Window,
    spares: Spares,
    /// What the disks share: made by this attach, and to be taken back when no disk came to use it.
    shared: Vec<SharedState>,
    works: Vec<(usize, Work)>,
    /// Disks on controllers that other clients may be about to unplug.
    stay: Stay,
    /// What is being taken back.
    crowd: Crowd,
    overtaken: u32,
    outcomes: Vec<Option<Result<Attached, Error>>>,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Look,
    MakeShared,
    Disks,
    Stay,
    RemoveShared,
}

/// What became of something that disks share.
#[derive(Debug)]
struct SharedState {
    id: String,
    step: Step,
    /// Why it is not there.
    failed: Option<String>,
    /// Whether this attach made it, and another was not faster.
    made: bool,
    used: bool,
}

impl Attach {
    /// An attach of these disks. Nothing is changed before the machine was looked at, and nothing
    /// at all when one of them cannot be attached.
    #[must_use]
    pub fn new(disks: Vec<Disk>) -> Self {
        let outcomes = disks.iter().map(|_| None).collect();
        let mut attach = Self {
            open: (0..disks.len()).collect(),
            disks,
            observer: Observer::default(),
            stage: Stage::Look,
            runs: Vec::new(),
            ready: VecDeque::new(),
            sent: Window::default(),
            spares: Spares::default(),
            shared: Vec::new(),
            works: Vec::new(),
            stay: Stay::default(),
            crowd: Crowd::default(),
            overtaken: 0,
            outcomes,
            done: false,
        };
        attach.look();
        attach
    }

    fn open_disks(&self) -> Vec<Disk> {
        self.open.iter().map(|at| self.disks[*at].clone()).collect()
    }

    /// Looks at what is not known yet; plans, once all is.
    fn look(&mut self) {
        self.stage = Stage::Look;
        let disks = self.open_disks();
        let looks = plan::looks(&disks, &self.observer.observed);
        if !looks.is_empty() {
            return self.observer.look(looks);
        }
        match plan::attach(&self.observer.observed, &disks) {
            Ok(plan) => self.begin(plan),
            Err(errors) => {
                let errors = errors.into_iter().map(|error| error.unwrap_or(Error::NotTried));
                self.fail_all(errors.collect());
            }
        }
    }

    fn fail_all(&mut self, errors: Vec<Error>) {
        for (at, error) in std::mem::take(&mut self.open).into_iter().zip(errors) {
            self.outcomes[at] = Some(Err(error));
        }
        self.done = true;
    }

    fn begin(&mut self, plan: Plan) {
        self.spares = plan.spares;
        for (at, plan) in std::mem::take(&mut self.open).into_iter().zip(plan.disks) {
            match plan {
                DiskPlan::Work(work) => self.works.push((at, work)),
                DiskPlan::Already { bus, port } => {
                    self.outcomes[at] = Some(Ok(self.attached(at, bus, port.as_ref(), true)));
                }
            }
        }
        let state = |shared: plan::Shared| SharedState {
            id: shared.id,
            step: shared.step,
            failed: None,
            made: false,
            used: false,
        };
        self.shared = plan.shared.into_iter().map(state).collect();
        let runs = self.shared.iter();
        let runs =
            runs.map(|it| Some(Run::new(it.id.clone(), vec![it.step.clone()], false))).collect();
        self.start(Stage::MakeShared, runs);
    }

    fn start(&mut self, stage: Stage, runs: Vec<Option<Run>>) {
        self.stage = stage;
        self.ready = (0..runs.len()).filter(|at| runs[*at].is_some()).collect();
        self.runs = runs;
        if self.ready.is_empty() {
            self.next_stage();
        }
    }

    fn next_stage(&mut self) {
        match self.stage {
            Stage::Look => {}
            Stage::MakeShared => self.start_disks(),
            Stage::Disks => {
                self.stage = Stage::Stay;
                self.stay.begin(&self.observer.observed.features);
                self.handle_stay();
            }
            Stage::Stay => self.handle_stay(),
            Stage::RemoveShared => self.handle_removed(),
        }
    }

    fn start_disks(&mut self) {
        let mut runs = Vec::new();
        for (at, work) in &mut self.works {
            let failed = work.needs.iter().find_map(|need| {
                let shared = &self.shared[*need];
                shared.failed.clone().map(|why| (shared.id.clone(), why))
            });
            if let Some((shared, why)) = failed {
                self.outcomes[*at] = Some(Err(Error::NotShared { shared, why }));
                runs.push(None);
                continue;
            }
            let name = self.disks[*at].name.to_string();
            runs.push(Some(Run::new(name, std::mem::take(&mut work.steps), work.resumes)));
        }
        self.start(Stage::Disks, runs);
    }

    /// Plans those disks again that were taken out of a controller that leaves.
    fn handle_stay(&mut self) {
        if self.stage != Stage::Stay {
            return;
        }
        let Some(ended) = self.stay.poll_ended() else { return };
        for (at, out) in ended {
            self.outcomes[at] = match out {
                Ok(()) => self.overtaken(at),
                Err(error) => Some(Err(error)),
            };
        }
        self.remove_unused();
    }

    /// The outcome of a disk whose turn comes again; none yet, but in the end.
    fn overtaken(&mut self, at: usize) -> Option<Result<Attached, Error>> {
        if self.overtaken < MAX_OVERTAKEN {
            self.open.push(at);
            return None;
        }
        Some(Err(Error::NameTaken {
            name: self.disks[at].name.clone(),
            holds: "used by other clients of this machine again and again".to_owned(),
        }))
    }

    /// Takes back what this attach made for disks to share, and none came to use. A controller is
    /// waited for: the next disk must not go where it is about to go.
    fn remove_unused(&mut self) {
        self.stage = Stage::RemoveShared;
        self.crowd = Crowd::default();
        for shared in self.shared.iter().filter(|shared| shared.made && !shared.used) {
            self.crowd.send_away(
                departure::plan_unused(&self.observer.observed, &shared.id),
                LET_GO_WITHIN,
            );
        }
        self.handle_removed();
    }

    /// What could not be removed is found by a recovery.
    fn handle_removed(&mut self) {
        while let Some((number, outcome)) = self.crowd.poll_outcome() {
            if !matches!(outcome, Ok(Detached::Removed { .. })) {
                self.say_left(number);
            }
        }
        if self.stage == Stage::RemoveShared && self.crowd.is_gone() {
            self.finish();
        }
    }

    /// Says of the disks that a controller was plugged in for that it is still there. An object that
    /// stays is in use by another client.
    fn say_left(&mut self, number: usize) {
        let mut unused = (0..).zip(&self.shared).filter(|(_, it)| it.made && !it.used);
        let Some((at, shared)) = unused.nth(number) else { return };
        let (Some(undo), Some(_)) = (&shared.step.undo, &shared.step.port) else { return };
        let why = "it has not left yet".to_owned();
        for (disk, work) in &self.works {
            if work.needs.contains(&at)
                && let Some(Err(Error::Refused { after, .. })) = &mut self.outcomes[*disk]
                && !matches!(after, After::Left(_))
            {
                *after = After::Left(vec![Left { undo: undo.clone(), why: why.clone() }]);
            }
        }
    }

    /// All outcomes are there, or some disks were overtaken and are looked at again.
    fn finish(&mut self) {
        self.works.clear();
        if self.open.is_empty() {
            self.done = true;
        } else {
            self.overtaken += 1;
            self.open.sort_unstable();
            self.observer.forget();
            self.look();
        }
    }

    fn handle_shared(&mut self, at: usize, ended: Ended) {
        let shared = &mut self.shared[at];
        match ended {
            Ended::Done(_) => shared.made = true,
            // Somebody else made it meanwhile, which is as good.
            Ended::Overtaken => {}
            Ended::NoRoom(reply) => shared.failed = Some(reply.desc),
            Ended::Failed(error) => shared.failed = Some(error.to_string()),
        }
    }

    fn handle_disk(&mut self, run_at: usize, ended: Ended) {
        let (at, work) = &self.works[run_at];
        let (at, bus) = (*at, work.bus);
        self.outcomes[at] = Some(match ended {
            Ended::Done(port) => {
                for need in &work.needs {
                    self.shared[*need].used = true;
                }
                self.stay.add(at, &self.disks[at].name, port.as_ref());
                Ok(self.attached(at, bus, port.as_ref(), false))
            }
            Ended::NoRoom(reply) => {
                let board =
                    self.observer.observed.pci.as_ref().map_or(Board::Unknown, |it| it.board());
                let places = format!("QEMU refuses the ports that looked free: {}", reply.desc);
                Err(Error::NoFreePort { board, places })
            }
            // What is unknown may use what it shares.
            Ended::Failed(error @ Error::Unknown { .. }) => {
                for need in &work.needs {
                    self.shared[*need].used = true;
                }
                Err(error)
            }
            Ended::Failed(error) => Err(error),
            Ended::Overtaken => {
                self.outcomes[at] = self.overtaken(at);
                return;
            }
        });
    }

    fn attached(&self, at: usize, bus: Bus, port: Option<&Port>, already: bool) -> Attached {
        let disk = &self.disks[at];
        Attached {
            name: disk.name.to_string(),
            bus,
            serial: disk.serial.as_str().to_owned(),
            guest_path: bus.guest_path(disk.serial.as_str(), disk.device.wwn),
            port: port.map(ToString::to_string),
            image: disk.storage.label(),
            format: disk.storage.format(),
            read_only: disk.read_only,
            already,
        }
    }
}

impl Operation for Attach {
    /// One for each disk, in the order of the wish.
    type Outcome = Vec<Result<Attached, Error>>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        if self.stage == Stage::Look {
            return self.observer.poll_transmit();
        }
        if self.stage == Stage::Stay {
            return self.stay.poll_transmit();
        }
        if self.stage == Stage::RemoveShared {
            return self.crowd.poll_transmit();
        }
        while self.sent.has_room() {
            let at = self.ready.pop_front()?;
            if let Some(command) = self.runs[at].as_mut().and_then(Run::poll_transmit) {
                self.sent.push(at);
                return Some(command);
            }
        }
        None
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if self.stage == Stage::RemoveShared {
            self.crowd.handle_answer(answer, now);
            return self.handle_removed();
        }
        if self.stage == Stage::Stay {
            self.stay.handle_answer(answer, now);
            return self.handle_stay();
        }
        if self.stage == Stage::Look {
            match self.observer.handle_answer(answer) {
                Ok(()) if self.observer.is_done() => self.look(),
                Ok(()) => {}
                Err(error) => {
                    let rest = self.open.len().saturating_sub(1);
                    let others = std::iter::repeat_with(|| Error::NotTried).take(rest);
                    self.fail_all(std::iter::once(error).chain(others).collect());
                }
            }
            return;
        }
        let Some(at) = self.sent.pop() else { return };
        let Some(mut run) = self.runs[at].take() else { return };
        match run.handle_answer(answer, &mut self.spares) {
            None => {
                self.runs[at] = Some(run);
                // Before others begin: what is half done is for as short as can be.
                self.ready.push_front(at);
            }
            Some(ended) => match self.stage {
                Stage::MakeShared => self.handle_shared(at, ended),
                Stage::Disks => self.handle_disk(at, ended),
                Stage::Look | Stage::Stay | Stage::RemoveShared => {}
            },
        }
        if self.sent.is_empty() && self.ready.is_empty() {
            self.next_stage();
        }
    }

    fn handle_event(&mut self, event: &Event, now: Instant) {
        self.stay.handle_event(event, now);
        self.handle_stay();
        self.crowd.handle_event(event);
        self.handle_removed();
    }

    fn handle_missed(&mut self, now: Instant) {
        self.stay.handle_missed(now);
        self.crowd.handle_missed();
    }

    fn handle_lost(&mut self, why: String) {
        self.stay.handle_lost(why.clone());
        self.handle_stay();
        self.crowd.handle_lost(&why);
        self.handle_removed();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Stay => self.stay.poll_timeout(),
            _ => self.crowd.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.stay.handle_timeout(now);
        self.handle_stay();
        self.crowd.handle_timeout(now);
        self.handle_removed();
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        std::mem::take(&mut self.done)
            .then(|| std::mem::take(&mut self.outcomes).into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests;
