//! Bytes that travel beside a command: files up and down, archives, what programs read and print.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use qplug_agent::meeting::Token;
use qplug_agent::streams::{End, HIGH_WATER, MAX_PAYLOAD, Read, Streams, Write};
use qplug_agent::wire::{Command, OpenFiles};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::error::{Error, Result};
use crate::link::Agent;

/// A command that moves bytes takes as long as they are many. One that takes longer has gone wrong.
pub(crate) const MOVED_WITHIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long nothing may move before the agent is asked whether it is there.
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(30);

/// What is read from the port at a time, in bytes.
const READ_BYTES: usize = 256 << 10;

/// Bytes that come from here.
pub(crate) type Source<'a> = &'a mut (dyn AsyncRead + Unpin + Send);

/// Bytes that go there.
pub(crate) type Sink<'a> = &'a mut (dyn AsyncWrite + Unpin + Send);

/// The streams of one command, each by its number.
#[derive(Default)]
pub(crate) struct Traffic<'a> {
    /// What is sent.
    pub(crate) source: Option<(u32, Source<'a>)>,
    /// What is received.
    pub(crate) sinks: Vec<(u32, Sink<'a>)>,
}

/// How a command went.
#[derive(Debug)]
pub(crate) struct Finished<T> {
    /// What it returned.
    pub(crate) returned: T,
    /// How many bytes came.
    pub(crate) came: u64,
    /// How many were sent.
    pub(crate) went: u64,
}

/// The port on which bytes travel.
#[derive(Debug)]
pub(crate) struct Port {
    socket: UnixStream,
    streams: Streams,
    next: u32,
}

impl Port {
    /// Begins anew on the port, whoever used it before.
    pub(crate) async fn open(path: &Path, token: Token, agent: &Agent) -> Result<Self> {
        let socket = UnixStream::connect(path).await;
        let socket = socket.map_err(Error::file("reach the agent at", path))?;
        agent.run(&OpenFiles { token }).await?;
        Ok(Self { socket, streams: Streams::new(End::Host, &token), next: 1 })
    }

    /// A number for a stream, which no other one has.
    pub(crate) fn number(&mut self) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1).max(1);
        number
    }

    /// Gives a command, and moves its bytes until it has ended and all have arrived. After an error the
    /// port is of no use any more.
    pub(crate) async fn run<C: Command>(
        &mut self,
        agent: &Agent,
        command: &C,
        traffic: Traffic<'_>,
    ) -> Result<Finished<C::Return>> {
        let numbers = traffic.sinks.iter().map(|(number, _)| *number);
        for number in numbers.chain(traffic.source.iter().map(|(number, _)| *number)) {
            self.streams.open(number).map_err(|error| Error::Transfer(error.to_string()))?;
        }
        let client = agent.client().clone().with_command_timeout(MOVED_WITHIN);
        // Out of band, so that other commands of this client go on.
        let mut reply = pin!(client.execute_oob(C::NAME, Some(command)));
        let mut replied = None;
        let mut way = Way::new(traffic);
        let mut input = vec![0; READ_BYTES];
        loop {
            way.move_what_can_be(&mut self.streams).await?;
            if replied.is_some() && way.has_arrived() {
                break;
            }
            tokio::select! {
                reply = &mut reply, if replied.is_none() => replied = Some(reply?),
                ready = self.socket.readable() => {
                    ready.map_err(lost)?;
                    match self.socket.try_read(&mut input) {
                        Ok(0) => return Err(lost(io::ErrorKind::UnexpectedEof.into())),
                        Ok(count) => self.take(&input[..count])?,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(lost(error)),
                    }
                }
                ready = self.socket.writable(), if !way.outgoing.is_empty() => {
                    ready.map_err(lost)?;
                    match self.socket.try_write(way.outgoing.make_contiguous()) {
                        Ok(count) => drop(way.outgoing.drain(..count)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(lost(error)),
                    }
                }
                read = way.read_on(), if way.wants_more() => way.took(read.map_err(unreadable)?),
                // A program may be silent for long, and a file system slow; an agent is neither.
                () = tokio::time::sleep(SILENT_FOR) => agent.check().await?,
            }
        }
        way.leave(&mut self.streams);
        if let Some(reason) = way.aborted {
            return Err(Error::Transfer(reason));
        }
        let text = replied.map(|reply| reply.get().to_owned()).unwrap_or_default();
        let returned = serde_json::from_str(&text);
        let returned = returned.map_err(|error| Error::Transfer(error.to_string()))?;
        Ok(Finished { returned, came: way.came, went: way.went })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.streams.handle_input(bytes).map_err(|fault| Error::Transfer(fault.to_string()))
    }
}

fn lost(error: io::Error) -> Error {
    Error::Transfer(format!("the connection to the agent is lost: {error}"))
}

fn unreadable(error: io::Error) -> Error {
    Error::Transfer(format!("what is to be sent cannot be read: {error}"))
}

/// A command's bytes on their way.
struct Way<'a> {
    traffic: Traffic<'a>,
    /// Sinks whose stream has ended.
    arrived: Vec<bool>,
    /// How many bytes came in all of them.
    came: u64,
    /// How many the stream of the source took.
    went: u64,
    /// Why the first of them broke off.
    aborted: Option<String>,
    /// What was read from the source, and the stream has not taken yet.
    unsent: Vec<u8>,
    chunk: Vec<u8>,
    /// Whether the source is at its end, or nobody wants more of it.
    is_done: bool,
    /// Bytes for the port.
    outgoing: VecDeque<u8>,
}

impl<'a> Way<'a> {
    fn new(traffic: Traffic<'a>) -> Self {
        Self {
            arrived: vec![false; traffic.sinks.len()],
            came: 0,
            went: 0,
            aborted: None,
            is_done: traffic.source.is_none(),
            traffic,
            unsent: Vec::new(),
            chunk: vec![0; MAX_PAYLOAD],
            outgoing: VecDeque::new(),
        }
    }

    /// Hands on what came to where it goes, and to the port what there is room for.
    async fn move_what_can_be(&mut self, streams: &mut Streams) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        for (at, (number, sink)) in self.traffic.sinks.iter_mut().enumerate() {
            while !self.arrived[at] {
                match streams.read(*number, &mut buffer) {
                    Read::Bytes(count) => {
                        self.came += count as u64;
                        let written = sink.write_all(&buffer[..count]).await;
                        written.map_err(|error| {
                            Error::Transfer(format!("what came cannot be written: {error}"))
                        })?;
                    }
                    Read::Wait => break,
                    Read::End => self.arrived[at] = true,
                    // Why the agent gave up is in its reply, unless it thinks that it did not.
                    Read::Aborted(reason) => {
                        self.arrived[at] = true;
                        self.aborted.get_or_insert(reason);
                    }
                }
            }
        }
        self.send(streams);
        // More is asked for only when this is gone: what waits here stays bounded.
        while self.outgoing.len() < HIGH_WATER
            && let Some(bytes) = streams.poll_transmit()
        {
            self.outgoing.extend(bytes);
            self.send(streams);
        }
        Ok(())
    }

    fn send(&mut self, streams: &mut Streams) {
        let Some((number, _)) = &self.traffic.source else { return };
        while !self.unsent.is_empty() {
            match streams.write(*number, &self.unsent) {
                Write::Taken(count) => {
                    self.went += count as u64;
                    drop(self.unsent.drain(..count));
                }
                Write::Wait => return,
                Write::Aborted(_) => {
                    self.unsent.clear();
                    self.is_done = true;
                }
            }
        }
        if self.is_done {
            streams.finish(*number);
        }
    }

    fn wants_more(&self) -> bool {
        !self.is_done && self.unsent.is_empty()
    }

    async fn read_on(&mut self) -> io::Result<usize> {
        match &mut self.traffic.source {
            Some((_, source)) => source.read(&mut self.chunk).await,
            None => Ok(0),
        }
    }

    fn took(&mut self, count: usize) {
        self.is_done = count == 0;
        self.unsent.extend_from_slice(&self.chunk[..count]);
    }

    fn has_arrived(&self) -> bool {
        self.arrived.iter().all(|has| *has)
    }

    fn leave(&self, streams: &mut Streams) {
        for (number, _) in &self.traffic.sinks {
            streams.leave(*number);
        }
        if let Some((number, _)) = &self.traffic.source {
            streams.leave(*number);
        }
    }
}
