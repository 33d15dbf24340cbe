//! Builds the agent, a static program, and hands it to the crate as bytes.
//!
//! The nested build is sound with cargo's locks: cargo holds none on its package cache while it runs
//! build scripts, and the nested one has a build folder of its own. It asks for no network: what the
//! agent depends on, this crate depends on too, so that it was fetched already. Where the host's C
//! library has no static form, or there is no source of the agent, the crate is built without one, and
//! says so to whoever launches an appliance.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Appliances are PCs, and so are the hosts that run them fast: no other target needs to be installed.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Names an agent that is built already.
const READY: &str = "QPLUG_BUILT_AGENT";

fn main() {
    println!("cargo::rerun-if-env-changed={READY}");
    let output = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let crates = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let crates = crates.parent().unwrap_or(&crates);
    let (program, reason) = match built(crates, &output) {
        Ok(program) => (program, String::new()),
        Err(reason) => {
            println!("cargo::warning=the appliance's agent is not built in: {reason}");
            (Vec::new(), reason)
        }
    };
    let mut hasher = DefaultHasher::new();
    program.hash(&mut hasher);
    let stamp = format!("{:016x}-{}", hasher.finish(), program.len());
    for (name, content) in [
        ("qplug-agent", &program[..]),
        ("not-built", reason.as_bytes()),
        ("stamp", stamp.as_bytes()),
    ] {
        if let Err(error) = fs::write(output.join(name), content) {
            println!("cargo::error=cannot write {name}: {error}");
        }
    }
}

fn built(crates: &Path, output: &Path) -> Result<Vec<u8>, String> {
    if let Some(ready) = env::var_os(READY).map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", ready.display());
        return fs::read(&ready).map_err(|error| format!("{}: {error}", ready.display()));
    }
    let agent = crates.join("agent");
    // From this crate's folder: of two checkouts with one build folder, each has its own agent.
    for part in ["../agent/src", "../agent/Cargo.toml", "../proto/src"] {
        println!("cargo::rerun-if-changed={part}");
    }
    if !agent.join("Cargo.toml").is_file() {
        return Err("there is no crates/agent".to_owned());
    }
    let folder = output.join("agent");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--quiet", "--release", "--offline", "--bin", "qplug-agent"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&folder)
        .arg("--manifest-path")
        .arg(agent.join("Cargo.toml"))
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        // A command in which the agent makes a mistake must not take the machine with it.
        .env("CARGO_PROFILE_RELEASE_PANIC", "unwind");
    // What the outer build was told is not meant for this one: clippy takes a compiler's place, and
    // flags would be for another target.
    for variable in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
    ] {
        command.env_remove(variable);
    }
    let run = command.output().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !run.status.success() {
        let text = String::from_utf8_lossy(&run.stderr);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("error")).collect();
        return Err(lines.first().map_or_else(|| run.status.to_string(), ToString::to_string));
    }
    let program = folder.join(TARGET).join("release/qplug-agent");
    fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))
}
