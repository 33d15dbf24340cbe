//! Rust types for commands and events, from schemas that QEMUs gave of themselves.
//!
//! ```text
//! schemas → merge (one model of all versions) → names (types have none) → topics → text
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `codegen/model.rs` | what all versions have, merged |
//! | `codegen/merge.rs`, `codegen/classes.rs` | making it: which types of different versions are one |
//! | `codegen/names.rs`, `codegen/words.rs` | what a type is called, from where it is used; words of Rust |
//! | `codegen/known.rs` | the field's own names of well-known types |
//! | `codegen/topics.rs`, `codegen/topics/parts.rs` | which command belongs to what |
//! | `codegen/render.rs` and its folder | the text |

mod classes;
mod known;
mod merge;
mod model;
mod names;
mod render;
mod topics;
mod words;

use crate::introspection::Schema;

pub use render::{File, Layout};

/// The schema that one QEMU gave.
#[derive(Debug, Clone)]
pub struct Source {
    /// Which QEMU, as documentation shall call it: `10.0`.
    pub version: String,
    /// What it gave.
    pub schema: Schema,
}

/// Writes Rust for all that these QEMUs have, oldest first.
///
/// An item that a version lacks is there all the same, and says which versions have it; a member that
/// a version lacks is optional. A type is called by where the oldest version uses it, so another,
/// newer version among the sources changes no name.
#[must_use]
pub fn generate(sources: &[Source], layout: Layout) -> Vec<File> {
    let mut model = merge::merge(sources);
    names::name(&mut model);
    let topics = topics::sort(&model);
    render::render(&model, &topics, layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::introspection::recorded::{V5_2, V7_2, V10_0, V11_1};

    /// The oldest few of the recorded schemas.
    pub(super) fn recorded(count: usize) -> Vec<Source> {
        let texts = [("5.2", V5_2), ("7.2", V7_2), ("10.0", V10_0), ("11.1", V11_1)];
        let source = |(version, text): (&str, &str)| Source {
            version: version.to_owned(),
            schema: Schema::parse(text).unwrap(),
        };
        texts.into_iter().take(count).map(source).collect()
    }

    #[test]
    fn one_file_has_all_that_many_have() {
        let sources = recorded(2);
        let one = &generate(&sources, Layout::OneFile)[0].text;
        for File { path, text } in generate(&sources, Layout::Topics) {
            let items = text.lines().filter(|line| line.starts_with("pub struct"));
            assert!(items.clone().all(|line| one.contains(line)), "{path}");
        }
        assert!(one.contains("impl Command for BlockdevAdd {"));
        assert!(one.contains("/// The command `block_passwd`. In QEMU 5.2."));
        assert!(!one.contains("super::"));
    }

    #[test]
    fn what_only_some_versions_want_is_said() {
        let text = &generate(&recorded(4), Layout::OneFile)[0].text;
        // The file of LUKS with its header elsewhere, since 9.0.
        let luks = text.split("pub struct BlockdevCreateOptionsLuks {").nth(1).unwrap();
        let luks = luks.split('}').next().unwrap();
        let file = "    /// Required by QEMU 5.2 and 7.2.\n    pub file: Option<BlockdevRef>,\n";
        assert!(luks.contains(file), "{luks}");
        // Of a reply nobody leaves anything out.
        let status = text.split("pub struct StatusInfo {").nth(1).unwrap();
        assert!(!status.split('}').next().unwrap().contains("Required"), "{status}");
    }

    #[test]
    fn lines_are_not_too_long() {
        for File { path, text } in generate(&recorded(4), Layout::Topics) {
            // What cannot be broken, and no sentence, is as long as its names are.
            let can_break = |line: &str| {
                let line = line.trim();
                line.trim_end_matches(',').contains(", ") && !line.starts_with("///")
            };
            let mut lines = text.lines();
            let long = lines.find(|line| line.chars().count() > 100 && can_break(line));
            assert_eq!(long, None, "{path}");
        }
    }
}
