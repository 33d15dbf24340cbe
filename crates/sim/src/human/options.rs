//! Options with commas between them, as `drive_add` and `device_add` take them (`qemu_opts_parse`).

use crate::config::Version;

/// Options as they were given, in their order, without the id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) id: Option<String>,
    /// A name comes as often as it was given: the last value counts.
    pub(crate) given: Vec<(String, String)>,
}

impl Options {
    /// Reads options. The first one may come without its name where `first` says which it is.
    pub(crate) fn read(text: &str, first: Option<&str>, version: Version) -> Self {
        let mut options = Self { id: id(text, version), given: Vec::new() };
        let mut rest = text;
        let mut is_first = true;
        while !rest.is_empty() {
            let name_ends = rest.find(['=', ',']).unwrap_or(rest.len());
            let (name, value) = match (rest[name_ends..].starts_with('='), first) {
                (true, _) => {
                    let name = rest[..name_ends].to_owned();
                    rest = &rest[name_ends + 1..];
                    (name, value(&mut rest))
                }
                (false, Some(first)) if is_first => (first.to_owned(), value(&mut rest)),
                (false, _) => {
                    let name = &rest[..name_ends];
                    rest = &rest[name_ends..];
                    match name.strip_prefix("no") {
                        Some(name) => (name.to_owned(), "off".to_owned()),
                        None => (name.to_owned(), "on".to_owned()),
                    }
                }
            };
            if name != "id" {
                options.given.push((name, value));
            }
            is_first = false;
            rest = rest.strip_prefix(',').unwrap_or_default();
        }
        options
    }

    /// Takes an option out: its last value.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let last = self.given.iter().rev().find(|(given, _)| given == name);
        let value = last.map(|(_, value)| value.clone());
        self.given.retain(|(given, _)| given != name);
        value
    }
}

/// A value: up to the next comma that is not doubled.
fn value(rest: &mut &str) -> String {
    let mut text = String::new();
    while let Some(at) = rest.find(',') {
        text.push_str(&rest[..at]);
        *rest = &rest[at..];
        let Some(behind) = rest.strip_prefix(",,") else { return text };
        text.push(',');
        *rest = behind;
    }
    text.push_str(rest);
    *rest = "";
    text
}

/// The id. QEMU before 5.1 looks for it with no regard to doubled commas, so that it also finds one
/// in the name of a file, unless the right one comes first (`opts_parse_id`).
fn id(text: &str, version: Version) -> Option<String> {
    if version < Version::V7_2 {
        let mut found = match text.strip_prefix("id=") {
            Some(found) => found,
            None => text.split_once(",id=")?.1,
        };
        return Some(value(&mut found));
    }
    let mut rest = text;
    while !rest.is_empty() {
        match rest.strip_prefix("id=") {
            Some(mut found) => return Some(value(&mut found)),
            None => drop(value(&mut rest)),
        }
        rest = rest.strip_prefix(',').unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, version: Version) -> (Option<String>, Vec<(String, String)>) {
        let options = Options::read(text, None, version);
        (options.id, options.given)
    }

    fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_doubled_comma_is_one() {
        let (id, given) = read("if=none,file=/images/a,,b.raw,id=hd1", Version::V0_14);
        assert_eq!(id.as_deref(), Some("hd1"));
        assert_eq!(given, pairs(&[("if", "none"), ("file", "/images/a,b.raw")]));
        let (_, given) = read("file=a,,,,b,snapshot", Version::V0_14);
        assert_eq!(given, pairs(&[("file", "a,,b"), ("snapshot", "on")]));
        let (_, given) = read("file=a,", Version::V0_14);
        assert_eq!(given, pairs(&[("file", "a")]));
    }

    #[test]
    fn a_name_with_no_value_is_a_flag_or_the_first() {
        assert_eq!(read("nosnapshot", Version::V2_9).1, pairs(&[("snapshot", "off")]));
        let given = Options::read("virtio-blk-pci,drive=a,id=b", Some("driver"), Version::V2_9);
        assert_eq!(given.given, pairs(&[("driver", "virtio-blk-pci"), ("drive", "a")]));
        assert_eq!(given.id.as_deref(), Some("b"));
    }

    #[test]
    fn old_ones_find_an_id_in_the_name_of_a_file() {
        let text = "file=/a,,id=x.raw,id=hd1";
        assert_eq!(read(text, Version::V2_9).0.as_deref(), Some("x.raw"));
        assert_eq!(read(text, Version::V7_2).0.as_deref(), Some("hd1"));
        let text = "id=hd1,file=/a,,id=x.raw";
        assert_eq!(read(text, Version::V2_9).0.as_deref(), Some("hd1"));
    }

    #[test]
    fn the_last_value_counts() {
        let mut options = Options::read("a=1,b=2,a=3", None, Version::V0_14);
        assert_eq!(options.take("a").as_deref(), Some("3"));
        assert_eq!(options.given, pairs(&[("b", "2")]));
        assert_eq!(options.take("a"), None);
    }
}
