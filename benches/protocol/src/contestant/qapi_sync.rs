//! The crate `qapi`, blocking.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;

use qapi::Stream;
use qapi::qmp::{query_qmp_schema, query_status, stop};

use super::{Contestant, cannot};
use crate::Failure;
use crate::work::{BURST, IN_FLIGHT, Work};

/// What it needs of a socket to be opened as its documentation shows it.
#[derive(Clone)]
pub(super) struct Socket(Rc<UnixStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct Qapi<W>(qapi::Qmp<Stream<BufReader<Socket>, W>>);

/// It writes a word at a time.
pub(super) fn open_as_documented(path: &Path) -> Result<Qapi<Socket>, Failure> {
    let socket = Socket(Rc::new(UnixStream::connect(path)?));
    let mut client = qapi::Qmp::from_stream(socket);
    client.handshake()?;
    Ok(Qapi(client))
}

/// It writes a command at a time.
pub(super) fn open_behind_a_buffer(path: &Path) -> Result<Qapi<BufWriter<Socket>>, Failure> {
    let socket = Socket(Rc::new(UnixStream::connect(path)?));
    let stream = Stream::new(BufReader::new(socket.clone()), BufWriter::with_capacity(512, socket));
    let mut client = qapi::Qmp::new(stream);
    client.handshake()?;
    Ok(Qapi(client))
}

impl<W: Write> Contestant for Qapi<W>
where
    Stream<BufReader<Socket>, W>: BufRead + Write,
{
    fn run(&mut self, work: Work, count: u32) -> Result<u64, Failure> {
        let client = &mut self.0;
        for _ in 0..count {
            match work {
                Work::Single => {
                    client.execute(&query_status {})?;
                }
                // There is no call for it; this is how it can be done by hand.
                Work::InFlight => {
                    for _ in 0..IN_FLIGHT {
                        client.write_command(&query_status {})?;
                    }
                    for _ in 0..IN_FLIGHT {
                        client.read_response::<query_status>()?;
                    }
                }
                Work::Events => {
                    client.execute(&stop {})?;
                    // Events are read only on the way to a reply, which comes behind all of them.
                    client.execute(&query_status {})?;
                    let seen = client.events().count();
                    if seen != BURST as usize {
                        return Err(format!("{seen} events of {BURST}").into());
                    }
                }
                Work::Decoded => drop(client.execute(&query_qmp_schema {})?),
                Work::Unparsed => return Err(cannot(work)),
            }
        }
        Ok(0)
    }
}
