//! libvirt's daemon, kept apart from the system's: it runs as an ordinary user's session daemon in
//! a folder of ours, in namespaces that end, with all that runs in them, when we do.

use std::env;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use qplug_testbed::{Error, Result, cache};

use super::bounded;

/// How long the daemon may take to listen; it takes 0.2 s.
const LISTEN_WITHIN: Duration = Duration::from_secs(20);
/// How long its end may take before it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Time between two looks whether it listens, or has ended.
const KNOCK_EVERY: Duration = Duration::from_millis(20);

/// Ends when its standard input does, which is when we end in any way; then the kernel ends all
/// processes of its namespace, also the QEMUs. The daemon knows a path by heart that is not there
/// when it is only unpacked; this view of the files is seen in the namespace alone. In the second
/// user namespace it is not root, so that it keeps to its user's folders.
const LEASH: &str = r#"if [ -n "$SHARE" ]; then
  mount -t overlay -o "lowerdir=$SHARE:/usr/share" overlay /usr/share || exit 1
fi
unshare --user --map-user=1000 "$@" </dev/null &
read -r _"#;

/// What is installed, or unpacked in the cache.
#[derive(Debug)]
struct Programs {
    daemon: PathBuf,
    virsh: PathBuf,
    root: Option<PathBuf>,
}

impl Programs {
    fn found() -> Result<Self> {
        let root = cache::folder()?.join("libvirt");
        let unpacked = Self {
            daemon: root.join("usr/sbin/libvirtd"),
            virsh: root.join("usr/bin/virsh"),
            root: Some(root),
        };
        if unpacked.daemon.is_file() && unpacked.virsh.is_file() {
            return Ok(unpacked);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = || env::split_paths(&path).chain(["/usr/sbin".into()]);
        let find = |name| folders().map(|it| it.join(name)).find(|it: &PathBuf| it.is_file());
        match (find("libvirtd"), find("virsh")) {
            (Some(daemon), Some(virsh)) => Ok(Self { daemon, virsh, root: None }),
            _ => Err(Error::not_set_up(
                "no libvirt; apt-get install --no-install-recommends libvirt-daemon \
                 libvirt-daemon-driver-qemu libvirt-clients",
            )),
        }
    }

    /// What unpacked programs need in their environment.
    fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let Some(root) = &self.root else { return Vec::new() };
        let triplet = "x86_64-linux-gnu";
        let libraries = [root.join("usr/lib").join(triplet), root.join("lib").join(triplet)];
        let plugins = libraries[0].join("libvirt");
        vec![
            ("LD_LIBRARY_PATH", libraries.map(|path| path.display().to_string()).join(":").into()),
            ("LIBVIRT_DRIVER_DIR", plugins.join("connection-driver")),
            ("LIBVIRT_LOCK_MANAGER_PLUGIN_DIR", plugins.join("lock-driver")),
        ]
    }
}

/// A daemon that runs. Dropping it ends it, and every machine it has started.
#[derive(Debug)]
pub(super) struct Daemon {
    programs: Programs,
    child: Child,
    leash: Option<ChildStdin>,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, with all its files in `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let programs = Programs::found()?;
        let settings = folder.join("config/libvirt");
        fs::create_dir_all(&settings).map_err(Error::file("make the folder", &settings))?;
        let settings = settings.join("qemu.conf");
        // Else another daemon is needed, for the consoles.
        fs::write(&settings, "stdio_handler = \"file\"\n")
            .map_err(Error::file("write", &settings))?;
        let runtime = folder.join("run");
        fs::create_dir_all(&runtime).map_err(Error::file("make the folder", &runtime))?;
        let log = folder.join("daemon.log");
        let mut child = command(&programs, folder, &runtime)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log).map_err(Error::file("create", &log))?)
            .spawn()
            .map_err(|error| Error::not_set_up(format!("unshare cannot be run: {error}")))?;
        let leash = child.stdin.take();
        let socket = runtime.join("libvirt/libvirt-sock");
        let mut daemon = Self { programs, child, leash, socket, log };
        daemon.wait_listening()?;
        Ok(daemon)
    }

    fn wait_listening(&mut self) -> Result<()> {
        let deadline = Instant::now() + LISTEN_WITHIN;
        while UnixStream::connect(&self.socket).is_err() {
            let runs = matches!(self.child.try_wait(), Ok(None));
            if !runs || Instant::now() > deadline {
                return Err(self.complaint("libvirt's daemon does not listen"));
            }
            std::thread::sleep(KNOCK_EVERY);
        }
        Ok(())
    }

    /// A command that runs virsh on this daemon; arguments are still to be added.
    pub(super) fn virsh(&self) -> Command {
        let mut command = Command::new(&self.programs.virsh);
        let socket = self.socket.display();
        command
            .envs(self.programs.environment())
            .args(["--quiet", "--connect"])
            .arg(format!("qemu+unix:///session?socket={socket}"));
        command
    }

    /// Runs virsh, and gives what it printed.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = bounded::run(self.virsh().args(arguments).stdout(Stdio::piped()))
            .map_err(|error| self.complaint(&format!("{}: {error}", arguments.join(" "))))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// An error with the daemon's last word.
    fn complaint(&self, what: &str) -> Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("its log is empty");
        Error::failed(format!("{what} ({last})"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.leash.take());
        let deadline = Instant::now() + END_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(KNOCK_EVERY);
        }
        // Both fail only when it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(programs: &Programs, folder: &Path, runtime: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(["sh", "-c", LEASH, "libvirt"])
        .arg(&programs.daemon)
        .envs(programs.environment())
        .env("SHARE", programs.root.as_ref().map(|it| it.join("usr/share")).unwrap_or_default())
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", runtime)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("XDG_DATA_HOME", folder.join("data"));
    command
}
