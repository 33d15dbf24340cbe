//! The machine's own package sources, and what is derived from them: its backports, or another
//! release in the same archive.
//!
//! No address is written down anywhere in this project: a machine that reaches its packages through
//! a mirror, a proxy or a password keeps doing so.

use std::fs;
use std::path::Path;

use qplug_testbed::{Error, Result};

/// What identifies this distribution's release.
#[derive(Debug)]
pub(super) struct Release {
    /// `bookworm`.
    pub(super) codename: String,
}

impl Release {
    /// Reads it from the system.
    pub(super) fn of_this_machine() -> Result<Self> {
        let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = text
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .map(|value| value.trim_matches('"').to_owned());
        match codename {
            Some(codename) if !codename.is_empty() => Ok(Self { codename }),
            _ => Err(Error::not_set_up(
                "this system does not say which Debian release it is (VERSION_CODENAME in \
                 /etc/os-release), so no QEMU can be fetched for it; bring your own with \
                 QPLUG_QEMU, QPLUG_KERNEL and QPLUG_MODULES",
            )),
        }
    }

    /// Where newer packages for it are.
    pub(super) fn backports(&self) -> String {
        format!("{}-backports", self.codename)
    }
}

/// Writes a folder of sources: the release's own ones as they are, and its backports; or another
/// release alone, in the archive of the release's own.
pub(super) fn write(release: &Release, other: Option<&str>, folder: &Path) -> Result<()> {
    let mut found = match other {
        Some(name) => Sources::deriving(name),
        None => Sources::deriving(&release.backports()),
    };
    let system = Path::new("/etc/apt");
    found.take_file(&system.join("sources.list"), release)?;
    let parts = system.join("sources.list.d");
    if let Ok(entries) = fs::read_dir(&parts) {
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            found.take_file(&path, release)?;
        }
    }
    let kept = match other {
        Some(_) => vec![found.derived],
        // Twice, and perhaps with another key, apt would refuse it.
        None if found.has_suite => vec![found.own],
        None => vec![found.own, found.derived],
    };
    if kept.iter().all(Written::is_empty) {
        return Err(Error::not_set_up(format!(
            "this machine's package sources in /etc/apt name no '{}', so no QEMU can be fetched; \
             add the release's main component and run: cargo xtask setup",
            release.codename
        )));
    }
    let lines: Vec<_> = kept.iter().flat_map(|part| part.lines.iter().cloned()).collect();
    let stanzas: Vec<_> = kept.iter().flat_map(|part| part.stanzas.iter().cloned()).collect();
    for (name, text) in [
        ("release.list", lines.join("\n") + "\n"),
        ("release.sources", stanzas.join("\n\n") + "\n"),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Error::file("write", &path))?;
    }
    Ok(())
}

/// Sources of both spellings.
#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    stanzas: Vec<String>,
}

impl Written {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.stanzas.is_empty()
    }
}

/// What the machine has, and what follows from it.
#[derive(Debug, Default)]
struct Sources {
    /// The suite that is to be had from the release's own archive too.
    suite: String,
    /// Whether the machine's own sources name it.
    has_suite: bool,
    own: Written,
    derived: Written,
}

impl Sources {
    fn deriving(suite: &str) -> Self {
        Self { suite: suite.to_owned(), ..Self::default() }
    }

    fn take_file(&mut self, path: &Path, release: &Release) -> Result<()> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("list" | "sources")) || !path.is_file() {
            return Ok(());
        }
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        if extension == Some("list") {
            text.lines().for_each(|line| self.take_line(line, release));
        } else {
            let spaced = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            for stanza in spaced.split("\n\n") {
                self.take_stanza(stanza, release);
            }
        }
        Ok(())
    }

    /// `deb [options] address suite component…`
    fn take_line(&mut self, line: &str, release: &Release) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb ") else {
            return;
        };
        let (options, rest) = match rest.trim_start().strip_prefix('[') {
            Some(optional) => match optional.split_once(']') {
                Some((options, rest)) => (format!("[{options}] "), rest),
                None => return,
            },
            None => (String::new(), rest),
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [address, suite, components @ ..] = &words[..] else {
            return;
        };
        if !suite.starts_with(&release.codename) {
            return;
        }
        self.own.lines.push(line.to_owned());
        if self.derives_from(&[suite], components, release) {
            let (suite, components) = (&self.suite, components.join(" "));
            self.derived.lines.push(format!("deb {options}{address} {suite} {components}"));
        }
    }

    /// The same as fields of a paragraph.
    fn take_stanza(&mut self, stanza: &str, release: &Release) {
        let field = |name: &str| -> Vec<&str> {
            let value = stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then_some(value)
            });
            value.unwrap_or_default().split_whitespace().collect()
        };
        let suites = field("Suites");
        let off = matches!(field("Enabled")[..], ["no" | "false" | "0"]);
        let ours = suites.iter().any(|suite| suite.starts_with(&release.codename));
        if off || !ours || !field("Types").contains(&"deb") {
            return;
        }
        let stanza = stanza.trim();
        self.own.stanzas.push(stanza.to_owned());
        if self.derives_from(&suites, &field("Components"), release) {
            let lines: Vec<String> = stanza
                .lines()
                .map(|line| match line.split_once(':') {
                    Some((key, _)) if key.eq_ignore_ascii_case("Suites") => {
                        format!("Suites: {}", self.suite)
                    }
                    _ => line.to_owned(),
                })
                .collect();
            self.derived.stanzas.push(lines.join("\n"));
        }
    }

    /// Only the release's own archive has its backports and the other releases: a third party's
    /// archive often uses the release's name too, but not its `main` component.
    fn derives_from(&mut self, suites: &[&str], components: &[&str], release: &Release) -> bool {
        self.has_suite |= suites.contains(&self.suite.as_str());
        self.derived.is_empty()
            && suites.contains(&release.codename.as_str())
            && components.contains(&"main")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bookworm() -> Release {
        Release { codename: "bookworm".to_owned() }
    }

    #[test]
    fn backports_keep_the_key_and_the_address() {
        let mut found = Sources::deriving("bookworm-backports");
        let stanza = "Types: deb\n# a comment: kept\nURIs: http://mirror.example/debian\n\
                      Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /key.gpg";
        found.take_stanza(stanza, &bookworm());
        assert_eq!(found.own.stanzas, [stanza]);
        let derived = stanza.replace("bookworm bookworm-updates", "bookworm-backports");
        assert_eq!(found.derived.stanzas, [derived]);
    }

    #[test]
    fn one_line_sources_keep_their_options() {
        let mut found = Sources::deriving("bullseye");
        let line = "deb [signed-by=/key.gpg] http://mirror.example/debian bookworm main contrib";
        found.take_line(line, &bookworm());
        found.take_line("deb-src http://mirror.example/debian bookworm main", &bookworm());
        assert_eq!(found.own.lines, [line]);
        assert_eq!(found.derived.lines, [line.replace("bookworm", "bullseye")]);
    }

    #[test]
    fn foreign_and_disabled_sources_are_left_out() {
        let mut found = Sources::deriving("bookworm-backports");
        found.take_line("deb http://third.example/linux bookworm stable", &bookworm());
        assert!(found.derived.is_empty());
        found.take_line("deb http://third.example/linux trixie main", &bookworm());
        found.take_stanza(
            "Types: deb\nEnabled: no\nSuites: bookworm\nComponents: main",
            &bookworm(),
        );
        assert_eq!(found.own.lines.len(), 1);
        assert!(found.own.stanzas.is_empty());
        assert!(!found.has_suite);
        found.take_line("deb http://mirror.example/x bookworm-backports main", &bookworm());
        assert!(found.has_suite && found.derived.is_empty());
    }
}
