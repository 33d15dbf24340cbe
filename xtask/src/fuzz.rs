//! `cargo xtask fuzz`: bytes that nobody thought of, for the protocol.
//!
//! libFuzzer comes as a crate with its C++ source, and what tells it which code was reached is two
//! flags of the stable compiler, so that neither a nightly toolchain nor an installed fuzzer is
//! needed; a C++ compiler is.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use qplug_testbed::{Error, Result};

use crate::cargo::{cargo, root, succeed};

/// The programs, each with a corpus of its name.
const TARGETS: [&str; 3] = ["client", "server", "pair"];

/// The longest input that is tried.
const MAX_LENGTH: usize = 8 << 10;

/// How long one input may take, and how much memory the program.
const TIMEOUT_S: u32 = 10;
const MEMORY_MIB: u32 = 1024;

/// Has the compiler count which code is reached and report what is compared.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1";

/// Fuzzes for so many seconds in all, each target an equal part of them.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let folder = root().join("crates/proto/fuzz");
    let target = root().join("target/fuzz");
    let host = host()?;
    let mut build = cargo(["build", "--release", "--bins", "--target", &host]);
    build.current_dir(&folder).env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", FLAGS);
    succeed(build)?;
    let each = (seconds / u32::try_from(TARGETS.len()).unwrap_or(1)).max(1);
    for name in TARGETS {
        println!("== {name}: {each} s");
        fuzz(&target.join(&host).join("release").join(name), name, &folder, &target, each)?;
    }
    Ok(())
}

/// What is found goes to the target folder; what breaks the code is to be copied to the corpus.
fn fuzz(program: &Path, name: &str, folder: &Path, target: &Path, seconds: u32) -> Result<()> {
    let found = target.join("found").join(name);
    let broken = target.join("broken").join(name);
    for folder in [&found, &broken] {
        fs::create_dir_all(folder)
            .map_err(|error| Error::failed(format!("cannot make {}: {error}", folder.display())))?;
    }
    let status = Command::new(program)
        .arg(&found)
        .arg(folder.join("corpus").join(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_LENGTH}"))
        .arg(format!("-timeout={TIMEOUT_S}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-artifact_prefix={}/", broken.display()))
        .arg("-print_final_stats=1")
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Error::failed(format!("cannot run {}: {error}", program.display())))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::failed(format!(
        "an input breaks {name}; it is in {}: mend the code, and copy it to crates/proto/fuzz/corpus/{name}",
        broken.display()
    )))
}

/// The compiler's name for this machine: with a target named, the flags stay away from what is built
/// to run while building.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|error| Error::failed(format!("cannot run rustc: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(ToOwned::to_owned).ok_or_else(|| Error::failed("rustc -vV names no host"))
}
