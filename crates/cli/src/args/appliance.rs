//! The words of `qplug appliance`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueHint};
use qplug_appliance::{ApplianceName, Format};

use super::word::OneOf;

#[derive(Debug, ClapArgs)]
pub(crate) struct Appliance {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start an appliance, and return when it is ready.
    Up(Box<Up>),
    /// End an appliance, with everything written out; or clear away what is left of a dead one.
    Down(Named),
    /// List the appliances there are.
    List,
    /// Plug disks in, and return when the appliance sees them.
    Add(Add),
    /// Unplug disks, whose labels and images are free then.
    Remove(Remove),
    /// List the disks, in the order in which they came.
    ListDevices(Named),
    /// List what is on the disks and their partitions.
    ListFilesystems(Named),
    /// Mount a file system. Nothing on it is a device, sets ids or can be run, unless it is allowed.
    Mount(Mount),
    /// Unmount a file system, or all of them.
    Umount(Umount),
    /// List what is mounted.
    Mounts(Named),
    /// Say how much room mounted file systems have.
    Df(Named),
    /// List a folder's entries, by name; of a large folder, 4096 at a time.
    Ls(Ls),
    /// Say what is known of a file.
    Stat(OfFile),
    /// List everything below a folder.
    Find(OfFile),
    /// Print files.
    Cat(OfFiles),
    /// Copy a file in or out. The appliance's is NAME:PATH, or :PATH in its shell; - is standard input or
    /// output.
    Cp(Cp),
    /// Unpack a tar archive into a folder.
    TarIn(TarIn),
    /// Pack a folder's contents as a tar archive to standard output.
    TarOut(OfFile),
    /// Make a folder, and those above it.
    Mkdir(OfFile),
    /// Remove a file, or an empty folder.
    Rm(OfFile),
    /// Run a program of the appliance's, with its output and its exit code; 125 where that failed.
    Sh(Sh),
    /// Talk to an appliance: these commands without its name, completed from what is in it.
    #[command(after_help = SHELL_EXAMPLES)]
    Shell(Box<Shell>),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Named {
    /// The appliance.
    #[arg(value_name = "NAME", value_parser = name)]
    pub(crate) name: ApplianceName,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Up {
    /// What the appliance is called.
    #[arg(long, short, default_value = "work", value_parser = name)]
    pub(crate) name: ApplianceName,

    /// Images to plug in: PATH, or PATH:ro for one that is only read. They are called disk1, disk2
    /// and so on.
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub(crate) images: Vec<String>,

    #[command(flatten)]
    pub(crate) make: Make,

    /// Print QEMU's command line, and start nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What an appliance is made of.
#[derive(Debug, ClapArgs)]
pub(crate) struct Make {
    /// The images' format, such as vmdk [default: what their headers say, where that is safe].
    #[arg(long, value_parser = OneOf::<Format>::of(Format::WORDS), hide_possible_values = true)]
    pub(crate) format: Option<Format>,

    /// Changes to the images are forgotten when they are unplugged.
    #[arg(long)]
    pub(crate) snapshot: bool,

    /// Programs of this host that are taken along, with their libraries: mkfs.ext4,sfdisk.
    #[arg(long, value_name = "PROGRAMS", value_delimiter = ',')]
    pub(crate) with: Vec<String>,

    /// An image that programs come from, instead: the file system of a distribution, such as the image of
    /// a cloud. It is only read, and any number of appliances may have it; what programs change in it is
    /// forgotten. It is none of the disks.
    #[arg(long, value_name = "IMAGE", conflicts_with = "with")]
    pub(crate) root: Option<String>,

    /// The partition that it is on [default: the whole image, or its only partition].
    #[arg(long, value_name = "NUMBER", requires = "root")]
    pub(crate) root_partition: Option<u32>,

    /// The kernel [default: the newest in /boot that can be read, else that of cargo xtask setup].
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,

    /// The kernel's modules, where they are not in /lib/modules/VERSION.
    #[arg(long, value_name = "FOLDER", requires = "kernel")]
    pub(crate) modules: Option<PathBuf>,

    /// The QEMU [default: qemu-system-x86_64 on the PATH, else that of cargo xtask setup].
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) qemu: Option<PathBuf>,

    /// Memory, in MiB.
    #[arg(long, value_name = "MIB", default_value = "256")]
    pub(crate) memory: u32,

    /// Processors.
    #[arg(long, value_name = "COUNT", default_value = "1")]
    pub(crate) cpus: u32,

    /// kvm or tcg [default: kvm, where a guest was seen to boot on it].
    #[arg(long, value_parser = ["kvm", "tcg"])]
    pub(crate) accel: Option<String>,

    /// Boot, and neither restore a saved machine nor save one.
    #[arg(long)]
    pub(crate) cold: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// Images to plug in: PATH, or PATH:ro for one that is only read.
    #[arg(value_name = "IMAGE", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) images: Vec<String>,

    /// The label of an image, one for each, in their order [default: disk1, disk2 and so on].
    #[arg(long, short, value_name = "LABEL")]
    pub(crate) label: Vec<String>,

    /// The images' format, such as vmdk [default: what their headers say, where that is safe].
    #[arg(long, value_parser = OneOf::<Format>::of(Format::WORDS), hide_possible_values = true)]
    pub(crate) format: Option<Format>,

    /// Changes to the images are forgotten when they are unplugged.
    #[arg(long)]
    pub(crate) snapshot: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// The disks' labels.
    #[arg(value_name = "LABEL", required = true)]
    pub(crate) labels: Vec<String>,

    /// Unmount them first, and remove what is in use.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Mount {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// What to mount: LABEL, LABEL:PARTITION, or a device such as /dev/mapper/NAME.
    pub(crate) device: String,

    /// Where to.
    pub(crate) path: PathBuf,

    /// Refuse writes.
    #[arg(long, short)]
    pub(crate) read_only: bool,

    /// The kind of file system [default: found out].
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    pub(crate) kind: Option<String>,

    /// Options of the file system's own, such as subvol=root.
    #[arg(long, short, value_name = "OPTIONS")]
    pub(crate) options: Option<String>,

    /// What is usually off: dev, suid, exec.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = ["dev", "suid", "exec"])]
    pub(crate) allow: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Umount {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// Where it is mounted [default: everything].
    pub(crate) path: Option<PathBuf>,

    /// Take it away although it is in use.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// The folder.
    #[arg(default_value = "/")]
    pub(crate) path: PathBuf,

    /// Tell modes, owners, sizes and dates, too.
    #[arg(long, short)]
    pub(crate) long: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct OfFile {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// The file or folder.
    pub(crate) path: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct OfFiles {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// The files.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TarIn {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// The folder, which is made if need be.
    pub(crate) path: PathBuf,

    /// The archive; - is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) archive: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Cp {
    /// What to copy.
    #[arg(required = true)]
    pub(crate) from: Vec<PathBuf>,

    /// Where to; a folder gets files of the same names.
    pub(crate) to: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Sh {
    #[command(flatten)]
    pub(crate) appliance: Named,

    /// Pass standard input on to the program.
    #[arg(long = "stdin", short = 'i')]
    pub(crate) has_input: bool,

    /// The line for the appliance's shell; without one (--with), a program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) line: Vec<String>,
}

#[derive(Debug, ClapArgs)]
#[command(mut_group("Make", |group| group.requires("images")))]
pub(crate) struct Shell {
    /// The appliance [default: the one that runs].
    #[arg(value_name = "NAME", value_parser = name, conflicts_with = "images")]
    pub(crate) name: Option<ApplianceName>,

    /// Start an appliance with this image, PATH or PATH:ro, and end it with the shell. It may be given
    /// more than once.
    #[arg(long = "add", short = 'a', value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub(crate) images: Vec<String>,

    /// Run the lines of a file (- is standard input) and end; the first that fails ends it, unless it
    /// begins with -.
    #[arg(short = 'x', long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) make: Make,
}

const SHELL_EXAMPLES: &str = "\
Examples:
  qplug appliance shell work
  qplug appliance shell -a disk.img:ro
  qplug appliance shell -a disk.img --with mkfs.ext4 -x fill.qplug

A line is one of the commands without the appliance's name, as in 'mount data:1 /' and 'cp notes.txt :/notes'.
Type help there for the rest.";

pub(super) const EXAMPLES: &str = "\
Examples:
  qplug appliance up --name work --with mkfs.ext4 a.qcow2 b.img:ro
  qplug appliance add work c.qcow2 --label data
  qplug appliance sh work mkfs.ext4 -q /dev/disk/qplug/data
  qplug appliance mount work data /
  qplug appliance cp notes.txt work:/notes.txt
  qplug appliance shell work
  qplug appliance remove work data --force
  qplug appliance down work";

fn name(text: &str) -> Result<ApplianceName, String> {
    ApplianceName::new(text).map_err(|error| error.to_string())
}
