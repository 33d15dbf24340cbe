//! Machines that booted once, were saved, and are loaded many times.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::builder::announce_migration;
use super::{Builder, Machine};
use crate::boot_files::BootFiles;
use crate::cache::{self, Lock};
use crate::{Error, Result};

/// How long a save or a load may take; it takes a fraction of a second when nothing else runs.
const MIGRATE_WITHIN: Duration = Duration::from_secs(60);
/// How long a saved QEMU may take to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// A state that does not load is made anew this often before the test fails.
const ATTEMPTS: u32 = 2;
/// Saved states that are kept, each of some 80 MB; the oldest ones go. All tests together ask for
/// fewer, so that none boots what another run has saved.
const MAX_SAVED: usize = 64;
/// Time between two looks for a file.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Loads the machine, saving it first if that has not happened yet.
pub(super) fn restored(builder: &Builder, files: &BootFiles) -> Result<Machine> {
    let state = place(builder, files)?;
    let mut last_error = None;
    for _ in 0..ATTEMPTS {
        let age = make_sure_it_is_saved(builder, &state)?;
        match load(builder, files, &state) {
            Ok(machine) => return Ok(machine),
            Err(error) => last_error = Some(error),
        }
        discard(&state, age)?;
    }
    Err(last_error.unwrap_or_else(|| Error::failed("no attempt was made to load the machine")))
}

pub(super) fn place(builder: &Builder, files: &BootFiles) -> Result<PathBuf> {
    let key = builder.saved_key(files)?;
    Ok(cache::folder()?.join("saved").join(key.to_string()))
}

/// Returns when the state was written, which tells it from one that replaces it.
fn make_sure_it_is_saved(builder: &Builder, state: &Path) -> Result<Option<SystemTime>> {
    if let Some(age) = written(state) {
        return Ok(Some(age));
    }
    let _lock = Lock::acquire("saved")?;
    if written(state).is_none() {
        cache::make_parent(state)?;
        save(builder, state)?;
        forget_oldest(state)?;
    }
    Ok(written(state))
}

fn written(state: &Path) -> Option<SystemTime> {
    fs::metadata(state).and_then(|file| file.modified()).ok()
}

fn discard(state: &Path, age: Option<SystemTime>) -> Result<()> {
    let _lock = Lock::acquire("saved")?;
    // Another process may have replaced it while we were waiting.
    if written(state) == age {
        fs::remove_file(state).map_err(Error::file("remove", state))?;
    }
    Ok(())
}

fn save(builder: &Builder, state: &Path) -> Result<()> {
    let mut machine = builder.clone().boot()?;
    announce_migration(&mut machine)?;
    machine.oracle.demand("stop", json!({}))?;
    // `cat` may still be writing when QEMU says it is done; the rename comes after the last byte.
    let partial = state.with_extension("partial");
    let uri = format!(
        "exec:cat > {partial} && mv {partial} {state}",
        partial = quoted(&partial),
        state = quoted(state)
    );
    machine.oracle.demand("migrate", json!({ "uri": uri }))?;
    wait_migrated(&mut machine)?;
    machine.oracle.demand("quit", json!({}))?;
    machine.wait_exit(LEAVE_WITHIN)?;
    let deadline = Instant::now() + LEAVE_WITHIN;
    while !state.is_file() {
        if Instant::now() > deadline {
            let what = format!("the saved machine never came to {}", state.display());
            return Err(machine.evidence.failure(&what));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn load(builder: &Builder, files: &BootFiles, state: &Path) -> Result<Machine> {
    let mut machine = builder.incoming(files)?;
    let uri = format!("exec:cat {}", quoted(state));
    machine.oracle.demand("migrate-incoming", json!({ "uri": uri }))?;
    wait_migrated(&mut machine)?;
    machine.oracle.demand("cont", json!({}))?;
    machine.guest.ping()?;
    Ok(machine)
}

fn wait_migrated(machine: &mut Machine) -> Result<()> {
    let is_final = |data: &serde_json::Value| data["status"] == "completed" || failed(data);
    let end = machine.oracle.wait_event_where("MIGRATION", MIGRATE_WITHIN, is_final)?;
    if failed(&end["data"]) {
        return Err(machine.evidence.failure("the machine's state does not fit"));
    }
    Ok(())
}

fn failed(data: &serde_json::Value) -> bool {
    data["status"] == "failed"
}

/// Keeps the cache bounded. A state that is being loaded stays readable to whoever has it open.
fn forget_oldest(newest: &Path) -> Result<()> {
    let folder = newest.parent().unwrap_or(newest);
    let entries = fs::read_dir(folder).map_err(Error::file("list", folder))?;
    let mut states: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((written(&entry.path())?, entry.path())))
        .collect();
    states.sort();
    let surplus = states.len().saturating_sub(MAX_SAVED);
    for (_, state) in &states[..surplus] {
        fs::remove_file(state).map_err(Error::file("remove", state))?;
    }
    Ok(())
}

/// A path as one word of a shell command.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_one_word() {
        assert_eq!(quoted(Path::new("/a b/c")), "'/a b/c'");
        assert_eq!(quoted(Path::new("/it's")), r"'/it'\''s'");
    }
}
