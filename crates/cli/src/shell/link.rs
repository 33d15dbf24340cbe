//! The shell's connection, which comes and goes, and what is known of the machine at its other end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qplug_hotplug::Dialect;
use qplug_qmp::{Address, Client, Event, Events, EventsError, Options};
use tokio::time::{sleep, timeout};

use super::face::{Face, Mood, Subject};
use super::filter::Filter;
use crate::commands::events;
use crate::failure::{Exit, Failure};
use crate::monitor::{Monitor, Pauses};
use crate::output::{Output, printable};
use crate::watch::agenda::Parts;

/// How long a prompt waits to know how the machine is.
const LOOK_WITHIN: Duration = Duration::from_millis(500);

/// The state of a machine that has not said how it is since it is connected.
const NOT_ANSWERING: &str = "not answering";

/// The state of a machine that there is no connection to.
const NOT_CONNECTED: &str = "not connected";

/// QEMU's word for a machine that runs.
const RUNNING: &str = "running";

/// A connection to one machine. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    monitor: Monitor,
    state: Mutex<State>,
    filter: Mutex<Filter>,
}

#[derive(Default)]
struct State {
    client: Option<Client>,
    /// Why there is no connection.
    why: String,
    name: Option<String>,
    run_state: String,
    /// How many connections, commands and events there were: what was learnt of the machine before
    /// may not be so any more.
    age: u64,
    /// How many connections there were before this one.
    connections: u64,
    changed: Option<Box<dyn Fn() + Send>>,
}

impl Link {
    /// Connects.
    pub(super) async fn open(monitor: Monitor, filter: Filter) -> Result<(Self, Events), Failure> {
        let client = connect(&monitor).await?;
        let events = client.events();
        let state = Mutex::default();
        let link = Self(Arc::new(Shared { monitor, state, filter: Mutex::new(filter) }));
        link.lock().client = Some(client);
        Ok((link, events))
    }

    /// The connection, while there is one.
    pub(crate) fn client(&self) -> Option<Client> {
        self.lock().client.clone()
    }

    /// What commands talk to.
    pub(super) fn monitor(&self) -> Result<Monitor, Failure> {
        let state = self.lock();
        let client = state.client.clone().ok_or_else(|| {
            let message = format!("not connected: {}", state.why);
            Failure { exit: Exit::Connection, message }
        })?;
        Ok(Monitor { kept: Some(client), ..self.0.monitor.clone() })
    }

    /// Which events are shown.
    pub(super) fn filter(&self) -> MutexGuard<'_, Filter> {
        self.0.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that is another one whenever the machine may have changed.
    pub(crate) fn age(&self) -> u64 {
        self.lock().age
    }

    /// A number that is another one whenever the connection is.
    pub(super) fn connections(&self) -> u64 {
        self.lock().connections
    }

    /// The dialect that the user chose.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        self.0.monitor.dialect
    }

    /// Whether QEMU runs on another machine, so that its files are not here.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.0.monitor.is_elsewhere()
    }

    /// Has the line drawn anew: more is known of what stands in it.
    pub(super) fn redraw(&self) {
        self.lock().tell();
    }

    /// What is to be done when the line is to be drawn anew.
    pub(super) fn on_change(&self, changed: impl Fn() + Send + 'static) {
        self.lock().changed = Some(Box::new(changed));
    }

    /// Looks how the machine is, if it says so soon.
    pub(super) async fn look(&self) {
        self.lock().age += 1;
        let Ok(monitor) = self.monitor() else { return };
        let look = async { monitor.machine().await.ok()?.status().await.ok() };
        if let Ok(Some(status)) = timeout(LOOK_WITHIN, look).await {
            let mut state = self.lock();
            state.name = status.name;
            state.run_state = status.state;
            state.tell();
        }
    }

    /// Shows events as they come; connects again when the connection is lost, where that can be.
    pub(super) async fn keep(self, mut events: Events, output: Output) {
        loop {
            let why = self.follow(&mut events, &output).await;
            self.lose(&why, &output);
            if !self.0.monitor.can_come_back() {
                return;
            }
            output.announce("waiting for QEMU to come back");
            events = self.come_back().await;
            self.look().await;
            let face = self.face();
            let version = self.client().map(|it| it.greeting().version.to_string());
            output.announce(&format!(
                "connected again to {}, QEMU {}; events may have been missed",
                printable(&face.name),
                version.unwrap_or_default()
            ));
        }
    }

    /// Shows events until there are no more, and says why.
    pub(super) async fn follow(&self, events: &mut Events, output: &Output) -> String {
        loop {
            match events.next().await {
                Ok(event) => self.heard(&event, output).await,
                Err(EventsError::Closed(closed)) => return closed.to_string(),
                Err(error) => output.announce(&error.to_string()),
            }
        }
    }

    async fn heard(&self, event: &Event, output: &Output) {
        if self.filter().shows(&event.name) {
            output.tell(&events::Report::of(event), &events::line(event));
        }
        if Parts::changed_by(&event.name).has(Parts::STATE) {
            self.look().await;
        } else {
            self.lock().age += 1;
        }
    }

    fn lose(&self, why: &str, output: &Output) {
        let mut state = self.lock();
        state.client = None;
        why.clone_into(&mut state.why);
        state.tell();
        drop(state);
        output.announce(&format!("the connection is lost ({why})"));
    }

    async fn come_back(&self) -> Events {
        let mut pauses = Pauses::new();
        loop {
            sleep(pauses.take()).await;
            match connect(&self.0.monitor).await {
                Ok(client) => {
                    let events = client.events();
                    let mut state = self.lock();
                    state.connections += 1;
                    // It may be another machine than before.
                    state.run_state.clear();
                    state.client = Some(client);
                    return events;
                }
                Err(failure) => self.lock().why = failure.message,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject for Link {
    /// Its name, or where its monitor is; QEMU's word for its state, or why there is none.
    fn face(&self) -> Face {
        let state = self.lock();
        let name = state.name.clone().unwrap_or_else(|| short(&self.0.monitor.address));
        let (state, mood) = match (&state.client, state.run_state.as_str()) {
            (None, _) => (NOT_CONNECTED, Mood::Away),
            (Some(_), "") => (NOT_ANSWERING, Mood::Odd),
            (Some(_), RUNNING) => (RUNNING, Mood::Well),
            (Some(_), other) => (other, Mood::Odd),
        };
        Face { name, state: state.to_owned(), mood }
    }
}

impl State {
    fn tell(&self) {
        if let Some(changed) = &self.changed {
            changed();
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Commands that overtake others are for when one hangs.
async fn connect(monitor: &Monitor) -> Result<Client, Failure> {
    monitor.connect_with(Options { oob: true, ..Options::default() }).await
}

/// Where a machine is, in a word.
fn short(address: &Address) -> String {
    match address {
        Address::Unix(path) => {
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        }
        address => address.to_string(),
    }
}
