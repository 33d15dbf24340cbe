//! Bytes between files and disks of the machine, past the kernel's cache: a large file would only push
//! everything else out of it, and each byte copied costs twice where the processor is emulated. One block is
//! read while another is written.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::transfer::PassError;

/// How much is moved at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Blocks under way.
const BLOCKS: usize = 3;

/// What memory, places and lengths have to be multiples of: no disk has larger sectors.
const ALIGNMENT: usize = 4096;

/// Memory that a disk can be read into directly.
struct Block {
    bytes: Vec<u8>,
    start: usize,
    /// How much of it is of use.
    length: usize,
}

impl Block {
    fn new() -> Self {
        let bytes = vec![0; BLOCK_BYTES + ALIGNMENT];
        // Its memory never moves: the vector does not grow.
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        // No promise is made of a finite answer; unaligned memory is refused, and read another way.
        Self { start: if start < ALIGNMENT { start } else { 0 }, bytes, length: 0 }
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + BLOCK_BYTES]
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

/// Moves so many bytes at most, from where the files stand, and tells how many they were.
pub(crate) fn pass_on(from: &File, to: &File, most: u64) -> Result<u64, PassError> {
    // Those that cannot are moved through the cache.
    let _ = set_direct(from, true);
    let _ = set_direct(to, true);
    let (full, filled) = sync_channel(BLOCKS);
    let (empty, emptied) = channel();
    for _ in 0..BLOCKS {
        // The receiver is below.
        let _ = empty.send(Block::new());
    }
    thread::scope(|scope| {
        scope.spawn(move || read_all(from, most, &emptied, &full));
        // Dropped with it, both tell the reader that nothing more is wanted.
        write_all(to, filled, empty)
    })
}

type Filled = io::Result<Block>;

/// Ends when everything was read, reading failed, or nobody takes any more.
fn read_all(from: &File, most: u64, emptied: &Receiver<Block>, full: &SyncSender<Filled>) {
    let mut rest = most;
    while rest > 0
        && let Ok(mut block) = emptied.recv()
    {
        let read = fill(from, block.room());
        let is_last = !matches!(read, Ok(BLOCK_BYTES));
        let filled = read.map(|count| {
            block.length = count.min(usize::try_from(rest).unwrap_or(usize::MAX));
            rest -= block.length as u64;
            block
        });
        if full.send(filled).is_err() || is_last {
            return;
        }
    }
}

/// Reads as much as there is room for, unless there is no more.
fn fill(mut from: &File, room: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < room.len() {
        match again(from, || from.read(&mut room[count..]))? {
            0 => break,
            more => count += more,
        }
        if !count.is_multiple_of(ALIGNMENT) {
            // The end of a file; where it is not, the next read may begin anywhere.
            set_direct(from, false)?;
        }
    }
    Ok(count)
}

fn write_all(
    mut to: &File,
    filled: Receiver<Filled>,
    empty: Sender<Block>,
) -> Result<u64, PassError> {
    let mut moved = 0;
    while let Ok(block) = filled.recv() {
        let block = block.map_err(PassError::From)?;
        let mut rest = block.filled();
        while !rest.is_empty() {
            if !rest.len().is_multiple_of(ALIGNMENT) {
                set_direct(to, false).map_err(PassError::To)?;
            }
            match again(to, || to.write(rest)).map_err(PassError::To)? {
                0 => return Err(PassError::To(io::ErrorKind::WriteZero.into())),
                count => rest = &rest[count..],
            }
        }
        moved += block.length as u64;
        // Fails when everything was read.
        let _ = empty.send(block);
    }
    Ok(moved)
}

/// Tries through the cache what the disk or the file system does not do directly.
fn again(file: &File, mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && is_direct(file) => {
                set_direct(file, false)?;
            }
            other => return other,
        }
    }
}

fn is_direct(file: &File) -> bool {
    fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::DIRECT))
}

fn set_direct(file: &File, is_direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file.as_fd())?;
    if flags.contains(OFlags::DIRECT) != is_direct {
        flags.set(OFlags::DIRECT, is_direct);
        fcntl_setfl(file, flags)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;

    #[test]
    fn what_cannot_be_written_ends_the_reading_too() {
        let mut from = tempfile::tempfile().unwrap();
        from.write_all(&vec![1; 10 * BLOCK_BYTES]).unwrap();
        from.seek(SeekFrom::Start(0)).unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let failed = pass_on(&from, &full, u64::MAX).unwrap_err();
        assert!(matches!(failed, PassError::To(_)), "{failed:?}");
        assert!(matches!(pass_on(&full, &full, 9).unwrap_err(), PassError::From(_)));
    }

    #[test]
    fn everything_is_moved_and_no_more_than_was_asked_for() {
        let whole: Vec<u8> = (0..3 * BLOCK_BYTES + 777).map(|at| (at / 5) as u8).collect();
        for (length, most) in [(0, 9), (1, u64::MAX), (BLOCK_BYTES, u64::MAX)]
            .into_iter()
            .chain([(whole.len(), u64::MAX), (whole.len(), 2 * BLOCK_BYTES as u64 + 5)])
        {
            let (mut from, mut to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            from.write_all(&whole[..length]).unwrap();
            from.seek(SeekFrom::Start(0)).unwrap();
            let expected = length.min(usize::try_from(most).unwrap_or(usize::MAX));
            assert_eq!(pass_on(&from, &to, most).unwrap(), expected as u64);
            set_direct(&to, false).unwrap();
            let mut got = Vec::new();
            to.seek(SeekFrom::Start(0)).unwrap();
            to.read_to_end(&mut got).unwrap();
            assert!(got == whole[..expected], "{length} bytes, at most {most}");
        }
    }
}
