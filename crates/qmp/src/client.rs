//! The handle of a connection: commands and their replies.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use qplug_proto::{CommandId, Dialect, ExecuteError, Greeting, ProtocolError, Traffic};
use qplug_qapi::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::address::Address;
use crate::driver;
use crate::error::{Closed, ConnectError, Error};
use crate::events::Events;
use crate::fds::MAX_PASSED_FDS;
use crate::options::Options;
use crate::redact;
use crate::shared::{Inner, Shared};
use crate::transport;
use crate::typed;
use crate::waiters::{Answer, Unanswered};

/// A connection to a QMP monitor.
///
/// Clones share it, and give commands at the same time. It closes as the last clone is dropped;
/// commands that wait for a reply then may or may not be carried out.
///
/// What QEMU sends is read as it comes, whoever waits for it or does not: events that nobody takes
/// are dropped at [`EVENT_BACKLOG`](crate::EVENT_BACKLOG), and replies are kept for as long as the
/// caller keeps their futures. A task of the runtime reads, so a program with a runtime of one thread
/// must not block that thread, such as by printing into a pipe: a QEMU whose replies are left unread
/// stops reading, and 0.14 stops its guest. [`Aside`](crate::Aside) prints without blocking.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Arc<Connection>,
    /// How long this clone waits for a reply.
    command_timeout: Duration,
    /// What was sent through this clone and those made of it, where they count for themselves.
    tally: Option<Arc<Mutex<Traffic>>>,
}

#[derive(Debug)]
struct Connection {
    driven: Driven,
    greeting: Greeting,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Traffic { commands, bytes } = self.driven.shared.lock().protocol.traffic();
        tracing::debug!("sent {commands} commands, {bytes} bytes");
    }
}

/// The task that moves bytes, and what is shared with it. Dropping it closes the connection there
/// and then: the runtime may have no turn for the task in a long while, and until it is closed QEMU
/// goes on to talk and nobody reads.
#[derive(Debug)]
struct Driven {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.close();
    }
}

impl Client {
    /// Connects, and waits for the greeting.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(address: &Address) -> Result<Self, ConnectError> {
        Self::connect_with(address, Options::default()).await
    }

    /// Connects with other waits than the default ones.
    ///
    /// Does not wait for the negotiation's reply: a command given at once follows right behind it.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect_with(address: &Address, options: Options) -> Result<Self, ConnectError> {
        let dialect = if options.oob { Dialect::QmpWithOob } else { Dialect::Qmp };
        Self::meet(address, options, dialect).await
    }

    /// Connects to a peer that speaks this, and waits until it has shown itself.
    pub(crate) async fn meet(
        address: &Address,
        options: Options,
        dialect: Dialect,
    ) -> Result<Self, ConnectError> {
        let limit = options.connect_timeout;
        let stream = transport::connect(address, &options).await?;
        let (greeted, greeting) = oneshot::channel();
        let deadline = driver::greeted_by(&options);
        let protocol = qplug_proto::Client::new(dialect, deadline);
        let shared = Arc::new(Shared::new(protocol, greeted, options.trace.clone()));
        let run =
            driver::run(stream, Arc::clone(&shared), address.clone(), options.clone(), dialect);
        let driven = Driven { task: tokio::spawn(run).abort_handle(), shared };
        let Ok(greeting) = greeting.await else {
            let address = address.to_string();
            return Err(match driven.shared.closed() {
                Closed::Protocol(ProtocolError::Silent) => ConnectError::Busy { address, limit },
                Closed::Protocol(error) => ConnectError::NotQmp { address, error },
                Closed::ByPeer | Closed::ByUs => ConnectError::Closed { address },
                Closed::Io(text) => {
                    ConnectError::Io { address, source: std::io::Error::other(text) }
                }
            });
        };
        let command_timeout = options.command_timeout;
        Ok(Self {
            connection: Arc::new(Connection { driven, greeting }),
            command_timeout,
            tally: None,
        })
    }

    /// The same connection with another wait for replies than [`Options::command_timeout`]. Other
    /// clones keep theirs.
    #[must_use]
    pub fn with_command_timeout(self, command_timeout: Duration) -> Self {
        Self { command_timeout, ..self }
    }

    /// What the server said first.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.connection.greeting
    }

    /// What was sent over this connection so far; of a client that counts for itself
    /// ([`Client::counting_alone`]), what was sent through it.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        match &self.tally {
            Some(tally) => *tally.lock().unwrap_or_else(PoisonError::into_inner),
            None => self.connection.driven.shared.lock().protocol.traffic(),
        }
    }

    /// The same connection, with a [`Client::traffic`] of its own that begins now and that clones of
    /// this one share: for one of several things that are done over it, also at the same time.
    #[must_use]
    pub fn counting_alone(self) -> Self {
        Self { tally: Some(Arc::default()), ..self }
    }

    /// Subscribes to the events from this moment on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events {
            receiver: self.connection.driven.shared.subscribe(),
            shared: Arc::clone(&self.connection.driven.shared),
        }
    }

    /// Gives a command at once, in the order of the calls, and returns its reply to wait for.
    ///
    /// Dropping the reply cancels the waiting, not the command.
    pub fn submit<'c>(
        &self,
        command: &'c str,
        arguments: Option<&impl Serialize>,
    ) -> Submitted<'c> {
        self.give(command, arguments, qplug_proto::Client::execute)
    }

    /// Gives a command that overtakes those in flight; see [`Options::oob`].
    ///
    /// # Errors
    /// See [`Error`]: the connection may have no out-of-band commands, and QEMU lets few commands
    /// overtake.
    pub async fn execute_oob(
        &self,
        command: &str,
        arguments: Option<&impl Serialize>,
    ) -> Result<Box<RawValue>, Error> {
        self.give(command, arguments, qplug_proto::Client::execute_oob).await
    }

    /// Gives a command with descriptors beside it, for `getfd` and `add-fd`, over a unix socket. The
    /// server gets duplicates; these are closed once they are sent.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unsendable`] over any other transport, and with out-of-band enabled
    /// while as many commands are in flight as may be.
    pub async fn execute_with_fds(
        &self,
        command: &str,
        arguments: Option<&impl Serialize>,
        fds: Vec<OwnedFd>,
    ) -> Result<Box<RawValue>, Error> {
        self.submit_with_fds(command, arguments, fds).await
    }

    /// Gives such a command at once, as [`Client::submit`] does; its reply tells, too, when it could
    /// not be sent.
    pub fn submit_with_fds<'c>(
        &self,
        command: &'c str,
        arguments: Option<&impl Serialize>,
        fds: Vec<OwnedFd>,
    ) -> Submitted<'c> {
        let unsendable = |reason: &str| {
            let error =
                Error::Unsendable { command: command.to_owned(), reason: reason.to_owned() };
            let limit = self.command_timeout;
            Submitted { command, limit, state: State::Unsent(error) }
        };
        if fds.is_empty() || fds.len() > MAX_PASSED_FDS {
            return unsendable("one to 16 descriptors can go with a command");
        }
        let mut inner = self.connection.driven.shared.lock();
        if !inner.carries_fds {
            return unsendable("only a unix socket carries descriptors");
        }
        if !inner.protocol.has_room() {
            return unsendable("it would wait for others, and its descriptors cannot");
        }
        inner.pass(fds);
        self.give_in(&mut inner, command, arguments, qplug_proto::Client::execute)
    }

    /// Whether descriptors can go with commands: the connection is a unix socket.
    #[must_use]
    pub fn carries_fds(&self) -> bool {
        self.connection.driven.shared.lock().carries_fds
    }

    fn give<'c, A: Serialize>(
        &self,
        command: &'c str,
        arguments: Option<&A>,
        execute: Execute<A>,
    ) -> Submitted<'c> {
        self.give_in(&mut self.connection.driven.shared.lock(), command, arguments, execute)
    }

    fn give_in<'c, A: Serialize>(
        &self,
        inner: &mut Inner,
        command: &'c str,
        arguments: Option<&A>,
        execute: Execute<A>,
    ) -> Submitted<'c> {
        log_command(command, arguments);
        let limit = self.command_timeout;
        let state = if let Some(closed) = inner.closed.clone() {
            State::Unsent(Error::NotSent { command: command.to_owned(), closed })
        } else {
            // A time that no clock can name is never reached.
            let deadline = Instant::now().checked_add(limit).map(Instant::into_std);
            let was_idle = inner.protocol.is_idle();
            let before = self.tally.as_ref().map(|tally| (tally, inner.protocol.traffic()));
            match execute(&mut inner.protocol, command, arguments, deadline) {
                Ok(id) => {
                    if let Some((tally, before)) = before {
                        count(tally, before, inner.protocol.traffic());
                    }
                    inner.waiters.add(id);
                    inner.send(was_idle);
                    State::Waiting(id, Arc::clone(&self.connection.driven.shared))
                }
                Err(error) => State::Unsent(Error::Unsendable {
                    command: command.to_owned(),
                    reason: error.to_string(),
                }),
            }
        };
        Submitted { command, limit, state }
    }

    /// Gives a command and waits for what it returns, unparsed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn execute(
        &self,
        command: &str,
        arguments: Option<&impl Serialize>,
    ) -> Result<Box<RawValue>, Error> {
        self.submit(command, arguments).await
    }

    /// Gives a typed command and waits for what it returns.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Decode`] when the reply is not what this command returns.
    pub async fn run<C: Command>(&self, command: C) -> Result<C::Reply, Error> {
        let reply = self.execute(C::NAME, typed::arguments(&command).as_ref()).await?;
        typed::reply::<C>(&reply)
    }

    /// Gives a command with no arguments and decodes what it returns.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn query<T: DeserializeOwned>(&self, command: &str) -> Result<T, Error> {
        let reply = self.execute(command, None::<&()>).await?;
        typed::decode(command, &reply, Ok::<T, serde_json::Error>)
    }
}

fn count(tally: &Mutex<Traffic>, before: Traffic, after: Traffic) {
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.commands += after.commands - before.commands;
    tally.bytes += after.bytes - before.bytes;
}

/// How the protocol is told to give a command.
type Execute<A> = fn(
    &mut qplug_proto::Client,
    &str,
    Option<&A>,
    Option<std::time::Instant>,
) -> Result<CommandId, ExecuteError>;

fn log_command(command: &str, arguments: Option<&impl Serialize>) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let arguments = arguments.and_then(|it| serde_json::to_value(it).ok());
        let arguments = arguments.map(|it| redact::redacted(command, &it).unwrap_or(it));
        let arguments = arguments.map(|it| it.to_string());
        tracing::debug!("-> {command} {}", arguments.unwrap_or_default());
    }
}

/// The reply to a command that was given, as a future.
#[derive(Debug)]
#[must_use = "the command is given, but what became of it is known only to who awaits this"]
pub struct Submitted<'c> {
    command: &'c str,
    limit: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting(CommandId, Arc<Shared>),
    Unsent(Error),
    Taken,
}

impl Drop for Submitted<'_> {
    fn drop(&mut self) {
        if let State::Waiting(id, shared) = &self.state {
            shared.lock().waiters.forget(*id);
        }
    }
}

impl Future for Submitted<'_> {
    type Output = Result<Box<RawValue>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &self.state {
            State::Waiting(id, shared) => {
                let answer = ready!(shared.lock().waiters.poll(*id, context));
                answer.unwrap_or(Answer::Unanswered(Unanswered::Closed(Closed::ByUs)))
            }
            State::Unsent(_) | State::Taken => {
                return match std::mem::replace(&mut self.state, State::Taken) {
                    State::Unsent(error) => Poll::Ready(Err(error)),
                    State::Waiting(..) | State::Taken => Poll::Pending,
                };
            }
        };
        self.state = State::Taken;
        let answer = match answer {
            Answer::Replied(Ok(value)) => {
                tracing::debug!("<- {}: {} bytes", self.command, value.get().len());
                return Poll::Ready(Ok(value));
            }
            Answer::Replied(Err(reply)) => {
                tracing::debug!("<- {}: {reply}", self.command);
                let command = self.command.to_owned();
                return Poll::Ready(Err(Error::Refused { command, reply }));
            }
            Answer::Unanswered(answer) => answer,
        };
        let command = self.command.to_owned();
        Poll::Ready(Err(match answer {
            Unanswered::Overdue => Error::Overdue { command, limit: self.limit },
            Unanswered::NotSent(closed) => Error::NotSent { command, closed },
            Unanswered::Closed(closed) => Error::Unknown { command, closed },
        }))
    }
}
