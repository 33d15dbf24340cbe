//! Conversations with the agent, over a virtio-serial port.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qplug_agent::meeting::{Seek, Token};
use qplug_agent::wire::{AddEntropy, Command, QueryAgent, SetTime};
use qplug_qmp::{Address, Client, Events, Options};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use crate::error::{Error, Result};

/// How long the agent may take for an answer. Commands that do work of unknown length are given out
/// of band, and are waited for as long as the caller likes.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What is waited for in vain when the agent, or all of QEMU, does not go on.
pub(crate) const AGENT_HANGS: &str = "the agent, which hangs or is stopped";

/// Random bytes that a restored machine gets.
const ENTROPY_BYTES: usize = 64;

/// The agent of a running appliance.
#[derive(Debug, Clone)]
pub struct Agent {
    client: Client,
}

impl Agent {
    /// Meets the agent behind this socket: begins anew with it, whoever talked to it before. Waits
    /// until it answers, such as when the machine still boots.
    pub(crate) async fn meet(socket: &Path) -> Result<Self> {
        let failed =
            |source| Error::File { doing: "reach the agent at", path: socket.to_owned(), source };
        let mut stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
            // So many wait at the socket that no other may.
            io::ErrorKind::WouldBlock => Error::Hangs { socket: socket.to_owned() },
            _ => failed(error),
        })?;
        let token = random_token().map_err(failed)?;
        stream.write_all(&token.mark()).await.map_err(failed)?;
        pass_over(&stream, &token).await.map_err(failed)?;
        let stream = stream.into_std().map_err(failed)?;
        let options = Options { command_timeout: ANSWER_WITHIN, oob: true, ..Options::default() };
        // It duplicates the descriptor, and ours goes at the end of this function.
        let client = Client::connect_with(&Address::Fd(stream.as_raw_fd()), options).await?;
        Ok(Self { client })
    }

    /// Gives a command and waits for what it returns.
    ///
    /// # Errors
    /// When the agent refused it, or gave no answer in time.
    pub async fn run<C: Command>(&self, command: &C) -> Result<C::Return> {
        let reply = self.client.execute(C::NAME, Some(command)).await?;
        let decoded = serde_json::from_str(reply.get());
        decoded.map_err(|error| {
            let (command, reason) = (C::NAME.to_owned(), error.to_string());
            Error::Command(qplug_qmp::Error::Decode { command, reason })
        })
    }

    /// Checks that the agent answers, whatever else it does.
    pub(crate) async fn check(&self) -> Result<()> {
        match self.client.execute_oob(QueryAgent::NAME, None::<&()>).await {
            Ok(_) => Ok(()),
            // Nobody gave this command: that it is unanswered is not what is to be told.
            Err(qplug_qmp::Error::Overdue { .. }) => {
                Err(Error::Late { what: AGENT_HANGS, within: ANSWER_WITHIN, words: String::new() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the agent tells from this moment on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.client.events()
    }

    /// The connection, for everything else that the agent can do.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Tells a machine that was restored what it has missed: the time, and random bytes that no other
    /// one restored from the same file has.
    pub(crate) async fn wake(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        self.run(&SetTime { time_us }).await?;
        let mut bytes = [0; ENTROPY_BYTES];
        random(&mut bytes).map_err(Error::file("read", Path::new(RANDOM)))?;
        self.run(&AddEntropy { base64: STANDARD.encode(bytes) }).await?;
        Ok(())
    }
}

/// Reads until the agent has said the mark, and no further: a greeting follows.
async fn pass_over(stream: &UnixStream, token: &Token) -> io::Result<()> {
    let mut seek = Seek::new(token);
    let mut byte = [0];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if seek.take(&byte).is_some() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

const RANDOM: &str = "/dev/urandom";

fn random(bytes: &mut [u8]) -> io::Result<()> {
    File::open(RANDOM)?.read_exact(bytes)
}

pub(crate) fn random_token() -> io::Result<Token> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(Token::new(bytes))
}
