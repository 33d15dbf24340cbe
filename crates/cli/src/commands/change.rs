//! `qplug resize` and `qplug throttle`

use qplug_hotplug::Throttled;

use super::{WithTraffic, limits, took};
use crate::args::{Resize, Throttle};
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, size};

pub(super) async fn resize(
    args: Resize,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let machine = monitor.machine().await?;
    let resize = qplug_hotplug::Resize::new(&args.name, args.size, args.shrink);
    let resized = machine.resize(resize).await?;
    let traffic = machine.client().traffic();
    drop(machine);
    output
        .result(&WithTraffic { result: &resized, traffic }, |out| {
            let (name, now) = (&resized.name, size(resized.bytes));
            if resized.before == Some(resized.bytes) {
                return writeln!(out, "{name} has {now} already");
            }
            let before = resized.before.map_or_else(|| "an unknown size".to_owned(), size);
            writeln!(out, "{name} has {now} now, {before} before {}", took(traffic))
        })
        .await?;
    Ok(Exit::Done)
}

pub(super) async fn throttle(
    args: Throttle,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let limits = limits(&args.limits)?;
    let what = match args.group {
        true => Throttled::Group(args.name),
        false => Throttled::Disk(args.name),
    };
    let machine = monitor.machine().await?;
    let limited = machine.throttle(what, limits).await?;
    let traffic = machine.client().traffic();
    drop(machine);
    output
        .result(&WithTraffic { result: &limited, traffic }, |out| {
            let group = match &limited.group {
                Some(group) => format!(" (in the throttle group {group})"),
                None => String::new(),
            };
            let name = &limited.name;
            if limited.limits.is_empty() {
                return writeln!(out, "{name} is not limited any more{group} {}", took(traffic));
            }
            let each = limited.limits.iter().map(|(key, number)| format!("{key}={number}"));
            let limits = each.collect::<Vec<_>>().join(", ");
            writeln!(out, "{name} is limited to {limits}{group} {}", took(traffic))
        })
        .await?;
    Ok(Exit::Done)
}
