//! `cargo xtask codegen`: the typed commands and events of `crates/qapi`, from recorded schemas.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use qplug_qapi::codegen::{File, Layout, Source, generate};
use qplug_qapi::introspection::Schema;
use qplug_testbed::{Error, Result};

use crate::cargo::root;

/// Writes what is not as it would be generated, or with `check` says what is not.
pub(crate) fn run(check: bool) -> Result<()> {
    let room = root().join("crates/qapi");
    let sources = sources(&room.join("schemas"))?;
    let mut stale = Vec::new();
    let mut known = Vec::new();
    for File { path, text } in generate(&sources, Layout::Topics) {
        let text = formatted(&text)?;
        let target = room.join("src").join(&path);
        let is_fresh = fs::read_to_string(&target).is_ok_and(|found| found == text);
        if !is_fresh && !check {
            write(&target, &text)?;
            println!("wrote crates/qapi/src/{path}");
        }
        if !is_fresh {
            stale.push(path.clone());
        }
        known.push(target);
    }
    let mut folders = vec![room.join("src/api")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(Error::file("list", &folder))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if !known.contains(&path) {
                stale.push(format!("{} (nothing generates it; delete it)", path.display()));
            }
        }
    }
    if stale.is_empty() || !check {
        return Ok(());
    }
    let list = stale.join("\n  ");
    Err(Error::failed(format!("stale; run: cargo xtask codegen\n  {list}")))
}

/// The recorded schemas, oldest first.
fn sources(folder: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let entries = fs::read_dir(folder).map_err(Error::file("list", folder))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some(version) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let schema = Schema::parse(&text)
            .map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
        sources.push(Source { version: version.to_owned(), schema });
    }
    let numbers = |source: &Source| -> Vec<u32> {
        source.version.split('.').filter_map(|number| number.parse().ok()).collect()
    };
    sources.sort_by_key(numbers);
    Ok(sources)
}

/// What rustfmt makes of it, with the project's settings.
fn formatted(text: &str) -> Result<String> {
    let cannot = |error: std::io::Error| Error::failed(format!("cannot run rustfmt: {error}"));
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--config-path"]).arg(root());
    let mut child = rustfmt.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    if let Some(mut input) = child.stdin.take() {
        let text = text.to_owned();
        // It may answer before it has read all, so both go on at once.
        std::thread::spawn(move || input.write_all(text.as_bytes()));
    }
    let output = child.wait_with_output().map_err(cannot)?;
    let text = String::from_utf8(output.stdout);
    match text {
        Ok(text) if output.status.success() => Ok(text),
        _ => Err(Error::failed("rustfmt does not take what was generated")),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::file("make", folder))?;
    }
    fs::write(path, text).map_err(Error::file("write", path))
}
