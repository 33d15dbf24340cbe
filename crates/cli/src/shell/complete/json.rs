//! Where the cursor is in JSON that is being typed, and what is given before it.
//!
//! It never fails: what makes no sense is passed over, as somebody is still at work on it.

use qplug_qapi::introspection::{Given, MAX_DEPTH};

/// A place in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::shell) struct Spot {
    /// What leads to it: names of members, and numbers of elements.
    pub(in crate::shell) path: Vec<String>,
    /// What is expected there.
    pub(in crate::shell) at: At,
    /// All scalars before it, by their dotted keys.
    pub(in crate::shell) given: Given,
}

/// What is expected at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::shell) enum At {
    /// The name of a member of the object that the path leads to.
    Key(Begun),
    /// A value, which the path leads to.
    Value(Begun),
    /// A comma, a colon, or nothing.
    #[default]
    Else,
}

/// What there is of a key or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shell) struct Begun {
    /// The byte where it begins, behind its quote.
    pub(in crate::shell) from: usize,
    /// The quote that is open.
    pub(in crate::shell) quote: Option<char>,
}

/// Reads JSON up to the cursor, which is at its end.
pub(in crate::shell) fn read(text: &str) -> Spot {
    let mut walk = Walk::default();
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let length = character.len_utf8();
        match character {
            '{' => walk.open(Inside::Object { key: None }),
            '[' => walk.open(Inside::Array { number: 0 }),
            '}' | ']' => walk.close(),
            ':' => walk.next = Next::Value,
            ',' => walk.comma(),
            '"' | '\'' => {
                let inner = at + length;
                let Some(end) = string_end(&text[inner..], character) else {
                    let begun = Begun { from: inner, quote: Some(character) };
                    return walk.end(begun);
                };
                walk.scalar(unescaped(&text[inner..inner + end], character));
                at = inner + end;
            }
            character if character.is_whitespace() => {}
            _ => {
                let rest = &text[at..];
                let is_over =
                    |character: char| character.is_whitespace() || "{}[],:\"'".contains(character);
                let Some(end) = rest.find(is_over) else {
                    return walk.end(Begun { from: at, quote: None });
                };
                walk.scalar(rest[..end].to_owned());
                at += end;
                continue;
            }
        }
        at += length;
        if walk.inside.len() > MAX_DEPTH {
            return Spot::default();
        }
    }
    walk.end(Begun { from: text.len(), quote: None })
}

/// Where a string ends whose quote is open.
fn string_end(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let ends = character == quote && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        ends.then_some(at)
    })
}

fn unescaped(inner: &str, quote: char) -> String {
    let known = (quote == '"').then(|| serde_json::from_str(&format!("\"{inner}\"")).ok());
    known.flatten().unwrap_or_else(|| inner.to_owned())
}

#[derive(Debug, Default)]
struct Walk {
    inside: Vec<Inside>,
    next: Next,
    given: Given,
}

#[derive(Debug, Clone)]
enum Inside {
    Object { key: Option<String> },
    Array { number: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    Key,
    #[default]
    Value,
    /// A colon, a comma, a bracket.
    Mark,
}

impl Walk {
    fn path(&self) -> Vec<String> {
        let part = |inside: &Inside| match inside {
            Inside::Object { key } => key.clone(),
            Inside::Array { number } => Some(number.to_string()),
        };
        self.inside.iter().filter_map(part).collect()
    }

    fn open(&mut self, inside: Inside) {
        self.next = match inside {
            Inside::Object { .. } => Next::Key,
            Inside::Array { .. } => Next::Value,
        };
        self.inside.push(inside);
    }

    fn close(&mut self) {
        self.inside.pop();
        self.next = Next::Mark;
    }

    fn comma(&mut self) {
        self.next = match self.inside.last_mut() {
            Some(Inside::Object { key }) => {
                *key = None;
                Next::Key
            }
            Some(Inside::Array { number }) => {
                *number += 1;
                Next::Value
            }
            None => Next::Mark,
        };
    }

    fn scalar(&mut self, text: String) {
        match (self.next, self.inside.last_mut()) {
            (Next::Key, Some(Inside::Object { key })) => *key = Some(text),
            (Next::Value, _) => self.given.insert(self.path().join("."), text),
            _ => {}
        }
        self.next = Next::Mark;
    }

    fn end(self, begun: Begun) -> Spot {
        let at = match self.next {
            Next::Key => At::Key(begun),
            Next::Value => At::Value(begun),
            Next::Mark => At::Else,
        };
        Spot { path: self.path(), at, given: self.given }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_found_in_json_of_any_state() {
        let key = |from, quote| At::Key(Begun { from, quote });
        let value = |from, quote| At::Value(Begun { from, quote });
        for (text, path, at) in [
            ("{", vec![], key(1, None)),
            ("{\"ex", vec![], key(2, Some('"'))),
            ("{'ex", vec![], key(2, Some('\''))),
            ("{\"execute\"", vec!["execute"], At::Else),
            ("{\"execute\": ", vec!["execute"], value(12, None)),
            ("{\"execute\": \"sto", vec!["execute"], value(13, Some('"'))),
            ("{\"a\": tr", vec!["a"], value(6, None)),
            ("{\"a\": 1", vec!["a"], value(6, None)),
            ("{\"a\": 1 ", vec!["a"], At::Else),
            ("{\"a\": 1,", vec![], key(8, None)),
            ("{\"a\": {\"b\": [1, {\"c", vec!["a", "b", "1"], key(18, Some('"'))),
            ("{\"a\": {}, \"b\": {", vec!["b"], key(16, None)),
            ("{\"a\": {}", vec!["a"], At::Else),
            ("[", vec!["0"], value(1, None)),
            ("[1, 2, ", vec!["2"], value(7, None)),
            ("{\"a\\\"b\": \"x\\", vec!["a\"b"], value(10, Some('"'))),
            ("", vec![], value(0, None)),
            ("}}]", vec![], At::Else),
        ] {
            let spot = read(text);
            assert_eq!((spot.path, spot.at), (vec_of(&path), at), "{text}");
        }
    }

    fn vec_of(path: &[&str]) -> Vec<String> {
        path.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_before_the_cursor_is_given() {
        let text = "{'execute': 'blockdev-add', 'arguments': {\"driver\": \"raw\", \
                    \"file\": {\"driver\": \"file\", \"read-only\": true}, \"x\": [5, {\"y\": 6}], ";
        let given = read(text).given;
        assert_eq!(given.text("execute"), Some("blockdev-add"));
        assert_eq!(given.text("arguments.file.driver"), Some("file"));
        assert_eq!(given.text("arguments.file.read-only"), Some("true"));
        assert_eq!(given.text("arguments.x.1.y"), Some("6"));
    }

    #[test]
    fn what_nests_without_end_is_left_alone() {
        assert_eq!(read(&"[".repeat(100_000)), Spot::default());
    }
}
