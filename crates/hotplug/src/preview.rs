//! What an attach or a detach would do to this machine, with nothing but queries sent.
//!
//! Nothing of it is written twice: an attach shows the steps of its plan, and a detach is played to
//! its end against a machine that agrees to everything.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::command::Command;
use crate::departure;
use crate::detach::Which;
use crate::dialect::Features;
use crate::disk::Disk;
use crate::error::Error;
use crate::leaving::{Goods, Leaving};
use crate::observe::Observer;
use crate::operation::{Answer, Operation};
use crate::plan::{self, DiskPlan, Plan};
use crate::step::Step;

/// A step that would be taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedStep {
    /// What it does, such as 'open the image'.
    pub doing: &'static str,
    /// How.
    pub command: Command,
    /// What takes it back when a later step fails; nothing where an earlier step's undo does, or
    /// where there is no way back.
    pub undo: Option<Command>,
    /// What is waited for before the next step, besides the reply.
    pub awaits: Option<String>,
}

/// What would become of a disk, or of something that disks share.
#[derive(Debug)]
pub struct Planned {
    /// The disk's name, or the id of what is shared.
    pub name: String,
    /// The steps, in their order; none where nothing is to be done.
    pub steps: Result<Vec<PlannedStep>, Error>,
}

/// A plan. Shared things come first in an attach, and leave last in a detach.
#[derive(Debug, Default)]
pub struct Plans {
    /// What several disks share and the attach would make.
    pub shared: Vec<Planned>,
    /// The disks, in the order of the wish.
    pub disks: Vec<Planned>,
    /// What would be removed after the disks, if nothing uses it then.
    pub unused: Vec<String>,
}

/// A preview under way.
#[derive(Debug)]
pub struct Preview {
    wish: Wish,
    observer: Observer,
    outcome: Option<Result<Plans, Error>>,
}

#[derive(Debug)]
enum Wish {
    Attach(Vec<Disk>),
    Detach(Which, Duration),
}

/// A detach takes fewer commands than this for one disk; a bound for a play that has no clock.
const MAX_STEPS: usize = 64;

impl Preview {
    /// What an attach of these disks would do.
    #[must_use]
    pub fn attach(disks: Vec<Disk>) -> Self {
        Self::new(Wish::Attach(disks))
    }

    /// What a detach would do that waits at most `timeout` for the guest.
    #[must_use]
    pub fn detach(which: Which, timeout: Duration) -> Self {
        Self::new(Wish::Detach(which, timeout))
    }

    fn new(wish: Wish) -> Self {
        let mut preview = Self { wish, observer: Observer::default(), outcome: None };
        let looks = preview.looks();
        preview.observer.look(looks);
        preview
    }

    fn looks(&self) -> Vec<crate::observe::Look> {
        match &self.wish {
            Wish::Attach(disks) => plan::looks(disks, &self.observer.observed),
            Wish::Detach(which, _) => departure::looks(which, &self.observer.observed),
        }
    }

    fn plan(&self, now: Instant) -> Plans {
        let observed = &self.observer.observed;
        match &self.wish {
            Wish::Attach(disks) => match plan::attach(observed, disks) {
                Ok(plan) => attached(disks, plan),
                Err(errors) => Plans { disks: failed(disks, errors), ..Plans::default() },
            },
            Wish::Detach(which, timeout) => {
                let names = match which {
                    Which::Named(names) => names.clone(),
                    Which::All => departure::all(observed),
                };
                let planned = |name| {
                    let goods = departure::plan(observed, name);
                    let steps = goods.map(|goods| played(goods, *timeout, now));
                    Planned { name: name.to_string(), steps }
                };
                let disks = names.iter().map(planned).collect();
                let unused = departure::plan_shared(observed).into_iter().map(|goods| goods.name);
                Plans { disks, unused: unused.collect(), ..Plans::default() }
            }
        }
    }
}

fn attached(disks: &[Disk], plan: Plan) -> Plans {
    let shared = plan.shared.into_iter();
    let shared = shared.map(|it| Planned { name: it.id, steps: Ok(vec![planned(it.step)]) });
    let planned = disks.iter().zip(plan.disks).map(|(disk, plan)| {
        let steps = match plan {
            DiskPlan::Already { .. } => Vec::new(),
            DiskPlan::Work(work) => work.steps.into_iter().map(planned).collect(),
        };
        Planned { name: disk.name.to_string(), steps: Ok(steps) }
    });
    Plans { shared: shared.collect(), disks: planned.collect(), unused: Vec::new() }
}

fn failed(disks: &[Disk], errors: Vec<Option<Error>>) -> Vec<Planned> {
    let failed = disks.iter().zip(errors).map(|(disk, error)| Planned {
        name: disk.name.to_string(),
        steps: Err(error.unwrap_or(Error::NotTried)),
    });
    failed.collect()
}

fn planned(step: Step) -> PlannedStep {
    let Step { doing, command, undo, .. } = step;
    PlannedStep { doing, command, undo, awaits: None }
}

/// The steps of a detach where everything goes well.
fn played(goods: Goods, timeout: Duration, now: Instant) -> Vec<PlannedStep> {
    let device = goods.device.clone().unwrap_or_default();
    let gone = match goods.is_announced {
        true => format!("DEVICE_DELETED of {device}"),
        false => format!("{device} to leave query-pci"),
    };
    let mut leaving = Leaving::new(goods, timeout);
    let mut steps = Vec::new();
    while let Some(command) = leaving.poll_transmit().filter(|_| steps.len() < MAX_STEPS) {
        let doing = leaving.doing();
        leaving.handle_answer(Answer::Returned(RawValue::NULL.to_owned()), now);
        let is_asked = command.name == "device_del";
        if is_asked {
            leaving.handle_deleted();
        }
        let seconds = timeout.as_secs_f32();
        let awaits = is_asked.then(|| format!("{gone}, at most {seconds} s"));
        steps.push(PlannedStep { doing, command, undo: None, awaits });
    }
    steps
}

impl Operation for Preview {
    type Outcome = Result<Plans, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit()
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if let Err(error) = self.observer.handle_answer(answer) {
            self.outcome.get_or_insert(Err(error));
            return;
        }
        if !self.observer.is_done() {
            return;
        }
        let looks = self.looks();
        if looks.is_empty() {
            self.outcome = Some(Ok(self.plan(now)));
        } else {
            self.observer.look(looks);
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests;
