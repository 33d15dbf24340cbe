//! `qplug appliance cat`, `cp`, `find`, `tar-in`, `tar-out` and `sh`

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use qplug_appliance::wire::{Line, Place};
use qplug_appliance::{ApplianceName, Name};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::{named, open};
use crate::args::ApplianceVerb as Verb;
use crate::args::appliance::{Cp, OfFile, OfFiles, Sh, TarIn};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Stands for standard input or output.
const STANDARD: &str = "-";

/// Whether a path stands for standard input or output.
fn is_standard(path: &Path) -> bool {
    path == Path::new(STANDARD)
}

/// Whether a command reads standard input.
pub(crate) fn reads_input(verb: &Verb) -> bool {
    match verb {
        Verb::Cp(args) => is_standard(&args.from),
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
#[derive(Debug, PartialEq, Eq)]
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
    let (from, to) = (Side::of(&args.from), Side::of(&args.to));
    match (from, to) {
        (Side::Appliance(name, path), Side::Host(to)) => {
            let to = if to.is_dir() { to.join(path.file_name().unwrap_or_default()) } else { to };
            let mut file = File::create(&to).await.map_err(|error| unusable(&to, &error))?;
            open(&name)?.download(Place::Path(named(&path)), &mut file).await?;
            file.flush().await?;
        }
        (Side::Appliance(name, path), Side::Standard) => {
            let mut out = output.stream()?;
            open(&name)?.download(Place::Path(named(&path)), &mut out).await?;
            out.flush().await?;
        }
        (Side::Host(from), Side::Appliance(name, path)) => {
            let mut file = File::open(&from).await.map_err(|error| unusable(&from, &error))?;
            open(&name)?.upload(&mut file, Place::Path(named(&path)), None).await?;
        }
        (Side::Standard, Side::Appliance(name, path)) => {
            let mut input = tokio::io::stdin();
            open(&name)?.upload(&mut input, Place::Path(named(&path)), None).await?;
        }
        _ => return Err(Failure::usage("one of the two has to be an appliance's: NAME:PATH")),
    }
    Ok(Exit::Done)
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

pub(super) async fn tar_in(args: TarIn) -> Result<Exit, Failure> {
    let appliance = open(&args.appliance.name)?;
    let path = named(&args.path);
    if is_standard(&args.archive) {
        appliance.tar_in(&mut tokio::io::stdin(), path).await?;
    } else {
        let file = File::open(&args.archive).await;
        let mut file = file.map_err(|error| unusable(&args.archive, &error))?;
        appliance.tar_in(&mut file, path).await?;
    }
    Ok(Exit::Done)
}

pub(super) async fn tar_out(args: OfFile, output: &Output) -> Result<Exit, Failure> {
    let mut out = output.stream()?;
    open(&args.appliance.name)?.tar_out(named(&args.path), &mut out).await?;
    out.flush().await?;
    Ok(Exit::Done)
}

pub(super) async fn sh(args: Sh, output: &Output) -> Result<Exit, Failure> {
    let line = match &args.line[..] {
        [line] => Line::Shell(line.clone()),
        words => Line::Words(words.iter().map(|word| Name::from(word.as_str())).collect()),
    };
    let (mut out, mut complaints) = (output.stream()?, output.error_stream());
    let appliance = open(&args.appliance.name)?;
    let ended = appliance.run_program(line, None, &mut out, &mut complaints).await?;
    out.flush().await?;
    complaints.flush().await?;
    let message = match (ended.status, ended.signal) {
        (Some(0), _) => return Ok(Exit::Done),
        (Some(status), _) => format!("the program ended with exit code {status}"),
        (None, Some(signal)) => format!("the program was ended by signal {signal}"),
        (None, None) => "the program did not end well".to_owned(),
    };
    Err(Failure { exit: Exit::Other, message })
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
