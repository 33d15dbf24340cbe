//! Changing the medium of a CD or floppy drive, with the old one back in place when that fails.
//!
//! ```text
//!  look ──► open the new image ──► open the tray ──► take the old out ──► put the new in
//!                                                      │    ▲                  │
//!                                      the guest holds it ──┘    close the tray ──► close the old image
//! ```
//!
//! Each step has its undo, so that a refusal anywhere leaves the drive as it was. A tray that the
//! guest has locked is asked for like a disk: `blockdev-open-tray` only asks, and the guest opens it
//! with an event, or does not in time.

mod drive;
mod old;

use std::time::{Duration, Instant};

use qplug_proto::{ErrorReply, Event};
use serde::Serialize;

use crate::command::{self, Command};
use crate::crowd::Crowd;
use crate::departure;
use crate::dialect::{Ability, Features};
use crate::disk::Disk;
use crate::error::{After, Error};
use crate::inventory::{Blocks, DeviceDisk};
use crate::leaving::Goods;
use crate::name::DiskName;
use crate::observe::{Look, Observer};
use crate::operation::{Answer, Operation};
use crate::run::{Ended, Run};
use crate::spares::Spares;
use crate::step::Step;
use crate::storage::Storage;
use crate::texts::Meaning;

/// What the steps do.
const OPEN_TRAY: &str = "open the tray";
const TAKE_OUT: &str = "take the old medium out";
const PUT_IN: &str = "put the medium in";
const CLOSE_TRAY: &str = "close the tray";

/// How often a guest is asked again that holds the tray: one that lets go of it does not open it by
/// itself (seen with Linux 6.1 without udev).
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(2);

/// How many media one drive may have open: the one in it, the next one, and what crashes left.
const MEDIA: std::ops::RangeInclusive<char> = 'a'..='z';

/// What is to happen to a drive's medium.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Put this in; the drive must be empty.
    Insert(Storage),
    /// Put this in, in place of what is in it.
    Swap(Storage),
    /// Take out what is in it.
    Eject,
}

/// How a change ends, unless it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The drive, by its device's id or path.
    pub drive: String,
    /// What is in it now, by its path where QEMU runs.
    pub medium: Option<String>,
    /// What was in it before.
    pub before: Option<String>,
    /// Whether the guest holds the tray, and has not let go of it in time: nothing was changed.
    pub pending: bool,
}

/// A change under way.
#[derive(Debug)]
pub struct ChangeMedium {
    drive: String,
    change: Change,
    read_only: bool,
    force: bool,
    timeout: Duration,
    observer: Observer,
    stage: Stage,
    /// The drive as QEMU is told of it.
    id: String,
    before: Option<String>,
    /// The old medium, where it is ours and must be closed.
    old: Option<Goods>,
    crowd: Crowd,
    outbox: Option<Command>,
    /// Whether the tray has opened since it was asked for.
    opened: bool,
    /// Until when a guest that holds the tray is waited for.
    deadline: Option<Instant>,
    outcome: Option<Result<Changed, Error>>,
}

#[derive(Debug)]
enum Stage {
    Look,
    Run(Run),
    /// The guest holds the tray; QEMU's words, and when it is asked again.
    Held(Run, ErrorReply, Instant),
    /// The guest is being asked again.
    Asking(Run),
    /// The old image is being closed.
    Close,
}

impl ChangeMedium {
    /// A change of the medium in the drive of this id, path or old-style name. A tray that the guest
    /// has locked is waited for at most `timeout`, or opened all the same with `force`.
    #[must_use]
    pub fn new(drive: &str, change: Change, timeout: Duration) -> Self {
        let mut observer = Observer::default();
        observer.look([Look::Blocks, Look::Nodes, Look::Objects, Look::Fdsets]);
        Self {
            drive: drive.to_owned(),
            change,
            read_only: true,
            force: false,
            timeout,
            observer,
            stage: Stage::Look,
            id: String::new(),
            before: None,
            old: None,
            crowd: Crowd::default(),
            outbox: None,
            opened: false,
            deadline: None,
            outcome: None,
        }
    }

    /// Whether a tray that the guest has locked is opened without asking it.
    #[must_use]
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Whether the guest may write to the medium, as to a floppy disk.
    #[must_use]
    pub fn writable(mut self, writable: bool) -> Self {
        self.read_only = !writable;
        self
    }

    fn begin(&mut self) -> Result<(), Error> {
        let nothing = Blocks::default();
        let blocks = self.observer.observed.blocks.as_ref().unwrap_or(&nothing);
        let drive = drive::find(blocks, &self.drive)?;
        self.id = drive.qdev.unwrap_or(drive.id).to_owned();
        self.before = drive.node.map(|node| node.path.clone());
        self.old = drive.node.and_then(|node| {
            let name = DiskName::of_format_node(&node.name)?;
            departure::plan_medium(&self.observer.observed, &name)
        });
        let steps = self.steps(&drive)?;
        let Some(steps) = steps else {
            self.end(false);
            return Ok(());
        };
        self.stage = Stage::Run(Run::new(self.drive.clone(), steps, false));
        Ok(())
    }

    /// The steps; none where nothing is to be done.
    fn steps(&self, drive: &DeviceDisk<'_>) -> Result<Option<Vec<Step>>, Error> {
        let image = match (&self.change, drive.node) {
            (Change::Insert(_), Some(node)) => {
                let (drive, image) = (self.drive.clone(), node.path.clone());
                return Err(Error::MediumInside { drive, image });
            }
            (Change::Eject, None) => return Ok(None),
            (Change::Eject, Some(_)) => None,
            (Change::Insert(storage) | Change::Swap(storage), _) => Some(storage.clone()),
        };
        let features = &self.observer.observed.features;
        if !features.can(Ability::Media) {
            let medium = image.as_ref().map(|image| (image, self.read_only));
            return old::steps(drive, medium, self.force, features).map(Some);
        }
        let mut steps = Vec::new();
        let medium = match image {
            Some(storage) => Some(self.medium(storage, drive)?),
            None => None,
        };
        if let Some(medium) = &medium {
            steps = medium.steps_to_open(features)?;
        }
        steps.extend(self.steps_at_drive(drive, medium.as_ref()));
        Ok(Some(steps))
    }

    /// The new medium, as a disk of which only the nodes are wanted.
    fn medium(&self, mut storage: Storage, drive: &DeviceDisk<'_>) -> Result<Disk, Error> {
        let observed = &self.observer.observed;
        // Nor one of which a crash left a secret: it would be taken for another client's.
        let is_free = |name: &DiskName| {
            observed.nodes.as_ref().is_none_or(|nodes| nodes.format_node(name).is_none())
                && observed.objects.as_ref().is_none_or(|it| it.of_disk(name).is_empty())
        };
        let names = MEDIA.filter_map(|letter| drive::medium_name(drive, letter));
        let name = names.into_iter().find(is_free).ok_or_else(|| Error::MediumInside {
            drive: self.drive.clone(),
            image: "one of too many that are open for it ('qplug recover' closes them)".to_owned(),
        })?;
        let mut taken = observed.fdsets.iter().flat_map(|sets| sets.numbers()).collect();
        storage.number_descriptors(&name, &mut taken);
        let disk = Disk::named(name.as_str())?.serial(Some("medium")).storage(storage)?;
        let disk = disk.read_only(self.read_only);
        disk.check()?;
        match disk.storage.locked(disk.read_only, disk.device.share_rw) {
            Some(locked) => Err(crate::DiskError::from(locked).into()),
            None => Ok(disk),
        }
    }

    fn steps_at_drive(&self, drive: &DeviceDisk<'_>, medium: Option<&Disk>) -> Vec<Step> {
        let mut steps = Vec::new();
        let close = command::close_tray(&self.id);
        if drive.tray_open != Some(true) {
            let open = command::open_tray(&self.id, self.force);
            steps.push(Step::new(OPEN_TRAY, open, Some(close.clone())));
        }
        if let Some(node) = drive.node {
            let back = if node.name.starts_with('#') {
                // Nobody else holds it, so it is gone once it is out.
                command::change_medium(
                    command::Tray::Device(&self.id),
                    &node.path,
                    &node.driver,
                    node.read_only,
                )
            } else {
                command::insert_medium(&self.id, &node.name)
            };
            steps.push(Step::new(TAKE_OUT, command::remove_medium(&self.id), Some(back)));
        }
        if let Some(medium) = medium {
            let insert = command::insert_medium(
                &self.id,
                &medium.top_node(&self.observer.observed.features),
            );
            let undo = command::remove_medium(&self.id);
            steps.push(Step::new(PUT_IN, insert, Some(undo)));
            steps.push(Step::new(CLOSE_TRAY, close, None));
        }
        steps
    }

    fn handle_ended(&mut self, ended: Ended) {
        match ended {
            Ended::Done(_) => {
                self.stage = Stage::Close;
                if let Some(old) = self.old.take() {
                    self.crowd.send_away(old, self.timeout);
                }
                self.close();
            }
            Ended::Failed(Error::Refused { meaning: Some(Meaning::TrayClosed), after, .. })
                if !matches!(after, After::Left(_)) =>
            {
                self.end(true);
            }
            Ended::Failed(error) => self.outcome = Some(Err(error)),
            Ended::Overtaken | Ended::NoRoom(_) => {
                let drive = self.drive.clone();
                self.outcome = Some(Err(Error::DriveOvertaken { drive }));
            }
        }
    }

    /// The new medium is in; an old one that cannot be closed is no failure of the change.
    fn close(&mut self) {
        while self.crowd.poll_outcome().is_some() {}
        if self.crowd.is_gone() {
            self.end(false);
        }
    }

    fn end(&mut self, pending: bool) {
        let medium = match &self.change {
            _ if pending => self.before.clone(),
            Change::Eject => None,
            Change::Insert(storage) | Change::Swap(storage) => Some(storage.label()),
        };
        let (drive, before) = (self.drive.clone(), self.before.clone());
        self.outcome = Some(Ok(Changed { drive, medium, before, pending }));
    }

    /// Gives the run an answer, or holds a refusal back that the guest may yet lift.
    fn handle_run(&mut self, mut run: Run, answer: Answer, now: Instant) {
        if let Answer::Refused(reply) = &answer
            && Meaning::of(reply) == Some(Meaning::TrayClosed)
        {
            if self.deadline.is_none() {
                // A time that no clock can name is never reached.
                self.deadline = now.checked_add(self.timeout);
            }
            // The event may have come before the answer.
            self.stage = if std::mem::take(&mut self.opened) {
                run.try_again();
                Stage::Run(run)
            } else {
                Stage::Held(run, reply.clone(), now + ASK_AGAIN_EVERY)
            };
            return;
        }
        match run.handle_answer(answer, &mut Spares::default()) {
            Some(ended) => self.handle_ended(ended),
            None => self.stage = Stage::Run(run),
        }
    }
}

impl Operation for ChangeMedium {
    type Outcome = Result<Changed, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        match &mut self.stage {
            Stage::Look => self.observer.poll_transmit(),
            Stage::Run(run) => run.poll_transmit(),
            Stage::Held(..) => None,
            Stage::Asking(_) => self.outbox.take(),
            Stage::Close => self.crowd.poll_transmit(),
        }
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        match std::mem::replace(&mut self.stage, Stage::Look) {
            Stage::Look => {
                let looked = self.observer.handle_answer(answer);
                let begun = match looked {
                    Ok(()) if self.observer.is_done() => self.begin(),
                    looked => looked,
                };
                if let Err(error) = begun {
                    self.outcome = Some(Err(error));
                }
            }
            Stage::Run(run) => self.handle_run(run, answer, now),
            Stage::Held(run, reply, ask_at) => self.stage = Stage::Held(run, reply, ask_at),
            // Whatever the answer is, the next step tells whether the tray is open.
            Stage::Asking(mut run) => {
                run.try_again();
                self.stage = Stage::Run(run);
            }
            Stage::Close => {
                self.stage = Stage::Close;
                self.crowd.handle_answer(answer, now);
                self.close();
            }
        }
    }

    fn handle_event(&mut self, event: &Event, _now: Instant) {
        if !drive::opens(event, &self.id) {
            return;
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Look) {
            Stage::Held(mut run, ..) => {
                run.try_again();
                Stage::Run(run)
            }
            stage => {
                self.opened = true;
                stage
            }
        };
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Held(_, _, ask_at) => self.deadline.into_iter().chain([*ask_at]).min(),
            Stage::Close => self.crowd.poll_timeout(),
            Stage::Look | Stage::Run(_) | Stage::Asking(_) => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match std::mem::replace(&mut self.stage, Stage::Look) {
            Stage::Held(mut run, reply, _) if self.deadline.is_some_and(|it| it <= now) => {
                match run.handle_answer(Answer::Refused(reply), &mut Spares::default()) {
                    Some(ended) => self.handle_ended(ended),
                    None => self.stage = Stage::Run(run),
                }
            }
            Stage::Held(mut run, _, ask_at)
                if ask_at <= now && !self.observer.observed.features.can(Ability::Media) =>
            {
                // Taking the medium out is what asks the guest.
                run.try_again();
                self.stage = Stage::Run(run);
            }
            Stage::Held(run, _, ask_at) if ask_at <= now => {
                self.outbox = Some(command::open_tray(&self.id, self.force));
                self.stage = Stage::Asking(run);
            }
            stage => {
                self.stage = stage;
                self.crowd.handle_timeout(now);
                if matches!(self.stage, Stage::Close) {
                    self.close();
                }
            }
        }
    }

    fn handle_lost(&mut self, why: String) {
        // The change is made; an old image that is still open is one that 'recover' closes.
        if matches!(self.stage, Stage::Close) {
            return self.end(false);
        }
        let (name, doing) = (self.drive.clone(), OPEN_TRAY);
        self.outcome = Some(Err(Error::Unknown { name, doing, why }));
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests;
