//! What a type is called, from where it is used.
//!
//! What the oldest version has is named first, by the way from commands and events that is the
//! shortest there; then what the next has more. So a name does not hang on what newer versions do with
//! a type.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::known::KNOWN;
use super::model::{Class, Model, Object, Root, RootKind, Shape, Use};
use super::words::{camel, singular, unused};

/// What the runtime beside generated types is called.
const TAKEN: &[&str] = &[
    "Box",
    "Command",
    "Event",
    "Int",
    "Mismatch",
    "Object",
    "Option",
    "OutOfRange",
    "Some",
    "None",
    "String",
    "Value",
    "Vec",
    "Result",
    "Ok",
    "Err",
    "Self",
    "Default",
    "From",
    "Into",
];

/// Where a type is used.
struct Site {
    /// As [`KNOWN`] has it.
    key: String,
    /// Its name where that table has none.
    name: String,
    class: usize,
}

/// Names all types that commands and events use, and these themselves.
pub(super) fn name(model: &mut Model) {
    let mut taken: BTreeSet<String> = TAKEN.iter().map(|name| (*name).to_owned()).collect();
    for version in 0..model.versions.len() {
        for root in &mut model.roots {
            if root.ident.is_empty() && root.versions.has(version) {
                root.ident = unused(root_name(root), |name| taken.contains(name));
                taken.insert(root.ident.clone());
            }
        }
    }
    let known = KNOWN.iter().copied().collect();
    let mut names = Names { model, taken, known, version: 0 };
    for version in 0..names.model.versions.len() {
        names.version = version;
        names.name_all();
    }
}

fn root_name(root: &Root) -> String {
    match root.kind {
        RootKind::Command => camel(&root.name),
        RootKind::Event => camel(&root.name) + "Event",
    }
}

struct Names<'m> {
    model: &'m mut Model,
    taken: BTreeSet<String>,
    known: BTreeMap<&'static str, &'static str>,
    version: usize,
}

impl Names<'_> {
    /// Names what one version has.
    fn name_all(&mut self) {
        let roots = 0..self.model.roots.len();
        let mut sites: Vec<Site> = Vec::new();
        for root in roots {
            let root = &self.model.roots[root];
            if root.versions.has(self.version) {
                sites.extend(root_sites(root));
            }
        }
        self.own();
        self.name_known(&sites);
        let mut seen = BTreeSet::new();
        let mut queue: VecDeque<Site> = sites.into();
        while let Some(site) = queue.pop_front() {
            self.name_one(&site, &site.name);
            if seen.insert(site.class) {
                let sites = self.sites(site.class);
                self.name_known(&sites);
                queue.extend(sites);
            }
        }
    }

    /// A type that one command alone takes is that command.
    fn own(&mut self) {
        let Names { model, known, version, .. } = self;
        let mut owned = Vec::new();
        for root in &model.roots {
            let Some(class) = root.takes.filter(|_| root.versions.has(*version)) else { continue };
            let takers = model.roots.iter().filter(|other| other.takes == Some(class)).count();
            let has_name = known.contains_key(format!("{}()", root.name).as_str());
            if takers == 1 && !has_name && model.types[class].ident.is_empty() {
                model.types[class].ident.clone_from(&root.ident);
                owned.push(class);
            }
        }
        for class in owned {
            self.name_tag(class);
            self.name_known(&self.sites(class));
        }
    }

    fn name_tag(&mut self, class: usize) {
        let Class { ident, shape, .. } = &self.model.types[class];
        let Shape::Object(Object { variants: Some(variants), .. }) = shape else { return };
        let name = format!("{ident}{}", camel(&variants.tag.name));
        let name = unused(name, |name| self.taken.contains(name));
        self.taken.insert(name.clone());
        self.model.types[class].tag_ident = name;
    }

    fn name_known(&mut self, sites: &[Site]) {
        for site in sites {
            if let Some(name) = self.known.get(site.key.as_str()) {
                self.name_one(site, name);
            }
        }
    }

    fn name_one(&mut self, site: &Site, name: &str) {
        if !self.model.types[site.class].ident.is_empty() {
            return;
        }
        let name = unused(name.to_owned(), |name| self.taken.contains(name));
        self.taken.insert(name.clone());
        self.model.types[site.class].ident = name;
        self.name_tag(site.class);
        let sites = self.sites(site.class);
        self.name_known(&sites);
    }

    /// Where a type uses others in this version, in an order that no version changes.
    fn sites(&self, class: usize) -> Vec<Site> {
        let class = &self.model.types[class];
        let parent = &class.ident;
        let mut sites = Vec::new();
        match &class.shape {
            Shape::Enum(_) => {}
            Shape::Alternate(choices) => {
                for choice in choices {
                    let Some(class) = choice.class() else { continue };
                    let kind = match (choice, &self.model.types[class].shape) {
                        (Use::Array(_), _) => "array",
                        (_, Shape::Enum(_)) => "word",
                        _ => "object",
                    };
                    let (key, name) = (format!("{parent}|{kind}"), camel(kind));
                    sites.push(Site { key, name: format!("{parent}{name}"), class });
                }
            }
            Shape::Object(object) => {
                let members = object.members.iter().filter(|it| it.versions.has(self.version));
                for member in members {
                    let Some(class) = member.of.class() else { continue };
                    let mut name = camel(&member.name);
                    if matches!(member.of, Use::Array(_)) {
                        name = singular(&name);
                    }
                    let key = format!("{parent}.{}", member.name);
                    sites.push(Site { key, name: format!("{parent}{name}"), class });
                }
                let cases = object.variants.iter().flat_map(|variants| &variants.cases);
                for case in cases.filter(|case| case.versions.has(self.version)) {
                    let Some(class) = case.class else { continue };
                    let key = format!("{parent}={}", case.name);
                    sites.push(Site { key, name: format!("{parent}{}", camel(&case.name)), class });
                }
            }
        }
        sites.sort_by(|one, other| one.key.cmp(&other.key));
        sites
    }
}

/// What a command takes and returns.
fn root_sites(root: &Root) -> Vec<Site> {
    let mut sites = Vec::new();
    if let Some(class) = root.takes {
        let (key, name) = (format!("{}()", root.name), format!("{}Arguments", root.ident));
        sites.push(Site { key, name, class });
    }
    if let Some(class) = root.returns.class() {
        let query = root.name.strip_prefix("query-");
        let (mut name, suffix) = match query {
            Some(query) => (camel(query), "Info"),
            None => (root.ident.clone(), "Reply"),
        };
        if matches!(root.returns, Use::Array(_)) {
            name = singular(&name);
        }
        let suffix = if name.ends_with(suffix) { "" } else { suffix };
        sites.push(Site { key: root.name.clone(), name: name + suffix, class });
    }
    sites
}

#[cfg(test)]
mod tests {
    use super::super::merge::merge;
    use super::super::tests::recorded;
    use super::*;

    #[test]
    fn every_known_name_is_somebodys() {
        let mut model = merge(&recorded(4));
        name(&mut model);
        let idents: BTreeSet<_> = model.types.iter().map(|class| class.ident.as_str()).collect();
        let dead: Vec<_> = KNOWN.iter().filter(|(_, name)| !idents.contains(name)).collect();
        assert!(dead.is_empty(), "{dead:#?}");
    }

    #[test]
    fn names_are_used_once_and_stay_when_a_newer_version_comes() {
        let idents = |versions| -> BTreeSet<String> {
            let mut model = merge(&recorded(versions));
            name(&mut model);
            let idents: Vec<_> = model.types.into_iter().map(|class| class.ident).collect();
            let named: Vec<_> = idents.into_iter().filter(|ident| !ident.is_empty()).collect();
            let different: BTreeSet<_> = named.iter().cloned().collect();
            assert_eq!(named.len(), different.len());
            different
        };
        let (some, all) = (idents(3), idents(4));
        let lost: Vec<_> = some.difference(&all).collect();
        // 11.1 made one type of what `query-migrate-parameters` returns and of what
        // `migrate-set-parameters` takes; before, they were two.
        assert_eq!(lost, ["MigrationParameters2"]);
    }
}
