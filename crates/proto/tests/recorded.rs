//! Our server held to what QEMU 7.2 and 10.0 were heard to say; see `tests/real.rs`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod monitor;

use monitor::{agree, answers, cases, fixture};

#[test]
fn our_server_answers_as_qemu_does() {
    let mut differences = Vec::new();
    for (case, theirs) in fixture::recorded(&cases()) {
        let ours = answers(&case, usize::MAX);
        let agree = ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(ours, theirs)| agree(ours, theirs));
        if !agree {
            let (start, input) = (case.start.name(), case.input.escape_ascii());
            differences.push(format!("{start} {input}\n  QEMU {theirs:?}\n  ours {ours:?}\n"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.concat());
}

#[test]
fn our_server_answers_alike_however_the_bytes_come() {
    for case in cases() {
        let whole = answers(&case, usize::MAX);
        for piece in [1, 2, 3, 5, 7] {
            assert_eq!(answers(&case, piece), whole, "{case:?} in pieces of {piece}");
        }
    }
}
