//! Keys, and the bytes that a terminal sends for them.

/// A key of the keyboard, alone or with a modifier. Text is typed with
/// [`Terminal::type_text`](super::Terminal::type_text).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Return.
    Enter,
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Escape.
    Esc,
    /// The arrow upwards.
    Up,
    /// The arrow downwards.
    Down,
    /// The arrow to the left.
    Left,
    /// The arrow to the right.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A character of its own.
    Char(char),
    /// Control and a letter: `Ctrl('c')`.
    Ctrl(char),
    /// Alt and a character: `Alt('b')`.
    Alt(char),
}

impl Key {
    /// As xterm sends it in its normal modes.
    pub(super) fn bytes(self) -> Vec<u8> {
        let fixed: &[u8] = match self {
            Self::Enter => b"\r",
            Self::Tab => b"\t",
            Self::BackTab => b"\x1b[Z",
            Self::Backspace => b"\x7f",
            Self::Delete => b"\x1b[3~",
            Self::Esc => b"\x1b",
            Self::Up => b"\x1b[A",
            Self::Down => b"\x1b[B",
            Self::Right => b"\x1b[C",
            Self::Left => b"\x1b[D",
            Self::Home => b"\x1b[H",
            Self::End => b"\x1b[F",
            Self::PageUp => b"\x1b[5~",
            Self::PageDown => b"\x1b[6~",
            Self::Char(character) => return character.to_string().into_bytes(),
            Self::Ctrl(letter) => return vec![letter as u8 & 0x1f],
            Self::Alt(character) => return format!("\x1b{character}").into_bytes(),
        };
        fixed.to_vec()
    }
}
