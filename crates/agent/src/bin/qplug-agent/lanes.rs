//! The files port of a lane: streams that threads read and write, and the two threads that move them.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use qplug_agent::meeting::Token;
use qplug_agent::streams::{self, End, Streams};

use crate::port::{Changes, Port, Said};
use crate::refusal::{Result, cannot};

/// How much is read from the port before it is handed on: the kernel gives a page at a time, and each
/// handing on wakes a thread.
const READ_BYTES: usize = 64 << 10;

/// How long nobody may be at the port's other end before its streams are over, and the files that they
/// are for are closed. Not at once: the kernel hands on what a host says before it knows of the host.
const GONE_AFTER: Duration = Duration::from_secs(2);

/// The port's streams, for everybody.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something came, or there is room again: for who reads and writes streams.
    moved: Condvar,
    /// Something is to be sent.
    to_send: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// `None` until the host has asked for them.
    streams: Option<Streams>,
    /// Counts the hosts, so that no stream of an old one is taken for one of the new one's.
    generation: u64,
}

/// One open stream. A lane that is dropped breaks the stream off.
#[derive(Debug)]
pub(crate) struct Lane {
    lanes: Lanes,
    number: u32,
    generation: u64,
    /// This side has closed it.
    is_closed: Arc<AtomicBool>,
}

impl Lanes {
    /// Starts the threads that move bytes between the port and the streams.
    pub(crate) fn start(port: Port) -> Result<Self, String> {
        let lanes = Self { shared: Arc::default() };
        let port = Arc::new(port);
        let (arrivals, room) = (Changes::of(&port, None)?, Changes::of(&port, None)?);
        let begin = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(work)
                .map_err(|error| format!("no thread can be begun for the files: {error}"))
        };
        let (receiving, incoming) = (lanes.clone(), port.clone());
        begin("receive", Box::new(move || receiving.receive(&incoming, &arrivals)))?;
        let sending = lanes.clone();
        begin("send", Box::new(move || sending.send(&port, &room)))?;
        Ok(lanes)
    }

    /// Begins anew for a host with this token: all streams are over.
    pub(crate) fn restart(&self, token: &Token) {
        let mut state = self.lock();
        state.generation += 1;
        state.streams = Some(Streams::new(End::Agent, token));
        self.shared.to_send.notify_all();
        self.shared.moved.notify_all();
    }

    /// Opens a stream that the host has named.
    pub(crate) fn open(&self, number: u32) -> Result<Lane> {
        let mut state = self.lock();
        let generation = state.generation;
        let streams = state.streams.as_mut();
        let streams = streams.ok_or("nobody gave the command open-files");
        let streams = streams.map_err(cannot(format!("open stream {number}")))?;
        streams.open(number).map_err(cannot(format!("open stream {number}")))?;
        self.shared.to_send.notify_all();
        Ok(Lane { lanes: self.clone(), number, generation, is_closed: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self, port: &Port, changes: &Changes) {
        let mut buffer = vec![0; READ_BYTES];
        let mut filled = 0;
        let mut left = None;
        loop {
            let said = port.read(&mut buffer[filled..]);
            if let Said::Bytes(count) = said {
                left = None;
                filled += count;
                if filled < READ_BYTES {
                    continue;
                }
            }
            if filled > 0 {
                self.take(&buffer[..filled]);
                filled = 0;
            }
            let within = match said {
                Said::Bytes(_) => continue,
                Said::Nothing => {
                    left = None;
                    None
                }
                Said::HostIsGone => self.grace(left.get_or_insert_with(Instant::now)),
            };
            if let Err(reason) = changes.wait(within) {
                println!("agent: {reason}");
                return;
            }
        }
    }

    /// How much longer a host that has left may take to come back; `None` once it was too long.
    fn grace(&self, since: &Instant) -> Option<Duration> {
        let rest = GONE_AFTER.saturating_sub(since.elapsed());
        if !rest.is_zero() {
            return Some(rest);
        }
        let mut state = self.lock();
        if let Some(streams) = state.streams.as_mut().filter(|streams| streams.has_met()) {
            streams.abort_all("the host is gone");
        }
        self.shared.moved.notify_all();
        None
    }

    fn take(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if let Some(streams) = &mut state.streams {
            // A fault has ended all streams, and who uses them learns why.
            let _ = streams.handle_input(bytes);
        }
        self.shared.to_send.notify_all();
        self.shared.moved.notify_all();
    }

    fn send(&self, port: &Port, changes: &Changes) {
        loop {
            let mut state = self.lock();
            let bytes = loop {
                if let Some(bytes) = state.streams.as_mut().and_then(Streams::poll_transmit) {
                    break bytes;
                }
                let waited = self.shared.to_send.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            };
            self.shared.moved.notify_all();
            drop(state);
            if let Err(reason) = port.write_all(&bytes, changes) {
                println!("agent: {reason}");
                return;
            }
        }
    }
}

impl Lane {
    /// Says that no more will be sent, and closes the stream.
    pub(crate) fn finish(&self) {
        self.close_with(|streams, number| streams.leave(number));
    }

    /// Breaks the stream off, with the reason.
    pub(crate) fn abort(&self, reason: &str) {
        self.close_with(|streams, number| streams.close(number, reason));
    }

    /// Breaks the stream off, or finishes it, by how what it was for went.
    pub(crate) fn end<T>(self, outcome: &Result<T>) {
        match outcome {
            Ok(_) => self.finish(),
            Err(error) => self.abort(&error.desc),
        }
    }

    /// Waits until the stream is over, and tells whether the host has broken it off.
    pub(crate) fn wait_abort(&self) -> bool {
        let mut state = self.lanes.lock();
        loop {
            if self.is_closed.load(Ordering::SeqCst) {
                return false;
            }
            if state.generation != self.generation {
                return true;
            }
            let Some(streams) = &mut state.streams else { return true };
            if let streams::Write::Aborted(_) = streams.write(self.number, &[]) {
                return true;
            }
            let waited = self.lanes.shared.moved.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Another hold on the same stream, for another thread: whoever closes it first has closed it.
    pub(crate) fn shared(&self) -> Self {
        let (lanes, is_closed) = (self.lanes.clone(), self.is_closed.clone());
        Self { lanes, number: self.number, generation: self.generation, is_closed }
    }

    fn close_with(&self, act: impl FnOnce(&mut Streams, u32)) {
        let mut state = self.lanes.lock();
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return;
        }
        if state.generation == self.generation
            && let Some(streams) = &mut state.streams
        {
            act(streams, self.number);
        }
        self.lanes.shared.to_send.notify_all();
        self.lanes.shared.moved.notify_all();
    }

    /// Tries until something other than waiting comes of it.
    fn until<T>(
        &self,
        mut attempt: impl FnMut(&mut Streams) -> Option<io::Result<T>>,
    ) -> io::Result<T> {
        let mut state = self.lanes.lock();
        loop {
            if state.generation != self.generation {
                return Err(io::Error::other("the host has begun anew"));
            }
            let Some(streams) = &mut state.streams else {
                return Err(io::Error::other("the files port is closed"));
            };
            if let Some(outcome) = attempt(streams) {
                self.lanes.shared.to_send.notify_all();
                return outcome;
            }
            let waited = self.lanes.shared.moved.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Read for Lane {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.until(|streams| match streams.read(self.number, buffer) {
            streams::Read::Bytes(count) => Some(Ok(count)),
            streams::Read::End => Some(Ok(0)),
            streams::Read::Aborted(reason) => Some(Err(broken(&reason))),
            streams::Read::Wait => None,
        })
    }
}

impl Write for Lane {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until(|streams| match streams.write(self.number, bytes) {
            streams::Write::Taken(count) => Some(Ok(count)),
            streams::Write::Aborted(reason) => Some(Err(broken(&reason))),
            streams::Write::Wait => None,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, format!("the stream was broken off: {reason}"))
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.abort("the command has failed");
    }
}
