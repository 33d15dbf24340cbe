//! Recorded answers: the start and the bytes of each case (`ready -> …`, escaped), then a line for
//! each answer (`<- …`), with a number where it came several times in a row (`<- 3 …`).

use std::fmt::Write;
use std::path::PathBuf;

use super::Case;

/// A case and the lines that answered it.
pub(crate) type Answered = (Case, Vec<String>);

/// The QEMUs whose answers are recorded; they answer alike.
pub(crate) const SERIES: [&str; 2] = ["7.2", "10.0"];

/// Where the answers are.
pub(crate) fn place() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "monitor", "qemu.txt"].iter().collect()
}

/// What is written down.
pub(crate) fn text(answered: &[Answered]) -> String {
    let mut text = String::from("# What QEMU 7.2 and 10.0 answer; written by tests/real.rs.\n");
    for (case, lines) in answered {
        writeln!(text, "{}", input(case)).unwrap();
        for same in lines.chunk_by(|one, next| one == next) {
            match same.len() {
                1 => writeln!(text, "<- {}", same[0]).unwrap(),
                times => writeln!(text, "<- {times} {}", same[0]).unwrap(),
            }
        }
    }
    text
}

/// The recorded answers to the cases: the inputs in the file must be those of the table.
pub(crate) fn recorded(cases: &[Case]) -> Vec<Answered> {
    let text = std::fs::read_to_string(place()).unwrap();
    let mut lines = text.lines().skip(1).peekable();
    let mut answered = Vec::new();
    for case in cases {
        assert_eq!(lines.next(), Some(input(case).as_str()), "the fixture is stale: record anew");
        let mut answers = Vec::new();
        while let Some(line) = lines.peek().and_then(|line| line.strip_prefix("<- ")) {
            let counted = line.split_once(' ').and_then(|(n, line)| Some((n.parse().ok()?, line)));
            let (times, line) = counted.unwrap_or((1, line));
            answers.extend(vec![line.to_owned(); times]);
            lines.next();
        }
        answered.push((case.clone(), answers));
    }
    assert_eq!(lines.next(), None, "the fixture is stale: record anew");
    answered
}

fn input(case: &Case) -> String {
    format!("{} -> {}", case.start.name(), case.input.escape_ascii())
}
