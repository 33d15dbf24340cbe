//! The words of commands about the command itself.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell.
    #[arg(value_parser = clap::builder::EnumValueParser::<Shell>::new())]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Pages {
    /// Where: completions/ and man/ are made there.
    pub(crate) folder: PathBuf,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  qplug completions bash > ~/.local/share/bash-completion/completions/qplug
  qplug completions zsh > ~/.zfunc/_qplug     # a folder of your fpath
  qplug completions fish > ~/.config/fish/completions/qplug.fish";
