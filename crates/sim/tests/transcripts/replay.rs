//! A conversation, held with the simulated machine.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use qplug_sim::{Descriptor, Faults, Guest, Sim, Version};
use serde_json::Value;

use crate::compare;
use crate::differences::Found;
use crate::machine::machine;
use crate::transcript::{Action, Step, Transcript};

/// How long, in virtual time, what is expected may take.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// What passes between two commands, but for those that the recorder waited before.
const PAUSE: Duration = Duration::from_millis(1);
/// How soon after a `device_del` it looked whether the device is gone, and then again and again.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const NEXT_LOOK: Duration = Duration::from_millis(200);
/// How long it left the guest alone where it did not look.
const LEFT_ALONE: Duration = Duration::from_secs(2);
/// How long before the look that found the device gone it went, in the simulated machine.
const BEFORE_LOOK: Duration = Duration::from_millis(100);

/// How long the recorder may have waited before it asked how things stand.
const WAITED: Duration = Duration::from_secs(2);

/// Remarks that tell of a wait.
const WAITS: [&str; 4] = ["guest serial shows", "device gone", "NO REPLY", "reply took"];

/// Where the recorder took what it was sent only after its next command, or not all of it: version,
/// scenario and line of the first command of the two, which are compared as one.
const READ_LATE: [(&str, &str, usize); 2] =
    [("0.14.1", "03-malformed", 40), ("0.14.1", "03-malformed", 209)];

/// Remarks that tell of a signal that asks QEMU to end.
const SIGNALS: [&str; 4] = ["action: sigint", "action: sigterm", "SIGTERM", "second SIGTERM"];

struct Replay {
    sim: Sim,
    now: Instant,
    heard: Vec<Value>,
}

/// How many commands there are, and which are answered otherwise.
///
/// When a command was given is not recorded. A query whose answer differs is therefore asked later
/// too, in the hope that the recorder had waited.
pub(crate) fn replay(transcript: &Transcript, version: Version) -> (usize, Vec<Found>) {
    let queries = |found: &[Found]| -> Vec<usize> {
        found.iter().filter(|one| one.is_query()).map(|one| one.line).collect()
    };
    let mut waits = BTreeSet::new();
    let (commands, mut found) = play(transcript, version, &waits);
    let mut tried = BTreeSet::new();
    while let Some(line) = queries(&found).into_iter().find(|line| tried.insert(*line)) {
        waits.insert(line);
        let (_, later) = play(transcript, version, &waits);
        if later.len() < found.len() {
            found = later;
        } else {
            waits.remove(&line);
        }
    }
    (commands, found)
}

/// One run, in which the recorder waits before these lines.
fn play(transcript: &Transcript, version: Version, waits: &BTreeSet<usize>) -> (usize, Vec<Found>) {
    let now = Instant::now();
    let sim = Sim::new(machine(transcript, version), Faults::default(), now);
    let mut replay = Replay { sim, now, heard: Vec::new() };
    let (mut commands, mut found) = (0, Vec::new());
    let mut before = "";
    let mut expected: Vec<Value> = Vec::new();
    for (at, step) in transcript.steps.iter().enumerate() {
        let (sent, shown) = match &step.action {
            Action::Connect => (&b""[..], "(connect)"),
            Action::Send { bytes, shown, .. } => (bytes.as_slice(), shown.as_str()),
        };
        let waited = waits.contains(&step.line).then_some(WAITED);
        replay.wait(pause(before, shown).max(waited.unwrap_or_default()));
        before = shown;
        if is_removal(shown)
            && let Some(time) = goes_after(&transcript.steps[at + 1..])
        {
            replay.sim.machine().change_guest(Guest::Slow(time));
        }
        replay.step(step, sent);
        commands += usize::from(!sent.is_empty());
        expected.extend(step.heard.iter().cloned());
        let place = (transcript.version.as_str(), transcript.name.as_str(), step.line);
        if READ_LATE.contains(&place) {
            continue;
        }
        let expected = std::mem::take(&mut expected);
        // Nothing is told of that, and it is no doing of the machine's.
        let is_killed = step.remarks.iter().any(|remark| remark == "action: sigkill");
        let is_as_closed = (step.is_closed, is_killed || replay.sim.has_quit());
        if let Err(what) = compare::compare(step, &expected, &replay.heard, is_as_closed) {
            found.push(Found::new(transcript, step.line, shown, what));
        }
        replay.heard.clear();
    }
    (commands, found)
}

fn is_removal(shown: &str) -> bool {
    shown.contains(r#""device_del""#)
}

/// What passed before a command, from the one before it.
fn pause(before: &str, shown: &str) -> Duration {
    let looks = shown.contains(r#""query-pci""#);
    match is_removal(before) {
        true if looks => FIRST_LOOK,
        true if !is_removal(shown) => LEFT_ALONE,
        false if looks && before == shown => NEXT_LOOK,
        _ => PAUSE,
    }
}

/// When the guest let go: some time before the look that found the device gone, if the recorder
/// looked.
fn goes_after(steps: &[Step]) -> Option<Duration> {
    let until = steps.iter().position(|step| match &step.action {
        Action::Send { shown, .. } => is_removal(shown),
        Action::Connect => true,
    });
    let gone = |step: &Step| step.remarks.iter().any(|it| it.starts_with("device gone"));
    let looks = steps[..until.unwrap_or(steps.len())].iter().position(gone)?;
    let last_look = FIRST_LOOK + NEXT_LOOK * u32::try_from(looks).ok()?;
    Some(last_look.saturating_sub(BEFORE_LOOK))
}

impl Replay {
    fn step(&mut self, step: &Step, sent: &[u8]) {
        match &step.action {
            Action::Connect => self.sim.handle_connect(self.now),
            Action::Send { has_descriptor, .. } => {
                if *has_descriptor {
                    self.sim.handle_fds([Descriptor {
                        path: "/images/fd".to_owned(),
                        is_read_only: false,
                    }]);
                }
                if !self.sim.has_quit() {
                    self.sim.handle_input(sent, self.now);
                }
            }
        }
        self.take();
        if step.remarks.iter().any(|remark| SIGNALS.contains(&remark.as_str())) {
            self.sim.handle_signal(self.now);
            self.take();
        }
        let waits = |remark: &String| WAITS.iter().any(|sign| remark.starts_with(sign));
        let is_patient = step.remarks.iter().any(waits);
        let deadline = self.now + HEARD_WITHIN;
        while is_patient || self.heard.len() < step.heard.len() {
            let Some(due) = self.sim.poll_timeout().filter(|due| *due <= deadline) else { break };
            self.wait(due.saturating_duration_since(self.now));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.sim.handle_timeout(self.now);
        self.take();
    }

    fn take(&mut self) {
        let bytes = self.sim.poll_transmit().unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap();
        self.heard.extend(text.lines().map(|line| serde_json::from_str(line).unwrap_or_default()));
    }
}
