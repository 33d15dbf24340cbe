//! What goes wrong in the testbed, by whose fault it is.

use std::fmt;
use std::path::Path;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `Debug` prints the same text as `Display`, so that `unwrap` in a test shows a readable report.
pub enum Error {
    /// This machine lacks something that `cargo xtask setup` provides, or a person has to.
    NotSetUp(String),
    /// The test machine, its guest or a tool around it did not do what was asked; the text carries
    /// the evidence there was.
    Failed(String),
}

impl Error {
    /// A failure, from its description.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    /// Something that is missing; `what` also says who needs it and how to get it.
    pub fn not_set_up(what: impl Into<String>) -> Self {
        Self::NotSetUp(what.into())
    }

    /// For `map_err`: what was being done, and to which file.
    pub fn file<'a>(
        doing: &'a str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<'a> {
        move |error| Self::Failed(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// The same error with what was going on in front of it.
    #[must_use]
    pub fn while_doing(self, what: &str) -> Self {
        match self {
            Self::NotSetUp(text) => Self::NotSetUp(text),
            Self::Failed(text) => Self::Failed(format!("{what}: {text}")),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotSetUp(text) | Self::Failed(text)) = self;
        formatter.write_str(text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Error {}
