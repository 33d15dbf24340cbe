//! The simulated side, in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use qplug_sim::{Config, Machine};
use serde_json::{Value, json};

use super::script::Side;

/// How long an event may take, in virtual time.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct Simulated {
    machine: Machine,
    now: Instant,
    events: VecDeque<(String, Value)>,
}

impl Simulated {
    pub(crate) fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(config, now), now, events: VecDeque::new() }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            let data = event.data.map(|data| serde_json::from_str(data.get()).unwrap());
            self.events.push_back((event.name, data.unwrap_or(Value::Null)));
        }
    }
}

impl Side for Simulated {
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Value> {
        let answer = self.machine.execute(command, Some(arguments), &mut Vec::new(), self.now);
        self.take_events();
        answer.map_err(|error| json!({"class": error.class, "desc": error.desc}))
    }

    fn hear(&mut self, event: &str) -> Option<Value> {
        let deadline = self.now + HEARD_WITHIN;
        loop {
            if let Some(at) = self.events.iter().position(|(name, _)| name == event) {
                return self.events.remove(at).map(|(_, data)| data);
            }
            self.now = self.machine.poll_timeout().filter(|due| *due <= deadline)?;
            self.machine.handle_timeout(self.now);
            self.take_events();
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now);
        self.take_events();
    }
}
