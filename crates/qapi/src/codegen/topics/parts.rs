//! The parts of a topic that is too large for a file: modules of one feature, whose names stay where
//! they are.

use crate::codegen::model::Model;

use super::{Topic, begins_with, used_by};

/// Names, each with the beginnings of what belongs to it.
type Table = [(&'static str, &'static [&'static str])];

/// Topics, and their parts with the beginnings of names as in [`TOPICS`](super::TOPICS). A type that
/// several parts use stands with the first of them.
const PARTS: &[(&str, &Table)] = &[(
    "block",
    &[
        ("options", &["blockdev-add", "blockdev-reopen"]),
        ("images", &["blockdev-create", "blockdev-amend"]),
        ("nodes", &["blockdev-del", "blockdev-set-active", "named-block-nodes"]),
        ("bitmaps", &["block-dirty-bitmap", "debug-block-dirty-bitmap"]),
        ("exports", &["block-export", "nbd-server"]),
        (
            "jobs",
            &[
                "job",
                "block-job",
                "block-commit",
                "block-stream",
                "blockdev-backup",
                "blockdev-mirror",
                "drive-",
                "change-backing-file",
            ],
        ),
        (
            "media",
            &[
                "blockdev-open-tray",
                "blockdev-close-tray",
                "blockdev-insert-medium",
                "blockdev-remove-medium",
                "blockdev-change-medium",
                "change",
                "eject",
            ],
        ),
        ("snapshots", &["blockdev-snapshot", "snapshot"]),
        ("transactions", &["transaction"]),
        (REST, &[]),
    ],
)];

/// Where goes what no beginning fits.
const REST: &str = "drives";

/// The parts of a topic, in order; none where it is whole.
pub(in crate::codegen) fn parts(
    model: &Model,
    name: &str,
    topic: &Topic,
) -> Vec<(&'static str, Topic)> {
    let Some((_, table)) = PARTS.iter().find(|(of, _)| *of == name) else { return Vec::new() };
    let mut of = vec![""; model.roots.len()];
    for root in &topic.roots {
        of[*root] = begins_with(table, &model.roots[*root].name).unwrap_or(REST);
    }
    let users = used_by(model, &of);
    let part = |name: &'static str| {
        let roots = topic.roots.iter().copied().filter(|root| of[*root] == name).collect();
        let first = |class: &usize| {
            let users = users.get(class)?;
            table.iter().map(|(name, _)| *name).find(|name| users.contains(name))
        };
        let types = topic.types.iter().copied().filter(|class| first(class) == Some(name));
        (name, Topic { roots, types: types.collect() })
    };
    let parts = table.iter().map(|(name, _)| part(name));
    parts.filter(|(_, part)| !part.roots.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::sort;
    use super::*;
    use crate::codegen::tests::recorded;
    use crate::codegen::{merge, names};

    #[test]
    fn parts_are_the_whole() {
        let mut model = merge::merge(&recorded(4));
        names::name(&mut model);
        for (name, topic) in sort(&model) {
            let parts = parts(&model, name, &topic);
            assert_eq!(parts.is_empty(), name != "block", "{name}");
            if parts.is_empty() {
                continue;
            }
            let all = |of: fn(&Topic) -> &Vec<usize>| -> (usize, BTreeSet<usize>) {
                let found: Vec<usize> =
                    parts.iter().flat_map(|(_, part)| of(part).clone()).collect();
                (found.len(), found.into_iter().collect())
            };
            let (count, roots) = all(|topic| &topic.roots);
            assert_eq!((count, roots), (topic.roots.len(), topic.roots.iter().copied().collect()));
            let (count, types) = all(|topic| &topic.types);
            assert_eq!((count, types), (topic.types.len(), topic.types.iter().copied().collect()));
        }
    }
}
