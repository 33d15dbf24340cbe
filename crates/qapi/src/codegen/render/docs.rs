//! What is said of an item, and lists on lines that are not too long.

use crate::codegen::model::{Model, Versions};

/// How long a line may be.
pub(super) const WIDTH: usize = 100;

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [more @ .., last] => {
            let more: Vec<_> = more.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", more.join(", "), last.as_ref())
        }
    }
}

/// Which versions have something.
pub(super) fn versions(model: &Model, versions: Versions) -> String {
    format!("In QEMU {}.", names(model, versions))
}

/// Which versions want something.
pub(super) fn required(model: &Model, versions: Versions) -> String {
    format!("Required by QEMU {}.", names(model, versions))
}

fn names(model: &Model, versions: Versions) -> String {
    let all = model.versions.iter().enumerate();
    let names: Vec<_> =
        all.filter(|(number, _)| versions.has(*number)).map(|(_, name)| name).collect();
    list(&names)
}

/// What is special about something: `Deprecated.`
pub(super) fn features(features: &[String]) -> Vec<String> {
    let told = |feature: &String| match feature.as_str() {
        "deprecated" => "Deprecated.".to_owned(),
        "unstable" => "Unstable.".to_owned(),
        other => format!("Feature `{other}`."),
    };
    features.iter().map(told).collect()
}

/// A documentation comment, and nothing where nothing is said.
pub(super) fn comment(indent: &str, sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    format!("{indent}/// {}\n", sentences.join(" "))
}

/// `head { entries }`, on one line or on many.
pub(super) fn call(head: &str, entries: &[String], tail: &str) -> String {
    let line = format!("{head}{}{tail}\n", entries.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let mut text = match head.trim_end() {
        "" => String::new(),
        head => format!("{head}\n"),
    };
    let mut column = 0;
    for (number, entry) in entries.iter().enumerate() {
        let comma = if number + 1 < entries.len() { "," } else { "" };
        let width = entry.len() + comma.len();
        if column == 0 {
            text += "    ";
            column = 4;
        } else if column + 1 + width > WIDTH {
            text += "\n    ";
            column = 4;
        } else {
            text += " ";
            column += 1;
        }
        text += entry;
        text += comma;
        column += width;
    }
    format!("{text}\n{}\n", tail.trim_start())
}
