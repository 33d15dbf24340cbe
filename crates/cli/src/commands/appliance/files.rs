//! `qplug appliance cat`, `cp`, `find`, `tar-in`, `tar-out` and `sh`

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use qplug_appliance::wire::{Ended, EntryKind, Line, Place, Stat};
use qplug_appliance::{Appliance, ApplianceName, Counted, Error, Name};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::{named, open};
use crate::args::ApplianceVerb as Verb;
use crate::args::appliance::{Cp, OfFile, OfFiles, Sh, TarIn};
use crate::failure::{Exit, Failure, NO_PROGRAM};
use crate::output::Output;

/// Added to a signal's number.
const BY_SIGNAL: u8 = 128;

/// Stands for standard input or output.
const STANDARD: &str = "-";

/// Whether a path stands for standard input or output.
fn is_standard(path: &Path) -> bool {
    path == Path::new(STANDARD)
}

/// Whether a command reads standard input.
pub(crate) fn reads_input(verb: &Verb) -> bool {
    match verb {
        Verb::Cp(args) => args.from.iter().any(|from| is_standard(from)),
        Verb::Sh(args) => args.has_input,
        Verb::TarIn(args) => is_standard(&args.archive),
        _ => false,
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", path.display()))
}

pub(super) async fn cat(args: OfFiles, output: &Output) -> Result<Exit, Failure> {
    let appliance = open(&args.appliance.name)?;
    let mut out = output.stream()?;
    for path in &args.paths {
        appliance.download(Place::Path(named(path)), &mut out).await?;
    }
    out.flush().await?;
    Ok(Exit::Done)
}

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    Appliance(ApplianceName, PathBuf),
    Host(PathBuf),
    Standard,
}

impl Side {
    /// `NAME:/PATH` is the appliance's, and `./NAME:…` this host's.
    fn of(text: &Path) -> Self {
        if is_standard(text) {
            return Self::Standard;
        }
        let bytes = text.as_os_str().as_bytes();
        let colon = bytes.iter().position(|&byte| byte == b':');
        let split = colon.map(|at| (&bytes[..at], &bytes[at + 1..]));
        let appliance = split.and_then(|(name, path)| {
            let name = ApplianceName::new(std::str::from_utf8(name).ok()?).ok()?;
            Some(Self::Appliance(name, PathBuf::from(OsStr::from_bytes(path))))
        });
        appliance.unwrap_or_else(|| Self::Host(text.to_owned()))
    }
}

pub(super) async fn cp(args: Cp, output: &Output) -> Result<Exit, Failure> {
    let (to, is_one) = (Side::of(&args.to), args.from.len() == 1);
    let mut exit = Exit::Done;
    for from in &args.from {
        match copy(Side::of(from), to.clone(), is_one, output).await {
            Ok(()) => {}
            Err(failure) if is_one || failure.exit == Exit::Interrupted => return Err(failure),
            Err(failure) => {
                output.complain(&from.display().to_string(), &failure);
                exit = exit.worse(failure.exit);
            }
        }
    }
    Ok(exit)
}

/// Copies one file. Where it is not the only one, it goes into a folder.
async fn copy(from: Side, to: Side, is_one: bool, output: &Output) -> Result<(), Failure> {
    match (from, to) {
        (Side::Appliance(name, path), Side::Host(to)) => {
            let to = in_folder(to.is_dir(), is_one, to, &path)?;
            let appliance = open(&name)?;
            let shown = output.copying(&path.display().to_string());
            let watch = |moved, total| shown.moved(moved, total);
            let copied = appliance.copy_out(named(&path), &to, &watch);
            or_give_up(copied, &appliance).await
        }
        (Side::Host(from), Side::Appliance(name, to)) => {
            let appliance = open(&name)?;
            let is_folder = is_folder(&appliance, &to).await?;
            let to = in_folder(is_folder, is_one, to, &from)?;
            let shown = output.copying(&from.display().to_string());
            let watch = |moved, total| shown.moved(moved, total);
            let copied = appliance.copy_in(&from, named(&to), &watch);
            or_give_up(copied, &appliance).await
        }
        (Side::Appliance(name, path), Side::Standard) => {
            let mut out = output.stream()?;
            open(&name)?.download(Place::Path(named(&path)), &mut out).await?;
            Ok(out.flush().await?)
        }
        (Side::Standard, Side::Appliance(name, path)) => {
            let shown = output.copying("standard input");
            let watch = |moved, total| shown.moved(moved, total);
            let mut input = Counted::new(tokio::io::stdin(), None, &watch);
            open(&name)?.upload(&mut input, Place::Path(named(&path)), None).await?;
            Ok(())
        }
        _ => Err(Failure::usage("one of the two has to be an appliance's: NAME:PATH")),
    }
}

/// Where a file goes: into a folder, under its own name.
fn in_folder(is_folder: bool, is_one: bool, to: PathBuf, from: &Path) -> Result<PathBuf, Failure> {
    match (is_folder, from.file_name()) {
        (true, Some(name)) => Ok(to.join(name)),
        (true, None) => Err(Failure::usage(format!("{} has no name", from.display()))),
        (false, _) if is_one => Ok(to),
        (false, _) => Err(Failure::usage(format!("{} is no folder", to.display()))),
    }
}

async fn is_folder(appliance: &Appliance, path: &Path) -> Result<bool, Failure> {
    match appliance.ask(&Stat { path: named(path), link: false }).await {
        Ok(status) => Ok(status.kind == EntryKind::Folder),
        // There is none, which is well.
        Err(Error::Command(refused)) if refused.refusal().is_some() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Ctrl-C ends a copy, and what was plugged in for it goes.
async fn or_give_up(
    copied: impl Future<Output = Result<u64, Error>>,
    appliance: &Appliance,
) -> Result<(), Failure> {
    tokio::select! {
        copied = copied => Ok(copied.map(drop)?),
        signal = tokio::signal::ctrl_c() => {
            signal?;
            // What is left then, the next copy takes away.
            let _ = appliance.give_up_copy().await;
            Err(Failure { exit: Exit::Interrupted, message: "interrupted".to_owned() })
        }
    }
}

pub(super) async fn find(args: OfFile, output: &Output) -> Result<Exit, Failure> {
    let mut paths = Vec::new();
    let found = open(&args.appliance.name)?.find_files(named(&args.path), &mut paths).await?;
    let names = paths.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let names: Vec<_> = names.map(Name::from).collect();
    output
        .result(&names, |out| {
            names.iter().try_for_each(|name| {
                out.write_all(name.as_bytes())?;
                out.write_all(b"\n")
            })
        })
        .await?;
    for (folder, why) in &found.unreadable {
        output.remark(&format!("{}: {why}", folder.display()));
    }
    Ok(if found.unreadable.is_empty() { Exit::Done } else { Exit::Other })
}

pub(super) async fn tar_in(args: TarIn, output: &Output) -> Result<Exit, Failure> {
    let appliance = open(&args.appliance.name)?;
    let (path, shown) = (named(&args.path), output.copying(&args.archive.display().to_string()));
    let watch = |moved, total| shown.moved(moved, total);
    if is_standard(&args.archive) {
        appliance.tar_in(&mut Counted::new(tokio::io::stdin(), None, &watch), path).await?;
    } else {
        let file = File::open(&args.archive).await;
        let file = file.map_err(|error| unusable(&args.archive, &error))?;
        let total = file.metadata().await?.len();
        appliance.tar_in(&mut Counted::new(file, Some(total), &watch), path).await?;
    }
    Ok(Exit::Done)
}

pub(super) async fn tar_out(args: OfFile, output: &Output) -> Result<Exit, Failure> {
    let shown = output.copying(&args.path.display().to_string());
    let watch = |moved, total| shown.moved(moved, total);
    let mut out = Counted::new(output.stream()?, None, &watch);
    open(&args.appliance.name)?.tar_out(named(&args.path), &mut out).await?;
    out.flush().await?;
    Ok(Exit::Done)
}

/// Runs a program, and ends as it does: by a signal, with what shells make of it.
pub(super) async fn sh(args: Sh, output: &Output) -> Result<Exit, Failure> {
    match run(args, output).await {
        Ok(Ended { status: Some(0), .. }) => Ok(Exit::Done),
        Ok(Ended { status: Some(status), .. }) => {
            Ok(Exit::Program(u8::try_from(status).unwrap_or(u8::MAX)))
        }
        Ok(Ended { signal, .. }) => {
            let signal = signal.and_then(|signal| u8::try_from(signal).ok()).unwrap_or_default();
            let message = format!("the program was ended by signal {signal}");
            Err(Failure { exit: Exit::Program(BY_SIGNAL.saturating_add(signal)), message })
        }
        Err(failure) => Err(Failure { exit: Exit::Program(NO_PROGRAM), ..failure }),
    }
}

async fn run(args: Sh, output: &Output) -> Result<Ended, Failure> {
    let line = match &args.line[..] {
        [line] => Line::Shell(line.clone()),
        words => Line::Words(words.iter().map(|word| Name::from(word.as_str())).collect()),
    };
    let (mut out, mut complaints) = (output.stream()?, output.error_stream());
    let mut input = args.has_input.then(tokio::io::stdin);
    let input = input.as_mut().map(|input| input as _);
    let appliance = open(&args.appliance.name)?;
    let ended = appliance.run_program(line, input, &mut out, &mut complaints).await?;
    out.flush().await?;
    complaints.flush().await?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

    use super::*;

    #[test]
    fn a_colon_behind_a_name_makes_it_the_appliances() {
        let side = |text: &str| Side::of(Path::new(text));
        let work = || ApplianceName::new("work").unwrap();
        assert_eq!(side("work:/etc/fstab"), Side::Appliance(work(), "/etc/fstab".into()));
        assert_eq!(side("work:a:b"), Side::Appliance(work(), "a:b".into()));
        assert_eq!(side("./work:x"), Side::Host("./work:x".into()));
        assert_eq!(side("plain"), Side::Host("plain".into()));
        assert_eq!(side("-"), Side::Standard);
    }
}
