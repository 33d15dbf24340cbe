//! The words of the shell.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// Run the lines of a file (- is standard input) and end; the first that fails ends it, unless it
    /// begins with -.
    #[arg(short = 'x', long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  qplug --socket /run/vm1.qmp shell
  qplug --socket /run/vm1.qmp shell -x nightly.qplug

A line is a command of qplug (list, attach a.img), a command of QMP with key=value (query-block,
blockdev-add driver=null-co node-name=n), or a QMP message in JSON. Type help there for the rest.";
