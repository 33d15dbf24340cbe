//! Schemas that were read before, in the user's cache folder: QEMU takes some 40 ms to tell one, and
//! answers nobody else meanwhile.
//!
//! A version names no build: two builds of 10.0.2 may have other commands. So a schema is kept with the
//! version, the vendor's text about the build and the names of all commands, which QEMU lists in less
//! than a millisecond. Two builds that are alike in all this may still differ in an argument:
//! [`live`](super::source::live) says what a kept schema is good for.

use std::env;
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use qplug_qapi::introspection::Schema;
use serde::Serialize;

/// How many schemas are kept. The one that was written first goes.
const MAX_CACHED: usize = 32;

/// How large a file may be that is read; those of QEMU 11.1 have 260 KB.
const MAX_CACHED_BYTES: u64 = 8 << 20;

/// Which build of QEMU, as far as that can be known of a running one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Build {
    pub(super) version: String,
    pub(super) package: String,
    /// Their names, in order.
    pub(super) commands: Vec<String>,
}

/// A folder of schemas.
#[derive(Debug, Clone)]
pub(super) struct Cache(PathBuf);

impl Cache {
    /// The user's: `$XDG_CACHE_HOME/qplug/schemas` or `~/.cache/qplug/schemas`. `None` where there is
    /// no home.
    pub(super) fn of_user() -> Option<Self> {
        let folder = |name| {
            let path = PathBuf::from(env::var_os(name)?);
            // A path from nowhere in particular is none, as the XDG specification has it.
            path.is_absolute().then_some(path)
        };
        let caches =
            folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
        Some(Self(caches.join("qplug/schemas")))
    }

    /// The schema of a build, where it is kept and whole.
    pub(super) fn read(&self, build: &Build) -> Option<Schema> {
        let path = self.path(build);
        if fs::metadata(&path).ok()?.len() > MAX_CACHED_BYTES {
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        // The name is only a name: what counts is inside.
        let (head, answer) = text.split_once('\n')?;
        (head == serde_json::to_string(build).ok()?).then(|| Schema::parse(answer).ok())?
    }

    /// Keeps what a build answered to `query-qmp-schema`, in place of what was kept of it.
    ///
    /// # Errors
    /// When it cannot be written. Readers find what was there before, or all of it.
    pub(super) fn write(&self, build: &Build, answer: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        writeln!(file, "{}\n{answer}", serde_json::to_string(build)?)?;
        file.persist(self.path(build))?;
        self.clear()
    }

    fn path(&self, build: &Build) -> PathBuf {
        let mut digest = DefaultHasher::new();
        build.hash(&mut digest);
        self.0.join(format!("{}-{:016x}.json", build.version, digest.finish()))
    }

    /// Removes what is too much, and with it what writers left that were killed.
    fn clear(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)?.flatten() {
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            // One that is gone meanwhile was removed by somebody else.
            files.extend(written.ok().map(|written| (written, entry.path())));
        }
        files.sort();
        let too_many = files.len().saturating_sub(MAX_CACHED);
        for (_, path) in files.into_iter().take(too_many) {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ANSWER: &str = r#"[{"meta-type": "command", "name": "stop"}]"#;

    fn build(commands: &[&str]) -> Build {
        let commands = commands.iter().map(ToString::to_string).collect();
        Build { version: "10.0.2".to_owned(), package: "Debian".to_owned(), commands }
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache(folder.path().join("qplug/schemas"));
        (folder, cache)
    }

    #[test]
    fn a_schema_is_kept_for_its_build_alone() {
        let (_folder, cache) = cache();
        let one = build(&["cont", "stop"]);
        assert!(cache.read(&one).is_none());
        cache.write(&one, ANSWER).unwrap();
        assert!(cache.read(&one).unwrap().command("stop").is_some());
        assert!(cache.read(&build(&["stop"])).is_none());
        assert!(cache.read(&Build { package: String::new(), ..one }).is_none());
    }

    #[test]
    fn nobody_else_reads_it() {
        let (folder, cache) = cache();
        let one = build(&["stop"]);
        cache.write(&one, ANSWER).unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(cache.path(&one)), 0o600);
        assert_eq!(mode(cache.0.clone()), 0o700);
        assert_eq!(mode(folder.path().join("qplug")), 0o700);
    }

    #[test]
    fn what_is_broken_is_as_good_as_nothing() {
        let (_folder, cache) = cache();
        let one = build(&["stop"]);
        cache.write(&one, ANSWER).unwrap();
        let whole = fs::read_to_string(cache.path(&one)).unwrap();
        for broken in ["", "x", &whole[..whole.len() - 8], &whole.replacen("stop", "cont", 1)] {
            fs::write(cache.path(&one), broken).unwrap();
            assert!(cache.read(&one).is_none(), "{broken}");
        }
        cache.write(&one, ANSWER).unwrap();
        assert!(cache.read(&one).is_some());
        // Such a file cannot be, and is not read into memory to find out.
        let huge = fs::File::create(cache.path(&one)).unwrap();
        huge.set_len(MAX_CACHED_BYTES + 1).unwrap();
        assert!(cache.read(&one).is_none());
    }

    #[test]
    fn the_oldest_goes() {
        let (_folder, cache) = cache();
        let builds: Vec<_> =
            (0..MAX_CACHED + 3).map(|number| build(&["stop", &number.to_string()])).collect();
        for (age, one) in builds.iter().enumerate() {
            cache.write(one, ANSWER).unwrap();
            let file = fs::File::open(cache.path(one)).unwrap();
            let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            file.set_modified(then).unwrap();
        }
        cache.write(&build(&["stop"]), ANSWER).unwrap();
        let kept = builds.iter().filter(|one| cache.read(one).is_some()).count();
        assert_eq!(kept, MAX_CACHED - 1);
        assert!(cache.read(&builds[0]).is_none() && cache.read(&build(&["stop"])).is_some());
    }
}
