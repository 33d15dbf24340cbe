//! Programs that the host wants run.

use std::fs;
use std::io::{PipeReader, PipeWriter, pipe};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use qplug_agent::Name;
use qplug_agent::wire::{Ended, Line, Run};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};

use crate::lanes::{Lane, Lanes};
use crate::refusal::{Result, cannot, refuse};
use crate::root;
use crate::transfer::pass_on;

/// Where programs are looked for.
const PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// How long what a program left in its pipes is waited for once it has ended: something that it began
/// may keep them open.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// What means something to a shell, and nothing to us.
const SHELL_ONLY: &str = "|&;<>()$`*?[]{}~#!\n";

/// Runs a program to its end.
pub(crate) fn run(wish: &Run, lanes: &Lanes) -> Result<Ended> {
    let stdout = lanes.open(wish.stdout)?;
    let stderr = wish.stderr.map(|number| lanes.open(number)).transpose()?;
    let stdin = wish.stdin.map(|number| lanes.open(number)).transpose()?;
    let (out_reader, out_writer) = pipe().map_err(cannot("make a pipe"))?;
    let (error_reader, error_writer) = match stderr {
        None => (None, out_writer.try_clone().map_err(cannot("make a pipe"))?),
        Some(lane) => {
            let (reader, writer) = pipe().map_err(cannot("make a pipe"))?;
            (Some((reader, lane)), writer)
        }
    };
    let mut child = start(&wish.command, out_writer, error_writer, stdin.is_some())?;
    let group = Pid::from_child(&child);
    let outputs: Vec<_> = [(out_reader, stdout)]
        .into_iter()
        .chain(error_reader)
        .map(|(reader, lane)| Output::send(reader, lane, group))
        .collect();
    let input = stdin.zip(child.stdin.take()).map(|(mut lane, mut pipe)| {
        let hold = lane.shared();
        thread::spawn(move || {
            // A program need not read all that it is given.
            let _ = pass_on(&mut lane, &mut pipe);
            drop(pipe);
            lane.finish();
        });
        hold
    });
    let status = child.wait().map_err(cannot("wait for the program"))?;
    for output in outputs {
        output.drain();
    }
    if let Some(input) = input {
        input.finish();
    }
    bury_orphans();
    Ok(Ended { status: status.code(), signal: status.signal() })
}

/// What a program prints, on its way to the host.
struct Output {
    lane: Lane,
    done: Receiver<()>,
}

impl Output {
    /// Sends what comes out of a pipe. When the host breaks the stream off, the program is ended: nobody
    /// wants its output any more.
    fn send(mut reader: PipeReader, mut lane: Lane, group: Pid) -> Self {
        let (hold, watch) = (lane.shared(), lane.shared());
        thread::spawn(move || {
            if watch.wait_abort() {
                end(group);
            }
        });
        let (tell, done) = channel();
        thread::spawn(move || {
            match pass_on(&mut reader, &mut lane) {
                Ok(_) => lane.finish(),
                Err(_) => end(group),
            }
            let _ = tell.send(());
        });
        Self { lane: hold, done }
    }

    /// Waits a while for what the program has left in its pipe, and closes the stream.
    fn drain(self) {
        let _ = self.done.recv_timeout(DRAIN_WITHIN);
        self.lane.finish();
    }
}

/// Ends a program and all that it began. While it is not waited for, its number is no other's; and once
/// it is, only what it left behind may have its group.
fn end(group: Pid) {
    let _ = kill_process_group(group, Signal::KILL);
}

fn start(line: &Line, stdout: PipeWriter, stderr: PipeWriter, has_input: bool) -> Result<Child> {
    let words = words(line)?;
    let [program, arguments @ ..] = &words[..] else {
        return Err(refuse("there is nothing to run"));
    };
    let path = look_for(program)
        .ok_or_else(|| refuse(format!("the appliance has no program {}", program.display())))?;
    begin(&path, program)
        .args(arguments.iter().map(Name::as_path))
        .env_clear()
        .envs([("PATH", PATH.join(":")), ("HOME", "/root".to_owned())])
        .envs([("LANG", "C.UTF-8"), ("TERM", "dumb")])
        // There is no udev to make the nodes of what lies on disks, so libdevmapper is to.
        .env("DM_DISABLE_UDEV", "1")
        .current_dir("/")
        .process_group(0)
        .stdin(if has_input { Stdio::piped() } else { Stdio::null() })
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .map_err(cannot(format!("run {}", path.display())))
}

fn begin(path: &Path, name: &Name) -> Command {
    if root::is_there() {
        return root::command(path, name);
    }
    let mut command = Command::new(path);
    command.arg0(name.as_path());
    command
}

fn words(line: &Line) -> Result<Vec<Name>> {
    match line {
        Line::Words(words) => Ok(words.clone()),
        Line::Shell(line) => match look_for(&Name::from("sh")) {
            Some(shell) => Ok(vec![Name::from(shell), "-c".into(), line.as_str().into()]),
            None => cut(line).map_err(refuse),
        },
    }
}

fn look_for(program: &Name) -> Option<PathBuf> {
    let path = program.as_path();
    if program.as_bytes().contains(&b'/') {
        return is_program(path).then(|| path.to_owned());
    }
    PATH.iter().map(|folder| Path::new(folder).join(path)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    if root::is_there() {
        return root::has_program(path);
    }
    fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// Cuts a line into words as a shell would, if it has nothing in it but words and quotes.
fn cut(line: &str) -> Result<Vec<Name>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = line.trim_end().chars();
    while let Some(character) = rest.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(character),
            (_, '\\') => {
                let next = rest.next().ok_or("the line ends in a backslash")?;
                let word = word.get_or_insert_default();
                if quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            (Some(_), '$' | '`') => return Err(no_shell(character)),
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, _) if SHELL_ONLY.contains(character) => return Err(no_shell(character)),
            (None, _) => word.get_or_insert_default().push(character),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a quote is not closed: {quote}"));
    }
    words.extend(word);
    Ok(words.iter().map(|word| Name::from(word.as_str())).collect())
}

fn no_shell(character: char) -> String {
    format!("the appliance has no shell to understand '{character}'; launch it with the program sh")
}

/// What programs left behind becomes our child, and is to be waited for when it has ended.
fn bury_orphans() {
    let own = std::process::id();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
        let Some(orphan) = orphan(&stat, own) else { continue };
        let _ = waitpid(Some(orphan), WaitOptions::NOHANG);
    }
}

/// `12 (name) Z 1 7 …`: a process of ours that has ended, and that no thread waits for: those we begin
/// ourselves lead a group, or are tar, which is of our own.
fn orphan(stat: &str, own: u32) -> Option<Pid> {
    let (pid, rest) = stat.split_once(' ')?;
    let mut fields = rest.rsplit_once(") ")?.1.split(' ');
    let (state, parent, group) = (fields.next()?, fields.next()?, fields.next()?);
    let is_ours = group == pid || group.parse::<i32>().is_ok_and(|group| group <= 1);
    let is_orphan = state == "Z" && parent == own.to_string() && !is_ours;
    is_orphan.then(|| pid.parse().ok().and_then(Pid::from_raw)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes_need_no_shell() {
        let words =
            |line: &str| -> Vec<String> { cut(line).unwrap().iter().map(Name::display).collect() };
        assert_eq!(
            words("mkfs.ext4 -q  /dev/disk/qplug/data:1"),
            ["mkfs.ext4", "-q", "/dev/disk/qplug/data:1"]
        );
        assert_eq!(words(r#"a 'b c' "d \" e\n" f\ g '' "#), ["a", "b c", "d \" e\\n", "f g", ""]);
        assert!(words(" ").is_empty());
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused() {
        for line in
            ["a | b", "a > b", "a; b", "echo $x", "echo \"$x\"", "ls *", "a && b", "'open", "x\\"]
        {
            assert!(cut(line).is_err(), "{line}");
        }
    }

    #[test]
    fn only_what_nobody_waits_for_is_buried() {
        let pid = |stat: &str| orphan(stat, 1).map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(pid("12 (a) b) Z 1 7 7"), Some(12));
        assert_eq!(pid("12 (a) S 1 7 7"), None);
        assert_eq!(pid("12 (a) Z 1 12 7"), None);
        assert_eq!(pid("12 (tar) Z 1 0 0"), None);
        assert_eq!(pid("12 (a) Z 5 7 7"), None);
    }
}
