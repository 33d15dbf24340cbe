//! The crate `qmp`, on one thread.

use std::path::Path;
use std::rc::Rc;

use futures::future::try_join_all;
use qmp::{Client, Endpoint, Error};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Contestant, cannot};
use crate::Failure;
use crate::schema::Entry;
use crate::work::{BURST, IN_FLIGHT, Work};

const NO_ARGUMENTS: Option<()> = None;

pub(super) struct Qmp {
    client: Client,
    runtime: Rc<Runtime>,
}

impl Qmp {
    pub(super) fn open(path: &Path, runtime: Rc<Runtime>) -> Result<Self, Failure> {
        let client = runtime.block_on(Client::connect(Endpoint::unix(path)))?;
        Ok(Self { client, runtime })
    }
}

impl Contestant for Qmp {
    fn run(&mut self, work: Work, count: u32) -> Result<u64, Failure> {
        self.runtime.block_on(self.runtime.spawn(run(self.client.clone(), work, count)))?
    }
}

async fn run(client: Client, work: Work, count: u32) -> Result<u64, Failure> {
    let mut missed = 0;
    for _ in 0..count {
        match work {
            Work::Single => {
                client.execute::<(), Value>("query-status", NO_ARGUMENTS).await?;
            }
            Work::InFlight => {
                let ask = || client.execute::<(), Value>("query-status", NO_ARGUMENTS);
                try_join_all((0..IN_FLIGHT).map(|_| ask())).await?;
            }
            Work::Events => missed += burst(&client).await?,
            Work::Decoded => {
                client.execute::<(), Vec<Entry>>("query-qmp-schema", NO_ARGUMENTS).await?;
            }
            Work::Unparsed => return Err(cannot(work)),
        }
    }
    Ok(missed)
}

async fn burst(client: &Client) -> Result<u64, Failure> {
    let mut events = client.events();
    client.execute::<(), Value>("stop", NO_ARGUMENTS).await?;
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < u64::from(BURST) {
        match events.recv().await {
            Ok(_) => seen += 1,
            Err(Error::EventLagged { missed: count }) => missed += count as u64,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(missed)
}
