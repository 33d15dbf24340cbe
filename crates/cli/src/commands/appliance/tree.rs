//! `qplug appliance mount`, `umount`, `mounts`, `df`, `ls`, `stat`, `mkdir` and `rm`

use qplug_appliance::ApplianceName;
use qplug_appliance::wire;

use super::{ask, named, open};
use crate::args::appliance::{Ls, Mount, OfFile, Umount};
use crate::failure::{Exit, Failure};
use crate::output::{Output, printable, size, table};

const NOTHING_MOUNTED: &str = "nothing is mounted";

pub(super) async fn mount(args: Mount, output: &Output) -> Result<Exit, Failure> {
    let allow = args.allow.iter().map(|word| match word.as_str() {
        "dev" => wire::MountOption::Dev,
        "suid" => wire::MountOption::Suid,
        _ => wire::MountOption::Exec,
    });
    let command = wire::Mount {
        device: args.device,
        path: named(&args.path),
        kind: args.kind,
        read_only: args.read_only,
        allow: allow.collect(),
        data: args.options,
    };
    let mounted = ask(&args.appliance.name, &command).await?;
    output
        .result(&mounted, |out| {
            let wire::Mounted { path, device, kind, .. } = &mounted;
            writeln!(out, "{device} ({kind}) is mounted on {}", printable(&path.display()))
        })
        .await?;
    Ok(Exit::Done)
}

pub(super) async fn umount(args: Umount) -> Result<Exit, Failure> {
    let path = args.path.as_deref().map(named);
    ask(&args.appliance.name, &wire::Umount { path, force: args.force }).await?;
    Ok(Exit::Done)
}

pub(super) async fn mounts(name: &ApplianceName, output: &Output) -> Result<Exit, Failure> {
    let mounts = ask(name, &wire::ListMounts {}).await?;
    output
        .result(&mounts, |out| {
            if mounts.is_empty() {
                return writeln!(out, "{NOTHING_MOUNTED}");
            }
            let rows = mounts.iter().map(|it| {
                [it.path.display(), it.device.clone(), it.kind.clone(), it.options.clone()]
            });
            table(out, ["PATH", "DEVICE", "TYPE", "OPTIONS"], rows)
        })
        .await?;
    Ok(Exit::Done)
}

pub(super) async fn df(name: &ApplianceName, output: &Output) -> Result<Exit, Failure> {
    let spaces = ask(name, &wire::Df {}).await?;
    output
        .result(&spaces, |out| {
            if spaces.is_empty() {
                return writeln!(out, "{NOTHING_MOUNTED}");
            }
            let rows = spaces.iter().map(|it| {
                let sizes = [it.bytes, it.bytes - it.free_bytes.min(it.bytes), it.available_bytes];
                let [all, used, free] = sizes.map(size);
                [it.path.display(), it.device.clone(), all, used, free]
            });
            table(out, ["PATH", "DEVICE", "SIZE", "USED", "AVAILABLE"], rows)
        })
        .await?;
    Ok(Exit::Done)
}

/// Entries by their names, a part of the folder at a time: a large one is not held whole.
pub(super) async fn ls(args: Ls, output: &Output) -> Result<Exit, Failure> {
    let appliance = open(&args.appliance.name)?;
    let mut from = None;
    loop {
        let part = wire::Ls { path: named(&args.path), from, limit: None, long: args.long };
        let mut part = appliance.ask(&part).await?;
        part.entries.sort_by(|one, other| one.name.as_bytes().cmp(other.name.as_bytes()));
        output
            .result(&part.entries, |out| {
                part.entries.iter().try_for_each(|entry| writeln!(out, "{}", line(entry)))
            })
            .await?;
        from = part.next;
        if from.is_none() {
            return Ok(Exit::Done);
        }
    }
}

fn line(entry: &wire::Entry) -> String {
    let name = printable(&entry.name.display());
    let Some(status) = &entry.status else { return name };
    let kind = letter(entry.kind);
    let target = status.target.as_ref().map(|to| format!(" -> {}", printable(&to.display())));
    let wire::Status { mode, uid, gid, bytes, .. } = status;
    format!("{kind}{mode:04o} {uid:>5} {gid:>5} {bytes:>12} {name}{}", target.unwrap_or_default())
}

/// As `ls -l` has it.
fn letter(kind: wire::EntryKind) -> char {
    match kind {
        wire::EntryKind::File => '-',
        wire::EntryKind::Folder => 'd',
        wire::EntryKind::Link => 'l',
        wire::EntryKind::Block => 'b',
        wire::EntryKind::Character => 'c',
        wire::EntryKind::Fifo => 'p',
        wire::EntryKind::Socket => 's',
        wire::EntryKind::Other => '?',
    }
}

pub(super) async fn stat(args: OfFile, output: &Output) -> Result<Exit, Failure> {
    let command = wire::Stat { path: named(&args.path), link: true };
    let status = ask(&args.appliance.name, &command).await?;
    let kind = status.kind;
    output
        .result(&status, |out| {
            let entry = wire::Entry { name: named(&args.path), kind, status: Some(status.clone()) };
            writeln!(out, "{}", line(&entry))
        })
        .await?;
    Ok(Exit::Done)
}

pub(super) async fn mkdir(args: OfFile) -> Result<Exit, Failure> {
    let command = wire::Mkdir { path: named(&args.path), mode: None };
    ask(&args.appliance.name, &command).await?;
    Ok(Exit::Done)
}

pub(super) async fn rm(args: OfFile) -> Result<Exit, Failure> {
    ask(&args.appliance.name, &wire::Rm { path: named(&args.path) }).await?;
    Ok(Exit::Done)
}
