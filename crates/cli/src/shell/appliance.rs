//! `qplug appliance shell`: a line is a command of an appliance.
//!
//! Each command is a conversation of its own, as outside: others may use the appliance between two lines.
//!
//! | file | owns |
//! |---|---|
//! | `appliance/words.rs` | the commands, without the appliance's name |
//! | `appliance/site.rs` | what is known of the appliance without asking it |

mod site;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use qplug_appliance::{ApplianceName, Registry, State};

use super::face::Subject;
use super::live::Live;
use super::partner::Partner;
use super::session::Flow;
use super::vocabulary::Vocabulary;
use super::{Ends, help, interactive, lines, script};
use crate::args::ApplianceVerb as Verb;
use crate::args::appliance::Shell;
use crate::commands::appliance::{self, files, machine};
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(super) use site::Site;
pub(super) use words::APPLIANCE;

/// The file of lines that are remembered: they would make no sense to a machine at its monitor.
const HISTORY: &str = "appliance-history";

/// What the name of an appliance begins with that lives as long as its shell; the shell's process id is
/// the rest.
const UNNAMED: &str = "shell-";

/// An appliance, as a shell talks to it.
#[derive(Debug)]
struct Appliance {
    site: Site,
    /// Whether the lines come from standard input, so that no command can read it.
    owns_input: bool,
}

/// Talks to an appliance: somebody at a terminal does, or a script.
pub(crate) async fn run(args: Shell, output: &Output) -> Result<Exit, Failure> {
    let script = lines(args.script.clone())?;
    if !args.images.is_empty() {
        return with_one_of_its_own(args, script, output).await;
    }
    let registry = Registry::of_user()?;
    let name = args.name.map_or_else(|| the_only_one(&registry), Ok)?;
    talk(&name, script, output).await
}

/// The appliance that runs, where just one does.
fn the_only_one(registry: &Registry) -> Result<ApplianceName, Failure> {
    let running = registry.list()?.into_iter().filter(|(_, state)| *state == State::Running);
    let mut names: Vec<_> = running.map(|(place, _)| place.name().clone()).collect();
    let none =
        "no appliance runs: 'qplug appliance up' starts one, and -a IMAGE one for this shell";
    match names.len() {
        0 => Err(Failure { exit: Exit::Impossible, message: none.to_owned() }),
        1 => Ok(names.remove(0)),
        _ => {
            let names: Vec<_> = names.iter().map(ApplianceName::as_str).collect();
            Err(Failure::usage(format!("which appliance? These run: {}", names.join(", "))))
        }
    }
}

/// Starts an appliance, and ends it however the shell ends.
async fn with_one_of_its_own(
    args: Shell,
    script: Option<PathBuf>,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = ApplianceName::new(&format!("{UNNAMED}{}", std::process::id()))?;
    let ends = interactive::terminated()?;
    let whole = async {
        let started = machine::start(name.clone(), &args.images, args.make, output);
        let (started, exit) = tokio::select! {
            started = started => started?,
            signal = tokio::signal::ctrl_c() => {
                signal?;
                return Err(Failure { exit: Exit::Interrupted, message: "interrupted".to_owned() });
            }
        };
        // What is wrong with an image was said.
        if exit != Exit::Done {
            return Ok(exit);
        }
        // A script prints what its lines print.
        if script.is_none() {
            output.result(&started, |out| started.tell(out)).await?;
        }
        talk(&name, script, output).await
    };
    let ended = tokio::select! {
        ended = whole => ended,
        ended = ends => ended,
    };
    let down = qplug_appliance::down(&Registry::of_user()?, &name).await;
    let exit = ended?;
    down?;
    Ok(exit)
}

async fn talk(
    name: &ApplianceName,
    script: Option<PathBuf>,
    output: &Output,
) -> Result<Exit, Failure> {
    let appliance = appliance::open(name)?;
    let site = Site::new(appliance.place().clone());
    drop(appliance);
    if let Some(path) = script {
        let owns_input = path == Path::new(script::STANDARD_INPUT);
        let lines = script::Lines::open(&path)?;
        return script::run(lines, Appliance { site, owns_input }, output).await;
    }
    output.announce(&format!(
        "{} is running. Tab completes, help helps, Ctrl-D leaves",
        name.as_str()
    ));
    let kept = tokio::spawn(site.clone().keep(output.clone()));
    let _ends = Ends(kept.abort_handle());
    let live = Live::new(&site);
    interactive::run(Appliance { site, owns_input: true }, &live, HISTORY, output).await
}

impl Partner for Appliance {
    fn vocabulary(&self) -> &'static Vocabulary {
        &APPLIANCE
    }

    fn subject(&self) -> Arc<dyn Subject> {
        Arc::new(self.site.clone())
    }

    async fn help(&self, topic: Option<&str>) -> Result<String, Failure> {
        help::help(topic, &APPLIANCE, None).map_err(Failure::usage)
    }

    async fn run(&mut self, words: &[String], output: &Output) -> Result<Flow, Failure> {
        let (verb, is_json) = match words::read(words, self.site.name())? {
            words::Read::Verb(verb, is_json) => (*verb, is_json),
            words::Read::Help(text) => return help::print(&text, output).await.map(Flow::On),
        };
        if self.owns_input && files::reads_input(&verb) {
            let text = "standard input is where the lines come from: name a file";
            return Err(Failure::usage(text));
        }
        let ends = matches!(verb, Verb::Down(_));
        let exit = match is_json {
            true => appliance::run(verb, &output.with_json(true)).await?,
            false => appliance::run(verb, output).await?,
        };
        Ok(if ends { Flow::Leave } else { Flow::On(exit) })
    }

    async fn message(&mut self, _: &str, _: &Output) -> Result<Flow, Failure> {
        Err(Failure::usage("an appliance takes no messages in JSON; help says what it takes"))
    }

    async fn look(&self) {
        self.site.grow_older();
    }
}
