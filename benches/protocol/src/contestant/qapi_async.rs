//! The crate `qapi`, on tokio, on one thread.

use std::path::Path;
use std::rc::Rc;

use futures::StreamExt;
use futures::future::{Either, select, try_join_all};
use qapi::futures::{QapiEvents, QapiService, QmpStreamTokio};
use qapi::qmp::{query_qmp_schema, query_status, stop};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::{Contestant, cannot};
use crate::Failure;
use crate::work::{BURST, IN_FLIGHT, Work};

type Service = QapiService<QmpStreamTokio<WriteHalf<UnixStream>>>;
type Events = QapiEvents<QmpStreamTokio<ReadHalf<UnixStream>>>;

/// Its two halves are polled side by side, as its own `execute` does: spawned, it drops all events.
pub(super) struct Qapi {
    halves: Option<(Service, Events)>,
    runtime: Rc<Runtime>,
}

impl Qapi {
    pub(super) fn open(path: &Path, runtime: Rc<Runtime>) -> Result<Self, Failure> {
        let connection =
            runtime.block_on(async { QmpStreamTokio::open_uds(path).await?.negotiate().await })?;
        Ok(Self { halves: Some(connection.into_parts()), runtime })
    }
}

impl Contestant for Qapi {
    fn run(&mut self, work: Work, count: u32) -> Result<u64, Failure> {
        let (service, mut events) = self.halves.take().ok_or("an earlier work failed")?;
        let done = self.runtime.spawn(async move {
            run(&service, &mut events, work, count).await.map(|()| (service, events))
        });
        self.halves = Some(self.runtime.block_on(done)??);
        Ok(0)
    }
}

async fn run(
    service: &Service,
    events: &mut Events,
    work: Work,
    count: u32,
) -> Result<(), Failure> {
    for _ in 0..count {
        match work {
            Work::Single => {
                reply(events, service.execute(query_status {})).await?;
            }
            Work::InFlight => {
                let commands = (0..IN_FLIGHT).map(|_| service.execute(query_status {}));
                drop(reply(events, try_join_all(commands)).await?.0);
            }
            Work::Events => {
                let (_, mut seen) = reply(events, service.execute(stop {})).await?;
                while seen < BURST {
                    events.next().await.ok_or("the connection closed")??;
                    seen += 1;
                }
            }
            Work::Decoded => {
                drop(reply(events, service.execute(query_qmp_schema {})).await?.0);
            }
            Work::Unparsed => return Err(cannot(work)),
        }
    }
    Ok(())
}

/// Waits for a reply, and counts the events that come before it.
async fn reply<T>(
    events: &mut Events,
    asked: impl Future<Output = Result<T, qapi::ExecuteError>>,
) -> Result<(T, u32), Failure> {
    let mut asked = std::pin::pin!(asked);
    let mut seen = 0;
    loop {
        match select(asked.as_mut(), events.next()).await {
            Either::Left((reply, _)) => return Ok((reply?, seen)),
            Either::Right((Some(event), _)) => drop(event?),
            Either::Right((None, _)) => return Err("the connection closed".into()),
        }
        seen += 1;
    }
}
