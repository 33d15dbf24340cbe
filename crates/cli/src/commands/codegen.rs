//! `qplug codegen`

use std::fs;

use qplug_qapi::codegen::{Layout, generate};
use serde_json::json;

use super::schema::source::Reach;
use crate::args::Codegen;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(super) async fn run(args: Codegen, reach: &Reach, output: &Output) -> Result<Exit, Failure> {
    let mut sources = Vec::new();
    for word in &args.qemu {
        sources.push(reach.read(word).await?);
    }
    let text: String =
        generate(&sources, Layout::OneFile).into_iter().map(|file| file.text).collect();
    let shown = args.output.display().to_string();
    let written = fs::write(&args.output, &text);
    written.map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let versions: Vec<_> = sources.into_iter().map(|source| source.version).collect();
    let lines = text.lines().count();
    let value = json!({"file": shown, "lines": lines, "versions": versions});
    output
        .result(&value, |out| {
            writeln!(out, "{shown}: {lines} lines, of QEMU {}", versions.join(", "))
        })
        .await?;
    Ok(Exit::Done)
}
