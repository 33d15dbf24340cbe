//! A running appliance.

use std::path::PathBuf;
use std::time::Duration;

use qplug_agent::wire::Shutdown;
use qplug_hotplug::{Kind, Machine};
use qplug_qmp::{Address, Client, ConnectError, Options};
use tokio::sync::{Mutex, OnceCell};

use crate::error::{Error, Result};
use crate::lane::Lane;
use crate::launch::Launch;
use crate::link::{AGENT_HANGS, Agent};
use crate::process;
use crate::registry::{ApplianceName, Hold, Place, Record, Registry, State};
use crate::transfer::Port;

/// How long a connection may take.
const TURN_WITHIN: Duration = Duration::from_secs(30);

/// How long a QEMU that ends may be there after its sockets.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// How long QEMU may take to end when it is told to.
const END_WITHIN: Duration = Duration::from_secs(10);

/// An appliance that runs. It goes on when this is dropped: [`Appliance::down`] ends it.
///
/// [`MAX_CLIENTS`](crate::MAX_CLIENTS) of these can use one appliance at once, in as many processes: further
/// ones wait for their turn, which comes when one of these is dropped. Connections are made as they are needed.
#[derive(Debug)]
pub struct Appliance {
    place: Place,
    record: Record,
    monitor: OnceCell<Client>,
    agent: OnceCell<Agent>,
    /// The port that bytes travel on, once it was needed.
    port: Mutex<Option<Port>>,
    /// Given back last: the next one that has it finds the connections closed.
    lane: OnceCell<Lane>,
    /// Whether the lane is to be the one that is kept for the end.
    is_ending: bool,
}

impl Appliance {
    /// Launches an appliance.
    ///
    /// # Errors
    /// See [`Launch::plan`] and [`Plan::start`](crate::Plan::start).
    pub async fn launch(launch: Launch) -> Result<Self> {
        launch.plan()?.start().await
    }

    /// The appliance of this name.
    ///
    /// # Errors
    /// When there is none, or it is dead.
    pub fn open(registry: &Registry, name: &ApplianceName) -> Result<Self> {
        let place = registry.place(name);
        let record = place.require_running()?;
        let (monitor, agent, lane) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Ok(Self { place, record, monitor, agent, port: Mutex::default(), lane, is_ending: false })
    }

    /// One that was just launched.
    pub(crate) fn of(
        place: Place,
        record: Record,
        lane: Lane,
        monitor: Client,
        agent: Agent,
    ) -> Self {
        let (monitor, agent) = (OnceCell::new_with(Some(monitor)), OnceCell::new_with(Some(agent)));
        let lane = OnceCell::new_with(Some(lane));
        Self { place, record, monitor, agent, port: Mutex::default(), lane, is_ending: false }
    }

    /// The lane of this client.
    pub(crate) async fn lane(&self) -> Result<&Lane> {
        let take = || async {
            match self.is_ending {
                true => Lane::take_last(&self.place).await,
                false => Lane::take(&self.place).await,
            }
        };
        self.lane.get_or_try_init(take).await
    }

    /// Where a socket of this client is.
    pub(crate) async fn socket(&self, kind: &str) -> Result<PathBuf> {
        Ok(self.place.file(&self.lane().await?.socket(kind)))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ApplianceName {
        self.place.name()
    }

    /// What is written down of it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its QEMU, with everything that qplug can do with it.
    ///
    /// # Errors
    /// When its monitor cannot be reached.
    pub async fn machine(&self) -> Result<Machine> {
        let connect = || async {
            let address = Address::Unix(self.socket(Place::CONTROL).await?);
            let options = Options { connect_timeout: TURN_WITHIN, ..Options::default() };
            Client::connect_with(&address, options).await.map_err(|error| match (error, address) {
                // The lane is ours, so that no other client is in the way.
                (ConnectError::Busy { .. }, Address::Unix(socket)) => Error::Hangs { socket },
                (error, _) => error.into(),
            })
        };
        let client = self.monitor.get_or_try_init(connect).await;
        match client {
            Ok(client) => Ok(Machine::new(client.clone())),
            Err(error) => Err(self.explained(error).await),
        }
    }

    /// Its agent.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn agent(&self) -> Result<&Agent> {
        let meet = || async {
            let socket = self.socket(Place::AGENT).await?;
            let meeting = Agent::meet(&socket);
            let late = |_| Error::Late {
                what: AGENT_HANGS,
                within: TURN_WITHIN,
                words: self.place.last_words(),
            };
            tokio::time::timeout(TURN_WITHIN, meeting).await.map_err(late)?
        };
        self.while_it_runs(self.agent.get_or_try_init(meet)).await
    }

    /// The connection to its monitor, if there is one.
    pub(crate) fn connected(&self) -> Option<&Client> {
        self.monitor.get()
    }

    /// Where it is found.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn port(&self) -> &Mutex<Option<Port>> {
        &self.port
    }

    /// What QEMU and the kernel said last.
    pub(crate) fn last_words(&self) -> String {
        self.place.last_words()
    }

    /// What a failure means when the machine is dead.
    pub(crate) async fn explained(&self, error: Error) -> Error {
        let is_answer = match &error {
            Error::Command(error) => error.refusal().is_some(),
            Error::Disk(error) => !matches!(error.kind(), Kind::Connection | Kind::Unknown),
            Error::Connect(_) | Error::Transfer(_) | Error::File { .. } => false,
            _ => true,
        };
        // Its sockets go first.
        match !is_answer && self.record.identity.ended(LAST_BREATH).await {
            true => Error::Died { words: self.place.last_words() },
            false => error,
        }
    }

    /// Ends the appliance: the agent writes out what waits to be written and unmounts everything,
    /// as far as it answers, and QEMU ends. A machine that stands still is let go on for that.
    ///
    /// # Errors
    /// [`Error::Unwritten`] when the agent did not answer: the appliance is gone all the same. Or QEMU
    /// does not end.
    pub async fn down(self) -> Result<()> {
        let told = self.shut_down().await;
        let why = match told {
            Err(why) if self.record.identity.is_running() => Some(why),
            // The machine may be off before its last words have left it.
            _ => None,
        };
        if why.is_some() || !self.record.identity.ended(END_WITHIN).await {
            self.record.identity.kill(END_WITHIN).await?;
        }
        clear_away(&self.place).await?;
        why.map_or(Ok(()), |why| Err(Error::Unwritten { why: Box::new(why) }))
    }

    async fn shut_down(&self) -> Result<()> {
        match self.ask(&Shutdown {}).await {
            Err(Error::Stands { .. }) => {}
            other => return other.map(|_| ()),
        }
        self.machine().await?.client().execute("cont", None::<&()>).await?;
        self.ask(&Shutdown {}).await?;
        Ok(())
    }
}

/// Ends and clears away what there is of an appliance, whatever state it is in; how it was, and
/// nothing where there was none.
///
/// # Errors
/// When its QEMU does not end, or its folder cannot be removed.
pub async fn down(registry: &Registry, name: &ApplianceName) -> Result<Option<State>> {
    let place = registry.place(name);
    let state = place.state();
    match state {
        // Its folder may have been removed from under it.
        None => return Ok(process::end_strays(place.folder()).then_some(State::Running)),
        Some(State::Running) => {
            let appliance = Appliance { is_ending: true, ..Appliance::open(registry, name)? };
            appliance.down().await?;
        }
        Some(State::Dead | State::Changing) => clear_away(&place).await?,
    }
    Ok(state)
}

async fn clear_away(place: &Place) -> Result<()> {
    let starting = || Error::Starting { name: place.name().as_str().to_owned() };
    let held = match place.try_hold()? {
        Hold::Ours(held) => held,
        Hold::Taken => return Err(starting()),
        // Somebody else was faster.
        Hold::Gone => return Ok(()),
    };
    if let Some(record) = place.record() {
        record.identity.kill(END_WITHIN).await?;
    }
    held.remove()
}
