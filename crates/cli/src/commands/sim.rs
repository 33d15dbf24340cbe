//! `qplug sim`: a machine that is not there, on a socket.

mod images;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use qplug_qmp::{Address, fds};
use qplug_sim::{Board, Config, Faults, Sim, Start, Version};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::SimArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How much is read at once.
const READ_BYTES: usize = 4 << 10;

/// Serves one client after the other until it is interrupted, or told to quit.
pub(super) async fn run(
    args: SimArgs,
    address: &Address,
    output: &Output,
) -> Result<Exit, Failure> {
    let Address::Unix(path) = address else {
        return Err(Failure::usage("a simulated machine listens at a unix socket's path only"));
    };
    let faults = match &args.faults {
        None => Faults::default(),
        Some(path) => images::read_text(path)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?
            .parse()
            .map_err(|error: qplug_sim::ParseFaultsError| Failure::usage(error.to_string()))?,
    };
    let board = board(&args)?;
    let mut sim = Sim::new(config(&args, board), faults, Instant::now());
    // Before the socket is there: a signal that comes right behind it would leave it.
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    };
    let listener = listen(path)?;
    let _removed_at_the_end = SocketFile(path.clone());
    output.remark(&format!("a simulated QEMU {} listens at {}", args.qemu.name(), path.display()));
    serve(&mut sim, &listener, &mut signals).await?;
    Ok(Exit::Done)
}

/// The board that was asked for; left out, q35 where it is imitated best.
fn board(args: &SimArgs) -> Result<Board, Failure> {
    match args.machine.as_deref() {
        Some("pc") => Ok(Board::Pc),
        // QEMU 1.4 brought it.
        Some(_) if args.qemu <= Version::V1_2 => {
            let text = format!("QEMU {} has no q35: --machine pc", args.qemu.name());
            Err(Failure::usage(text))
        }
        None if args.qemu < Version::V7_2 => Ok(Board::Pc),
        _ => Ok(Board::Q35),
    }
}

fn config(args: &SimArgs, board: Board) -> Config {
    let config = match board {
        Board::Pc => Config::pc(),
        Board::Q35 => Config::q35(args.ports),
    };
    let config = if args.native_hotplug { config.native_hotplug() } else { config };
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let config = config
        .epoch(since_1970)
        .version(args.qemu)
        .guest(args.guest)
        .files(Box::new(images::RealFiles));
    if args.halted { config.start(Start::Prelaunch) } else { config }
}

/// What asks the process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Clients come one after the other; in between, time goes by for the machine all the same.
async fn serve(sim: &mut Sim, listener: &UnixListener, signals: &mut Signals) -> io::Result<()> {
    while !sim.has_quit() {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            () = until(sim.poll_timeout()) => {
                sim.handle_timeout(Instant::now());
                continue;
            }
            () = signals.heard() => {
                sim.handle_signal(Instant::now());
                continue;
            }
        };
        sim.handle_connect(Instant::now());
        // A client that breaks off is no failure of the machine's.
        let _ = converse(sim, &stream, signals).await;
        sim.handle_close(Instant::now());
    }
    Ok(())
}

async fn converse(sim: &mut Sim, stream: &UnixStream, signals: &mut Signals) -> io::Result<()> {
    let mut space = vec![0; READ_BYTES];
    loop {
        if let Some(bytes) = sim.poll_transmit() {
            tokio::select! {
                sent = send(sim, stream, &bytes) => sent?,
                // A client that does not read is told nothing any more.
                () = signals.heard() => {
                    sim.handle_signal(Instant::now());
                    return Ok(());
                }
            }
        }
        if sim.wants_close() {
            return Ok(());
        }
        tokio::select! {
            ready = stream.readable() => {
                ready?;
                let mut passed: Vec<OwnedFd> = Vec::new();
                let read = stream
                    .try_io(Interest::READABLE, || fds::receive(stream, &mut space, &mut passed));
                match read {
                    Ok(0) => return Ok(()),
                    Ok(count) => {
                        sim.handle_fds(passed.iter().filter_map(images::descriptor));
                        sim.handle_input(&space[..count], Instant::now());
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            () = until(sim.poll_timeout()) => sim.handle_timeout(Instant::now()),
            () = signals.heard() => sim.handle_signal(Instant::now()),
        }
    }
}

async fn send(sim: &mut Sim, stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sim.handle_blocked(Instant::now());
            }
            Err(error) => return Err(error),
        }
    }
    sim.handle_unblocked(Instant::now());
    Ok(())
}

/// For ever, when there is nothing to wait for.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Listens at a path. A socket that a simulated machine left when it was killed is replaced.
fn listen(path: &Path) -> Result<UnixListener, Failure> {
    let bind = || UnixListener::bind(path);
    let is_stale = || {
        let error = std::os::unix::net::UnixStream::connect(path).err();
        error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    let listener = match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale() => {
            images::remove(path)?;
            bind()
        }
        other => other,
    };
    listener.map_err(|error| Failure {
        exit: Exit::Connection,
        message: format!("cannot listen at {}: {error}", path.display()),
    })
}

/// A socket's name, removed in the end.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = images::remove(&self.0);
    }
}
