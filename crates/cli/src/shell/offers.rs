//! Completion of a line outside the shell, where only qplug's own commands are typed, and names are
//! known already.

use std::ops::Range;
use std::sync::Arc;

use clap::CommandFactory as _;
use qplug_qapi::introspection::Schema;

use super::complete::{Kind, Name, Names, Quoting, World, complete};
use super::live::files;
use super::verb::QPLUG;
use super::vocabulary::Vocabulary;
use crate::args::Args;

/// The names that are known of a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) disks: Vec<String>,
    pub(crate) ports: Vec<String>,
    pub(crate) jobs: Vec<String>,
}

/// What may be put at the end of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offers {
    /// The bytes of the line that are replaced; they end at its end.
    pub(crate) span: Range<usize>,
    /// What comes in their place, quoted; with a space behind it where a word ends.
    pub(crate) inserts: Vec<String>,
    /// The same as it is shown.
    pub(crate) shown: Vec<String>,
}

impl World for Known {
    fn vocabulary(&self) -> &'static Vocabulary {
        &QPLUG
    }

    fn schema(&self) -> Option<Arc<Schema>> {
        None
    }

    fn names(&self, kind: &Kind) -> Arc<Names> {
        let told =
            |names: &[String]| names.iter().map(|name| Name::new(name.as_str(), "")).collect();
        let names = match kind {
            Kind::Disks | Kind::Drives => told(&self.disks),
            Kind::Ports => told(&self.ports),
            Kind::Jobs => told(&self.jobs),
            Kind::Files(folder) | Kind::MachineFiles(folder) => files(folder),
            _ => Vec::new(),
        };
        Arc::new(Names { names, left_out: 0 })
    }
}

/// What may come next at the end of this line. It reads a folder where a file is named.
pub(crate) fn offers(line: &str, known: &Known) -> Offers {
    let completion = complete(line, line.len(), false, known);
    let is_first = line[..completion.span.start].trim().is_empty();
    let verbs = Args::command();
    // The shell's own are not for here.
    let is_ours = |shown: &str| !is_first || verbs.find_subcommand(shown).is_some();
    let candidates = completion.candidates.into_iter().filter(|it| is_ours(&it.shown));
    let (inserts, shown) = candidates
        .map(|it| (if it.ends_word { it.insert + " " } else { it.insert }, it.shown))
        .unzip();
    Offers { span: completion.span, inserts, shown }
}

/// Writes a text so that it is read as one word, and as this.
pub(crate) fn word(text: &str) -> String {
    Quoting::of_a_word().write(text, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::line::{Request, parse};

    #[test]
    fn verbs_names_and_files_are_offered() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("my disk.img"), "").unwrap();
        let disks = vec!["data".to_owned(), "data2".to_owned()];
        let known = Known { disks, ..Known::default() };
        assert_eq!(offers("deta", &known).inserts, ["detach "]);
        assert_eq!(offers("transac", &known).inserts, [] as [&str; 0]);
        assert_eq!(offers("detach da", &known).inserts, ["data ", "data2 "]);
        let line = format!("attach {}/m", folder.path().display());
        let offered = offers(&line, &known);
        let completed = format!("{}{}", &line[..offered.span.start], offered.inserts[0]);
        assert_eq!(completed, format!("attach {}/my\\ disk.img ", folder.path().display()));
        assert_eq!(offers("attach x --bus virtio-b", &known).inserts.len(), 1);
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for name in ["data", "my disk", "it's", "#x", "{a", "", "/machine/unattached/device[23]"] {
            let line = format!("eject {}", word(name));
            let Request::Words(words) = parse(&line).unwrap().request else { panic!("{line}") };
            assert_eq!(words, ["eject", name]);
        }
    }
}
