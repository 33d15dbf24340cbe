//! The enum of events.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::docs::{comment, features, versions};
use super::{Layout, Render, guard};
use crate::codegen::model::{Root, RootKind};
use crate::codegen::topics::Topic;
use crate::codegen::words::camel;

impl Render<'_> {
    /// All events, each with its data; those of topics that are left out are not known.
    pub(super) fn event_enum(&self, topics: &BTreeMap<&'static str, Topic>) -> String {
        let mut events: Vec<(&Root, &str)> = Vec::new();
        for (topic, Topic { roots, .. }) in topics {
            let roots = roots.iter().map(|root| &self.model.roots[*root]);
            let found = roots.filter(|root| root.kind == RootKind::Event);
            events.extend(found.map(|root| (root, *topic)));
        }
        events.sort_by_key(|(root, _)| &root.name);
        let mut text =
            "\n/// An event.\n#[derive(Debug, Clone, PartialEq)]\n#[non_exhaustive]\npub \
                        enum Event {\n"
                .to_owned();
        let mut calls = "events!(Event {\n".to_owned();
        for (root, topic) in events {
            let mut said = vec![format!("`{}`.", root.name), versions(self.model, root.versions)];
            said.extend(features(&root.features));
            text += &comment("    ", &said);
            let has_data = !root.body.is_empty();
            if has_data && self.layout == Layout::Topics {
                let guard = guard(topic);
                let _ = write!(text, "    {guard}");
                let _ = write!(calls, "    {guard}");
            }
            let ident = camel(&root.name);
            let of = self.path(topic, &root.ident);
            let (shown, bound) = if has_data {
                (format!("({of})"), format!("(it: {of})"))
            } else {
                (String::new(), String::new())
            };
            let _ = writeln!(text, "    {ident}{shown},");
            let _ = writeln!(calls, "    {ident}{bound} = \"{}\",", root.name);
        }
        text += "    /// One that is not known here.\n    Other {\n        /// Its name on the \
                 wire.\n        name: String,\n        /// Its data.\n        data: Object,\n    },\n}\n\n";
        text + &calls + "});\n"
    }
}
