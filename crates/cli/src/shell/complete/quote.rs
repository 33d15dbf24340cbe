//! How a text is written so that the shell reads that text: as POSIX has it.

/// How a piece of a word is quoted where it begins, and where the cursor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shell) struct Quoting {
    /// The quote that is open where the piece begins.
    pub(super) before: Option<char>,
    /// The quote that is open at the cursor.
    pub(super) at_cursor: Option<char>,
    /// Whether the piece is the beginning of a word, where more is special.
    pub(super) begins_word: bool,
    /// Whether it is the beginning of a word or of a value, where a bracket would begin JSON.
    pub(super) begins_value: bool,
    /// Whether it is the host's shell that reads it.
    pub(super) is_host: bool,
}

impl Quoting {
    /// Of a word of its own, that the shell reads.
    pub(in crate::shell) fn of_a_word() -> Self {
        let (begins_word, begins_value) = (true, true);
        Self { before: None, at_cursor: None, begins_word, begins_value, is_host: false }
    }

    /// Writes a text as the user began to: in the quotes that are open, or with none. A text that
    /// ends here closes them.
    pub(in crate::shell) fn write(self, text: &str, ends: bool) -> String {
        let (opened, quote) = match (self.before, self.at_cursor) {
            (Some(quote), _) => (true, Some(quote)),
            (None, quote) => (false, quote),
        };
        // A line end cannot be escaped.
        let is_broken = text.contains(['\n', '\r']);
        let Some(quote) = quote.or(is_broken.then_some('\'')) else { return self.escaped(text) };
        let mut written = String::new();
        if !opened {
            written.push(quote);
        }
        match quote {
            '\'' => written.push_str(&text.replace('\'', r"'\''")),
            _ => text.chars().for_each(|character| {
                if matches!(character, '"' | '\\') || (self.is_host && "$`".contains(character)) {
                    written.push('\\');
                }
                written.push(character);
            }),
        }
        if ends || (is_broken && !opened && self.at_cursor.is_none()) {
            written.push(quote);
        }
        written
    }

    fn escaped(self, text: &str) -> String {
        if text.is_empty() {
            return if self.begins_value { "''".to_owned() } else { String::new() };
        }
        let mut written = String::new();
        for (at, character) in text.char_indices() {
            let is_special = match character {
                '\'' | '"' | '\\' | '|' | '>' => true,
                '#' => at == 0 && self.begins_word,
                '{' | '[' => at == 0 && self.begins_value,
                _ if character.is_whitespace() => true,
                _ => self.is_host && "<&;$`*?()[]{}~!#".contains(character),
            };
            if is_special {
                written.push('\\');
            }
            written.push(character);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(before: Option<char>, at_cursor: Option<char>, text: &str, ends: bool) -> String {
        let (begins_word, begins_value) = (true, true);
        let quoting = Quoting { before, at_cursor, begins_word, begins_value, is_host: false };
        quoting.write(text, ends)
    }

    #[test]
    fn what_the_hosts_shell_reads_is_quoted_for_it() {
        let mut quoting = Quoting {
            before: None,
            at_cursor: None,
            begins_word: true,
            begins_value: true,
            is_host: true,
        };
        assert_eq!(quoting.write("a$(b)", true), r"a\$\(b\)");
        quoting.at_cursor = Some('"');
        assert_eq!(quoting.write("a$b", true), "\"a\\$b\"");
    }

    #[test]
    fn quotes_go_on_as_they_were_begun() {
        for (before, at_cursor, text, ends, expected) in [
            (None, None, "plain-1.img", true, "plain-1.img"),
            (None, None, "a b", true, r"a\ b"),
            (None, None, "it's", true, r"it\'s"),
            (None, None, "#block1", true, r"\#block1"),
            (None, None, "{x", true, r"\{x"),
            (None, None, "a\nb", true, "'a\nb'"),
            (None, Some('\''), "a b", true, "'a b'"),
            (None, Some('\''), "a b/", false, "'a b/"),
            (None, Some('\''), "it's", true, r"'it'\''s'"),
            (None, Some('"'), r#"a"b"#, true, r#""a\"b""#),
            (Some('"'), Some('"'), "a b", true, "a b\""),
            (Some('\''), Some('\''), "a/", false, "a/"),
        ] {
            assert_eq!(written(before, at_cursor, text, ends), expected);
        }
    }
}
