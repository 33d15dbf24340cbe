//! What `--dry-run` prints.

use std::io::{self, Write};

use qplug_hotplug::{Error, Machine, Planned, PlannedStep, Plans};
use serde_json::{Value, json};

use super::took;
use crate::failure::{Exit, Failure};
use crate::output::{Output, dim};

/// Prints the plan. The exit code is what the command itself would have refused with.
pub(super) async fn report(
    plans: &Plans,
    machine: Machine,
    output: &Output,
) -> Result<Exit, Failure> {
    let traffic = machine.client().traffic();
    drop(machine);
    let all = || plans.shared.iter().chain(&plans.disks);
    let value = json!({
        "shared": plans.shared.iter().map(to_json).collect::<Vec<_>>(),
        "disks": plans.disks.iter().map(to_json).collect::<Vec<_>>(),
        "unused": plans.unused,
        "traffic": traffic,
    });
    output
        .result(&value, |out| {
            all().try_for_each(|planned| tell(planned, out))?;
            for unused in &plans.unused {
                writeln!(out, "{unused}: removed, if nothing uses it then")?;
            }
            writeln!(out, "nothing was changed {}", took(traffic))
        })
        .await?;
    let exits = all().filter_map(|planned| planned.steps.as_ref().err()).map(Failure::exit_of);
    Ok(exits.fold(Exit::Done, Exit::worse))
}

fn to_json(planned: &Planned) -> Value {
    match &planned.steps {
        Ok(steps) => json!({"name": planned.name, "steps": steps}),
        Err(error) => json!({"name": planned.name, "error": Failure::about(error).to_json()}),
    }
}

fn tell(planned: &Planned, out: &mut dyn Write) -> io::Result<()> {
    let name = &planned.name;
    match &planned.steps {
        Ok(steps) if steps.is_empty() => writeln!(out, "{name}: nothing to do"),
        Ok(steps) => {
            writeln!(out, "{name}:")?;
            steps.iter().try_for_each(|step| tell_step(step, out))
        }
        Err(Error::NotTried) => writeln!(out, "{name}: not tried"),
        Err(error) => writeln!(out, "{name}: cannot: {error}"),
    }
}

fn tell_step(step: &PlannedStep, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {}", step.doing)?;
    writeln!(out, "    qplug exec {}", step.command)?;
    if let Some(undo) = &step.undo {
        writeln!(out, "    {}", dim(format_args!("undo: qplug exec {undo}")))?;
    }
    if let Some(awaits) = &step.awaits {
        writeln!(out, "    {}", dim(format_args!("waits for {awaits}")))?;
    }
    Ok(())
}
