//! Disk images: made, looked into from outside, and kept locked by somebody else.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Error, Qemu, Result};

/// How an image keeps its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As they are.
    Raw,
    /// In QEMU's own format, which grows with use.
    Qcow2,
}

impl Format {
    /// Both, for tests that run on each.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Qcow2];

    /// QEMU's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// An image file. It lives as long as the folder it is in.
#[derive(Debug, Clone)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// Its size, as a guest sees it.
    pub bytes: u64,
}

impl Image {
    /// Makes an empty image in `folder`; [`crate::Machine::folder`] is a good one.
    pub fn create(folder: &Path, name: &str, format: Format, bytes: u64) -> Result<Self> {
        let path = folder.join(name);
        let mut command = tool("qemu-img")?;
        command.args(["create", "-q", "-f", format.name()]);
        run(command.arg(&path).arg(bytes.to_string()))?;
        Ok(Self { path, format, bytes })
    }

    /// Makes an empty qcow2 image over this one, which then must not change any more.
    pub fn overlay(&self, folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(name);
        let mut command = tool("qemu-img")?;
        command.args(["create", "-q", "-f", "qcow2", "-F", self.format.name(), "-b"]);
        run(command.arg(&self.path).arg(&path))?;
        Ok(Self { path, format: Format::Qcow2, bytes: self.bytes })
    }

    /// Puts bytes into the image, at a place a guest will find them. Nobody else may have it open.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let content = tempfile::NamedTempFile::new()
            .map_err(|error| Error::failed(format!("cannot make a temporary file: {error}")))?;
        fs::write(content.path(), bytes).map_err(Error::file("write", content.path()))?;
        let length = bytes.len();
        let request = format!("write -q -s {} {offset} {length}", content.path().display());
        run(self.io()?.args(["-c", &request]).arg(&self.path)).map(drop)
    }

    /// Puts an empty ext4 file system into a raw image, for the guest to mount.
    pub fn make_ext4(&self) -> Result<()> {
        if self.format != Format::Raw {
            return Err(Error::failed("a file system is made in raw images only"));
        }
        // It is the administrator's tool, in folders that are not on everybody's path.
        let folders = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
        let on_path: Vec<_> =
            env::var_os("PATH").iter().flat_map(|path| env::split_paths(path)).collect();
        let program = on_path
            .into_iter()
            .chain(folders)
            .map(|folder| folder.join("mkfs.ext4"))
            .find(|program| program.is_file())
            .ok_or_else(|| {
                Error::not_set_up(
                    "mkfs.ext4 is missing; install e2fsprogs, which Debian always has",
                )
            })?;
        run(Command::new(program).args(["-q", "-F"]).arg(&self.path)).map(drop)
    }

    /// The bytes a guest would see there, also while a machine is using the image.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let request = format!("read -v {offset} {length}");
        let mut command = self.io()?;
        command.args(["-r", "-U", "-c", &request]).arg(&self.path);
        let dump = run(&mut command)?;
        let bytes: Vec<u8> = dump.lines().flat_map(dumped_bytes).collect();
        if bytes.len() < length {
            return Err(Error::failed(format!(
                "qemu-io read {} of {length} bytes of {}: {dump}",
                bytes.len(),
                self.path.display()
            )));
        }
        Ok(bytes[..length].to_vec())
    }

    /// Has another process hold the image open for writing, with QEMU's locks on it, until the
    /// answer is dropped.
    pub fn lock(&self) -> Result<Holder> {
        let child = self
            .io()?
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::file("open with qemu-io", &self.path))?;
        let mut holder = Holder { child };
        if holder.answers() {
            return Ok(holder);
        }
        Err(Error::failed(format!(
            "qemu-io cannot open {}: is it locked already?",
            self.path.display()
        )))
    }

    fn io(&self) -> Result<Command> {
        let mut command = tool("qemu-io")?;
        command.args(["-f", self.format.name()]);
        Ok(command)
    }
}

/// A process that holds an image open; it ends when this is dropped, or when the test process dies,
/// as its standard input does.
#[derive(Debug)]
pub struct Holder {
    child: Child,
}

impl Holder {
    /// Asks for the image's length: the answer proves that the image is open by now.
    fn answers(&mut self) -> bool {
        let (Some(input), Some(output)) = (&mut self.child.stdin, &mut self.child.stdout) else {
            return false;
        };
        let mut answer = String::new();
        // qemu-io ends, and closes its output, when the image cannot be opened.
        input.write_all(b"length\n").is_ok()
            && matches!(BufReader::new(output).read_line(&mut answer), Ok(1..))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the system has QEMU's image tools; set-up unpacks them when it does not.
#[must_use]
pub fn tools_are_installed() -> bool {
    ["qemu-img", "qemu-io", "qemu-nbd"].iter().all(|name| {
        let asked = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    })
}

/// One of QEMU's image tools: the system's, or one that was unpacked with a QEMU.
pub fn tool(name: &str) -> Result<Command> {
    let on_path = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    if on_path {
        return Ok(Command::new(name));
    }
    for qemu in Qemu::installed()?.into_iter().rev() {
        let unpacked = qemu.path.with_file_name(name);
        if unpacked.is_file() {
            let mut command = Command::new(unpacked);
            command.envs(qemu.environment());
            return Ok(command);
        }
    }
    Err(Error::not_set_up(format!(
        "{name} is missing, so no test that needs an image can run; run: cargo xtask setup"
    )))
}

fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::failed(format!("cannot run {shown}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::failed(format!(
        "{shown} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )))
}

/// Reads a line of a dump: `00000200:  68 65 6c 6c 6f 00 …  hello.`; other lines hold no bytes.
fn dumped_bytes(line: &str) -> Vec<u8> {
    let Some((address, rest)) = line.split_once(":  ") else {
        return Vec::new();
    };
    if u64::from_str_radix(address.trim(), 16).is_err() {
        return Vec::new();
    }
    rest.split(' ').take(16).map_while(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_without_its_text_column() {
        let line = "00000200:  68 65 6c 6c 6f 20 62 65 65 66 20 20 00 00 00 ff  hello.beef......";
        assert_eq!(dumped_bytes(line), b"hello beef  \0\0\0\xff");
        assert_eq!(dumped_bytes("00000210:  61 62  be"), b"ab");
        assert!(dumped_bytes("read 16/16 bytes at offset 512").is_empty());
    }
}
