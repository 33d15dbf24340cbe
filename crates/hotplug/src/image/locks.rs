//! QEMU's locks on images, seen from outside.
//!
//! A process that has an image open holds the byte `PERMISSIONS + n` for each thing it does with it,
//! and `REFUSALS + n` for each thing it lets nobody else do (QEMU 2.10 and later,
//! `block/file-posix.c`). They are looked at as QEMU looks: is anybody's in the way of an exclusive
//! one, which nobody ever takes?

use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// The first byte of what holders do.
const PERMISSIONS: u8 = 100;

/// The first byte of what holders let nobody else do.
const REFUSALS: u8 = 200;

/// Bits of what can be done, in the order of their bytes.
pub(crate) const READ: u8 = 1;
pub(crate) const WRITE: u8 = 1 << 1;
const WRITE_UNCHANGED: u8 = 1 << 2;
pub(crate) const RESIZE: u8 = 1 << 3;

/// What others do with an image, and what they let nobody do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Locks {
    done: u8,
    refused: u8,
    /// Who holds one of them, where the system tells: QEMU's belong to an open file, not to a
    /// process.
    holder: Option<i32>,
}

impl Locks {
    /// Looks at the locks on an open file. A file system without locks has none, for all we know.
    pub(crate) fn of(file: impl AsFd) -> Self {
        let mut locks = Self::default();
        let any = locked(&file, PERMISSIONS, REFUSALS - PERMISSIONS + 64);
        if any.is_none() {
            return locks;
        }
        for (at, bit) in [READ, WRITE, WRITE_UNCHANGED, RESIZE].into_iter().enumerate() {
            let at = u8::try_from(at).unwrap_or_default();
            let mut look = |base: u8, bits: &mut u8| {
                if let Some(holder) = locked(&file, base + at, 1) {
                    *bits |= bit;
                    locks.holder = locks.holder.or(holder);
                }
            };
            let (mut done, mut refused) = (0, 0);
            look(PERMISSIONS, &mut done);
            look(REFUSALS, &mut refused);
            locks.done |= done;
            locks.refused |= refused;
        }
        locks
    }

    /// Whether QEMU would be refused that wants to do this, and let nobody do that.
    pub(crate) fn refuse(&self, wanted: u8, unshared: u8) -> bool {
        self.refused & wanted != 0 || self.done & unshared != 0
    }

    /// The process that holds one, where the system tells.
    pub(crate) fn holder(&self) -> Option<i32> {
        self.holder
    }
}

/// Whether anybody else holds a lock in this range; the process, where the system tells.
fn locked(file: &impl AsFd, start: u8, length: u8) -> Option<Option<i32>> {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start.into(),
        l_len: length.into(),
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)).ok()?;
    let is_locked = libc::c_int::from(lock.l_type) != libc::F_UNLCK;
    is_locked.then(|| Some(lock.l_pid).filter(|pid| *pid > 0))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Command, Stdio};

    use super::*;

    fn take(file: &File, start: u8) {
        let lock = libc::flock {
            l_type: libc::F_RDLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: start.into(),
            l_len: 1,
            l_pid: 0,
        };
        fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    }

    #[test]
    fn what_others_hold_is_seen_and_what_one_holds_oneself_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (one, other) = (file.reopen().unwrap(), file.reopen().unwrap());
        assert_eq!(Locks::of(&other), Locks::default());
        take(&one, PERMISSIONS + 1);
        take(&one, REFUSALS + 3);
        let locks = Locks::of(&other);
        assert_eq!((locks.done, locks.refused, locks.holder()), (WRITE, RESIZE, None));
        assert_eq!(Locks::of(&one), Locks::default());
        // A reader that minds no writer gets in, and others do not.
        assert!(!locks.refuse(READ, 0) && locks.refuse(READ, WRITE));
        assert!(!locks.refuse(READ | WRITE, 0) && locks.refuse(READ | RESIZE, 0));
    }

    #[test]
    fn a_holder_is_named_where_the_system_tells() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = "import fcntl,sys,time\nf=open(sys.argv[1],'r+')\n\
                      fcntl.lockf(f,fcntl.LOCK_EX,1,101)\nprint(flush=True)\nsys.stdin.read()";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(file.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let holder = Locks::of(file.as_file()).holder();
        let pid = i32::try_from(child.id()).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(holder, Some(pid));
    }
}
