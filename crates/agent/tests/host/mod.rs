//! The host's end of the files port, plain and blocking.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use qplug_agent::meeting::Token;
use qplug_agent::streams::{self, End, Streams};

/// How long a stream may stand still.
const MOVES_WITHIN: Duration = Duration::from_secs(60);

/// The files port.
#[derive(Clone)]
pub(crate) struct Files {
    shared: Arc<(Mutex<Streams>, Condvar)>,
    socket: Arc<Mutex<UnixStream>>,
}

/// A stream. It knows where it is read and written, and nothing ends it by itself.
pub(crate) struct Stream {
    files: Files,
    pub(crate) number: u32,
}

impl Files {
    /// Connects to the port; the agent has been given the token with `open-files`.
    pub(crate) fn connect(path: &Path, token: &Token) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        let mut reader = socket.try_clone().unwrap();
        let shared = Arc::new((Mutex::new(Streams::new(End::Host, token)), Condvar::new()));
        let files = Self { shared: shared.clone(), socket: Arc::new(Mutex::new(socket)) };
        files.send();
        let sending = files.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = reader.read(&mut buffer).unwrap_or(0);
                let mut streams = shared.0.lock().unwrap();
                if count == 0 {
                    streams.abort_all("the port is closed");
                }
                let is_broken = streams.handle_input(&buffer[..count]).is_err();
                shared.1.notify_all();
                drop(streams);
                if count == 0 || is_broken {
                    return;
                }
                // What comes may let something go that waited for it.
                sending.send();
            }
        });
        files
    }

    /// Opens a stream.
    pub(crate) fn open(&self, number: u32) -> Stream {
        self.shared.0.lock().unwrap().open(number).unwrap();
        Stream { files: self.clone(), number }
    }

    /// Puts bytes on the port that are no frames.
    pub(crate) fn say(&self, bytes: &[u8]) {
        self.socket.lock().unwrap().write_all(bytes).unwrap();
    }

    /// Nobody listens any more: as a host that was killed.
    pub(crate) fn hang_up(&self) {
        self.socket.lock().unwrap().shutdown(std::net::Shutdown::Both).unwrap();
    }

    fn send(&self) {
        // Held over both, so that nothing is sent out of its turn.
        let mut socket = self.socket.lock().unwrap();
        let bytes = self.shared.0.lock().unwrap().poll_transmit();
        // A port that is closed is told of by its reader.
        let _ = socket.write_all(&bytes.unwrap_or_default());
    }
}

impl Stream {
    /// Sends everything, and that it was everything.
    pub(crate) fn send(mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
        self.end();
    }

    /// Says that no more will be sent.
    pub(crate) fn end(&self) {
        self.files.shared.0.lock().unwrap().finish(self.number);
        self.files.send();
    }

    /// Breaks the stream off.
    pub(crate) fn abort(self, reason: &str) {
        self.files.shared.0.lock().unwrap().close(self.number, reason);
        self.files.send();
    }

    /// Reads everything there will be.
    pub(crate) fn receive(mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        self.read_to_end(&mut all)?;
        Ok(all)
    }

    fn until<T>(
        &self,
        mut attempt: impl FnMut(&mut Streams) -> Option<io::Result<T>>,
    ) -> io::Result<T> {
        let (streams, changed) = &*self.files.shared;
        let mut held = streams.lock().unwrap();
        loop {
            if let Some(outcome) = attempt(&mut held) {
                drop(held);
                self.files.send();
                return outcome;
            }
            let (again, timeout) = changed.wait_timeout(held, MOVES_WITHIN).unwrap();
            assert!(!timeout.timed_out(), "stream {} stands still", self.number);
            held = again;
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.until(|streams| match streams.read(self.number, buffer) {
            streams::Read::Bytes(count) => Some(Ok(count)),
            streams::Read::End => Some(Ok(0)),
            streams::Read::Aborted(reason) => Some(Err(io::Error::other(reason))),
            streams::Read::Wait => None,
        })
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until(|streams| match streams.write(self.number, bytes) {
            streams::Write::Taken(count) => Some(Ok(count)),
            streams::Write::Aborted(reason) => Some(Err(io::Error::other(reason))),
            streams::Write::Wait => None,
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
