//! apt with lists, status and cache of its own: it fetches packages and installs none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use qplug_testbed::{Error, Result, cache};
use tempfile::TempDir;

use super::sources::{self, Release};
use super::tool;

/// The system's record of what is installed.
const STATUS: &str = "/var/lib/dpkg/status";

/// The machine's packages, whose lists are fetched once, and only when something needs them.
#[derive(Debug, Default)]
pub(super) struct Packages {
    fetched: Option<Result<PrivateApt, String>>,
}

impl Packages {
    /// apt with its lists. A failure is remembered too: waiting for the same network again and
    /// again helps nobody.
    pub(super) fn fetched(&mut self) -> Result<&PrivateApt> {
        let fetch = || PrivateApt::new().map_err(|error| error.to_string());
        match self.fetched.get_or_insert_with(fetch) {
            Ok(apt) => Ok(apt),
            Err(reason) => Err(Error::not_set_up(reason.clone())),
        }
    }
}

/// apt, with fresh package lists; they go when this is dropped.
#[derive(Debug)]
pub(super) struct PrivateApt {
    folder: TempDir,
    release: Release,
}

impl PrivateApt {
    /// For the machine's own release and its backports.
    fn new() -> Result<Self> {
        Self::with_lists(None)
    }

    /// For another release, which has to bring all that its packages need.
    pub(super) fn of_release(name: &str) -> Result<Self> {
        Self::with_lists(Some(name))
    }

    fn with_lists(other: Option<&str>) -> Result<Self> {
        let release = Release::of_this_machine()?;
        let parent = cache::folder()?;
        let folder = tempfile::Builder::new()
            .prefix("apt-")
            .tempdir_in(&parent)
            .map_err(Error::file("make a folder in", &parent))?;
        for part in ["sources", "state", "lists/partial", "cache/archives/partial"] {
            let path = folder.path().join(part);
            fs::create_dir_all(&path).map_err(Error::file("make the folder", &path))?;
        }
        sources::write(&release, other, &folder.path().join("sources"))?;
        let apt = Self { folder, release };
        apt.write(apt.settings_path(), &apt.settings())?;
        apt.write(apt.status_path(), &without_qemu(Path::new(STATUS))?)?;
        let of = other.map(|name| format!(" of {name}")).unwrap_or_default();
        println!("fetching package lists{of}");
        tool::run(apt.command("apt-get").arg("update")).map_err(|error| {
            Error::failed(format!(
                "package lists{of} cannot be fetched, so test machines cannot be set up \
                 ({error}).\n  Check that this works: apt-get update"
            ))
        })?;
        Ok(apt)
    }

    /// The suite with newer packages.
    pub(super) fn backports(&self) -> String {
        self.release.backports()
    }

    /// Downloads a package and everything it needs that the system does not have, and unpacks all
    /// of it below `root`.
    pub(super) fn unpack_with_needs(
        &self,
        packages: &[&str],
        suite: Option<&str>,
        root: &Path,
    ) -> Result<()> {
        let mut command = self.command("apt-get");
        if let Some(suite) = suite {
            command.args(["-t", suite]);
        }
        self.unpack_by(command, packages, root)
    }

    fn unpack_by(&self, command: Command, packages: &[&str], root: &Path) -> Result<()> {
        let archives = self.folder.path().join("archives");
        download(command, packages, &archives)?;
        unpack_all(&archives, root)?;
        fs::remove_dir_all(&archives).map_err(Error::file("remove", &archives))
    }

    /// [`PrivateApt::unpack_with_needs`] as if nothing at all were installed: for what is to run
    /// elsewhere than on this system.
    pub(super) fn unpack_with_all_needs(&self, packages: &[&str], root: &Path) -> Result<()> {
        self.unpack_by(self.on_nothing(), packages, root)
    }

    /// Downloads packages and all that they need into a folder, as if nothing at all were installed.
    pub(super) fn download_with_all_needs(&self, packages: &[&str], folder: &Path) -> Result<()> {
        download(self.on_nothing(), packages, folder)
    }

    fn on_nothing(&self) -> Command {
        let mut command = self.command("apt-get");
        command.args(["-o", "Dir::State::status=/dev/null"]);
        command
    }

    /// Downloads one package, without what it needs, and unpacks it below `root`.
    pub(super) fn unpack_alone(&self, package: &str, root: &Path) -> Result<()> {
        let archives = self.folder.path().join("alone");
        fs::create_dir_all(&archives).map_err(Error::file("make the folder", &archives))?;
        let mut command = self.command("apt-get");
        command.args(["download", package]).current_dir(&archives);
        tool::run(&mut command)?;
        unpack_all(&archives, root)?;
        fs::remove_dir_all(&archives).map_err(Error::file("remove", &archives))
    }

    /// What a package depends on directly; for a package that only points at another.
    pub(super) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let text = tool::run(self.command("apt-cache").args(["depends", package]))?;
        Ok(text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .map(str::to_owned)
            .collect())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg("--config-file")
            .arg(self.settings_path())
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn settings_path(&self) -> PathBuf {
        self.folder.path().join("apt.conf")
    }

    fn status_path(&self) -> PathBuf {
        self.folder.path().join("status")
    }

    /// Read behind the system's own settings, so proxies, keys and passwords stay in force. Hooks
    /// are cleared: they tell the desktop about new lists, or clean the system's cache.
    fn settings(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            r#"#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
APT::Get::List-Cleanup "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{folder}/sources";
Dir::State "{folder}/state";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
"#
        )
    }

    fn write(&self, path: PathBuf, text: &str) -> Result<()> {
        fs::write(&path, text).map_err(Error::file("write", &path))
    }
}

/// Downloads packages and what they need into a folder.
fn download(mut command: Command, packages: &[&str], archives: &Path) -> Result<()> {
    let partial = archives.join("partial");
    fs::create_dir_all(&partial).map_err(Error::file("make the folder", &partial))?;
    command.args(["-y", "--no-install-recommends", "--download-only", "-o"]);
    command.arg(format!("Dir::Cache::archives={}", archives.display()));
    tool::run(command.arg("install").args(packages))?;
    Ok(())
}

/// What is installed, but for QEMU's own packages: an installed qemu-utils refuses to live beside a
/// QEMU of another version, which does not matter to one that is only unpacked.
fn without_qemu(status: &Path) -> Result<String> {
    let text = fs::read_to_string(status).map_err(|error| {
        Error::not_set_up(format!(
            "{} cannot be read ({error}): this is not a Debian system, so no QEMU can be fetched; \
             bring your own with QPLUG_QEMU, QPLUG_KERNEL and QPLUG_MODULES",
            status.display()
        ))
    })?;
    let kept: Vec<&str> = text
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim_start().starts_with("Package: qemu"))
        .collect();
    Ok(kept.join("\n\n"))
}

fn unpack_all(archives: &Path, root: &Path) -> Result<()> {
    let entries = fs::read_dir(archives).map_err(Error::file("list", archives))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            stays_inside(root)?;
            tool::run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(root))?;
        }
    }
    Ok(())
}

/// An error where a folder below `root` is a link to one of the system's: the next package would be
/// unpacked through it, over the system's own files.
fn stays_inside(root: &Path) -> Result<()> {
    let folders = ["", "usr"].iter().filter_map(|name| fs::read_dir(root.join(name)).ok());
    let entries = folders.flat_map(|entries| entries.flatten());
    let way_out = |path: &PathBuf| fs::read_link(path).is_ok_and(|target| target.is_absolute());
    match entries.map(|entry| entry.path()).find(way_out) {
        None => Ok(()),
        Some(path) => Err(Error::failed(format!(
            "{} is a link out of the folder, so no package is unpacked there",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_to_the_systems_folders_is_not_unpacked_through() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        symlink("usr/lib", root.path().join("lib")).unwrap();
        assert!(stays_inside(root.path()).is_ok());
        symlink("/usr/lib64", root.path().join("usr/lib64")).unwrap();
        assert!(stays_inside(root.path()).is_err());
    }
}
