//! What uses a disk.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use qplug_agent::Name;
use qplug_agent::wire::{Device, Use, UseKind};

use crate::device::{self, Named};
use crate::disks::Disks;
use crate::mounts;
use crate::refusal::{Result, cannot};
use crate::sysfs;

/// Devices on devices, at most so deep.
const MAX_DEPTH: usize = 16;

/// A disk with its partitions and all that lies on them, by their numbers.
struct Stack {
    devices: BTreeMap<(u32, u32), Named>,
    holders: Vec<Use>,
}

/// What uses a disk, in any way.
pub(crate) fn list(name: &str, disks: &Disks) -> Result<Vec<Use>> {
    let disk = device::find_disk(name, disks)?;
    of(&disk)
}

fn of(disk: &Device) -> Result<Vec<Use>> {
    let stack = stack(disk);
    let mut uses = mounted(&stack)?;
    uses.extend(swapped(&stack));
    uses.extend(stack.holders.iter().cloned());
    uses.extend(opened(&stack));
    uses.sort_by(|one, other| (one.kind, &one.by).cmp(&(other.kind, &other.by)));
    uses.dedup();
    Ok(uses)
}

/// Makes a disk ready to be taken out; see the command `release`.
pub(crate) fn release(name: &str, force: bool, disks: &Disks) -> Result<Vec<Use>> {
    let disk = device::find_disk(name, disks)?;
    let uses = of(&disk)?;
    if !uses.is_empty() && !force {
        return Ok(uses);
    }
    let stack = stack(&disk);
    for swap in swaps(&stack) {
        sys_mount::swapoff(&swap.path)
            .map_err(cannot(format!("have the kernel swap no more to {}", swap.path.display())))?;
    }
    for line in mounts::in_tree()?.iter().rev() {
        if line.device().is_some_and(|numbers| stack.devices.contains_key(&numbers)) {
            mounts::take_out(line, true)?;
        }
    }
    if !disk.read_only {
        // Of this disk alone: another one may hang.
        for device in stack.devices.values() {
            let synced = fs::File::open(device.node()).and_then(|device| device.sync_all());
            synced.map_err(cannot(format!("write out what waits for {name}")))?;
        }
    }
    of(&disk)
}

fn stack(disk: &Device) -> Stack {
    let mut stack = Stack { devices: BTreeMap::new(), holders: Vec::new() };
    let partitions = disk.partitions.iter().map(|partition| partition.kernel_name.clone());
    let mut level: Vec<_> = [disk.kernel_name.clone()].into_iter().chain(partitions).collect();
    for _ in 0..MAX_DEPTH {
        let mut above = Vec::new();
        for kernel_name in level {
            let Some(numbers) = sysfs::numbers(&kernel_name) else { continue };
            let device = named(&kernel_name, disk);
            let name = device.name.clone();
            if stack.devices.insert(numbers, device).is_some() {
                continue;
            }
            for holder in sysfs::holders(&kernel_name) {
                let by = Name::from(sysfs::friendly_name(&holder).as_str());
                stack.holders.push(Use { kind: kind_of(&holder), device: name.clone(), by });
                above.push(holder);
            }
        }
        level = above;
    }
    stack
}

/// What a command calls a device of the stack.
fn named(kernel_name: &str, disk: &Device) -> Named {
    let users = device::name_of(kernel_name, std::slice::from_ref(disk));
    Named {
        name: users.unwrap_or_else(|| sysfs::friendly_name(kernel_name)),
        kernel_name: kernel_name.to_owned(),
        is_read_only: disk.read_only,
    }
}

fn kind_of(holder: &str) -> UseKind {
    match holder {
        _ if holder.starts_with("dm-") => UseKind::Dm,
        _ if holder.starts_with("md") => UseKind::Md,
        _ => UseKind::Holder,
    }
}

fn mounted(stack: &Stack) -> Result<Vec<Use>> {
    let lines = mounts::in_tree()?;
    let used = |line: &mounts::Line| {
        let device = stack.devices.get(&line.device()?)?.name.clone();
        Some(Use { kind: UseKind::Mount, device, by: line.path() })
    };
    Ok(lines.iter().filter_map(used).collect())
}

/// What the kernel swaps to: a device, or a file in a file system on one.
struct Swap {
    path: PathBuf,
    device: String,
}

fn swaps(stack: &Stack) -> Vec<Swap> {
    let table = fs::read("/proc/swaps").unwrap_or_default();
    let swap = |line: &[u8]| {
        let path = line.split(|byte| matches!(byte, b' ' | b'\t')).next()?;
        let path = PathBuf::from(OsString::from_vec(mounts::unescaped(path)));
        let found = fs::metadata(&path).ok()?;
        let numbers = if found.file_type().is_block_device() { found.rdev() } else { found.dev() };
        let numbers = (rustix::fs::major(numbers), rustix::fs::minor(numbers));
        Some(Swap { path, device: stack.devices.get(&numbers)?.name.clone() })
    };
    table.split(|byte| *byte == b'\n').skip(1).filter_map(swap).collect()
}

fn swapped(stack: &Stack) -> Vec<Use> {
    let used = |Swap { path, device }| Use { kind: UseKind::Swap, device, by: path.into() };
    swaps(stack).into_iter().map(used).collect()
}

/// The processes that have one of the devices open.
fn opened(stack: &Stack) -> Vec<Use> {
    let mut uses = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        for file in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let target =
                fs::metadata(file.path()).ok().filter(|it| it.file_type().is_block_device());
            let numbers =
                target.map(|it| (rustix::fs::major(it.rdev()), rustix::fs::minor(it.rdev())));
            let Some(device) = numbers.and_then(|numbers| stack.devices.get(&numbers)) else {
                continue;
            };
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let by = format!("{} (process {pid})", program.trim());
            let by = Name::from(by.as_str());
            uses.push(Use { kind: UseKind::Open, device: device.name.clone(), by });
        }
    }
    uses
}
