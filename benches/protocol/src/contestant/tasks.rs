//! qplug's asynchronous client, on one thread.

use std::path::Path;
use std::rc::Rc;

use qplug_qmp::{Address, Client, EventsError, Submitted};
use tokio::runtime::Runtime;

use super::Contestant;
use crate::Failure;
use crate::schema::Entry;
use crate::work::{BURST, IN_FLIGHT, Work};

const NO_ARGUMENTS: Option<&()> = None;

pub(super) struct Tasks {
    client: Client,
    runtime: Rc<Runtime>,
}

impl Tasks {
    pub(super) fn open(path: &Path, runtime: Rc<Runtime>) -> Result<Self, Failure> {
        let client = runtime.block_on(Client::connect(&Address::Unix(path.to_owned())))?;
        Ok(Self { client, runtime })
    }
}

impl Contestant for Tasks {
    fn run(&mut self, work: Work, count: u32) -> Result<u64, Failure> {
        // A task of its own, as in a program with more to do: the runtime's first future is woken
        // by way of one more system call.
        self.runtime.block_on(self.runtime.spawn(run(self.client.clone(), work, count)))?
    }
}

async fn run(client: Client, work: Work, count: u32) -> Result<u64, Failure> {
    let mut missed = 0;
    match work {
        Work::Single => {
            for _ in 0..count {
                client.execute("query-status", NO_ARGUMENTS).await?;
            }
        }
        Work::InFlight => {
            let mut replies: Vec<Submitted<'_>> = Vec::with_capacity(IN_FLIGHT as usize);
            for _ in 0..count {
                replies.extend((0..IN_FLIGHT).map(|_| client.submit("query-status", NO_ARGUMENTS)));
                for reply in replies.drain(..) {
                    reply.await?;
                }
            }
        }
        Work::Events => {
            for _ in 0..count {
                missed += burst(&client).await?;
            }
        }
        Work::Unparsed => {
            for _ in 0..count {
                client.execute("query-qmp-schema", NO_ARGUMENTS).await?;
            }
        }
        Work::Decoded => {
            for _ in 0..count {
                client.query::<Vec<Entry>>("query-qmp-schema").await?;
            }
        }
    }
    Ok(missed)
}

async fn burst(client: &Client) -> Result<u64, Failure> {
    let mut events = client.events();
    client.execute("stop", NO_ARGUMENTS).await?;
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < u64::from(BURST) {
        match events.next().await {
            Ok(_) => seen += 1,
            Err(EventsError::Missed(count)) => missed += count,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(missed)
}
