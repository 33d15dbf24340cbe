//! Where schemas come from: a monitor, a QEMU that is run for it, or a file.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use qplug_qapi::codegen::Source;
use qplug_qapi::introspection::Schema;
use qplug_qmp::{Address, Client, Options, TlsFolder};
use serde::Deserialize;

use super::cache::{Build, Cache};

use crate::failure::{Exit, Failure};

/// What tells a schema, since QEMU 2.5.
pub(super) const COMMAND: &str = "query-qmp-schema";

/// The arguments of a QEMU that is run to be asked: no machine, and no more than that.
const ASKED: &str = "-machine none -nodefaults -display none -S -qmp stdio";

/// Where a schema may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// From the cache, where it has one of a build that looks the same. It may differ from the
    /// machine's in an argument: good for hints and completion, and to let a command through. What it
    /// would refuse is to be held against a live one first.
    Cached,
    /// From the machine, which takes some 40 ms to tell it, and into the cache.
    Live,
}

/// A schema, and where it came from.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) schema: Schema,
    pub(crate) freshness: Freshness,
}

impl Known {
    /// Has something held against the schema, and against the machine's own where a kept one would
    /// refuse it: what is returned, and what is wrong with it.
    pub(crate) async fn judge<T>(
        self,
        client: &Client,
        judge: impl Fn(&Schema) -> Result<(T, Vec<String>), Failure>,
    ) -> Result<(T, Vec<String>), Failure> {
        let judgement = judge(&self.schema)?;
        if judgement.1.is_empty() || self.freshness == Freshness::Live {
            return Ok(judgement);
        }
        match live(client, Freshness::Live).await? {
            Some(live) => judge(&live.schema),
            None => Ok(judgement),
        }
    }
}

/// The schema of a QEMU, from itself; `None` where it has none.
pub(crate) async fn of(client: &Client) -> Result<Option<Schema>, Failure> {
    Ok(live(client, Freshness::Live).await?.map(|known| known.schema))
}

/// The schema of the QEMU at the other end; `None` where it has none.
pub(crate) async fn live(client: &Client, freshness: Freshness) -> Result<Option<Known>, Failure> {
    let commands = commands(client).await?;
    if commands.as_ref().is_some_and(|commands| commands.iter().all(|it| it != COMMAND)) {
        return Ok(None);
    }
    let greeting = client.greeting();
    let build = commands.map(|commands| Build {
        version: greeting.version.to_string(),
        package: greeting.package.clone(),
        commands,
    });
    let place = build.and_then(|build| Some((build, Cache::of_user()?)));
    if let (Freshness::Cached, Some((build, cache))) = (freshness, &place) {
        let (build, cache) = (build.clone(), cache.clone());
        if let Some(schema) = aside(move || cache.read(&build)).await? {
            return Ok(Some(Known { schema, freshness }));
        }
    }
    let reply = match client.execute(COMMAND, None::<&()>).await {
        Ok(reply) => reply,
        Err(error) if error.refusal().is_some() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let schema = Schema::parse(reply.get())
        .map_err(|error| Failure { exit: Exit::Other, message: error.to_string() })?;
    if let Some((build, cache)) = place
        && let Err(error) = aside(move || cache.write(&build, reply.get())).await?
    {
        tracing::debug!("the schema is not kept for the next time: {error}");
    }
    Ok(Some(Known { schema, freshness: Freshness::Live }))
}

/// The commands that the QEMU at the other end has; `None` where it does not list them.
pub(crate) async fn commands(client: &Client) -> Result<Option<Vec<String>>, Failure> {
    listed(client, "query-commands").await
}

/// The names that `query-commands` or `query-events` lists, in order; `None` where it is refused.
pub(super) async fn listed(client: &Client, query: &str) -> Result<Option<Vec<String>>, Failure> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    match client.query::<Vec<Named>>(query).await {
        Ok(entries) => {
            let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
            names.sort_unstable();
            Ok(Some(names))
        }
        Err(error) if error.refusal().is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Does what may take as long as a home on another machine does: QEMU is read meanwhile.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?)
}

/// How monitors are reached.
pub(crate) struct Reach {
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: Option<TlsFolder>,
}

impl Reach {
    /// The schema that a word of the user's stands for.
    pub(crate) async fn read(&self, word: &str) -> Result<Source, Failure> {
        let path = Path::new(word);
        if !path.is_file() {
            return self.ask(&word.parse().map_err(usage)?, word).await;
        }
        if is_json(path).map_err(|error| usage(format!("{word}: {error}")))? {
            let text =
                fs::read_to_string(path).map_err(|error| usage(format!("{word}: {error}")))?;
            let schema = Schema::parse(&text).map_err(|error| usage(format!("{word}: {error}")))?;
            let version = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Source { version, schema });
        }
        let program = word.replace('\'', "'\\''");
        self.ask(&Address::Exec(format!("'{program}' {ASKED}")), word).await
    }

    async fn ask(&self, address: &Address, word: &str) -> Result<Source, Failure> {
        let (connect_timeout, tls) = (self.connect_timeout, self.tls.clone());
        let options = Options { connect_timeout, tls, ..Options::default() };
        let client = Client::connect_with(address, options).await?;
        let version = client.greeting().version.to_string();
        match of(&client).await? {
            Some(schema) => Ok(Source { version, schema }),
            None => Err(super::impossible(format!("{word}: {}", super::NO_SCHEMA))),
        }
    }
}

/// Whether a file begins as JSON does; a program does not.
fn is_json(path: &Path) -> std::io::Result<bool> {
    let mut first = [0];
    let length = File::open(path)?.read(&mut first)?;
    Ok(length == 0 || matches!(first[0], b'[' | b'{' | b' ' | b'\n' | b'\r' | b'\t'))
}

fn usage(reason: impl ToString) -> Failure {
    Failure::usage(reason.to_string())
}
