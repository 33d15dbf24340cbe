//! The task that moves bytes between the socket and the state machine.

use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use qplug_proto::Dialect;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::address::Address;
use crate::error::Closed;
use crate::options::{Options, Reconnect};
use crate::shared::Shared;
use crate::transport::{self, Stream};

/// How often a driver reads before others on its thread have their turn.
const MOVES_IN_A_ROW: usize = 16;

/// How much is read at once: fewer events than a subscriber may be behind.
const READ_BYTES: usize = 64 << 10;

/// With so many events told, subscribers have their turn before more is read.
const EVENTS_IN_A_ROW: usize = 128;

/// Runs a connection until it closes, and comes back as often as the options say.
pub(crate) async fn run(
    mut stream: Stream,
    shared: Arc<Shared>,
    address: Address,
    options: Options,
) {
    let _end = End(Arc::clone(&shared));
    loop {
        shared.lock().carries_fds = stream.carries_fds();
        let mut timer = Timer::default();
        let reason = poll_fn(|context| poll(&mut stream, &mut timer, &shared, context)).await;
        shared.lose(reason);
        drop(stream);
        stream = match connect_again(&address, &options).await {
            Some(stream) => stream,
            None => return,
        };
        let (dialect, deadline) = beginning(&options);
        shared.begin_anew(dialect, deadline);
    }
}

/// Tells everybody that the connection has ended, also when its task is cancelled.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What is spoken on a connection that is just there, and by when it must have been greeted.
pub(crate) fn beginning(options: &Options) -> (Dialect, Option<Instant>) {
    // A time that no clock can name is never reached.
    let deadline = tokio::time::Instant::now().checked_add(options.connect_timeout);
    let dialect = if options.oob { Dialect::QmpWithOob } else { Dialect::Qmp };
    (dialect, deadline.map(tokio::time::Instant::into_std))
}

/// A new connection, unless the options do not want one or it takes too long.
async fn connect_again(address: &Address, options: &Options) -> Option<Stream> {
    let Reconnect { first_pause, longest_pause, give_up_after } = options.reconnect?;
    let give_up_at = tokio::time::Instant::now() + give_up_after;
    let mut pause = first_pause;
    while tokio::time::Instant::now() + pause < give_up_at {
        tokio::time::sleep(pause).await;
        match transport::connect(address, options).await {
            Ok(stream) => return Some(stream),
            Err(error) => tracing::debug!(%error, "not there yet"),
        }
        pause = (pause * 2).min(longest_pause);
    }
    None
}

/// Moves bytes until nothing moves. Reads and writes at the same time: a QEMU whose replies nobody
/// reads stops reading, and one of the old ones stops its guest.
fn poll(
    stream: &mut Stream,
    timer: &mut Timer,
    shared: &Shared,
    context: &mut Context<'_>,
) -> Poll<Closed> {
    let mut inner = shared.lock();
    let mut stream = Pin::new(stream);
    for _ in 0..MOVES_IN_A_ROW {
        let mut moved = false;
        if std::mem::take(&mut inner.just_greeted) {
            // Whoever waited for the greeting has a turn first: the first commands then go out in
            // the same write as the negotiation.
            break;
        }
        while !inner.protocol.poll_transmit().is_empty() {
            let (bytes, fds) = inner.outgoing();
            let written = match fds {
                Some(fds) => {
                    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                    stream.poll_send(context, bytes, &fds)
                }
                None => {
                    let count = bytes.len().min(stream.write_limit());
                    stream.as_mut().poll_write(context, &bytes[..count])
                }
            };
            match written {
                Poll::Ready(Ok(count)) => inner.handle_written(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Closed::Io(error.to_string())),
                Poll::Pending => break,
            }
        }
        // TLS keeps back what it could not write yet; a bare socket has nothing to flush.
        if let Poll::Ready(Err(error)) = stream.as_mut().poll_flush(context) {
            return Poll::Ready(Closed::Io(error.to_string()));
        }
        let space = inner.protocol.space();
        let room = space.len().min(READ_BYTES);
        let mut space = ReadBuf::new(&mut space[..room]);
        match stream.as_mut().poll_read(context, &mut space) {
            Poll::Ready(Ok(())) => {
                let count = space.filled().len();
                if count == 0 {
                    return Poll::Ready(Closed::ByPeer);
                }
                let outcome = inner.protocol.handle_filled(count);
                inner.dispatch();
                if let Err(error) = outcome {
                    return Poll::Ready(Closed::Protocol(error));
                }
                moved = true;
                if std::mem::take(&mut inner.told) >= EVENTS_IN_A_ROW {
                    break;
                }
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Closed::Io(error.to_string())),
            Poll::Pending => {}
        }
        if let Poll::Ready(now) = timer.poll(inner.protocol.poll_timeout(), context) {
            let outcome = inner.protocol.handle_timeout(now);
            inner.dispatch();
            if let Err(error) = outcome {
                return Poll::Ready(Closed::Protocol(error));
            }
            moved = true;
        }
        if !moved {
            inner.driver = Some(context.waker().clone());
            return Poll::Pending;
        }
    }
    // Others on this thread have their turn now.
    context.waker().wake_by_ref();
    Poll::Pending
}

/// Wakes the driver at the protocol's next deadline.
#[derive(Debug, Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready with the time when it is due. A sleep that is set too early is left to end, and then
    /// set anew: deadlines mostly move away, as commands are answered.
    fn poll(&mut self, due: Option<Instant>, context: &mut Context<'_>) -> Poll<Instant> {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() > due || (sleep.is_elapsed() && sleep.deadline() != due) {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(context).is_ready() {
            let now = tokio::time::Instant::now();
            if now >= due {
                return Poll::Ready(now.into_std());
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}
