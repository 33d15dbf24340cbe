//! Which command does what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qplug_agent::wire::{
    AddEntropy, AgentInfo, Chmod, Command, Copy, Df, Done, Download, Find, ListDevices,
    ListFileSystems, ListMounts, ListUses, Ls, Mkdir, Mount, OpenFiles, PROTOCOL, QueryAgent,
    Release, Rename, Rm, Run, SetTime, Shutdown, Stat, Sync, TarIn, TarOut, Umount, Upload,
    UseRoot,
};
use qplug_proto::ErrorReply;
use serde_json::value::{RawValue, to_raw_value};

use crate::disks::Disks;
use crate::lanes::Lanes;
use crate::refusal::{Result, cannot, refuse};
use crate::{
    archive, boot, clock, content, files, find, mounts, power, program, root, transfer, uses,
};

/// What commands work with.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) disks: Disks,
    pub(crate) lanes: Lanes,
    /// What went wrong at the start.
    pub(crate) complaints: Vec<String>,
}

/// Whether a command touches nothing that can hang, and is carried out at once, in its turn.
pub(crate) fn is_quick(command: &str) -> bool {
    [QueryAgent::NAME, ListDevices::NAME, OpenFiles::NAME, SetTime::NAME].contains(&command)
}

impl Agent {
    /// Carries a command out.
    pub(crate) fn carry_out(
        &self,
        command: &str,
        arguments: Option<&RawValue>,
    ) -> Result<Box<RawValue>> {
        let (disks, lanes) = (&self.disks, &self.lanes);
        let done = |()| Done {};
        match command {
            QueryAgent::NAME => with(arguments, |_: QueryAgent| Ok(self.info())),
            OpenFiles::NAME => with(arguments, |it: OpenFiles| {
                lanes.restart(&it.token);
                Ok(Done {})
            }),
            SetTime::NAME => with(arguments, |it: SetTime| clock::set(it.time_us).map(done)),
            AddEntropy::NAME => with(arguments, |it: AddEntropy| stir(&it)),
            Sync::NAME => with(arguments, |_: Sync| {
                rustix::fs::sync();
                Ok(Done {})
            }),
            Shutdown::NAME => with(arguments, |_: Shutdown| {
                power::settle();
                Ok(Done {})
            }),
            ListDevices::NAME => with(arguments, |_: ListDevices| Ok(disks.all())),
            ListFileSystems::NAME => {
                with(arguments, |it: ListFileSystems| content::list(it.device.as_deref(), disks))
            }
            ListUses::NAME => with(arguments, |it: ListUses| uses::list(&it.device, disks)),
            Release::NAME => {
                with(arguments, |it: Release| uses::release(&it.device, it.force, disks))
            }
            Mount::NAME => with(arguments, |it: Mount| mounts::mount(&it, disks)),
            Umount::NAME => with(arguments, |it: Umount| match &it.path {
                Some(path) => mounts::unmount(path, it.force).map(done),
                None => mounts::unmount_all(it.force).map(done),
            }),
            ListMounts::NAME => with(arguments, |_: ListMounts| mounts::list(disks)),
            Df::NAME => with(arguments, |_: Df| mounts::space(disks)),
            Ls::NAME => with(arguments, |it: Ls| files::list(&it)),
            Stat::NAME => with(arguments, |it: Stat| files::status(&it)),
            Mkdir::NAME => with(arguments, |it: Mkdir| files::make_folder(&it).map(done)),
            Rm::NAME => with(arguments, |it: Rm| files::remove(&it.path).map(done)),
            Rename::NAME => with(arguments, |it: Rename| files::rename(&it).map(done)),
            Chmod::NAME => with(arguments, |it: Chmod| files::change_mode(&it).map(done)),
            Find::NAME => with(arguments, |it: Find| find::find(&it, lanes)),
            Download::NAME => with(arguments, |it: Download| transfer::download(&it, lanes, disks)),
            Upload::NAME => with(arguments, |it: Upload| transfer::upload(&it, lanes, disks)),
            Copy::NAME => with(arguments, |it: Copy| transfer::copy(&it, disks)),
            TarIn::NAME => with(arguments, |it: TarIn| archive::unpack(&it, lanes)),
            TarOut::NAME => with(arguments, |it: TarOut| archive::pack(&it, lanes)),
            UseRoot::NAME => with(arguments, |it: UseRoot| root::use_disk(&it, disks).map(done)),
            Run::NAME => with(arguments, |it: Run| {
                let ended = program::run(&it, lanes);
                disks.settle();
                ended
            }),
            other => Err(ErrorReply::not_found(other)),
        }
    }

    fn info(&self) -> AgentInfo {
        AgentInfo {
            protocol: PROTOCOL,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            uptime_ms: clock::uptime_ms(),
            time_us: clock::now_us(),
            complaints: self.complaints.clone(),
        }
    }
}

/// Reads a command's arguments, and writes what it returns.
fn with<C: Command>(
    arguments: Option<&RawValue>,
    act: impl FnOnce(C) -> Result<C::Return>,
) -> Result<Box<RawValue>> {
    let arguments = arguments.map_or("{}", RawValue::get);
    let command = serde_json::from_str(arguments);
    let command =
        command.map_err(|error| refuse(format!("{} was given wrongly: {error}", C::NAME)))?;
    to_raw_value(&act(command)?).map_err(cannot("put the answer into JSON"))
}

fn stir(wish: &AddEntropy) -> Result<Done> {
    let bytes = STANDARD.decode(&wish.base64).map_err(cannot("read the base64"))?;
    boot::stir(&bytes).map_err(cannot("stir the bytes in"))?;
    Ok(Done {})
}
