//! The task that moves bytes between the socket and the state machine.

use std::future::{Future, poll_fn};
use std::io;
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
use crate::shared::{Inner, Shared};
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
    dialect: Dialect,
) {
    let _end = End(Arc::clone(&shared));
    loop {
        shared.take_over(stream);
        let mut timer = Timer::default();
        let reason = poll_fn(|context| poll(&mut timer, &shared, context)).await;
        shared.lose(reason);
        let Some(again) = connect_again(&address, &options).await else { return };
        stream = again;
        shared.begin_anew(dialect, greeted_by(&options));
    }
}

/// Tells everybody that the connection has ended, also when its task is cancelled.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// By when a connection that is just there must have been greeted.
pub(crate) fn greeted_by(options: &Options) -> Option<Instant> {
    // A time that no clock can name is never reached.
    let deadline = tokio::time::Instant::now().checked_add(options.connect_timeout);
    deadline.map(tokio::time::Instant::into_std)
}

/// A new connection, unless the options do not want one or it takes too long.
async fn connect_again(address: &Address, options: &Options) -> Option<Stream> {
    let Reconnect { first_pause, longest_pause, give_up_after } = options.reconnect?;
    let began = tokio::time::Instant::now();
    let mut pause = first_pause;
    while began.elapsed() + pause < give_up_after {
        tokio::time::sleep(pause).await;
        match transport::connect(address, options).await {
            Ok(stream) => return Some(stream),
            Err(error) => tracing::debug!(%error, "not there yet"),
        }
        pause = (pause * 2).min(longest_pause);
    }
    None
}

/// Moves bytes until nothing moves, with the stream in hand.
fn poll(timer: &mut Timer, shared: &Shared, context: &mut Context<'_>) -> Poll<Closed> {
    let mut inner = shared.lock();
    let Some(mut stream) = inner.stream.take() else { return Poll::Ready(Closed::ByUs) };
    let outcome = move_bytes(&mut stream, &mut inner, timer, context);
    match outcome {
        Ok(Moved::AsFarAsItGoes) => {
            inner.wakes_at = timer.wakes_at();
            inner.driver = Some(context.waker().clone());
        }
        // Others on this thread have their turn now.
        Ok(Moved::ForNow) => context.waker().wake_by_ref(),
        Err(closed) => return Poll::Ready(closed),
    }
    inner.stream = Some(stream);
    Poll::Pending
}

/// How far the driver came.
enum Moved {
    AsFarAsItGoes,
    ForNow,
}

/// Reads and writes at the same time: a QEMU whose replies nobody reads stops reading, and one of
/// the old ones stops its guest.
fn move_bytes(
    stream: &mut Stream,
    inner: &mut Inner,
    timer: &mut Timer,
    context: &mut Context<'_>,
) -> Result<Moved, Closed> {
    for _ in 0..MOVES_IN_A_ROW {
        if std::mem::take(&mut inner.just_greeted) {
            // Whoever waited for the greeting has a turn first: the first commands then go out in
            // the same write as the negotiation.
            return Ok(Moved::ForNow);
        }
        write(stream, inner, context)?;
        let mut moved = read(stream, inner, context)?;
        if std::mem::take(&mut inner.told) >= EVENTS_IN_A_ROW {
            return Ok(Moved::ForNow);
        }
        if let Poll::Ready(now) = timer.poll(inner.protocol.poll_timeout(), context) {
            let outcome = inner.protocol.handle_timeout(now);
            inner.dispatch();
            outcome?;
            moved = true;
        }
        if !moved {
            return Ok(Moved::AsFarAsItGoes);
        }
    }
    Ok(Moved::ForNow)
}

/// Writes what there is, as far as there is room.
fn write(stream: &mut Stream, inner: &mut Inner, context: &mut Context<'_>) -> Result<(), Closed> {
    while !inner.protocol.poll_transmit().is_empty() {
        let (bytes, fds) = inner.outgoing();
        let written = match fds {
            Some(fds) => {
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                stream.poll_send(context, bytes, &fds)
            }
            None => {
                let count = bytes.len().min(stream.write_limit());
                Pin::new(&mut *stream).poll_write(context, &bytes[..count])
            }
        };
        match written.map_err(broken)? {
            Poll::Ready(0) => return Err(Closed::ByPeer),
            Poll::Ready(count) => inner.handle_written(count),
            Poll::Pending => break,
        }
    }
    // TLS keeps back what it could not write yet; a bare socket has nothing to flush.
    match Pin::new(stream).poll_flush(context) {
        Poll::Ready(Err(error)) => Err(broken(error)),
        Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
    }
}

/// Reads once; whether anything came.
fn read(stream: &mut Stream, inner: &mut Inner, context: &mut Context<'_>) -> Result<bool, Closed> {
    let space = inner.protocol.space();
    let room = space.len().min(READ_BYTES);
    let mut space = ReadBuf::new(&mut space[..room]);
    match Pin::new(stream).poll_read(context, &mut space).map_err(broken)? {
        Poll::Pending => Ok(false),
        Poll::Ready(()) => {
            let count = space.filled().len();
            if count == 0 {
                return Err(Closed::ByPeer);
            }
            if let Some(trace) = &inner.trace {
                trace.received(&inner.protocol.space()[..count]);
            }
            let outcome = inner.protocol.handle_filled(count);
            inner.dispatch();
            outcome?;
            Ok(true)
        }
    }
}

fn broken(error: io::Error) -> Closed {
    Closed::Io(error.to_string())
}

/// Wakes the driver at the protocol's next deadline.
#[derive(Debug, Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// When the driver is woken by it.
    fn wakes_at(&self) -> Option<Instant> {
        let sleep = self.sleep.as_ref().filter(|sleep| !sleep.is_elapsed())?;
        Some(sleep.deadline().into_std())
    }

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
