//! An unpacked QEMU as others want one: a program that can be started by its path alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use qplug_testbed::{Error, Qemu, Result};

/// A script that runs an unpacked QEMU like an installed one, whatever its environment.
pub(super) fn emulator(qemu: &Qemu, folder: &Path) -> Result<PathBuf> {
    let mut script = "#!/bin/sh\n".to_owned();
    for (name, value) in qemu.environment() {
        script.push_str(&format!("export {name}={}\n", quoted(&value)));
    }
    script.push_str(&format!("exec {}", quoted(&qemu.path.to_string_lossy())));
    for argument in qemu.firmware_arguments() {
        script.push_str(&format!(" {}", quoted(&argument)));
    }
    script.push_str(" \"$@\"\n");
    let path = folder.join("qemu");
    fs::write(&path, script).map_err(Error::file("write", &path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .map_err(Error::file("make executable", &path))?;
    Ok(path)
}

/// A text as one word of a shell command.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_stay_whole() {
        assert_eq!(quoted("/it's"), r"'/it'\''s'");
    }
}
