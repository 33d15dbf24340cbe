//! Commands and bytes of one disk, which no noise touches: what was won is kept.

use std::path::Path;

use qplug_testbed::{Board, Error, Machine, Qemu, Result};

use super::stream::Stream;
use crate::bench::images::Images;
use crate::bench::script;

/// Commands that change the machine when one disk is attached: open the image, plug the device.
const MAX_CHANGES: usize = 2;
/// The bytes of these, without the image's path. Aimed at are 250; docs/performance.md says what
/// stands in the way.
const MAX_BYTES: usize = 287;
/// What is asked before that.
const MAX_QUERIES: usize = 3;

/// Attaches one disk, and fails when that takes more than it did.
pub(in crate::bench) fn check(qemu: &Qemu, qplug: &Path) -> Result<()> {
    let machine = Machine::builder(qemu, Board::Q35).halted()?;
    let images = Images::make(1)?;
    let image = images.path(0).to_string_lossy().into_owned();
    let arguments = ["attach", "--format", "raw", &image];
    let (said, _) = script::conversation(&machine, qplug, &arguments)?;
    let stream = Stream::of(&said, images.folder(), "one")?;
    println!("QEMU {}, attach one: {stream}", qemu.version);
    let bytes = stream.changes.bytes - image.len();
    let (changes, queries) = (stream.changes.commands, stream.queries.commands);
    if changes > MAX_CHANGES || bytes > MAX_BYTES || queries > MAX_QUERIES {
        return Err(Error::failed(format!(
            "attaching one disk may take {MAX_CHANGES} commands of {MAX_BYTES} bytes and the \
             image's path, and {MAX_QUERIES} queries; it took {changes}, {bytes} and {queries}"
        )));
    }
    Ok(())
}
