//! The Python client for QMP, for the tests of our server: a virtual environment in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use qplug_testbed::python::{CHOICE, PACKAGE, VERSION, chosen, place};
use qplug_testbed::{Error, Result, cache};

use super::tool;

/// The Python that has the package, fetched when it is not there yet.
pub(super) fn set_up() -> Result<PathBuf> {
    if let Some(chosen) = chosen() {
        return has_package(&chosen).map(|()| chosen).map_err(|error| {
            Error::not_set_up(format!("{CHOICE} names a Python without {PACKAGE}: {error}"))
        });
    }
    let place = place()?;
    if !place.exists() {
        println!("fetching {PACKAGE} {VERSION}");
        cache::install(&place, fetch).map_err(|error| {
            Error::not_set_up(format!(
                "the Python client {PACKAGE} cannot be fetched, so no test runs it: {error}\n  \
                 It takes python3 with its venv module (Debian: python3-venv) and a package index. \
                 Try again with: cargo xtask setup; or name a Python that has it with {CHOICE}"
            ))
        })?;
    }
    Ok(place.join("bin/python"))
}

/// The scripts of an environment know the folder that it was made in, which is not the one that it
/// comes to be in. So programs are run as modules (`python -m`).
fn fetch(folder: &Path) -> Result<()> {
    tool::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let python = folder.join("bin/python");
    let quiet = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"];
    tool::run(Command::new(&python).args(quiet).arg(format!("{PACKAGE}=={VERSION}")))?;
    has_package(&python)
}

fn has_package(python: &Path) -> Result<()> {
    tool::run(Command::new(python).args(["-c", &format!("import {PACKAGE}")])).map(drop)
}
