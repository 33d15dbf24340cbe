//! Whom a shell talks to, as its prompt shows it.

/// Whom a prompt tells of.
pub(super) trait Subject: Send + Sync {
    /// How it is at this moment. It is asked whenever a prompt is drawn, and takes no time.
    fn face(&self) -> Face;
}

/// A name and a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) name: String,
    /// In a word or two.
    pub(super) state: String,
    pub(super) mood: Mood,
}

/// What a state is to whoever sits at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// It runs.
    Well,
    /// It is there, and does not run.
    Odd,
    /// It cannot be reached.
    Away,
}
