//! `qplug attach`

use std::path::Path;

use qplug_hotplug::Disk;
use qplug_qmp::Address;

use super::{Monitor, WithTraffic, took};
use crate::args::Attach;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(super) async fn run(args: Attach, monitor: &Monitor, output: &Output) -> Result<Exit, Failure> {
    let disk = disk(args, &monitor.address)?;
    let machine = monitor.machine().await?;
    let attached = machine.attach(disk).await?;
    let traffic = machine.client().traffic();
    let result = WithTraffic { result: &attached, traffic };
    output.result(&result, |out| {
        let how = if attached.already { "is already attached" } else { "attached" };
        let place = attached.port.as_ref().map(|port| format!(" at {port}")).unwrap_or_default();
        let access = if attached.read_only { ", read-only" } else { "" };
        writeln!(
            out,
            "{} {how}{place} ({}{access}) {}",
            attached.name,
            attached.format,
            took(traffic)
        )?;
        writeln!(out, "a Linux guest finds it at {}", attached.guest_path)
    })?;
    Ok(Exit::Done)
}

fn disk(args: Attach, address: &Address) -> Result<Disk, Failure> {
    let name = match &args.name {
        Some(name) => name,
        None => name_of_image(&args.image)?,
    };
    let builder = Disk::named(name)?.serial(args.serial.as_deref()).format(args.format);
    let disk = if args.remote || is_elsewhere(address) {
        builder.remote_image(args.image)?
    } else {
        builder.image(args.image)?
    };
    Ok(disk.read_only(args.read_only).port(args.port))
}

fn name_of_image(image: &Path) -> Result<&str, Failure> {
    let name = image.file_stem().and_then(|stem| stem.to_str());
    name.filter(|name| qplug_hotplug::DiskName::new(name).is_ok()).ok_or_else(|| {
        let image = image.display();
        Failure::usage(format!("no name can be made of {image}: give one with --name"))
    })
}

/// Whether QEMU runs on another machine, so that its files are not here.
fn is_elsewhere(address: &Address) -> bool {
    let (Address::Tcp { host, .. } | Address::Tls { host, .. }) = address else {
        return matches!(address, Address::Vsock { .. });
    };
    let ip = host.parse::<std::net::IpAddr>();
    host != "localhost" && !ip.is_ok_and(|ip| ip.is_loopback())
}
