//! What devices and objects take. No schema lists it: a class is asked, with
//! `device-list-properties` (since 1.2) or `qom-list-properties` (since 2.12).

use serde_json::{Map, Value};

use super::check::{Problem, Trouble, nearest};

/// Types that a QEMU has ended at when it was asked for their properties: it makes one of the type to
/// look at, and these cannot be thrown away again. `colo-compare` (5.2.0, 7.2.22, 10.0.2) and
/// `x-remote-object` (7.2.22, 10.0.2) whatever the machine; the others where a module is not
/// installed or does not fit any more (7.2.22), such as after an upgrade under a running machine.
const FRAGILE: [&str; 6] = [
    "colo-compare",
    "x-remote-object",
    "virtio-gpu-gl-pci",
    "virtio-gpu-rutabaga-pci",
    "virtio-vga-gl",
    "virtio-vga-rutabaga",
];

/// Whether a QEMU may end when it is asked what this type takes.
#[must_use]
pub fn is_fragile(type_name: &str) -> bool {
    FRAGILE.contains(&type_name)
}

/// What a device or an object takes, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<Property>);

/// One thing that a device or an object takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// As it is on the wire.
    pub name: String,
    /// As QEMU calls it, which no two versions quite do alike: `bool`, `uint32`, `size`, `str`,
    /// `OnOffAuto`, `link<iothread>`.
    pub type_name: String,
    /// What QEMU says of it, of some.
    pub description: Option<String>,
    /// What it is when it is left out (since 5.0), of some.
    pub default: Option<Value>,
}

/// How a property's value is written in JSON. From 9.2 on QEMU insists on it; before, `device_add`
/// took a string for anything, and took what else it was given for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    /// A string, or now and then a list.
    Other,
    /// Too little is said of it.
    Unclear,
}

/// A text that is no list of properties.
#[derive(Debug, thiserror::Error)]
#[error("this is no list of properties: {0}")]
pub struct NotProperties(String);

impl Properties {
    /// Reads the answer to one of the two commands. Entries with no name are passed over.
    ///
    /// # Errors
    /// When it is not an array in JSON.
    pub fn parse(text: &str) -> Result<Self, NotProperties> {
        let entries: Vec<Map<String, Value>> =
            serde_json::from_str(text).map_err(|error| NotProperties(error.to_string()))?;
        let mut list: Vec<_> = entries.into_iter().filter_map(Property::read).collect();
        list.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self(list))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Property> {
        self.0.iter()
    }

    /// The one of this name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property> {
        let place = self.0.binary_search_by(|property| property.name.as_str().cmp(name));
        place.ok().map(|place| &self.0[place])
    }

    /// Whether a property may be set though it need not be listed: `len-NAME` makes more of them, with
    /// a number in brackets (before 9.0), and `legacy-NAME` is never listed.
    #[must_use]
    pub fn may_have(&self, name: &str) -> bool {
        let is_made = name.contains('[') || name.starts_with("len-") || name.starts_with("legacy-");
        is_made || self.property(name).is_some()
    }

    /// What looks wrong of these values. It is not for certain, as QEMU's words for types and its
    /// descriptions are for people: good to explain a refusal, too little to refuse.
    #[must_use]
    pub fn doubts(&self, values: &Map<String, Value>) -> Vec<Problem> {
        let doubt = |(name, value): (&String, &Value)| {
            let trouble = self.property(name)?.doubt(value)?;
            Some(Problem { path: name.clone(), trouble })
        };
        values.iter().filter_map(doubt).collect()
    }
}

impl Property {
    fn read(mut entry: Map<String, Value>) -> Option<Self> {
        let mut text = |key| match entry.remove(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (name, type_name) = (text("name")?, text("type").unwrap_or_default());
        let description = text("description").filter(|text| !text.is_empty());
        Some(Self { name, type_name, description, default: entry.remove("default-value") })
    }

    /// What the type's name says of the value.
    pub(super) fn kind(&self) -> Kind {
        let type_name = self.type_name.as_str();
        let is_numbered = |prefix| {
            let bits: Option<&str> = type_name.strip_prefix(prefix);
            bits.is_some_and(|bits| bits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        match type_name {
            "bool" => Kind::Bool,
            "" | "any" | "struct" => Kind::Unclear,
            // A slot is called an integer before 10.0. `10` for text is another slot than the number is.
            _ if self.description.as_deref().is_some_and(|it| it.contains("example")) => {
                Kind::Other
            }
            _ if ["int", "uint", "size"].into_iter().any(is_numbered) => Kind::Int,
            _ => Kind::Other,
        }
    }

    /// The words that it may be, where its description lists them: `on/off/auto`, or
    /// `Error handling policy (report/ignore/enospc/stop/auto)`. Some lists are not complete.
    #[must_use]
    pub fn words(&self) -> Vec<&str> {
        let is_enum = self.kind() == Kind::Other
            && self.type_name.starts_with(|first: char| first.is_ascii_uppercase());
        let Some(text) = self.description.as_deref().filter(|_| is_enum) else { return Vec::new() };
        let mut texts = text.split([' ', '(', ')', ',']);
        let list = texts.rfind(|text| text.contains('/')).unwrap_or_default();
        let words: Vec<_> = list.split('/').collect();
        let is_word = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if words.len() > 1 && words.iter().all(is_word) { words } else { Vec::new() }
    }

    fn doubt(&self, value: &Value) -> Option<Trouble> {
        let takes = self.type_name.clone();
        let wrong = match (self.kind(), value) {
            (Kind::Bool, value) => !value.is_boolean(),
            (Kind::Int, value) => !value.is_i64() && !value.is_u64(),
            (Kind::Other, Value::String(given)) => {
                let words = self.words();
                if words.is_empty() || words.contains(&given.as_str()) {
                    return None;
                }
                let like = nearest(given, words.iter().copied());
                let words = words.into_iter().map(str::to_owned).collect();
                return Some(Trouble::NoSuchWord { given: given.clone(), like, words });
            }
            (Kind::Other, value) => value.is_boolean() || value.is_number() || value.is_null(),
            (Kind::Unclear, _) => false,
        };
        wrong.then(|| Trouble::WrongType { takes, given: super::check::shown(value) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Schema, recorded};
    use super::*;
    use serde_json::json;

    /// Some of what QEMU 10.0.2 says of virtio-blk-pci.
    fn properties() -> Properties {
        let text = r#"[{"name": "romfile", "type": "str"},
            {"default-value": -1, "name": "addr", "type": "str",
             "description": "Slot and optional function number, example: 06.0 or 06"},
            {"default-value": "auto", "name": "rerror", "type": "BlockdevOnError",
             "description": "Error handling policy (report/ignore/enospc/stop/auto)"},
            {"name": "iothread-vq-mapping", "type": "IOThreadVirtQueueMappingList",
             "description": "IOThread virtqueue mapping list [{\"iothread\":\"<id>\", \"vqs\":[1,2,3,...]},...]"},
            {"default-value": 0, "name": "logical_block_size", "type": "size",
             "description": "A power of two between 512 B and 2 MiB"},
            {"default-value": false, "name": "share-rw", "description": "on/off", "type": "bool"},
            {"name": "iothread", "type": "link<iothread>"}, {"type": "nameless"},
            {"name": "num-queues", "type": "uint16", "default-value": 65535}]"#;
        Properties::parse(text).unwrap()
    }

    #[test]
    fn values_are_of_the_json_type_that_is_insisted_on() {
        let pairs = [
            ("driver", "virtio-blk-pci"),
            ("addr", "4"),
            ("share-rw", "on"),
            ("logical_block_size", "4k"),
            ("num-queues", "0x2"),
            ("iothread", "7"),
            ("romfile", "true"),
            ("rerror", "stop"),
            ("iothread-vq-mapping.0.iothread", "io"),
            ("iothread-vq-mapping.0.vqs.0", "1"),
        ];
        let found = recorded::schema().coerce_with("device_add", &properties(), pairs).unwrap();
        let expected = json!({"driver": "virtio-blk-pci", "addr": "4", "share-rw": true,
            "logical_block_size": 4096, "num-queues": 2, "iothread": "7", "romfile": "true",
            "rerror": "stop", "iothread-vq-mapping": [{"iothread": "io", "vqs": [1]}]});
        assert_eq!(Value::Object(found.clone()), expected);
        assert_eq!(properties().doubts(&found), []);
        let json = [("iothread-vq-mapping", r#"[{"iothread": "io"}]"#)];
        let found = recorded::schema().coerce_with("device_add", &properties(), json).unwrap();
        assert_eq!(found["iothread-vq-mapping"], json!([{"iothread": "io"}]));
    }

    fn problems(schema: &Schema, command: &str, arguments: &Value) -> Vec<String> {
        let found = schema.check_with(command, Some(&properties()), Some(arguments));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_property_that_the_class_has_not_is_named() {
        let schema = recorded::schema();
        let arguments = json!({"driver": "virtio-blk-pci", "id": "d", "share_rw": true,
                               "num-queue": 1, "bsu": "rp0", "len-x": 1, "x[0]": 1});
        assert_eq!(
            problems(&schema, "device_add", &arguments),
            [
                "share_rw: there is no such argument; did you mean share-rw?",
                "num-queue: there is no such argument; did you mean num-queues?",
                "bsu: there is no such argument; did you mean bus?",
            ]
        );
        assert_eq!(schema.check("device_add", Some(&arguments)), []);
        // All is in the schema from 6.0 on.
        let object = json!({"qom-type": "iothread", "id": "i", "romfile": "x"});
        assert_eq!(problems(&schema, "object-add", &object).len(), 1);
        // Up to 5.2 a class alone knew.
        let old = Schema::parse(recorded::V5_2).unwrap();
        assert_eq!(problems(&old, "object-add", &object), [""; 0]);
        let wrong = json!({"qom-type": "iothread", "id": "i", "rom-file": "x"});
        assert_eq!(
            problems(&old, "object-add", &wrong),
            ["rom-file: there is no such argument; did you mean romfile?"]
        );
    }

    #[test]
    fn before_5_0_an_objects_properties_stood_in_props() {
        let text = r#"[{"meta-type": "command", "name": "object-add", "arg-type": "1", "ret-type": "0"},
            {"meta-type": "object", "name": "0", "members": []},
            {"meta-type": "object", "name": "1", "members": [{"name": "qom-type", "type": "str"},
                {"name": "id", "type": "str"}, {"name": "props", "type": "any", "default": null}]},
            {"meta-type": "builtin", "name": "any", "json-type": "value"},
            {"meta-type": "builtin", "name": "str", "json-type": "string"}]"#;
        let schema = Schema::parse(text).unwrap();
        let pairs =
            [("qom-type", "x"), ("id", "1"), ("props.romfile", "2"), ("props.share-rw", "off")];
        let found = schema.coerce_with("object-add", &properties(), pairs).unwrap();
        let expected = json!({"qom-type": "x", "id": "1",
                              "props": {"romfile": "2", "share-rw": false}});
        assert_eq!(Value::Object(found), expected);
        assert_eq!(problems(&schema, "object-add", &expected), [""; 0]);
        let wrong = json!({"qom-type": "x", "id": "1", "props": {"rom-file": "2"}});
        assert_eq!(
            problems(&schema, "object-add", &wrong),
            ["props.rom-file: there is no such argument; did you mean romfile?"]
        );
    }

    #[test]
    fn a_refusal_is_explained_by_what_looks_wrong() {
        let doubts = |values: Value| -> Vec<String> {
            let doubts = properties().doubts(values.as_object().unwrap());
            doubts.iter().map(ToString::to_string).collect()
        };
        for (values, expected) in [
            (json!({"share-rw": "on"}), "share-rw: cannot be the string \"on\"; it takes bool"),
            (json!({"num-queues": "2"}), "num-queues: cannot be the string \"2\"; it takes uint16"),
            (json!({"num-queues": 1.5}), "num-queues: cannot be 1.5; it takes uint16"),
            (json!({"romfile": 5}), "romfile: cannot be 5; it takes str"),
            (
                json!({"rerror": "stopp"}),
                "rerror: cannot be \"stopp\"; did you mean stop?; it takes report | ignore | enospc | stop | auto",
            ),
        ] {
            assert_eq!(doubts(values), [expected]);
        }
        assert_eq!(doubts(json!({"addr": "06.0", "rerror": "auto", "unheard": 1})), [""; 0]);
    }

    #[test]
    fn a_slot_is_a_text_whatever_its_type_is_called() {
        let text = r#"[{"name": "addr", "type": "int32",
            "description": "Slot and optional function number, example: 06.0 or 06"}]"#;
        let properties = Properties::parse(text).unwrap();
        let pairs = [("addr", "10")];
        let found = recorded::schema().coerce_with("device_add", &properties, pairs).unwrap();
        assert_eq!(found["addr"], json!("10"));
    }

    #[test]
    fn a_list_is_read_whatever_else_it_has() {
        let properties = properties();
        assert_eq!(properties.iter().len(), 8);
        assert_eq!(properties.property("num-queues").unwrap().default, Some(json!(65535)));
        assert_eq!(properties.property("nameless"), None);
        for text in ["{}", "[1]", "["] {
            assert!(Properties::parse(text).is_err(), "{text}");
        }
    }
}
