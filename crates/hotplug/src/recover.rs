//! Finishing what is half done: images that no device uses, detaches that are pending, and what
//! disks left of their objects, descriptors and controllers.
//!
//! ```text
//!  look ──► pause ──► look again ──► what was left both times goes ──► what they shared ──► outcomes
//! ```
//!
//! It looks twice because an attach of another client is half done for a moment, too. Where that
//! takes longer, its attach is told and begins anew: nothing is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use qplug_proto::Event;

use crate::command::{self, Command};
use crate::crowd::Crowd;
use crate::departure;
use crate::detach::Detached;
use crate::dialect::Features;
use crate::error::Error;
use crate::leaving::Goods;
use crate::name::DiskName;
use crate::observe::{Look, Observed, Observer};
use crate::operation::{Answer, Operation};

/// The pause between the two looks: an attach takes 10 ms on a quiet host.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(500);

/// What a recovery finished, or tried to: by the name of the disk, or of what disks shared.
pub type Recovered = Vec<(String, Result<Detached, Error>)>;

/// A recovery under way.
#[derive(Debug)]
pub struct Recover {
    timeout: Duration,
    observer: Observer,
    state: State,
    /// What the first look found.
    found: BTreeSet<String>,
    crowd: Crowd,
    names: Vec<String>,
    outcomes: Vec<Option<Result<Detached, Error>>>,
    outcome: Option<Result<Recovered, Error>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    /// Until then.
    Pausing(Instant),
    Second,
    Going,
    LookAtShared,
    Shared,
}

/// All that tells of something left.
const LOOKS: [Look; 7] = [
    Look::Blocks,
    Look::Nodes,
    Look::Jobs,
    Look::Exports,
    Look::Objects,
    Look::Devices,
    Look::Fdsets,
];

/// All that tells of what disks shared.
const LOOKS_AT_SHARED: [Look; 3] = [Look::Nodes, Look::Objects, Look::Devices];

impl Recover {
    /// A recovery that waits at most `timeout` for the guest to let go of disks whose detach is
    /// pending.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let mut recover = Self {
            timeout,
            observer: Observer::default(),
            state: State::First,
            found: BTreeSet::new(),
            crowd: Crowd::default(),
            names: Vec::new(),
            outcomes: Vec::new(),
            outcome: None,
        };
        recover.observer.look(LOOKS);
        recover
    }

    fn go_on(&mut self, now: Instant) {
        if !self.observer.is_done() {
            return;
        }
        match self.state {
            State::First | State::Second => {
                let more = closer_looks(&self.observer.observed);
                if !more.is_empty() {
                    return self.observer.look(more);
                }
                self.handle_look(now);
            }
            State::Pausing(_) => {}
            State::LookAtShared => self.remove_shared(),
            State::Going | State::Shared => self.collect(),
        }
    }

    fn handle_look(&mut self, now: Instant) {
        let observed = &self.observer.observed;
        let left = left(observed);
        if self.state == State::First {
            let shared = departure::plan_shared(observed);
            self.found = left.into_iter().chain(shared).map(|goods| goods.name).collect();
            match self.found.is_empty() {
                true => self.outcome = Some(Ok(Vec::new())),
                false => self.state = State::Pausing(now + SECOND_LOOK_AFTER),
            }
            return;
        }
        self.state = State::Going;
        self.send_away(left.into_iter().filter(|goods| self.found.contains(&goods.name)).collect());
        self.collect();
    }

    fn send_away(&mut self, goods: Vec<Goods>) {
        for goods in goods {
            self.names.push(goods.name.clone());
            self.outcomes.push(None);
            self.crowd.send_away(goods, self.timeout);
        }
    }

    fn collect(&mut self) {
        while let Some((at, outcome)) = self.crowd.poll_outcome() {
            self.outcomes[at] = Some(outcome);
        }
        if !self.crowd.is_gone() {
            return;
        }
        if self.state == State::Going {
            self.state = State::LookAtShared;
            self.observer.forget();
            self.observer.look(LOOKS_AT_SHARED);
        } else {
            self.finish();
        }
    }

    /// Removes what nothing uses, now that the disks are gone: what was unused before, too, or what
    /// they left unused.
    fn remove_shared(&mut self) {
        let observed = &self.observer.observed;
        let more = departure::closer_looks_at_shared(observed);
        if !more.is_empty() {
            return self.observer.look(more);
        }
        let removed =
            |it: &Option<Result<Detached, Error>>| matches!(it, Some(Ok(Detached::Removed { .. })));
        let has_removed = self.outcomes.iter().any(removed);
        let shared = departure::plan_shared(observed).into_iter();
        let shared = shared.filter(|goods| has_removed || self.found.contains(&goods.name));
        let shared = shared.collect();
        self.state = State::Shared;
        self.send_away(shared);
        self.collect();
    }

    fn finish(&mut self) {
        let outcomes = std::mem::take(&mut self.outcomes).into_iter().flatten();
        let names = std::mem::take(&mut self.names).into_iter();
        // What is in use again is nothing that was left.
        let is_left = |(_, outcome): &(String, Result<Detached, Error>)| {
            !matches!(outcome, Err(Error::InUseAgain { .. }))
        };
        self.outcome = Some(Ok(names.zip(outcomes).filter(is_left).collect()));
    }
}

impl Operation for Recover {
    /// Empty when nothing was left. An error when the machine could not be looked at.
    type Outcome = Result<Recovered, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit().or_else(|| self.crowd.poll_transmit())
    }

    fn handle_answer(&mut self, answer: Answer, now: Instant) {
        if matches!(self.state, State::Going | State::Shared) {
            self.crowd.handle_answer(answer, now);
        } else if let Err(error) = self.observer.handle_answer(answer) {
            match self.state {
                // The disks are out; the next recovery finds what they shared.
                State::LookAtShared => self.finish(),
                _ => self.outcome = Some(Err(error)),
            }
            return;
        }
        self.go_on(now);
    }

    fn handle_event(&mut self, event: &Event, now: Instant) {
        self.crowd.handle_event(event);
        self.go_on(now);
    }

    fn handle_missed(&mut self, _now: Instant) {
        self.crowd.handle_missed();
    }

    fn handle_lost(&mut self, why: String) {
        if matches!(self.state, State::Going | State::LookAtShared | State::Shared) {
            self.state = State::Shared;
            self.crowd.handle_lost(&why);
            self.collect();
        } else {
            let command = command::query_block().name;
            self.outcome = Some(Err(Error::QueryLost { command, why }));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Pausing(until) => Some(until),
            _ => self.crowd.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Pausing(until) if until <= now => {
                self.state = State::Second;
                self.observer.forget();
                self.observer.look(LOOKS);
            }
            State::Pausing(_) => {}
            _ => {
                self.crowd.handle_timeout(now);
                self.go_on(now);
            }
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

fn closer_looks(observed: &Observed) -> Vec<Look> {
    let jobs = observed.jobs.as_ref().is_some_and(|jobs| !jobs.is_empty());
    let mut looks = departure::closer_looks_at_shared(observed);
    looks.extend((jobs && observed.graph.is_none()).then_some(Look::Graph));
    looks
}

/// What disks left.
fn left(observed: &Observed) -> Vec<Goods> {
    names(observed).into_iter().filter_map(|name| left_of(observed, &name)).collect()
}

/// Every name that something of qplug's has.
fn names(observed: &Observed) -> BTreeSet<DiskName> {
    let nodes = observed.nodes.iter().flat_map(|nodes| nodes.disks().map(|(name, _)| name));
    let objects = observed.objects.iter().flat_map(|objects| objects.ids());
    let sets = observed.fdsets.iter().flat_map(|sets| sets.owned());
    nodes
        .chain(objects.filter_map(DiskName::of_object))
        .chain(sets.filter_map(|(_, owner)| departure::owner_of_descriptors(owner)))
        .collect()
}

/// What is left of this disk; nothing where it is whole, or something uses its image.
fn left_of(observed: &Observed, name: &DiskName) -> Option<Goods> {
    let marked = observed.objects.as_ref().is_some_and(|it| it.has(&name.pending()));
    // Either tells: a machine that keeps one of the two back has not lost the disk.
    let is_there = observed.devices.as_ref().is_some_and(|it| it.has(name.as_str()))
        || observed.blocks.as_ref().is_some_and(|it| it.device(name.as_str()).is_some());
    if is_there && !marked {
        // A device of ours has our node: this one is another client's, which came to have the name.
        let is_ours = observed.nodes.as_ref().is_none_or(|it| it.format_node(name).is_some());
        return if is_ours { None } else { departure::plan_rest(observed, name) };
    }
    let holder = observed.blocks.as_ref().and_then(|blocks| blocks.holder(&name.format_node()));
    if holder.is_some_and(|holder| holder != name.as_str()) {
        return None;
    }
    departure::plan(observed, name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::script::Happens::{self, Answer, At};
    use crate::operation::script::play;

    const NODES: &str = r#"[
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
        {"node-name": "data.file", "drv": "file", "file": "/a", "ro": false, "image": {"virtual-size": 1}},
        {"node-name": "mine.format", "drv": "raw", "file": "/b", "ro": false, "image": {"virtual-size": 1}}]"#;
    const OBJECTS: &str = r#"[
        {"name": "qplug.disk.data.secret", "type": "child<secret>"},
        {"name": "qplug.disk.lost.auth", "type": "child<secret>"},
        {"name": "data.secret", "type": "child<secret>"}]"#;

    fn look(nodes: &'static str, objects: &'static str) -> Vec<Happens> {
        vec![
            Answer("query-block", "", Ok("[]")),
            Answer("query-named-block-nodes", "", Ok(nodes)),
            Answer("query-block-jobs", "", Ok("[]")),
            Answer("query-block-exports", "", Ok("[]")),
            Answer("qom-list", "/objects", Ok(objects)),
            Answer("qom-list", "/machine/peripheral", Ok("[]")),
            Answer("query-fdsets", "", Ok("[]")),
        ]
    }

    fn look_at_shared(nodes: &'static str, objects: &'static str) -> Vec<Happens> {
        vec![
            Answer("query-named-block-nodes", "", Ok(nodes)),
            Answer("qom-list", "/objects", Ok(objects)),
            Answer("qom-list", "/machine/peripheral", Ok("[]")),
        ]
    }

    fn recovered(parts: [Vec<Happens>; 4]) -> Vec<String> {
        let script = parts.into_iter().flatten().collect();
        let outcome = play(Recover::new(Duration::from_secs(30)), script).unwrap();
        outcome
            .into_iter()
            .map(|(name, outcome)| format!("{name} {:?}", outcome.unwrap()))
            .collect()
    }

    #[test]
    fn what_is_left_at_both_looks_goes_and_what_others_made_stays() {
        let mut clear = vec![
            Answer("blockdev-del", "data.format", Ok("{}")),
            Answer("object-del", "qplug.disk.lost.auth", Ok("{}")),
            Answer("object-del", "qplug.disk.data.secret", Ok("{}")),
        ];
        clear.extend(look_at_shared("[]", "[]"));
        let looks = || look(NODES, OBJECTS);
        let gone = recovered([looks(), vec![At(500)], looks(), clear]);
        assert_eq!(gone, ["data Removed { was_gone: true }", "lost Removed { was_gone: true }"]);
    }

    #[test]
    fn a_disk_whose_device_is_not_listed_has_one_all_the_same() {
        const BLOCKS: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend",
            "inserted": {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false}}]"#;
        let mut script = vec![Answer("query-block", "", Ok(BLOCKS))];
        script.extend(look(NODES, "[]").into_iter().skip(1));
        assert!(play(Recover::new(Duration::from_secs(30)), script).unwrap().is_empty());
    }

    #[test]
    fn what_a_disk_left_goes_though_another_clients_device_has_its_name() {
        const THEIRS: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend",
            "inserted": {"node-name": "theirs", "drv": "raw", "file": "/a", "ro": false}}]"#;
        const LEFT: &str = r#"[{"name": "qplug.disk.data.secret", "type": "child<secret>"}]"#;
        let looks = || {
            let rest = look("[]", LEFT).into_iter().skip(1);
            [Answer("query-block", "", Ok(THEIRS))].into_iter().chain(rest).collect()
        };
        let mut clear = vec![Answer("object-del", "qplug.disk.data.secret", Ok("{}"))];
        clear.extend(look_at_shared("[]", "[]"));
        let gone = recovered([looks(), vec![At(500)], looks(), clear]);
        assert_eq!(gone, ["data Removed { was_gone: true }"]);
    }

    #[test]
    fn what_was_left_for_a_moment_only_is_none_of_its_business() {
        let mut clear = vec![Answer("object-del", "qplug.disk.data.secret", Ok("{}"))];
        clear.extend(look_at_shared("[]", "[]"));
        let gone = recovered([look(NODES, "[]"), vec![At(500)], look("[]", OBJECTS), clear]);
        assert_eq!(gone, ["data Removed { was_gone: true }"]);
        assert!(recovered([look("[]", "[]"), vec![], vec![], vec![]]).is_empty());
    }

    #[test]
    fn a_group_that_a_disk_is_in_is_not_left_and_goes_behind_the_last() {
        const IN_GROUP: &str = r#"[{"node-name": "data.limits", "drv": "throttle", "ro": false, "image": {"virtual-size": 1},
            "file": "json:{\"throttle-group\": \"qplug.group.gold\", \"driver\": \"throttle\", \"file\": {}}"}]"#;
        const GROUP: &str = r#"[{"name": "qplug.group.gold", "type": "child<throttle-group>"},
            {"name": "qplug.scsi.3.pending", "type": "child<throttle-group>"}]"#;
        let only_group = r#"[{"name": "qplug.group.gold", "type": "child<throttle-group>"}]"#;
        assert!(recovered([look(IN_GROUP, only_group), vec![], vec![], vec![]]).is_empty());
        let mut clear = look_at_shared("[]", GROUP);
        clear.push(Answer("object-del", "qplug.group.gold", Ok("{}")));
        clear.push(Answer("object-del", "qplug.scsi.3.pending", Ok("{}")));
        let gone = recovered([look("[]", GROUP), vec![At(500)], look("[]", GROUP), clear]);
        assert_eq!(
            gone,
            [
                "qplug.group.gold Removed { was_gone: true }",
                "qplug.scsi.3.pending Removed { was_gone: true }",
            ]
        );
    }
}
