//! One connection through the proxy: a thread for each direction.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::splitter::{Piece, Splitter};
use super::{Moment, Shared, Side, Then, locked};

/// Bytes taken at once.
const CHUNK: usize = 64 << 10;

/// Both ends, and the numbers of the commands that wait for an answer. Whoever holds the lock on
/// them holds back all answers.
pub(super) struct Wire {
    client: UnixStream,
    qemu: UnixStream,
    unanswered: Mutex<VecDeque<Unanswered>>,
    shared: Arc<Shared>,
}

/// A command's number, and its id.
struct Unanswered(usize, Value);

/// The end of a connection, for whatever reason: a peer that left or a cut look the same here.
struct Ended;

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Wire {
    pub(super) fn new(client: UnixStream, qemu: UnixStream, shared: Arc<Shared>) -> Self {
        Self { client, qemu, unanswered: Mutex::default(), shared }
    }

    /// Starts both directions; when one ends it takes the other along.
    pub(super) fn start(self) -> io::Result<()> {
        let wire = Arc::new(self);
        let (from_client, to_client) = (wire.client.try_clone()?, wire.client.try_clone()?);
        let (from_qemu, to_qemu) = (wire.qemu.try_clone()?, wire.qemu.try_clone()?);
        let other = Arc::clone(&wire);
        std::thread::spawn(move || {
            let _ = pump(from_client, to_qemu, |message, qemu| wire.command(message, qemu));
            wire.hang_up();
        });
        std::thread::spawn(move || {
            let _ = pump(from_qemu, to_client, |message, client| {
                other.answer_or_event(message, client)
            });
            other.hang_up();
        });
        Ok(())
    }

    fn command(&self, message: &[u8], qemu: &mut UnixStream) -> Result<(), Ended> {
        let number = self.shared.next_command();
        self.shared.note(Side::Client, message);
        self.reach(Moment::Arrived(number))?;
        let mut unanswered = locked(&self.unanswered);
        unanswered.push_back(Unanswered(number, id_of(message)));
        qemu.write_all(message)?;
        self.reach(Moment::Forwarded(number))
    }

    fn answer_or_event(&self, message: &[u8], client: &mut UnixStream) -> Result<(), Ended> {
        let answered = self.answered(message);
        self.shared.note(Side::Qemu, message);
        if let Some(number) = answered {
            self.reach(Moment::Executed(number))?;
        }
        client.write_all(message)?;
        match answered {
            Some(number) => self.reach(Moment::Answered(number)),
            None => Ok(()),
        }
    }

    /// The number of the command that is answered. An answer with another id than the oldest one's
    /// is left over from an earlier connection.
    fn answered(&self, message: &[u8]) -> Option<usize> {
        let mut unanswered = locked(&self.unanswered);
        let is_its = unanswered.front().is_some_and(|Unanswered(_, id)| *id == id_of(message));
        let answered = (is_its && is_answer(message)).then(|| unanswered.pop_front());
        answered.flatten().map(|Unanswered(number, _)| number)
    }

    fn reach(&self, moment: Moment) -> Result<(), Ended> {
        match self.shared.reach(moment) {
            Then::GoOn => Ok(()),
            Then::Cut => {
                self.hang_up();
                Err(Ended)
            }
        }
    }

    fn hang_up(&self) {
        for stream in [&self.client, &self.qemu] {
            // Fails only when the other end has left already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Moves bytes until one side ends; whole messages go through `pass`.
fn pump(
    mut from: UnixStream,
    mut to: UnixStream,
    pass: impl Fn(&[u8], &mut UnixStream) -> Result<(), Ended>,
) -> Result<(), Ended> {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = match from.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if length == 0 {
            return Ok(());
        }
        for piece in splitter.split(&buffer[..length]).ok_or(Ended)? {
            match piece {
                Piece::Message(message) => pass(&message, &mut to)?,
                Piece::Between(bytes) => to.write_all(&bytes)?,
            }
        }
    }
}

/// `Null` where there is none.
fn id_of(message: &[u8]) -> Value {
    serde_json::from_slice::<Value>(message).map_or(Value::Null, |mut value| value["id"].take())
}

fn is_answer(message: &[u8]) -> bool {
    serde_json::from_slice::<Value>(message)
        .is_ok_and(|value| value.get("return").is_some() || value.get("error").is_some())
}
