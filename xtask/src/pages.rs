//! `cargo xtask pages`: shell completions and manual pages, for packages.

use std::path::Path;

use qplug_testbed::Result;

use crate::cargo::{cargo, root, succeed};

/// Where they go when nobody says where.
const FOLDER: &str = "target/pages";

/// Has qplug write them: only it knows its commands, and xtask does not link it to be built fast.
pub(crate) fn run(out: Option<&Path>) -> Result<()> {
    let out = match out {
        // It is meant from where the user is, and cargo runs at the root.
        Some(out) => std::path::absolute(out).unwrap_or_else(|_| out.to_owned()),
        None => root().join(FOLDER),
    };
    succeed(cargo(["run", "--quiet", "--package", "qplug", "--", "pages"]).arg(out))
}
