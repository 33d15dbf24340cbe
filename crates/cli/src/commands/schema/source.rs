//! Where schemas come from: a monitor, a QEMU that is run for it, or a file.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use qplug_qapi::codegen::Source;
use qplug_qapi::introspection::Schema;
use qplug_qmp::{Address, Client, Options, TlsFolder};

use crate::failure::{Exit, Failure};

/// The arguments of a QEMU that is run to be asked: no machine, and no more than that.
const ASKED: &str = "-machine none -nodefaults -display none -S -qmp stdio";

/// The schema of a QEMU; `None` where it has none.
pub(crate) async fn of(client: &Client) -> Result<Option<Schema>, Failure> {
    let reply = client.execute("query-qmp-schema", None::<&()>).await;
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) if error.refusal().is_some() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let schema = Schema::parse(reply.get());
    schema.map(Some).map_err(|error| Failure { exit: Exit::Other, message: error.to_string() })
}

/// How monitors are reached.
pub(crate) struct Reach {
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: Option<TlsFolder>,
}

impl Reach {
    /// The schema that a word of the user's stands for.
    pub(in crate::commands) async fn read(&self, word: &str) -> Result<Source, Failure> {
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
