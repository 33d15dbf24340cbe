//! The manual page of one command.

use std::io;

use clap::Command;
use clap_mangen::Man;

use super::PROGRAM;

/// The name of the page's file, and its text.
pub(super) fn page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone())
        .source(concat!("qplug ", env!("CARGO_PKG_VERSION")))
        .manual("qplug's manual");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    text.extend(sections(&more).into_bytes());
    if command.get_display_name().is_some_and(|name| name != PROGRAM) {
        text.extend(b".SH SEE ALSO\n.BR qplug (1)\n");
    }
    Ok((man.get_filename(), text))
}

/// What stands below a command's help: examples, whose lines stay as they are, and prose.
fn sections(help: &str) -> String {
    let mut sections = String::new();
    let mut has_notes = false;
    for part in help.split("\n\n").filter(|part| !part.trim().is_empty()) {
        let (first, rest) = part.split_once('\n').unwrap_or((part, ""));
        if first == "Examples:" {
            sections += ".SH EXAMPLES\n.nf\n";
            rest.lines().for_each(|line| sections += &line_of(line));
            sections += ".fi\n";
            continue;
        }
        sections += if has_notes { ".PP\n" } else { ".SH NOTES\n" };
        has_notes = true;
        part.lines().for_each(|line| sections += &line_of(line));
    }
    sections
}

/// A line of text that no formatter takes for anything else.
fn line_of(line: &str) -> String {
    // A line that begins with one of these would be a request.
    let mut text = String::from("\\&");
    for character in line.trim().chars() {
        match character {
            '\\' => text += "\\e",
            '-' => text += "\\-",
            '\'' => text += "\\(aq",
            '`' => text += "\\(ga",
            '^' => text += "\\(ha",
            '~' => text += "\\(ti",
            character => text.push(character),
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stay_as_they_are() {
        let help = "Examples:\n  qplug a-b '{\"x\": 1}'\n\nA note\n.of two lines.\n\nAnother.";
        let expected = ".SH EXAMPLES\n.nf\n\\&qplug a\\-b \\(aq{\"x\": 1}\\(aq\n.fi\n\
                        .SH NOTES\n\\&A note\n\\&.of two lines.\n.PP\n\\&Another.\n";
        assert_eq!(sections(help), expected);
        assert_eq!(sections(""), "");
    }
}
