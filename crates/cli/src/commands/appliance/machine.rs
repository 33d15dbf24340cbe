//! `qplug appliance up`, `down` and `list`

use std::io::{self, Write};
use std::time::Instant;

use qplug_appliance::{Accel, ApplianceName, Cache, Launch, Plan, Qemu, Registry, State};
use serde::Serialize;

use super::disks::{self, Added};
use crate::args::appliance::{Make, Up};
use crate::endings::Endings;
use crate::failure::{Exit, Failure};
use crate::output::{Output, dim, table};

/// An appliance that was started.
#[derive(Serialize)]
pub(crate) struct Started {
    name: String,
    pid: u32,
    restored: bool,
    milliseconds: u128,
    devices: Vec<Added>,
}

impl Started {
    /// Says what it is, and which disks it has.
    pub(crate) fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        let how = if self.restored { "restored" } else { "booted" };
        let took = dim(format_args!("({how}, {} ms)", self.milliseconds));
        writeln!(out, "{} is up {took}", self.name)?;
        disks::tell(out, &self.devices)
    }
}

pub(super) async fn up(args: Up, output: &Output) -> Result<Exit, Failure> {
    if args.dry_run {
        disks::described(&args.images, &[], args.make.format.as_ref(), args.make.snapshot)?;
        let line = plan(args.name, args.make)?.command_line();
        output.result(&line, |out| writeln!(out, "{}", as_a_line(&line))).await?;
        return Ok(Exit::Done);
    }
    let name = args.name.clone();
    let mut endings = Endings::new()?;
    let (started, exit) = tokio::select! {
        // First: where there is such an appliance already, it is not ours to end.
        biased;
        started = start(args.name, &args.images, args.make, output) => started?,
        () = endings.next() => {
            qplug_appliance::down(&Registry::of_user()?, &name).await?;
            return Err(Failure { exit: Exit::Interrupted, message: "interrupted".to_owned() });
        }
    };
    output.result(&started, |out| started.tell(out)).await?;
    Ok(exit)
}

/// Starts an appliance and plugs images in. Those that fail are complained of, and the rest stay.
pub(crate) async fn start(
    name: ApplianceName,
    images: &[String],
    make: Make,
    output: &Output,
) -> Result<(Started, Exit), Failure> {
    let start = Instant::now();
    let disks = disks::described(images, &[], make.format.as_ref(), make.snapshot)?;
    let appliance = plan(name, make)?.start().await?;
    let devices = disks::plug_in(&appliance, images, disks).await?;
    let exit = disks::complain(&devices, output);
    let record = appliance.record();
    let started = Started {
        name: appliance.name().as_str().to_owned(),
        pid: record.identity.pid,
        restored: record.restored,
        milliseconds: start.elapsed().as_millis(),
        devices,
    };
    Ok((started, exit))
}

fn plan(name: ApplianceName, make: Make) -> Result<Plan, Failure> {
    let qemu = match &make.qemu {
        Some(program) => Some(Qemu::find(Some(program), &Cache::of_user()?)?),
        None => None,
    };
    let root = make.root.as_deref().map(disks::root).transpose()?;
    let accel = make.accel.map(|name| if name == "kvm" { Accel::Kvm } else { Accel::Tcg });
    let launch = Launch::named(name)
        .qemu(qemu)
        .kernel(make.kernel, make.modules)
        .programs(make.with)
        .root(root.map(|root| root.partition(make.root_partition)))
        .memory_mib(make.memory)
        .cpus(make.cpus)
        .accel(accel)
        .cold(make.cold);
    Ok(launch.plan()?)
}

/// A command line as a shell takes it.
fn as_a_line(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@".contains(c);
    let quoted = |word: &String| match word.is_empty() || !word.chars().all(is_plain) {
        true => format!("'{}'", word.replace('\'', r"'\''")),
        false => word.clone(),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

pub(super) async fn down(name: &ApplianceName, output: &Output) -> Result<Exit, Failure> {
    let state = qplug_appliance::down(&Registry::of_user()?, name).await?;
    let name = name.as_str();
    output
        .result(&serde_json::json!({"name": name, "was": state}), |out| match state {
            Some(State::Dead) => writeln!(out, "{name} was dead, and is cleared away"),
            Some(State::Running | State::Changing) => writeln!(out, "{name} is down"),
            None => writeln!(out, "there is no appliance {name}"),
        })
        .await?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Listed {
    name: String,
    state: State,
    pid: Option<u32>,
    folder: String,
}

pub(super) async fn list(output: &Output) -> Result<Exit, Failure> {
    let places = Registry::of_user()?.list()?;
    let listed: Vec<_> = places
        .into_iter()
        .map(|(place, state)| Listed {
            name: place.name().as_str().to_owned(),
            state,
            pid: place.record().map(|record| record.identity.pid),
            folder: place.folder().display().to_string(),
        })
        .collect();
    output
        .result(&listed, |out| {
            if listed.is_empty() {
                return writeln!(out, "no appliances");
            }
            let rows = listed.iter().map(|it| {
                let state = match it.state {
                    State::Changing => "changing",
                    State::Running => "running",
                    State::Dead => "dead",
                };
                let pid = it.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
                [it.name.clone(), state.to_owned(), pid, it.folder.clone()]
            });
            table(out, ["NAME", "STATE", "PID", "FOLDER"], rows)
        })
        .await?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted() {
        let words = ["qemu", "-append", "quiet a=b", "it's", ""].map(String::from);
        assert_eq!(as_a_line(&words), r"qemu -append 'quiet a=b' 'it'\''s' ''");
    }
}
