//! What may stand at a place inside arguments that are not all there yet.

use std::collections::BTreeMap;

use super::check::join;
use super::{Builtin, MAX_DEPTH, Member, Schema, Shape, TypeId, Word};

/// Texts that are given already, by their dotted keys: `file.driver` → `qcow2`. What is given as
/// JSON has an entry for each scalar in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given(BTreeMap<String, String>);

impl Given {
    /// Adds a text. One that is given twice is what it was first.
    pub fn insert(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.0.entry(key.into()).or_insert_with(|| text.into());
    }

    /// Adds all that is given elsewhere, below this key.
    pub fn add(&mut self, key: &str, other: &Self) {
        for (rest, text) in &other.0 {
            self.insert(join(key, rest), text.as_str());
        }
    }

    /// The text with this dotted key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Whether there is something at this place, or below it.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key) || self.below(key).next().is_some()
    }

    /// The number of elements of an array, if none were left out.
    #[must_use]
    pub fn next_element(&self, key: &str) -> usize {
        let numbers = self.below(key).filter_map(|rest| rest.split('.').next()?.parse().ok());
        numbers.max().map_or(0, |last: usize| last.saturating_add(1))
    }

    /// What is given below this key, by the keys from there.
    #[must_use]
    pub fn under(&self, key: &str) -> Self {
        let text = |rest: &str| self.0.get(&join(key, rest)).cloned().unwrap_or_default();
        Self(self.below(key).map(|rest| (rest.to_owned(), text(rest))).collect())
    }

    /// What follows this key in the keys below it.
    fn below<'g>(&'g self, key: &str) -> impl Iterator<Item = &'g str> {
        let prefix = if key.is_empty() { String::new() } else { format!("{key}.") };
        let from = self.0.range(prefix.clone()..);
        from.map_while(move |(key, _)| key.strip_prefix(prefix.as_str()))
    }
}

impl Schema {
    /// The type at a place: `path` leads from a value of the type `root` through names of members
    /// and numbers of elements, as a dotted key does. Which members an object has may hang on what
    /// is given. `None` where there is no such place.
    #[must_use]
    pub fn place(&self, root: TypeId, path: &[&str], given: &Given) -> Option<TypeId> {
        let mut id = root;
        for (depth, part) in path.iter().enumerate().take(MAX_DEPTH) {
            id = match self.shape(self.inside(id)?) {
                Shape::Array(element) => part.parse::<usize>().ok().map(|_| *element)?,
                _ => self.member_at(id, &path[..depth], part, given)?.type_id,
            };
        }
        (path.len() <= MAX_DEPTH).then_some(id)
    }

    /// The members that the object at a place may have, by what is given; empty where there is no
    /// object. `path` is where it stands, `id` the type there.
    #[must_use]
    pub fn members_at<'s>(&'s self, id: TypeId, path: &[&str], given: &Given) -> Vec<&'s Member> {
        let Some(object) = self.inside(id).and_then(|id| self.object(id)) else {
            return Vec::new();
        };
        let tag = object.tag.as_deref();
        let key = tag.map(|tag| path.iter().copied().chain([tag]).collect::<Vec<_>>().join("."));
        self.members(object, key.and_then(|key| given.text(&key)))
    }

    fn member_at<'s>(
        &'s self,
        id: TypeId,
        path: &[&str],
        name: &str,
        given: &Given,
    ) -> Option<&'s Member> {
        self.members_at(id, path, given).into_iter().find(|member| member.name == name)
    }

    /// The element type, where values of this type may be arrays.
    #[must_use]
    pub fn element(&self, id: TypeId) -> Option<TypeId> {
        match self.shape(self.inside(id)?) {
            Shape::Array(element) => Some(*element),
            _ => None,
        }
    }

    /// The object or array that a value of this type may be. An alternate has no more than one.
    #[must_use]
    pub fn inside(&self, id: TypeId) -> Option<TypeId> {
        let is_inside = |id: &TypeId| matches!(self.shape(*id), Shape::Object(_) | Shape::Array(_));
        self.choices(id).into_iter().find(is_inside)
    }

    /// Whether a value of this type may be neither an object nor an array.
    #[must_use]
    pub fn takes_plain(&self, id: TypeId) -> bool {
        let is_plain = |id: TypeId| !matches!(self.shape(id), Shape::Object(_) | Shape::Array(_));
        self.choices(id).into_iter().any(is_plain)
    }

    /// The words that a value of this type may be.
    #[must_use]
    pub fn words(&self, id: TypeId) -> Vec<&Word> {
        let words = |id| match self.shape(id) {
            Shape::Enum(words) => words.as_slice(),
            _ => &[],
        };
        self.choices(id).into_iter().flat_map(words).collect()
    }

    /// Whether a value of this type may be such a plain one.
    #[must_use]
    pub fn takes(&self, id: TypeId, builtin: Builtin) -> bool {
        let is_it = |id: TypeId| *self.shape(id) == Shape::Builtin(builtin);
        self.choices(id).into_iter().any(is_it)
    }

    /// The types that a value may have: those of an alternate, or the type itself.
    fn choices(&self, id: TypeId) -> Vec<TypeId> {
        match self.shape(id) {
            Shape::Alternate(choices) => choices.clone(),
            _ => vec![id],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorded;
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Given {
        let mut given = Given::default();
        for (key, text) in pairs {
            given.insert(*key, *text);
        }
        given
    }

    fn members(command: &str, path: &[&str], pairs: &[(&str, &str)]) -> Vec<String> {
        let (schema, given) = (recorded::schema(), given(pairs));
        let root = schema.command(command).unwrap().arguments;
        let Some(id) = schema.place(root, path, &given) else { return Vec::new() };
        let members = schema.members_at(id, path, &given);
        members.into_iter().map(|member| member.name.clone()).collect()
    }

    #[test]
    fn what_is_given_decides_which_members_there_are() {
        let has = |path: &[&str], pairs: &[_], name: &str| {
            members("blockdev-add", path, pairs).iter().any(|member| member == name)
        };
        assert!(has(&[], &[], "driver") && !has(&[], &[], "filename"));
        assert!(has(&[], &[("driver", "file")], "filename"));
        let inner = [("driver", "qcow2"), ("file.driver", "nbd")];
        assert!(has(&["file"], &inner, "export") && !has(&["file"], &inner[..1], "export"));
        assert!(has(
            &["file", "server"],
            &[inner[0], inner[1], ("file.server.type", "unix")],
            "path"
        ));
        assert!(!has(&["no-such"], &inner, "driver"));
    }

    #[test]
    fn arrays_are_entered_by_number() {
        let actions = [("actions.0.type", "blockdev-add"), ("actions.0.data.driver", "file")];
        let found = members("transaction", &["actions", "0"], &actions);
        assert_eq!(found, ["type"]);
        let actions = [("actions.3.type", "block-dirty-bitmap-add")];
        let found = members("transaction", &["actions", "3", "data"], &actions);
        assert!(found.contains(&"granularity".to_owned()), "{found:?}");
        assert!(members("transaction", &["actions", "x"], &[]).is_empty());
        assert_eq!(given(&actions).next_element("actions"), 4);
        assert_eq!(given(&[]).next_element("actions"), 0);
    }

    #[test]
    fn an_alternate_is_all_that_it_may_be() {
        let schema = recorded::schema();
        let root = schema.command("blockdev-add").unwrap().arguments;
        let qcow2 = given(&[("driver", "qcow2")]);
        let file = schema.place(root, &["file"], &qcow2).unwrap();
        assert!(schema.takes(file, Builtin::Text) && schema.inside(file).is_some());
        let backing = schema.place(root, &["backing"], &qcow2).unwrap();
        assert!(schema.takes(backing, Builtin::Null));
        let overlap = schema.place(root, &["overlap-check"], &qcow2).unwrap();
        assert!(schema.words(overlap).iter().any(|word| word.name == "cached"));
        assert!(schema.inside(overlap).is_some());
    }

    #[test]
    fn a_place_that_is_deeper_than_any_is_none() {
        let schema = recorded::schema();
        let root = schema.command("blockdev-add").unwrap().arguments;
        let mut all = Given::default();
        let path = vec!["file"; MAX_DEPTH + 1];
        for depth in 0..=path.len() {
            let key = path[..depth].iter().copied().chain(["driver"]).collect::<Vec<_>>();
            all.insert(key.join("."), "raw");
        }
        assert!(schema.place(root, &path[..MAX_DEPTH], &all).is_some());
        assert!(schema.place(root, &path, &all).is_none());
    }

    #[test]
    fn what_is_below_a_key_is_no_other_key() {
        let given = given(&[("file.driver", "x"), ("file-2", "y")]);
        assert!(given.has("file") && given.has("file.driver") && given.has("file-2"));
        assert!(!given.has("fil") && !given.has("file.d"));
        assert_eq!(given.under("file").text("driver"), Some("x"));
        assert_eq!(given.under(""), given);
        assert_eq!(given.under("file-2"), Given::default());
    }
}
