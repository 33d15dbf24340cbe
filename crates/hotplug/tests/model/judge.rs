//! What an outcome says of the disks, held against what is known of them.

use qplug_hotplug::{
    After, Attached, Departures, Detached, DiskState, Error, ListedDisk, Recovered,
};
use qplug_sim::Version;

use crate::story::{IMAGES, NAMES, Wish};
use crate::wire::Report;
use crate::world::{Expect, World};

impl World {
    /// After an attach, `must` of which is to have succeeded, or not to.
    pub(crate) fn judge_attach(
        &mut self,
        wishes: &[Wish],
        outcome: Option<Vec<Result<Attached, Error>>>,
        must: Option<bool>,
    ) {
        let Some(outcomes) = outcome else {
            for wish in wishes {
                self.interrupted(wish.name);
            }
            return;
        };
        assert_eq!(outcomes.len(), wishes.len(), "an outcome for each");
        for (wish, outcome) in wishes.iter().zip(outcomes) {
            assert!(must.is_none_or(|must| must == outcome.is_ok()), "{wish:?} is {outcome:?}");
            match outcome {
                Ok(attached) => self.attached(wish, &attached),
                Err(error) => self.not_attached(wish, &error),
            }
        }
    }

    /// After an attach of disks, one of which this QEMU cannot have.
    pub(crate) fn judge_refusal(
        wishes: &[Wish],
        report: &Report<Vec<Result<Attached, Error>>>,
        is_calm: bool,
        version: Version,
    ) {
        assert_eq!(report.changing, [""; 0], "what cannot be was begun");
        let outcomes = report.outcome.iter().flatten();
        for (wish, outcome) in wishes.iter().zip(outcomes) {
            let is_told = matches!(outcome, Err(Error::NotAble { .. }));
            assert!(outcome.is_err(), "{wish:?} is {outcome:?}");
            assert!(!is_calm || is_told != wish.is_able(version), "{wish:?} is {outcome:?}");
        }
    }

    /// What a list says of the disks, when nothing goes `wrong`.
    pub(crate) fn judge_list(&self, disks: &[ListedDisk], is_quiet: bool) {
        for name in NAMES {
            let mut listed = disks.iter().filter(|disk| disk.name == name);
            let disk = listed.next();
            assert_eq!(listed.count(), 0, "{name} is listed twice: {disks:#?}");
            let state = disk.map(|disk| disk.state);
            match self.disks.get(name) {
                Some(Expect::Whole(wish)) => {
                    assert_ne!(state, Some(DiskState::HalfDone), "{name} is whole");
                    let (path, format) = IMAGES[wish.image];
                    let Some(disk) = disk.filter(|_| is_quiet) else { continue };
                    assert_eq!(disk.state, DiskState::Attached, "{name}");
                    assert_eq!(disk.image.as_deref(), Some(path), "{name}");
                    assert_eq!(disk.format.as_deref(), Some(format), "{name}");
                    assert_eq!(disk.read_only, Some(wish.read_only), "{name}");
                    assert!(wish.bus.is_none() || disk.bus == wish.bus, "{name}: {disk:?}");
                }
                Some(Expect::Bare) if is_quiet => {
                    assert!(matches!(state, Some(DiskState::Foreign)), "{name} is {disk:?}");
                }
                None if is_quiet => {
                    let is_theirs = self.others.uses_name(name);
                    let is_right =
                        state.is_none_or(|state| state == DiskState::Foreign && is_theirs);
                    assert!(is_right, "{name} is not there: {disk:?}");
                }
                None | Some(_) => {}
            }
            let is_whole = matches!(self.disks.get(name), Some(Expect::Whole(_)));
            assert!(!is_whole || !is_quiet || disk.is_some(), "{name} is not listed: {disks:#?}");
        }
    }

    fn attached(&mut self, wish: &Wish, attached: &Attached) {
        assert_eq!(attached.name, wish.name);
        let wish = Wish { bus: Some(attached.bus), ..wish.clone() };
        match self.disks.get(wish.name) {
            None => {
                assert!(!attached.already, "{} was not there", wish.name);
                self.note(wish.name, Some(Expect::Whole(wish)));
            }
            Some(Expect::Whole(there)) => {
                assert!(attached.already, "{} was there", wish.name);
                let same = (there.image, there.read_only) == (wish.image, wish.read_only);
                assert!(same, "{} was there over another image: {there:?}", wish.name);
            }
            // What it had been given before, nobody knows.
            Some(Expect::Leaving | Expect::Loose) if attached.already => {
                self.note(wish.name, Some(Expect::Loose));
            }
            Some(Expect::Bare) if attached.already => panic!("{} has no drive", wish.name),
            Some(Expect::Leaving | Expect::Loose | Expect::Bare) => {
                self.note(wish.name, Some(Expect::Whole(wish)));
            }
        }
    }

    fn not_attached(&mut self, wish: &Wish, error: &Error) {
        let is_loose = match error {
            Error::Unknown { .. } => true,
            Error::Refused { after: After::Left(left), .. }
            | Error::NotSent { after: After::Left(left), .. } => {
                assert!(!left.is_empty());
                true
            }
            _ => false,
        };
        if is_loose {
            self.interrupted(wish.name);
        }
    }

    /// qplug does not know how far it came. What was there is not changed by an attach.
    fn interrupted(&mut self, name: &'static str) {
        if self.disks.get(name).is_none_or(|it| *it == Expect::Leaving) {
            self.note(name, Some(Expect::Loose));
        }
    }

    /// After a detach, which must have succeeded where all is `calm`.
    pub(crate) fn judge_detach(
        &mut self,
        names: &[&'static str],
        outcome: Option<Result<Departures, Error>>,
        is_calm: bool,
    ) {
        let asked = if names.is_empty() { &NAMES[..] } else { names };
        let Some(outcome) = outcome else {
            for name in asked {
                self.may_have_gone(name);
            }
            return;
        };
        let Ok(departures) = outcome else {
            assert!(!is_calm, "{outcome:?}");
            return;
        };
        assert!(names.is_empty() || departures.len() == names.len(), "an outcome for each");
        // Those that are not even named have left nothing.
        for name in NAMES.iter().filter(|_| names.is_empty()) {
            let is_named = departures.iter().any(|(it, _)| it.as_str() == *name);
            if !is_named && matches!(self.disks.get(name), Some(Expect::Loose | Expect::Leaving)) {
                self.note(name, None);
            }
        }
        for (name, outcome) in departures {
            let name = NAMES.iter().find(|it| **it == name.as_str()).expect("a disk of ours");
            let is_there = matches!(self.disks.get(name), Some(Expect::Whole(_)));
            let is_removed = matches!(outcome, Ok(Detached::Removed { .. }));
            assert!(!is_calm || !is_there || is_removed, "{name} is {outcome:?}");
            self.departed(name, outcome);
        }
    }

    fn departed(&mut self, name: &'static str, outcome: Result<Detached, Error>) {
        match outcome {
            Ok(Detached::Removed { .. }) => {
                self.note(name, None);
            }
            Ok(Detached::Refused) => {}
            Ok(Detached::Pending) => {
                assert!(self.disks.contains_key(name), "{name} was not there");
                let is_marked = self.has_object(&format!("qplug.disk.{name}.pending"));
                let expect = if is_marked { Expect::Leaving } else { Expect::Loose };
                self.note(name, Some(expect));
            }
            Err(Error::Unknown { .. }) => self.may_have_gone(name),
            Err(Error::NoSuchDisk { .. }) => self.note(name, None),
            Err(Error::Refused { after, .. } | Error::NotSent { after, .. }) => match after {
                After::Unchanged => {}
                _ => self.may_have_gone(name),
            },
            Err(_) => {}
        }
    }

    fn may_have_gone(&mut self, name: &'static str) {
        if self.disks.contains_key(name) {
            self.note(name, Some(Expect::Loose));
        }
    }

    /// After a recovery: what was whole still is.
    pub(crate) fn judge_recover(&mut self, outcome: Option<Result<Recovered, Error>>) {
        let Some(Ok(recovered)) = outcome else { return };
        for (name, outcome) in recovered {
            let Some(name) = NAMES.iter().find(|it| **it == name) else { continue };
            let is_whole = matches!(self.disks.get(name), Some(Expect::Whole(_) | Expect::Bare));
            assert!(!is_whole, "recover touches {name}, which is whole: {outcome:?}");
            self.departed(name, outcome);
        }
    }
}
