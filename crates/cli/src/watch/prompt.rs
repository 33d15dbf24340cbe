//! The line in which a command is typed.

use std::collections::VecDeque;

/// The longest line, in characters.
const LONGEST_LINE: usize = 4096;

/// How many lines are remembered.
const REMEMBERED: usize = 100;

/// A line that is being typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Prompt {
    text: Vec<char>,
    /// Before which character the next one goes.
    cursor: usize,
    /// What may come next, as the last completion found.
    pub(crate) choices: Vec<String>,
    /// How far back in the lines before it is.
    back: usize,
}

impl Prompt {
    /// A line with something in it already.
    pub(crate) fn with(text: &str) -> Self {
        let text: Vec<_> = text.chars().collect();
        Self { cursor: text.len(), text, ..Self::default() }
    }

    pub(crate) fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// What stands before the cursor.
    pub(crate) fn before(&self) -> String {
        self.text[..self.cursor].iter().collect()
    }

    pub(crate) fn insert(&mut self, text: &str) {
        for character in text.chars().filter(|character| !character.is_control()) {
            if self.text.len() < LONGEST_LINE {
                self.text.insert(self.cursor, character);
                self.cursor += 1;
            }
        }
        self.choices.clear();
    }

    /// Takes so many characters away before the cursor.
    pub(crate) fn erase(&mut self, count: usize) {
        let start = self.cursor.saturating_sub(count);
        self.text.drain(start..self.cursor);
        self.cursor = start;
        self.choices.clear();
    }

    pub(crate) fn delete(&mut self) {
        if self.cursor < self.text.len() {
            self.text.remove(self.cursor);
        }
        self.choices.clear();
    }

    /// Takes the word before the cursor away.
    pub(crate) fn erase_word(&mut self) {
        let before = &self.text[..self.cursor];
        let words = before.iter().rev().skip_while(|character| character.is_whitespace());
        let kept = words.skip_while(|character| !character.is_whitespace()).count();
        self.erase(self.cursor - kept);
    }

    pub(crate) fn erase_all_before(&mut self) {
        self.erase(self.cursor);
    }

    pub(crate) fn left(&mut self) {
        self.cursor = self.cursor.saturating_sub(1);
    }

    pub(crate) fn right(&mut self) {
        self.cursor = (self.cursor + 1).min(self.text.len());
    }

    pub(crate) fn home(&mut self) {
        self.cursor = 0;
    }

    pub(crate) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// A line of before: further back, or nearer.
    pub(crate) fn recall(&mut self, history: &History, back: bool) {
        let at = if back { self.back + 1 } else { self.back.saturating_sub(1) };
        let Some(text) = history.line(at) else { return };
        *self = Self { back: at, ..Self::with(text) };
    }
}

/// The lines that were typed. They go with the view, so that nothing secret is kept.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<String>);

impl History {
    pub(crate) fn add(&mut self, line: &str) {
        if self.0.front().is_some_and(|last| last == line) {
            return;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_back();
        }
        self.0.push_front(line.to_owned());
    }

    /// The line that far back; 0 is the one that is not typed yet.
    fn line(&self, back: usize) -> Option<&str> {
        match back {
            0 => Some(""),
            back => self.0.get(back - 1).map(String::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_by_characters_and_words() {
        let mut prompt = Prompt::with("attach é");
        prompt.left();
        prompt.insert("x\u{1b}y");
        assert_eq!((prompt.text().as_str(), prompt.before().as_str()), ("attach xyé", "attach xy"));
        prompt.erase_word();
        assert_eq!(prompt.text(), "attach é");
        prompt.erase_word();
        assert_eq!(prompt.text(), "é");
        prompt.delete();
        prompt.erase(9);
        prompt.right();
        assert_eq!(prompt.text(), "");
        prompt.insert(&"x".repeat(2 * LONGEST_LINE));
        assert_eq!(prompt.text().len(), LONGEST_LINE);
    }

    #[test]
    fn lines_of_before_come_back() {
        let mut history = History::default();
        for line in ["a", "b", "b"] {
            history.add(line);
        }
        let mut prompt = Prompt::default();
        let mut recalled = Vec::new();
        for back in [true, true, true, false, false, false] {
            prompt.recall(&history, back);
            recalled.push(prompt.text());
        }
        assert_eq!(recalled, ["b", "a", "a", "b", "", ""]);
        for number in 0..2 * REMEMBERED {
            history.add(&number.to_string());
        }
        assert_eq!(history.0.len(), REMEMBERED);
    }
}
