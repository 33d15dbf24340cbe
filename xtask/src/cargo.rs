//! Running cargo.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use qplug_testbed::{Error, Result};

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(ToOwned::to_owned).unwrap_or(xtask)
}

/// A cargo command in the project's root.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command whose output is for the user's eyes.
pub(crate) fn succeed(mut command: impl std::borrow::BorrowMut<Command>) -> Result<()> {
    let command = command.borrow_mut();
    let words: Vec<_> =
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let status = command.status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::failed(format!("cargo {}: {status}", words.join(" ")))),
        Err(error) => Err(Error::failed(format!("cannot run cargo: {error}"))),
    }
}

/// Builds a program of the workspace as tests do, and gives its path: for what is looked at and not
/// timed.
pub(crate) fn build(package: &str, program: &str) -> Result<PathBuf> {
    succeed(cargo(["build", "--quiet", "--package", package, "--bin", program]))?;
    Ok(target().join("debug").join(program))
}

/// Builds a program of the workspace with optimisation, which takes minutes, and gives its path.
pub(crate) fn build_release(package: &str, program: &str) -> Result<PathBuf> {
    succeed(cargo(["build", "--quiet", "--release", "--package", package, "--bin", program]))?;
    Ok(target().join("release").join(program))
}

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(target.unwrap_or_else(|| "target".into()))
}
