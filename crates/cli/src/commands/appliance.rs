//! `qplug appliance`: a small machine of qplug's own.
//!
//! | file | owns |
//! |---|---|
//! | `appliance/machine.rs` | starting, ending and listing appliances |
//! | `appliance/disks.rs` | their disks |
//! | `appliance/tree.rs` | what is mounted, and what is there |
//! | `appliance/files.rs` | bytes in and out, and programs |

mod disks;
pub(crate) mod files;
pub(crate) mod machine;
mod tree;

use std::io::ErrorKind;
use std::path::Path;

use qplug_appliance::wire::Command as Ask;
use qplug_appliance::{Appliance, ApplianceName, Error, Name, Registry};

use crate::args::ApplianceVerb as Verb;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Reader};

/// Runs a command of an appliance.
pub(crate) async fn run(verb: Verb, output: &Output) -> Result<Exit, Failure> {
    let outcome = run_to_its_end(verb, output).await;
    match output.reader() {
        Reader::Left => Ok(Exit::Done),
        Reader::Listens => outcome,
    }
}

async fn run_to_its_end(verb: Verb, output: &Output) -> Result<Exit, Failure> {
    match verb {
        Verb::Up(args) => machine::up(*args, output).await,
        Verb::Down(args) => machine::down(&args.name, output).await,
        Verb::List => machine::list(output).await,
        Verb::Add(args) => disks::add(args, output).await,
        Verb::Remove(args) => disks::remove(args, output).await,
        Verb::ListDevices(args) => disks::list_devices(&args.name, output).await,
        Verb::ListFilesystems(args) => disks::list_filesystems(&args.name, output).await,
        Verb::Mount(args) => tree::mount(args, output).await,
        Verb::Umount(args) => tree::umount(args).await,
        Verb::Mounts(args) => tree::mounts(&args.name, output).await,
        Verb::Df(args) => tree::df(&args.name, output).await,
        Verb::Ls(args) => tree::ls(args, output).await,
        Verb::Stat(args) => tree::stat(args, output).await,
        Verb::Mkdir(args) => tree::mkdir(args).await,
        Verb::Rm(args) => tree::rm(args).await,
        Verb::Find(args) => files::find(args, output).await,
        Verb::Cat(args) => files::cat(args, output).await,
        Verb::Cp(args) => files::cp(args, output).await,
        Verb::TarIn(args) => files::tar_in(args, output).await,
        Verb::TarOut(args) => files::tar_out(args, output).await,
        Verb::Sh(args) => files::sh(args, output).await,
        // Served before, but for shells: one of them is enough.
        Verb::Shell(_) => {
            Err(Failure::usage("'qplug appliance shell' is for outside of this shell"))
        }
    }
}

/// The appliance of this name.
pub(crate) fn open(name: &ApplianceName) -> Result<Appliance, Failure> {
    Ok(Appliance::open(&Registry::of_user()?, name)?)
}

/// Asks the agent of an appliance.
pub(crate) async fn ask<C: Ask>(name: &ApplianceName, command: &C) -> Result<C::Return, Failure> {
    Ok(open(name)?.ask(command).await?)
}

/// A path of the appliance's.
fn named(path: &Path) -> Name {
    Name::from(path.to_owned())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error {
            Error::Wish(_) => Exit::Usage,
            Error::Connect(error) => return error.into(),
            // The agent speaks in sentences, and it was not QEMU who refused.
            Error::Command(qplug_qmp::Error::Refused { reply, .. }) => {
                return Self { exit: Exit::Refused, message: reply.desc };
            }
            Error::Command(error) => return error.into(),
            // Where a name is a label, and not what --name gives.
            Error::Disk(qplug_hotplug::Error::NameTaken { name, .. }) => {
                let message = format!(
                    "the label {name} is taken; remove that disk first, or take another with --label"
                );
                return Self { exit: Exit::Impossible, message };
            }
            Error::Disk(qplug_hotplug::Error::ImageInUse { image, by }) => {
                let message = format!(
                    "the image {image} is in this appliance already, as {by}; remove that disk first, \
                     or have both only read: IMAGE:ro"
                );
                return Self { exit: Exit::Impossible, message };
            }
            Error::Disk(error) => return error.into(),
            Error::Description(error) => return error.into(),
            // As with an image that is not there.
            Error::File { ref source, .. } if source.kind() == ErrorKind::NotFound => {
                Exit::Impossible
            }
            Error::Missing { .. }
            | Error::Content { .. }
            | Error::Exists { .. }
            | Error::Absent { .. }
            | Error::Starting { .. } => Exit::Impossible,
            Error::Dead { .. }
            | Error::Died { .. }
            | Error::Late { .. }
            | Error::Hangs { .. }
            | Error::Busy { .. } => Exit::Connection,
            Error::InUse { .. } => Exit::Refused,
            Error::Kept { .. } => Exit::Pending,
            Error::Stands { .. } => Exit::Unknown,
            Error::Unwritten { .. } | Error::File { .. } | Error::Saved(_) | Error::Transfer(_) => {
                Exit::Other
            }
        };
        Self { exit, message: error.to_string() }
    }
}
