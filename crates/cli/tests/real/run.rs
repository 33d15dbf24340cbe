//! Running qplug with a deadline, and looking at the machine from outside.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qplug_testbed::image::{Format, Image};
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::{Value, json};

/// A qplug that runs longer than this hangs.
const HANGS_AFTER: Duration = Duration::from_secs(90);

/// How long the guest may take to see a disk come or go, on a busy host.
pub(crate) const GUEST_WITHIN: Duration = Duration::from_secs(30);

/// The size of the disks in these tests.
pub(crate) const DISK_BYTES: u64 = 16 << 20;

/// Runs a test on each QEMU and each board, with a booted guest.
pub(crate) fn on_every_machine(test: &str, run: impl Fn(&mut Machine)) {
    on_boards_of(Qemu::under_test(test), run);
}

/// The same on QEMUs older and newer than the system's too, which takes much longer: for what may
/// differ from one to the next.
pub(crate) fn on_machines_of_all_ages(test: &str, run: impl Fn(&mut Machine)) {
    on_boards_of(Qemu::of_all_ages(test), run);
}

/// Machines that need no guest.
pub(crate) fn on_every_qemu(test: &str, arguments: &[&str], run: impl Fn(&mut Machine)) {
    for qemu in Qemu::of_all_ages(test) {
        let builder = Machine::builder(&qemu, Board::Q35).arguments(arguments.iter().copied());
        let mut machine = builder.halted().unwrap();
        within(&mut machine, &format!("QEMU {}", qemu.version), &run);
    }
}

/// [`on_machines_of_all_ages`] with the board alone where a guest lets go at once: for a long list of
/// disks.
pub(crate) fn on_quick_machines_of_all_ages(test: &str, run: impl Fn(&mut Machine)) {
    for qemu in Qemu::of_all_ages(test) {
        for board in Board::ALL {
            if board != Board::Q35 || qemu.has_acpi_ports() {
                on_board(&qemu, board, &run);
            }
        }
    }
}

fn on_boards_of(qemus: Vec<Qemu>, run: impl Fn(&mut Machine)) {
    for qemu in qemus {
        for board in Board::ALL {
            on_board(&qemu, board, &run);
        }
    }
}

fn on_board(qemu: &Qemu, board: Board, run: impl Fn(&mut Machine)) {
    let mut machine = Machine::builder(qemu, board).restored().unwrap();
    within(&mut machine, &format!("QEMU {} {}", qemu.version, board.name()), run);
}

/// Runs a test on one machine; a failure says which, and shows the guest's console.
pub(crate) fn within(machine: &mut Machine, what: &str, run: impl FnOnce(&mut Machine)) {
    eprintln!("-- {what}");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(machine)));
    if let Err(panic) = outcome {
        eprintln!("-- failed on {what}\n{}", machine.report());
        std::panic::resume_unwind(panic);
    }
}

/// An image in the machine's folder, with a file name that makes this disk name.
pub(crate) fn image(machine: &Machine, name: &str, format: Format) -> Image {
    let file = format!("{name}.{}", format.name());
    Image::create(machine.folder(), &file, format, DISK_BYTES).unwrap()
}

/// The image's path, as an argument.
pub(crate) fn path(image: &Image) -> &str {
    image.path.to_str().unwrap()
}

/// A qplug that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Asserts the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Asserts that what was printed, or complained of, has this in it.
    pub(crate) fn says(self, part: &str) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert!(stdout.contains(part) || stderr.contains(part), "no {part:?} in {stdout}{stderr}");
        self
    }

    /// What was printed, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// A qplug that runs.
pub(crate) struct Running {
    child: Child,
    stdout: Drained,
    stderr: Drained,
}

/// What comes out of a pipe, as it comes.
struct Drained {
    so_far: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

/// Starts qplug on the monitor at this address.
pub(crate) fn start(socket: impl AsRef<Path>, arguments: &[&str]) -> Running {
    start_with(socket, arguments, &[])
}

/// The same with more in its environment.
pub(crate) fn start_with(
    socket: impl AsRef<Path>,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Running {
    let mut child = spawn(socket, arguments, environment);
    let stdout = drain(child.stdout.take().unwrap());
    let stderr = drain(child.stderr.take().unwrap());
    Running { child, stdout, stderr }
}

/// Starts qplug with a standard output that nobody reads any more.
pub(crate) fn start_unread(socket: impl AsRef<Path>, arguments: &[&str]) -> Running {
    let mut child = spawn(socket, arguments, &[]);
    drop(child.stdout.take());
    let stderr = drain(child.stderr.take().unwrap());
    Running { child, stdout: drain(std::io::empty()), stderr }
}

/// Starts qplug with a standard output that is kept, and not read.
pub(crate) fn start_stuck(
    socket: impl AsRef<Path>,
    arguments: &[&str],
) -> (Running, impl Read + Send + 'static) {
    let mut child = spawn(socket, arguments, &[]);
    let unread = child.stdout.take().unwrap();
    let stderr = drain(child.stderr.take().unwrap());
    (Running { child, stdout: drain(std::io::empty()), stderr }, unread)
}

fn spawn(socket: impl AsRef<Path>, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qplug"));
    command.args(arguments).env("QPLUG_SOCKET", socket.as_ref());
    // Schemas are kept there, not in the home of who runs the tests.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs qplug on the monitor at this address, to its end.
pub(crate) fn qplug(socket: impl AsRef<Path>, arguments: &[&str]) -> Ran {
    start(socket, arguments).finish()
}

impl Running {
    /// Waits for the end; one that hangs is killed, and has no exit code.
    pub(crate) fn finish(mut self) -> Ran {
        let deadline = Instant::now() + HANGS_AFTER;
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            if Instant::now() > deadline {
                self.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Ran { code, stdout: self.stdout.finish(), stderr: self.stderr.finish() }
    }

    /// Waits until it has printed this.
    pub(crate) fn wait_to_say(&self, part: &str) {
        let deadline = Instant::now() + HANGS_AFTER;
        while !self.stdout.text().contains(part) {
            assert!(Instant::now() < deadline, "no {part:?} in {}", self.stdout.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it as no program can prevent.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends it a signal, as a terminal would.
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Sends it this signal, in a word of `kill`'s.
    pub(crate) fn signal(&self, word: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([word, &pid]).status().unwrap().success());
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> Drained {
    let so_far: Arc<Mutex<Vec<u8>>> = Arc::default();
    let all = Arc::clone(&so_far);
    let thread = std::thread::spawn(move || {
        let mut part = [0; 4096];
        loop {
            match pipe.read(&mut part).unwrap() {
                0 => return,
                count => all.lock().unwrap().extend_from_slice(&part[..count]),
            }
        }
    });
    Drained { so_far, thread }
}

impl Drained {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.so_far.lock().unwrap()).into_owned()
    }

    fn finish(self) -> String {
        self.thread.join().unwrap();
        String::from_utf8(std::mem::take(&mut *self.so_far.lock().unwrap())).unwrap()
    }
}

/// All that a hotplug could leave behind: devices, nodes, objects and descriptors.
pub(crate) fn state(machine: &mut Machine) -> Value {
    let path = json!({"path": "/machine/peripheral"});
    let devices = machine.oracle.demand("qom-list", path).unwrap();
    let nodes = machine.oracle.demand("query-named-block-nodes", json!({})).unwrap();
    let names = |list: &Value, key: &str| -> Vec<String> {
        let mut names: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it[key].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let objects = machine.oracle.demand("qom-list", json!({"path": "/objects"})).unwrap();
    let descriptors = machine.oracle.demand("query-fdsets", json!({})).unwrap();
    json!({
        "devices": names(&devices, "name"),
        "nodes": names(&nodes, "node-name"),
        "objects": names(&objects, "name"),
        "descriptors": descriptors,
    })
}
