//! The agent's program, PID 1 of every appliance.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::Key;
use crate::error::{Error, Result};

/// The agent that was built with this crate (see `build.rs`); empty when it could not be built.
const BUILT_IN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/qplug-agent"));

/// Why it could not be built; empty when it was.
const NOT_BUILT: &str = include_str!(concat!(env!("OUT_DIR"), "/not-built"));

/// What tells one built-in agent from the next.
const BUILT_IN_STAMP: &str = include_str!(concat!(env!("OUT_DIR"), "/stamp"));

/// Names another agent than the one that is built in.
const VARIABLE: &str = "QPLUG_APPLIANCE_AGENT";

/// The agent's program, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Init {
    source: Source,
    stamp: Key,
}

#[derive(Debug, Clone)]
enum Source {
    BuiltIn,
    File(PathBuf),
    #[cfg(test)]
    Bytes(Vec<u8>),
}

impl Init {
    /// The wanted program, or that of `$QPLUG_APPLIANCE_AGENT`, or the one that is built in.
    pub(crate) fn find(wanted: Option<&Path>) -> Result<Self> {
        let set = || env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        match wanted.map(ToOwned::to_owned).or_else(set) {
            Some(path) => {
                let stamp = Key::default().with("file").with_file(&path)?;
                Ok(Self { source: Source::File(path), stamp })
            }
            None if BUILT_IN.is_empty() => {
                let what =
                    format!("this qplug was built without the appliance's agent: {NOT_BUILT}");
                let remedy =
                    "build crates/agent static, and name its program in QPLUG_APPLIANCE_AGENT";
                Err(Error::missing(what, remedy))
            }
            None => {
                let stamp = Key::default().with("built in").with(BUILT_IN_STAMP);
                Ok(Self { source: Source::BuiltIn, stamp })
            }
        }
    }

    /// Adds to a key what tells this program from others.
    pub(crate) fn key(&self, key: Key) -> Key {
        key.with(self.stamp.to_string())
    }

    /// The program.
    pub(crate) fn program(&self) -> Result<Vec<u8>> {
        match &self.source {
            Source::BuiltIn => Ok(BUILT_IN.to_vec()),
            Source::File(path) => fs::read(path).map_err(Error::file("read the agent", path)),
            #[cfg(test)]
            Source::Bytes(bytes) => Ok(bytes.clone()),
        }
    }

    /// These bytes, for tests.
    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self { source: Source::Bytes(bytes.to_vec()), stamp: Key::default().with(bytes) }
    }
}
