//! The command line.
//!
//! | file | owns |
//! |---|---|
//! | `args/appliance.rs` | the words of `qplug appliance` |
//! | `args/attach.rs`, `args/detach.rs` | the words of these commands |
//! | `args/change.rs` | the words of commands that change what is there |
//! | `args/disk.rs` | the words that describe a disk, on the command line and in a list |
//! | `args/list.rs` | the words of `qplug list` |
//! | `args/pages.rs` | the words of commands about the command itself |
//! | `args/schema.rs` | the words of commands about what a QEMU can do |
//! | `args/shell.rs` | the words of the shell |
//! | `args/snapshot.rs` | the words of snapshots, and of guests that hold still |
//! | `args/word.rs` | how a word is read, wherever it stands |

pub(crate) mod appliance;
mod attach;
mod change;
mod detach;
mod disk;
mod list;
mod pages;
mod schema;
mod shell;
mod snapshot;
mod word;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use qplug_hotplug::Dialect;
use qplug_qmp::Address;
use qplug_sim::{Guest, Version as SimVersion};

pub(crate) use appliance::{Appliance, Verb as ApplianceVerb};
pub(crate) use attach::Attach;
pub(crate) use change::{Eject, Insert, Recover, Resize, Throttle, Tray};
pub(crate) use detach::Detach;
pub(crate) use disk::DiskWords;
pub(crate) use list::List;
pub(crate) use pages::{Completions, Pages};
pub(crate) use schema::{About, Codegen, Schema};
pub(crate) use shell::Shell;
pub(crate) use snapshot::{Freeze, Snapshot, Thaw};
use word::OneOf;
pub(crate) use word::amount;

/// What every command takes.
const ANY: &str = "Options of every command";

/// Plug disks into running QEMU machines, and pull them out again.
///
/// A disk is known by its name: a Linux guest finds it under /dev/disk/by-id/virtio-NAME, and
/// 'detach NAME' pulls it out. Every command may be repeated safely.
#[derive(Debug, Parser)]
#[command(name = "qplug", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The machine's QMP monitor: PATH, unix:PATH, unix:@ABSTRACT, tcp:HOST:PORT, tls:HOST:PORT,
    /// vsock:CID:PORT, fd:NUMBER, exec:COMMAND, or listen: before a unix: or tcp: one.
    #[arg(long, short, global = true, help_heading = ANY, env = "QPLUG_SOCKET", value_name = "ADDRESS")]
    pub(crate) socket: Option<Address>,

    /// Print JSON, for programs (docs/json.md has the shapes).
    #[arg(long, global = true, help_heading = ANY)]
    pub(crate) json: bool,

    /// Say on stderr what is sent and what comes back, and how much was sent in all.
    #[arg(long, short, global = true, help_heading = ANY)]
    pub(crate) verbose: bool,

    /// How long to wait for the monitor to answer, in seconds.
    #[arg(long, global = true, help_heading = ANY, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,

    /// The certificates for a tls: address: ca-cert.pem, and client-cert.pem with client-key.pem
    /// where the server asks for one, as for QEMU's tls-creds-x509.
    #[arg(long, global = true, help_heading = ANY, value_name = "FOLDER")]
    pub(crate) tls_creds: Option<PathBuf>,

    /// Write the conversation with the monitor down, as a transcript that can be replayed. Secrets
    /// are blotted out.
    #[arg(long, global = true, help_heading = ANY, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// How the machine is told of disks: blockdev (QEMU 2.9), drive (0.14) or rhel6. Left out, the
    /// machine is asked.
    #[arg(long, global = true, help_heading = ANY, value_name = "DIALECT")]
    #[arg(value_parser = OneOf::<Dialect>::of(Dialect::WORDS), hide_possible_values = true)]
    pub(crate) dialect: Option<Dialect>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plug disks in.
    #[command(after_help = attach::EXAMPLES)]
    Attach(Box<Attach>),
    /// Pull disks out: wait until the guest has let go and the images are closed.
    #[command(after_help = detach::EXAMPLES)]
    Detach(Detach),
    /// Put a medium into an empty CD or floppy drive.
    Insert(Insert),
    /// Put a medium into a drive, in place of what is in it. The old one is back in place when the
    /// new one fails.
    Swap(Insert),
    /// Take the medium out of a drive.
    Eject(Eject),
    /// Give a disk another size while the guest uses it.
    Resize(Resize),
    /// Limit the speed of a disk, or of a group of disks, while the guest uses it.
    Throttle(Throttle),
    /// Take a snapshot within the images of disks while the guest uses them, at one moment for all of
    /// them; list or delete snapshots.
    #[command(after_help = snapshot::EXAMPLES)]
    Snapshot(Snapshot),
    /// Freeze the guest's file systems through its agent: all is on the disks then, and who writes in
    /// the guest waits until 'qplug thaw'.
    #[command(after_help = snapshot::FREEZE_EXAMPLES)]
    Freeze(Freeze),
    /// Thaw the guest's file systems, whoever froze them.
    Thaw(Thaw),
    /// Finish what is half done: images that crashes left open, and detaches that are pending.
    Recover(Recover),
    /// List the machine's disks.
    #[command(after_help = list::EXAMPLES)]
    List(List),
    /// List what can be plugged where.
    Ports,
    /// Say what machine it is, and how it is.
    Status,
    /// Say which commands and events the machine has, or what one takes.
    #[command(after_help = schema::EXAMPLES)]
    Schema(Schema),
    /// Write Rust types for the commands and events of QEMUs, for programs that use qplug-qapi.
    Codegen(Codegen),
    /// Run any QMP command, with arguments as key=value or as JSON.
    #[command(after_help = EXEC_HELP)]
    Exec(Exec),
    /// Run a command of the human monitor. Its errors are text like any other: exit code 0 says
    /// only that it was run.
    Hmp(Hmp),
    /// Follow the machine's events until interrupted.
    Events,
    /// Talk to the machine: commands of qplug and of QMP, completed from the machine itself, with its
    /// events as they come.
    #[command(after_help = shell::EXAMPLES)]
    Shell(Shell),
    /// Watch the machine on a full screen: state, topology, disks, jobs and events.
    Watch,
    /// Run a small machine of qplug's own, to look inside disks and change what is in them.
    #[command(after_help = appliance::EXAMPLES)]
    Appliance(Appliance),
    /// Print what a shell needs to complete qplug's commands and options.
    #[command(after_help = pages::EXAMPLES)]
    Completions(Completions),
    /// Write completions for all shells, and a manual page for each command.
    Pages(Pages),
    /// Be a machine that is not there: no QEMU and no guest, at the path of --socket, for one client
    /// after the other.
    #[command(after_help = SIM_HELP)]
    Sim(SimArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Exec {
    /// How long to wait for the reply, in seconds.
    #[arg(long, short, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Send the arguments as they are, of which nothing is checked.
    #[arg(long)]
    pub(crate) raw: bool,

    /// The command, such as query-block.
    pub(crate) command: String,

    /// Its arguments: key=value (a dot in the key goes into an object), or one JSON object.
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Hmp {
    /// How long to wait for the reply, in seconds.
    #[arg(long, short, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// The command line, such as 'info block -v'. It takes all that follows.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command_line: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SimArgs {
    /// The board: q35 or pc [default: q35; pc before QEMU 7.2].
    #[arg(long, value_parser = ["q35", "pc"])]
    pub(crate) machine: Option<String>,

    /// How many root ports a q35 has: rp0, rp1 and so on.
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = clap::value_parser!(u8).range(0..=24))]
    pub(crate) ports: u8,

    /// Ports ask the guest themselves, and not ACPI: 6 seconds to unplug.
    #[arg(long)]
    pub(crate) native_hotplug: bool,

    /// The guest: quick, slow:2s, busy:3s, paused, dead, booting:10s, pulls-out:5s, switches-off:5s, reboots:5s or rejects.
    #[arg(long, default_value = "quick")]
    pub(crate) guest: Guest,

    /// The machine never ran.
    #[arg(long)]
    pub(crate) halted: bool,

    /// The QEMU to imitate: 0.14, rhel6, 1.2, 2.5, 2.9, 7.2 or 10.0.
    #[arg(long, value_name = "VERSION", default_value = "10.0")]
    pub(crate) qemu: SimVersion,

    /// What goes wrong, a fault a line (docs/simulator.md has the forms).
    #[arg(long, value_name = "FILE")]
    pub(crate) faults: Option<PathBuf>,
}

const SIM_HELP: &str = "\
Examples:
  qplug --socket /tmp/x sim &
  qplug --socket /tmp/x sim --machine pc --guest slow:2s --faults faults.txt &

Images are looked up in the file system, for their size and header, and never changed.";

const EXAMPLES: &str = "\
Examples:
  qplug --socket /run/vm1.qmp attach data.qcow2
  qplug --socket /run/vm1.qmp attach a.img b.img --bus virtio-scsi
  qplug --socket /run/vm1.qmp detach data
  QPLUG_SOCKET=tcp:localhost:4444 qplug list --json

Exit codes: 0 done, 2 usage, 3 connection, 4 refused by QEMU or the guest,
5 pending, 6 impossible (nothing was changed), 7 outcome unknown, 1 anything else.";

const EXEC_HELP: &str = "\
Examples:
  qplug exec query-block
  qplug exec blockdev-add driver=raw node-name=n file.driver=file file.filename=a.img
  qplug exec device_del '{\"id\": \"data\"}'

A value is what its place takes, by the machine's own schema: 5 is a number for a size, and a string for
a name; sizes may end with K, M, G or T. Arguments that the machine would not take are not sent, nor properties
that a device has not. Where nothing is known, and with --raw, numbers, true, false, null, and texts that
begin with {, [ or \" are taken as JSON, and all else is a string: key='\"1\"'.";

/// The longest wait that can be asked for; a longer one is a slip of the finger.
const MAX_SECONDS: f64 = 86_400.0 * 7.0;

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("not a number of seconds from 0 to {MAX_SECONDS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn every_help_fits_a_terminal_and_has_no_option_twice() {
        use clap::CommandFactory;
        for command in Args::command().get_subcommands() {
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "x", "-1", "inf", "NaN", "1e9"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
