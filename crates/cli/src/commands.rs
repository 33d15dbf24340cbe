//! One file a command: from its arguments to its outcome.

pub(crate) mod appliance;
mod attach;
mod change;
mod codegen;
mod detach;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod freeze;
pub(crate) mod list;
mod media;
mod pages;
mod plans;
pub(crate) mod ports;
mod recover;
pub(crate) mod schema;
mod sim;
mod snapshot;
mod status;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use qplug_hotplug::Limits;
use qplug_qmp::{TlsFolder, Trace, Traffic};
use serde::Serialize;

use crate::args::{About, Appliance, ApplianceVerb, Args, Command, Schema, amount};
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, dim};
use crate::{shell, watch};

/// Runs the command that the arguments name.
pub(crate) async fn run(args: Args, output: &Output) -> Result<Exit, Failure> {
    let tls = args.tls_creds.map(TlsFolder);
    let reach = schema::source::Reach { connect_timeout: args.connect_timeout, tls: tls.clone() };
    let command = match args.command {
        Command::Appliance(Appliance { verb: ApplianceVerb::Shell(args) }) => {
            return shell::appliance::run(*args, output).await;
        }
        Command::Appliance(args) => return appliance::run(args.verb, output).await,
        Command::Codegen(args) => return codegen::run(args, &reach, output).await,
        Command::Completions(args) => return pages::completions(args, output).await,
        Command::Pages(args) => return pages::run(args, output).await,
        Command::Freeze(args) => return freeze::freeze(args, reach.connect_timeout, output).await,
        Command::Thaw(args) => return freeze::thaw(args, reach.connect_timeout, output).await,
        Command::Schema(Schema { about: Some(About::Diff { from, to }), .. }) => {
            return schema::run_between((&from, &to), &reach, output).await;
        }
        command => command,
    };
    let address = args.socket.ok_or_else(|| {
        Failure::usage("which machine? Give its monitor with --socket, or in QPLUG_SOCKET")
    })?;
    if let Command::Sim(args) = command {
        return sim::run(args, &address, output).await;
    }
    let trace = args.trace.map(|path| trace_to(&path)).transpose()?;
    let Args { connect_timeout, dialect, .. } = args;
    let monitor = Monitor { address, connect_timeout, tls, trace, dialect, kept: None };
    let outcome = match command {
        Command::Shell(args) => shell::run(args, monitor.clone(), output).await,
        command => run_command(command, &monitor, output).await,
    };
    if let Some(Err(error)) = monitor.trace.map(|trace| trace.outcome()) {
        output.remark(&format!("the trace is not complete: {error}"));
    }
    outcome
}

/// A trace that goes to a new file. Nobody else is to read it: it names images and machines.
fn trace_to(path: &Path) -> Result<Trace, Failure> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let file =
        file.map_err(|error| Failure::usage(format!("--trace {}: {error}", path.display())))?;
    Ok(Trace::new(file))
}

/// Runs a command of one machine.
pub(crate) async fn run_command(
    command: Command,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    match command {
        Command::Attach(args) => attach::run(*args, monitor, output).await,
        Command::Detach(args) => detach::run(args, monitor, output).await,
        Command::Insert(args) => media::insert(args, false, monitor, output).await,
        Command::Swap(args) => media::insert(args, true, monitor, output).await,
        Command::Eject(args) => media::eject(args, monitor, output).await,
        Command::Resize(args) => change::resize(args, monitor, output).await,
        Command::Throttle(args) => change::throttle(args, monitor, output).await,
        Command::Snapshot(args) => snapshot::run(args, monitor, output).await,
        Command::Freeze(args) => freeze::freeze(args, monitor.connect_timeout, output).await,
        Command::Thaw(args) => freeze::thaw(args, monitor.connect_timeout, output).await,
        Command::Recover(args) => recover::run(args, monitor, output).await,
        Command::List(args) => list::run(args, monitor, output).await,
        Command::Ports => ports::run(monitor, output).await,
        Command::Status => status::run(monitor, output).await,
        Command::Schema(Schema { about: Some(About::Diff { from, to }), .. }) => {
            schema::run_between((&from, &to), &monitor.reach(), output).await
        }
        Command::Schema(args) => schema::run(args, monitor, output).await,
        Command::Exec(args) => exec::run(args, monitor, output).await,
        Command::Hmp(args) => exec::run_hmp(args, monitor, output).await,
        Command::Events => events::run(monitor, output).await,
        Command::Watch => watch::run(monitor, output).await,
        Command::Appliance(args) => appliance::run(args.verb, output).await,
        Command::Codegen(args) => codegen::run(args, &monitor.reach(), output).await,
        Command::Completions(args) => pages::completions(args, output).await,
        Command::Pages(args) => pages::run(args, output).await,
        // Served before: they stay with a machine, or are one.
        Command::Sim(_) | Command::Shell(_) => Ok(Exit::Done),
    }
}

/// Limits to a disk's speed, each as KEY=VALUE, several in one text with commas between them.
fn limits(texts: &[String]) -> Result<Limits, Failure> {
    let mut limits = Limits::new();
    for text in texts.iter().flat_map(|text| text.split(',')) {
        let pair = text.split_once('=');
        let (key, value) =
            pair.ok_or_else(|| Failure::usage(format!("limit {text:?}: give KEY=VALUE")))?;
        let value = amount(value).map_err(Failure::usage)?;
        if limits.insert(key.to_owned(), value.into()).is_some() {
            return Err(Failure::usage(format!("the limit {key} is given twice")));
        }
    }
    Ok(limits)
}

/// A result, and what it took: QEMU reads its monitor slowly, so commands and bytes are time.
#[derive(Serialize)]
struct WithTraffic<T: Serialize> {
    #[serde(flatten)]
    result: T,
    traffic: Traffic,
}

/// What an operation took, as people read it.
fn took(traffic: Traffic) -> String {
    dim(format_args!("({} commands, {} bytes)", traffic.commands, traffic.bytes))
}
