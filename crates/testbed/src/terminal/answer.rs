//! What a terminal answers when the program in it asks.
//!
//! Sequences after ECMA-48 and xterm's `ctlseqs`; the keyboard question is the kitty protocol's.

/// Notes the answers to the questions that come by, for the reader to send.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pending: Vec<u8>,
}

impl Answers {
    /// The answers to what was asked since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}

impl vt100::Callbacks for Answers {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _second: Option<u8>,
        parameters: &[&[u16]],
        last: char,
    ) {
        let parameter = parameters.first().and_then(|values| values.first()).copied();
        match (first, parameter.unwrap_or(0), last) {
            // Where is the cursor? A wide character in the last column leaves it one further.
            (None, 6, 'n') => {
                let (row, column) = screen.cursor_position();
                let column = column.min(screen.size().1.get() - 1);
                let text = format!("\x1b[{};{}R", row + 1, column + 1);
                self.pending.extend_from_slice(text.as_bytes());
            }
            // Are you well?
            (None, 5, 'n') => self.pending.extend_from_slice(b"\x1b[0n"),
            // What are you? A VT100 with advanced video.
            (None, 0, 'c') => self.pending.extend_from_slice(b"\x1b[?1;2c"),
            // Which of the keyboard's enhancements are on? None; asked together with what it is.
            (Some(b'?'), _, 'u') => self.pending.extend_from_slice(b"\x1b[?0u"),
            _ => {}
        }
    }
}

/// Whether there is an SGR sequence with a parameter that names a colour (30–49 but for the two that
/// name the default, 90–107).
pub(super) fn names_colour(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.split("\x1b[").skip(1).any(|rest| {
        let end = rest.find(|found: char| !found.is_ascii_digit() && found != ';' && found != ':');
        let Some(end) = end else { return false };
        rest[end..].starts_with('m')
            && rest[..end].split([';', ':']).any(|number| {
                matches!(number.parse(), Ok(30..=38 | 40..=48 | 58 | 90..=97 | 100..=107))
            })
    })
}
