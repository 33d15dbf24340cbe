//! Commands that change a disk or a drive that is there.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueHint};
use qplug_hotplug::{Format, Size};

use super::word::OneOf;
use super::{amount, seconds};

#[derive(Debug, ClapArgs)]
pub(crate) struct Insert {
    /// The drive: its id, or its name as in 'qplug list', such as ide1-cd0.
    pub(crate) drive: String,

    /// The image: a file, a block device, or anything else that 'qplug attach' takes.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) image: String,

    /// The image's format. Default: what its header says, where that is safe.
    #[arg(long, short)]
    #[arg(value_parser = OneOf::<Format>::of(Format::WORDS), hide_possible_values = true)]
    pub(crate) format: Option<Format>,

    /// Let the guest write to it, as to a floppy disk.
    #[arg(long)]
    pub(crate) writable: bool,

    #[command(flatten)]
    pub(crate) tray: Tray,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Eject {
    /// The drive: its id, or its name as in 'qplug list', such as ide1-cd0.
    pub(crate) drive: String,

    #[command(flatten)]
    pub(crate) tray: Tray,
}

/// How a tray that the guest has locked is opened.
#[derive(Debug, ClapArgs)]
pub(crate) struct Tray {
    /// How long to wait for a guest that has locked the tray, in seconds. Then nothing is changed
    /// (exit code 5).
    #[arg(long, short, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Open the tray even if the guest has locked it.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Resize {
    /// The disk's name.
    pub(crate) name: String,

    /// The new size: bytes, or a number with K, M, G or T (powers of 1024); +SIZE to grow by that.
    #[arg(value_parser = new_size)]
    pub(crate) size: Size,

    /// Let the disk become smaller. What lies behind its new end is lost: make the file system
    /// smaller first.
    #[arg(long)]
    pub(crate) shrink: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Throttle {
    /// The disk's name; with --group, the name of a throttle group.
    pub(crate) name: String,

    /// The limits, such as iops-total=500 or bps-read=10M: they take the place of all that hold now.
    /// Each has a -max (with -max-length, in seconds) for bursts.
    #[arg(required_unless_present = "off", value_name = "LIMIT=NUMBER")]
    pub(crate) limits: Vec<String>,

    /// Take all limits off.
    #[arg(long, conflicts_with = "limits")]
    pub(crate) off: bool,

    /// Change a group of disks.
    #[arg(long)]
    pub(crate) group: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Recover {
    /// How long to wait for guests that were asked to let go of disks before, in seconds.
    #[arg(long, short, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Go on until interrupted: finish every detach whose guest lets go late. Give it a monitor of
    /// its own, as QEMU serves one client at a time.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// Parses a size to be: absolute, or `+` so much.
fn new_size(text: &str) -> Result<Size, String> {
    match text.strip_prefix('+') {
        Some(more) => amount(more).map(Size::Plus),
        None => amount(text).map(Size::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_absolute_or_added() {
        assert_eq!(new_size("2G"), Ok(Size::Bytes(2 << 30)));
        assert_eq!(new_size("+1T"), Ok(Size::Plus(1 << 40)));
        assert!(new_size("+-1").is_err() && new_size("1.5G").is_err());
    }
}
