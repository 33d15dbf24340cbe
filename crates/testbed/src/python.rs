//! The Python client for QMP, which QEMU's developers keep, in a virtual environment of its own.

use std::env;
use std::path::PathBuf;

use crate::{Result, cache};

/// The package on PyPI.
pub const PACKAGE: &str = "qemu.qmp";

/// The version that is set up.
pub const VERSION: &str = "0.0.6";

/// Names a Python to use in place of the one that is set up; it must have the package.
pub const CHOICE: &str = "QPLUG_PYTHON";

/// The folder of the virtual environment, whether it is there yet or not.
pub fn place() -> Result<PathBuf> {
    Ok(cache::folder()?.join(format!("python-{PACKAGE}-{VERSION}")))
}

/// The Python of the user's choice, if there is a choice.
#[must_use]
pub fn chosen() -> Option<PathBuf> {
    env::var_os(CHOICE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// A Python that has the package; `None` when it is not set up.
pub fn program() -> Result<Option<PathBuf>> {
    if let Some(chosen) = chosen() {
        return Ok(Some(chosen));
    }
    let program = place()?.join("bin/python");
    Ok(program.exists().then_some(program))
}
