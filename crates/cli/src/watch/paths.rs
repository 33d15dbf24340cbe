//! Completion of a path in the command line.

use std::fs;
use std::path::{MAIN_SEPARATOR, Path};

use crate::shell::line::{quote, scan};

/// How many entries of a folder are looked at.
const MAX_ENTRIES: usize = 10_000;

/// How many choices are shown.
const MAX_CHOICES: usize = 100;

/// What a completion found: how much of the line goes, what comes in its place, and what there is to
/// choose from when it is not the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completed {
    /// The line before the cursor that was completed: another one may stand there by now.
    pub(crate) before: String,
    /// Characters before the cursor that are replaced.
    pub(crate) erase: usize,
    pub(crate) insert: String,
    pub(crate) choices: Vec<String>,
}

/// Completes the path that the line before the cursor ends in. Reads a folder, which may take its
/// time.
pub(crate) fn complete(before: &str) -> Completed {
    let word = scan(before).words.pop().filter(|word| word.span.end == before.len());
    let (typed, text) = match &word {
        Some(word) => (&before[word.span.clone()], word.text.as_str()),
        None => ("", ""),
    };
    let (folder, start) = match text.rfind(MAIN_SEPARATOR) {
        Some(at) => text.split_at(at + 1),
        None => ("", text),
    };
    let mut found = entries(folder, start);
    found.sort();
    let insert = match common(&found) {
        // The only one that is no folder is finished.
        Some(only) if found.len() == 1 && !only.ends_with(MAIN_SEPARATOR) => {
            format!("{} ", quote(&format!("{folder}{only}")))
        }
        Some(common) if common.len() > start.len() || found.len() == 1 => {
            quote(&format!("{folder}{common}"))
        }
        _ => typed.to_owned(),
    };
    found.truncate(MAX_CHOICES);
    Completed {
        before: before.to_owned(),
        erase: typed.chars().count(),
        insert,
        choices: if found.len() > 1 { found } else { Vec::new() },
    }
}

/// What lies in a folder and begins so; folders with a `/` behind them.
fn entries(folder: &str, start: &str) -> Vec<String> {
    let path = if folder.is_empty() { Path::new(".") } else { Path::new(folder) };
    let Ok(all) = fs::read_dir(path) else { return Vec::new() };
    let named = all.take(MAX_ENTRIES).flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let is_hidden = name.starts_with('.') && !start.starts_with('.');
        if !name.starts_with(start) || is_hidden || name.chars().any(char::is_control) {
            return None;
        }
        // A link to a folder is one to go into.
        let is_folder = fs::metadata(entry.path()).is_ok_and(|it| it.is_dir());
        Some(if is_folder { format!("{name}{MAIN_SEPARATOR}") } else { name })
    });
    named.collect()
}

/// What they all begin with.
fn common(names: &[String]) -> Option<&str> {
    let (first, others) = names.split_first()?;
    let shared = others.iter().fold(first.len(), |shared, name| {
        let alike = first.char_indices().zip(name.chars()).find(|((_, a), b)| a != b);
        shared.min(alike.map_or(name.len(), |((at, _), _)| at))
    });
    Some(&first[..shared])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_completed_as_far_as_there_is_one_way() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data-a.img", "data-b.img", "my disk.img", ".hidden"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("sub")).unwrap();
        let at = folder.path().display();
        let line = |text: &str| {
            let line = format!("attach {at}/{text}");
            let done = complete(&line);
            let kept: String = line.chars().take(line.chars().count() - done.erase).collect();
            let completed = format!("{kept}{}", done.insert);
            let prefix = format!("attach {at}/");
            (completed.replace(&prefix, ""), done.choices)
        };
        let both = vec!["data-a.img".to_owned(), "data-b.img".to_owned()];
        assert_eq!(line("d"), ("data-".to_owned(), both.clone()));
        assert_eq!(line("data-"), ("data-".to_owned(), both));
        assert_eq!(line("data-a"), ("data-a.img ".to_owned(), Vec::new()));
        assert_eq!(line("s"), ("sub/".to_owned(), Vec::new()));
        assert_eq!(line("nothing"), ("nothing".to_owned(), Vec::new()));
        assert_eq!(line(".h").0, ".hidden ");
        assert_eq!(line("m").0, format!("attach '{at}/my disk.img' "));
        assert_eq!(line("").1.len(), 4);
    }
}
