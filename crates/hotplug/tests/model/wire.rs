//! Moves an operation over real bytes to a simulated machine, in virtual time, and loses the
//! connection, or qplug itself, wherever a case says so. It plays the part of `src/drive.rs`.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use qplug_hotplug::{Answer, Command, Features, Operation, Probe};
use qplug_proto::{Client, CommandId, Dialect, Event, Greeting, Incoming};
use qplug_sim::{Machine, Sim};
use serde_json::json;

/// More turns than any operation takes. One that takes more never ends.
const MAX_TURNS: u32 = 200_000;

/// What goes wrong while an operation runs, and how its bytes travel.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Faults of the simulated machine's, a line each.
    pub(crate) faults: Vec<String>,
    pub(crate) kill: Option<Kill>,
    /// How many bytes travel at once to the machine, and back.
    pub(crate) up: usize,
    pub(crate) down: usize,
    /// Whether an event overtakes the answers that arrived with it.
    pub(crate) events_first: bool,
    /// Whether a lost connection is made anew.
    pub(crate) reconnects: bool,
    /// Whether events are dropped on the way, as where too many came at once; that is told.
    pub(crate) misses: bool,
}

/// When qplug is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kill {
    /// After so many bytes went to the machine.
    Sent(usize),
    /// After so many bytes came back.
    Heard(usize),
    /// So long after it began.
    Waited(Duration),
}

impl Trouble {
    pub(crate) fn none() -> Self {
        Self {
            faults: Vec::new(),
            kill: None,
            up: usize::MAX,
            down: usize::MAX,
            events_first: false,
            reconnects: false,
            misses: false,
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.faults.is_empty() && self.kill.is_none() && !self.misses
    }
}

/// How an operation went.
#[derive(Debug)]
pub(crate) struct Report<T> {
    /// `None` when qplug was killed.
    pub(crate) outcome: Option<T>,
    pub(crate) took: Duration,
    pub(crate) commands: u64,
    pub(crate) sent: usize,
    pub(crate) heard: usize,
    /// The commands that were given and may change something.
    pub(crate) changing: Vec<String>,
}

/// What another client does, and behind which command of qplug's.
pub(crate) struct Meanwhile<'a> {
    pub(crate) after: u64,
    pub(crate) act: &'a mut dyn FnMut(&mut Machine, Instant),
}

/// A simulated machine, and the time.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) sim: Sim,
    pub(crate) now: Instant,
}

/// What the client learned, for the operation.
enum Learned {
    Event(Event),
    Answer(CommandId, Answer),
}

/// A conversation.
struct Talk<'a> {
    trouble: &'a Trouble,
    began: Instant,
    client: Client,
    is_open: bool,
    /// The connection is lost, and the operation was not told yet.
    is_lost: bool,
    learned: VecDeque<Learned>,
    /// Answers that came before those to earlier commands.
    answers: HashMap<CommandId, Answer>,
    /// The commands that have no answer; `None` for one that could not be given.
    waiting: VecDeque<Option<CommandId>>,
    /// What the machine said, and did not arrive yet.
    arriving: VecDeque<u8>,
    missed: bool,
    sent: usize,
    heard: usize,
    changing: Vec<String>,
}

impl Wire {
    /// Finds out what the machine speaks, as whoever connects to it does.
    pub(crate) fn probe(&mut self) -> Features {
        let greeting = self.greeting();
        let report = self.run(Probe::new(&greeting, None), &Trouble::none(), None);
        assert_eq!(report.changing, [""; 0], "a question changes something");
        report.outcome.unwrap().unwrap()
    }

    fn greeting(&mut self) -> Greeting {
        self.sim.handle_connect(self.now);
        let mut client = Client::new(Dialect::Qmp, None);
        loop {
            let said = self.sim.poll_transmit().expect("a machine greets");
            client.handle_input(&said).unwrap();
            while let Some(incoming) = client.poll_incoming() {
                if let Incoming::Greeting(greeting) = incoming {
                    self.sim.handle_close(self.now);
                    return greeting;
                }
            }
            let asked = client.poll_transmit().to_vec();
            client.handle_transmitted(asked.len());
            self.sim.handle_input(&asked, self.now);
        }
    }

    /// What the human monitor prints.
    pub(crate) fn human(&mut self, line: &str) -> String {
        let printed = self.execute("human-monitor-command", json!({"command-line": line}));
        printed.unwrap().as_str().unwrap_or_default().to_owned()
    }

    /// Carries out what another client says, and gives its answer.
    pub(crate) fn execute(
        &mut self,
        command: &str,
        arguments: serde_json::Value,
    ) -> Result<serde_json::Value, String> {
        let machine = self.sim.machine();
        let answer = machine.execute(command, Some(&arguments), &mut Vec::new(), self.now);
        answer.map_err(|error| error.desc)
    }

    /// Lets time go by.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.sim.handle_timeout(self.now);
    }

    /// Runs an operation to its outcome, or until qplug is killed.
    pub(crate) fn run<O: Operation>(
        &mut self,
        mut operation: O,
        trouble: &Trouble,
        mut meanwhile: Option<Meanwhile<'_>>,
    ) -> Report<O::Outcome> {
        let faults = trouble.faults.join("\n");
        self.sim.change_faults(faults.parse().expect("the faults are well formed"));
        self.sim.handle_connect(self.now);
        let (began, commands) = (self.now, self.sim.commands());
        let mut talk = Talk::new(trouble, began);
        let mut outcome = None;
        for turn in 0.. {
            assert!(turn < MAX_TURNS, "the operation never ends");
            while let Some(command) = operation.poll_transmit() {
                talk.give(&command);
            }
            outcome = operation.poll_outcome();
            let given = self.sim.commands() - commands;
            if let Some(it) = meanwhile.take_if(|it| it.after <= given) {
                (it.act)(self.sim.machine(), self.now);
            }
            if outcome.is_some() || talk.is_killed(self.now) {
                break;
            }
            if talk.tell(&mut operation, self.now)
                || talk.send(&mut self.sim, self.now)
                || talk.hear(&mut self.sim, self.now)
            {
                continue;
            }
            if talk.is_stopped() {
                break;
            }
            self.pass_time(&mut operation, &talk);
        }
        self.sim.handle_close(self.now);
        self.sim.change_faults(qplug_sim::Faults::default());
        Report {
            outcome,
            took: self.now - began,
            commands: self.sim.commands() - commands,
            sent: talk.sent,
            heard: talk.heard,
            changing: talk.changing,
        }
    }

    /// Goes on to whatever happens next.
    fn pass_time<O: Operation>(&mut self, operation: &mut O, talk: &Talk<'_>) {
        let wanted = operation.poll_timeout();
        if wanted.is_some_and(|at| at <= self.now) {
            return operation.handle_timeout(self.now);
        }
        let ends = [wanted, self.sim.poll_timeout(), talk.dies_at()];
        let next = ends.into_iter().flatten().min();
        let next = next.expect("the operation waits for nothing that could happen");
        self.now = self.now.max(next);
        self.sim.handle_timeout(self.now);
    }
}

impl<'a> Talk<'a> {
    fn new(trouble: &'a Trouble, began: Instant) -> Self {
        Self {
            trouble,
            began,
            client: Client::new(Dialect::Qmp, None),
            is_open: true,
            is_lost: false,
            learned: VecDeque::new(),
            answers: HashMap::new(),
            waiting: VecDeque::new(),
            arriving: VecDeque::new(),
            missed: false,
            sent: 0,
            heard: 0,
            changing: Vec::new(),
        }
    }

    fn give(&mut self, command: &Command) {
        let looks = [
            "query-",
            "qom-list",
            "qom-get",
            "human-monitor-command command-line='info ",
            "human-monitor-command command-line='help ",
        ];
        let text = command.to_string();
        if !looks.iter().any(|look| text.starts_with(look)) {
            self.changing.push(text);
        }
        let given = match self.is_open {
            true => self.client.execute(command.name, command.arguments.as_ref(), None).ok(),
            false => None,
        };
        self.waiting.push_back(given);
    }

    fn dies_at(&self) -> Option<Instant> {
        match self.trouble.kill {
            Some(Kill::Waited(time)) => Some(self.began + time),
            _ => None,
        }
    }

    fn is_killed(&self, now: Instant) -> bool {
        self.dies_at().is_some_and(|at| at <= now)
    }

    /// Whether no byte may travel any more, because qplug is dead.
    fn is_stopped(&self) -> bool {
        match self.trouble.kill {
            Some(Kill::Sent(bytes)) => self.sent >= bytes && self.is_open,
            Some(Kill::Heard(bytes)) => self.heard >= bytes && self.is_open,
            _ => false,
        }
    }

    /// Tells the operation the next thing, if there is one.
    fn tell<O: Operation>(&mut self, operation: &mut O, now: Instant) -> bool {
        if std::mem::take(&mut self.missed) {
            operation.handle_missed(now);
            return true;
        }
        let is_event = |it: &Learned| matches!(it, Learned::Event(_));
        let first = match self.learned.iter().position(is_event) {
            Some(at) if self.trouble.events_first => Some(at),
            _ => (!self.learned.is_empty()).then_some(0),
        };
        match first.and_then(|at| self.learned.remove(at)) {
            Some(Learned::Event(_)) if self.trouble.misses => self.missed = true,
            Some(Learned::Event(event)) => operation.handle_event(&event, now),
            Some(Learned::Answer(id, answer)) => {
                self.answers.insert(id, answer);
            }
            None => return self.tell_answer(operation, now) || self.tell_lost(operation, now),
        }
        self.tell_answer(operation, now);
        true
    }

    fn tell_answer<O: Operation>(&mut self, operation: &mut O, now: Instant) -> bool {
        let answer = match self.waiting.front() {
            None => return false,
            Some(None) => Answer::NotSent("the connection is closed".to_owned()),
            Some(Some(id)) => match self.answers.remove(id) {
                None => return false,
                Some(answer) => answer,
            },
        };
        self.waiting.pop_front();
        operation.handle_answer(answer, now);
        true
    }

    fn tell_lost<O: Operation>(&mut self, operation: &mut O, now: Instant) -> bool {
        if !self.waiting.is_empty() || !std::mem::take(&mut self.is_lost) {
            return false;
        }
        if self.trouble.reconnects {
            operation.handle_missed(now);
        } else {
            operation.handle_lost("the connection closed".to_owned());
        }
        true
    }

    /// Moves bytes to the machine.
    fn send(&mut self, sim: &mut Sim, now: Instant) -> bool {
        let left = match self.trouble.kill {
            Some(Kill::Sent(bytes)) => bytes.saturating_sub(self.sent),
            Some(Kill::Heard(_)) if self.is_stopped() => 0,
            _ => usize::MAX,
        };
        let bytes = self.client.poll_transmit();
        let bytes = bytes[..bytes.len().min(self.trouble.up).min(left)].to_vec();
        if bytes.is_empty() || !self.is_open {
            return false;
        }
        self.client.handle_transmitted(bytes.len());
        self.sent += bytes.len();
        sim.handle_input(&bytes, now);
        true
    }

    /// Moves bytes from the machine.
    fn hear(&mut self, sim: &mut Sim, now: Instant) -> bool {
        self.arriving.extend(sim.poll_transmit().unwrap_or_default());
        let left = match self.trouble.kill {
            Some(Kill::Heard(bytes)) => bytes.saturating_sub(self.heard),
            Some(Kill::Sent(_)) if self.is_stopped() => 0,
            _ => usize::MAX,
        };
        let count = self.arriving.len().min(self.trouble.down).min(left);
        let bytes: Vec<u8> = self.arriving.drain(..count).collect();
        self.heard += bytes.len();
        // A message of nonsense ends the conversation.
        let is_sense = self.client.handle_input(&bytes).is_ok();
        self.learn();
        if self.is_open && (!is_sense || sim.wants_close() && self.arriving.is_empty()) {
            self.lose(sim, now);
            return true;
        }
        count > 0
    }

    fn lose(&mut self, sim: &mut Sim, now: Instant) {
        self.is_open = false;
        self.is_lost = true;
        self.arriving.clear();
        sim.handle_close(now);
        self.client.handle_close();
        self.learn();
        if self.trouble.reconnects {
            self.client.begin_anew(Dialect::Qmp, None);
            sim.handle_connect(now);
            self.is_open = true;
        }
    }

    fn learn(&mut self) {
        while let Some(incoming) = self.client.poll_incoming() {
            self.learned.push_back(match incoming {
                Incoming::Event(event) => Learned::Event(event),
                Incoming::Reply { id, result } => Learned::Answer(
                    id,
                    match result {
                        Ok(value) => Answer::Returned(value),
                        Err(reply) => Answer::Refused(reply),
                    },
                ),
                Incoming::Unknown { id, .. } => {
                    Learned::Answer(id, Answer::Lost("the connection closed".to_owned()))
                }
                Incoming::NotSent(id) => {
                    Learned::Answer(id, Answer::NotSent("the connection is closed".to_owned()))
                }
                Incoming::Greeting(_) | Incoming::Synchronized | Incoming::Unattributed(_) => {
                    continue;
                }
            });
        }
    }
}
