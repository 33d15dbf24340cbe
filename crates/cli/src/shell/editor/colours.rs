//! The line in colours: what is no command, keys, strings, and where the output goes.

use std::ops::Range;

use reedline::{Color, Highlighter, StyledText};

use super::Block;
use crate::shell::complete::{Kind, World, actions};
use crate::shell::line::{Scan, Target, scan};
use crate::shell::live::{Known, Source};

/// Colours a line by what is known of the machine.
pub(super) struct Colours<S> {
    known: Known<S>,
    block: Block,
}

impl<S: Source> Colours<S> {
    pub(super) fn new(known: Known<S>, block: &Block) -> Self {
        Self { known, block: block.clone() }
    }
}

impl<S: Source> Highlighter for Colours<S> {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        let mut text = StyledText::new();
        for (span, colour) in pieces(line, self.block.is_open(), &self.known) {
            text.push((colour.normal(), line[span].to_owned()));
        }
        text
    }
}

/// The line in pieces, each with its colour; together they are the line.
fn pieces(line: &str, in_transaction: bool, world: &dyn World) -> Vec<(Range<usize>, Color)> {
    let Scan { is_message, words, target, .. } = scan(line);
    let mut found = Vec::new();
    for (number, word) in words.iter().enumerate() {
        if number == 0 && !is_message {
            found.push((word.span.clone(), of_command(&word.text, in_transaction, world)));
            continue;
        }
        let raw = &line[word.span.clone()];
        let key =
            raw.find('=').filter(|_| !raw.starts_with(['{', '[', '\'', '"', '-'])).unwrap_or(0);
        found.push((word.span.start..word.span.start + key, Color::Blue));
        strings(raw, word.span.start, key, &mut found);
    }
    let target = match target {
        Some(Target::Pipe(command)) => Some(command),
        Some(Target::File { path, .. }) => path,
        None => None,
    };
    found.extend(target.map(|word| (word.span, Color::Magenta)));
    whole(line, found)
}

/// Fills the gaps between pieces, which are in order.
fn whole(line: &str, found: Vec<(Range<usize>, Color)>) -> Vec<(Range<usize>, Color)> {
    let mut all = Vec::new();
    let mut at = 0;
    for (span, colour) in found.into_iter().filter(|(span, _)| !span.is_empty()) {
        if at < span.start {
            all.push((at..span.start, Color::Default));
        }
        at = span.end;
        all.push((span, colour));
    }
    if at < line.len() {
        let rest = &line[at..];
        let colour =
            if rest.trim_start().starts_with('#') { Color::DarkGray } else { Color::Default };
        all.push((at..line.len(), colour));
    }
    all
}

fn of_command(name: &str, in_transaction: bool, world: &dyn World) -> Color {
    let is_it = |other: &str| other == name;
    let begins = |other: &str| other.starts_with(name);
    let (is_one, may_be_one) =
        (exists(in_transaction, world, is_it), exists(in_transaction, world, begins));
    match (is_one, may_be_one) {
        (Some(true), _) => Color::Cyan,
        (Some(false), Some(false)) => Color::Red,
        _ => Color::Default,
    }
}

/// Whether a line may begin with a word that is such; `None` where not all is known that it may.
fn exists(in_transaction: bool, world: &dyn World, is_it: impl Fn(&str) -> bool) -> Option<bool> {
    let vocabulary = world.vocabulary();
    let is_ours = vocabulary.built_ins.iter().any(|built_in| is_it(built_in.name))
        || (!in_transaction && vocabulary.verbs().any(|verb| is_it(verb.get_name())));
    if is_ours {
        return Some(true);
    }
    if !vocabulary.speaks_qmp {
        return Some(false);
    }
    let Some(schema) = world.schema() else {
        let names = world.names(&Kind::Commands);
        let is_known = !in_transaction && !names.names.is_empty();
        return is_known.then(|| names.names.iter().any(|name| is_it(&name.text)));
    };
    if in_transaction {
        return Some(actions(&schema).iter().any(|word| is_it(&word.name)));
    }
    Some(schema.commands().any(|command| is_it(&command.name)))
}

/// The quoted parts of a word from a byte of it on, be they the shell's or JSON's.
fn strings(raw: &str, start: usize, from: usize, found: &mut Vec<(Range<usize>, Color)>) {
    let mut open: Option<(usize, char)> = None;
    let mut is_escaped = false;
    for (at, character) in raw.char_indices().filter(|(at, _)| *at >= from) {
        if is_escaped {
            is_escaped = false;
            continue;
        }
        match open {
            _ if character == '\\' => is_escaped = true,
            None if matches!(character, '"' | '\'') => open = Some((at, character)),
            Some((opened, quote)) if quote == character => {
                found.push((start + opened..start + at + 1, Color::Green));
                open = None;
            }
            _ => {}
        }
    }
    found.extend(open.map(|(opened, _)| (start + opened..start + raw.len(), Color::Green)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shell::complete::tests::Written;

    thread_local! {
        static WORLD: Written = Written::new("10.0");
    }

    fn coloured(line: &str) -> Vec<(&str, Color)> {
        let found = WORLD.with(|world| pieces(line, false, world));
        found.into_iter().map(|(span, colour)| (&line[span], colour)).collect()
    }

    #[test]
    fn what_is_no_command_is_red() {
        assert_eq!(coloured("list"), [("list", Color::Cyan)]);
        assert_eq!(coloured("query-block"), [("query-block", Color::Cyan)]);
        assert_eq!(coloured("query-blo"), [("query-blo", Color::Default)]);
        assert_eq!(coloured("qeury"), [("qeury", Color::Red)]);
    }

    #[test]
    fn keys_strings_and_targets_have_colours() {
        assert_eq!(
            coloured("device_del id='a b' | jq # x"),
            [
                ("device_del", Color::Cyan),
                (" ", Color::Default),
                ("id", Color::Blue),
                ("=", Color::Default),
                ("'a b'", Color::Green),
                (" | ", Color::Default),
                ("jq # x", Color::Magenta),
            ]
        );
        let json = coloured("{\"execute\": \"stop");
        assert_eq!(json[1], ("\"execute\"", Color::Green));
        assert_eq!(json.last(), Some(&("\"stop", Color::Green)));
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_line(line in "[-a{}\\[\\]'\"\\\\|># =é\n]{0,24}") {
            let pieces: String = coloured(&line).into_iter().map(|(text, _)| text).collect();
            prop_assert_eq!(pieces, line);
        }
    }
}
