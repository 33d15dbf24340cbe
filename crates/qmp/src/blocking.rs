//! A blocking client over the standard library alone: no runtime and, but for
//! [`Client::while_away`], no thread.
//!
//! It drives the same state machine as the asynchronous client. A command that finds its reply at
//! once costs two system calls, one to write and one to read.
//!
//! ```no_run
//! use qplug_qmp::{Address, blocking::Client};
//!
//! let mut client = Client::connect(&Address::Unix("/run/vm1.qmp".into()))?;
//! let status: serde_json::Value = client.query("query-status")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `blocking/connect.rs` | connecting, and being connected to |
//! | `blocking/socket.rs` | a socket that is waited at, with a deadline |
//! | `blocking/conversation.rs` | moving bytes between the socket and the state machine |
//! | `blocking/meet.rs` | the greeting, with which a conversation begins |
//! | `blocking/events.rs` | waiting for events |
//! | `blocking/backlog.rs` | events that were not taken yet |
//! | `blocking/away.rs` | reading while the caller is busy with something else |

mod away;
mod backlog;
mod connect;
mod conversation;
mod events;
mod meet;
mod socket;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use qplug_proto::{CommandId, Greeting, Traffic};
use qplug_qapi::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::address::Address;
use crate::error::{ConnectError, Error};
use crate::fds::MAX_PASSED_FDS;
use crate::options::Options;
use crate::typed;
pub use backlog::Mark;
use conversation::{Conversation, Found};
use socket::LONGEST_WAIT;

/// A connection to a QMP monitor, for one thread.
///
/// Events are kept while commands are carried out, [`EVENT_BACKLOG`](crate::EVENT_BACKLOG) of them.
/// Bytes move only while a method runs: who waits for nothing hears of nothing, and a QEMU that has
/// said some hundred things that nobody read stops reading, and 0.14 stops its guest. Whoever goes
/// away for long, or may be held up, such as by printing into a pipe, does so in
/// [`Client::while_away`], or calls [`Client::events`] now and then.
#[derive(Debug)]
pub struct Client {
    conversation: Conversation,
    greeting: Greeting,
    command_timeout: Duration,
}

/// A command that was given, to wait for with [`Client::wait`].
#[derive(Debug)]
#[must_use = "the command is given, but what became of it is known only to who waits for this"]
pub struct Submitted<'c> {
    command: &'c str,
    id: CommandId,
    given: Instant,
    deadline: Instant,
    /// How many bytes had been given before this command.
    begins_at: u64,
}

impl Client {
    /// Connects, and waits for the greeting.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(address: &Address) -> Result<Self, ConnectError> {
        Self::connect_with(address, Options::default())
    }

    /// Connects with other waits than the default ones. Unix and TCP sockets, inherited ones, and
    /// listening for a QEMU that connects to us are possible; the rest, and coming back by itself,
    /// is the asynchronous client's.
    ///
    /// Does not wait for the negotiation's reply: a command given at once follows right behind it.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect_with(address: &Address, options: Options) -> Result<Self, ConnectError> {
        let socket = connect::connect(address, options.connect_timeout)?;
        Self::meet(socket, &address.to_string(), &options)
    }

    /// Takes over a socket that is connected already, and waits for the greeting.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn over(socket: impl Into<OwnedFd>, options: Options) -> Result<Self, ConnectError> {
        Self::meet(socket.into(), "the socket", &options)
    }

    fn meet(socket: OwnedFd, address: &str, options: &Options) -> Result<Self, ConnectError> {
        let command_timeout = options.command_timeout.min(LONGEST_WAIT);
        let (conversation, greeting) = Conversation::begin(socket, address, options)?;
        Ok(Self { conversation, greeting, command_timeout })
    }

    /// What the server said first.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// What was sent over this connection so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.conversation.traffic()
    }

    /// Gives a command and waits for what it returns, unparsed.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn execute(
        &mut self,
        command: &str,
        arguments: Option<&impl Serialize>,
    ) -> Result<Box<RawValue>, Error> {
        let submitted = self.submit(command, arguments)?;
        let now = submitted.given;
        self.wait_from(&submitted, now)
    }

    /// Gives a command with no arguments and decodes what it returns.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn query<T: DeserializeOwned>(&mut self, command: &str) -> Result<T, Error> {
        let reply = self.execute(command, None::<&()>)?;
        typed::decode(command, &reply, Ok::<T, serde_json::Error>)
    }

    /// Gives a typed command and waits for what it returns.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Decode`] when the reply is not what this command returns.
    pub fn run<C: Command>(&mut self, command: C) -> Result<C::Reply, Error> {
        let reply = self.execute(C::NAME, typed::arguments(&command).as_ref())?;
        typed::reply::<C>(&reply)
    }

    /// Gives a command that overtakes those in flight; the options must have asked for it.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unsendable`] where the server has no out-of-band commands.
    pub fn execute_oob(
        &mut self,
        command: &str,
        arguments: Option<&impl Serialize>,
    ) -> Result<Box<RawValue>, Error> {
        let submitted = self.give(command, |conversation, deadline| {
            conversation.protocol.execute_oob(command, arguments, Some(deadline))
        })?;
        self.wait(submitted)
    }

    /// Gives a command with descriptors beside it (`getfd`, `add-fd`), and waits for what it
    /// returns. The peer gets duplicates; the caller's stay open.
    ///
    /// Descriptors travel with bytes that nothing else travels with, so what was given before is
    /// sent first. If they cannot be sent at all the connection is closed, for the command would go
    /// without them.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unsendable`] over anything but a unix socket, with more than
    /// [`MAX_PASSED_FDS`] descriptors, or when what was given before cannot be sent in time.
    pub fn execute_with_fds(
        &mut self,
        command: &str,
        arguments: Option<&impl Serialize>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Box<RawValue>, Error> {
        let unsendable = |reason: String| Error::Unsendable { command: command.to_owned(), reason };
        if !self.conversation.is_unix() {
            return Err(unsendable("descriptors travel over unix sockets only".to_owned()));
        }
        if fds.len() > MAX_PASSED_FDS {
            let text = format!("more than {MAX_PASSED_FDS} descriptors cannot go with a command");
            return Err(unsendable(text));
        }
        let deadline = Instant::now() + self.command_timeout;
        if !self.conversation.flush(deadline) {
            let text = "earlier commands are not sent yet: the peer does not read".to_owned();
            return Err(unsendable(text));
        }
        let submitted = self.submit(command, arguments)?;
        self.conversation.send_with_fds(fds, submitted.deadline);
        self.wait(submitted)
    }

    /// Gives a command, to be sent with the next wait of any kind: commands given in a row travel
    /// together.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unsendable`] too when
    /// [`MAX_PENDING_COMMANDS`](qplug_proto::MAX_PENDING_COMMANDS) were not waited for.
    pub fn submit<'c>(
        &mut self,
        command: &'c str,
        arguments: Option<&impl Serialize>,
    ) -> Result<Submitted<'c>, Error> {
        self.give(command, |conversation, deadline| {
            conversation.protocol.execute(command, arguments, Some(deadline))
        })
    }

    fn give<'c>(
        &mut self,
        command: &'c str,
        execute: impl FnOnce(&mut Conversation, Instant) -> Result<CommandId, qplug_proto::ExecuteError>,
    ) -> Result<Submitted<'c>, Error> {
        if let Some(closed) = self.conversation.closed() {
            let (command, closed) = (command.to_owned(), closed.clone());
            return Err(Error::NotSent { command, closed });
        }
        let unsendable = |reason: String| Error::Unsendable { command: command.to_owned(), reason };
        if self.conversation.is_crowded() {
            return Err(unsendable("too many replies have not been waited for".to_owned()));
        }
        let given = Instant::now();
        let deadline = given + self.command_timeout;
        let begins_at = self.conversation.protocol.traffic().bytes;
        let id = execute(&mut self.conversation, deadline)
            .map_err(|error| unsendable(error.to_string()))?;
        Ok(Submitted { command, id, given, deadline, begins_at })
    }

    /// Waits for what a command returns, unparsed.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn wait(&mut self, submitted: Submitted<'_>) -> Result<Box<RawValue>, Error> {
        self.wait_from(&submitted, Instant::now())
    }

    /// Gives up on a command's reply. It may have been carried out, or may still be.
    pub fn forget(&mut self, submitted: Submitted<'_>) {
        self.conversation.forget(submitted.id);
    }

    fn wait_from(
        &mut self,
        submitted: &Submitted<'_>,
        now: Instant,
    ) -> Result<Box<RawValue>, Error> {
        let found = self.conversation.find(submitted.id, now, submitted.deadline);
        let command = || submitted.command.to_owned();
        match found {
            Found::Replied(Ok(value)) => Ok(value),
            Found::Replied(Err(reply)) => Err(Error::Refused { command: command(), reply }),
            Found::Overdue => {
                Err(Error::Overdue { command: command(), limit: self.command_timeout })
            }
            Found::Closed { closed, sent_bytes } if sent_bytes <= submitted.begins_at => {
                Err(Error::NotSent { command: command(), closed })
            }
            Found::Closed { closed, .. } => Err(Error::Unknown { command: command(), closed }),
        }
    }
}
