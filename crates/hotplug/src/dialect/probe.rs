//! Finding out what a machine speaks and can: by asking it, and from a version number only where
//! nothing else tells.
//!
//! ```text
//!  the greeting offers oob ──► blockdev: no question is needed
//!        │ no
//!        ▼
//!  which commands, which events? ──► blockdev-add and blockdev-del ──► which types?    ──► blockdev
//!                                ├── __com.redhat_drive_add                            ──► rhel6
//!                                └── human-monitor-command: does it know drive_add?    ──► drive
//! ```
//!
//! `oob` came with QEMU 2.12 (and is offered from 3.0 on): whoever has it has all that a disk needs.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use qplug_proto::Greeting;
use serde::Deserialize;

use super::{Dialect, Features, human};
use crate::command::{self, Command};
use crate::error::Error;
use crate::operation::{Answer, Operation, decode, decode_optional};

/// Both of them: 2.5 has an unfinished `blockdev-add`, and `x-blockdev-del`.
const BLOCKDEV: [&str; 2] = ["blockdev-add", "blockdev-del"];

const RED_HAT: &str = "__com.redhat_drive_add";

/// Since when object-add takes properties beside the id. Nothing but the schema tells, of 200 KB.
const FLAT_OBJECTS: u32 = 5;

/// Questions under way.
#[derive(Debug)]
pub struct Probe {
    forced: Option<Dialect>,
    features: Features,
    outbox: VecDeque<Question>,
    asked: VecDeque<Question>,
    outcome: Option<Result<Features, Error>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Commands,
    Events,
    Types,
    DriveOptions,
    DriveAdd,
}

impl Question {
    fn command(self) -> Command {
        match self {
            Self::Commands => command::query_commands(),
            Self::Events => command::query_events(),
            Self::Types => command::query_types("throttle-group"),
            Self::DriveOptions => command::query_drive_options(),
            Self::DriveAdd => command::human(human::line(&["help", "drive_add"])),
        }
    }
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct OptionGroup {
    parameters: Vec<Named>,
}

fn names(named: Vec<Named>) -> BTreeSet<String> {
    named.into_iter().map(|it| it.name).collect()
}

impl Probe {
    /// Asks a machine that greeted so; with a dialect given, that one is taken whatever it says.
    #[must_use]
    pub fn new(greeting: &Greeting, forced: Option<Dialect>) -> Self {
        let mut probe = Self {
            forced,
            features: Features {
                version: greeting.version.to_string(),
                flat_objects: greeting.version.major >= FLAT_OBJECTS,
                ..Features::default()
            },
            outbox: VecDeque::new(),
            asked: VecDeque::new(),
            outcome: None,
        };
        if !greeting.capabilities.iter().any(|it| it == "oob") {
            probe.outbox.extend([Question::Commands, Question::Events]);
        } else if forced.is_none_or(|dialect| dialect == Dialect::Blockdev) {
            "the greeting offers out-of-band commands".clone_into(&mut probe.features.recognised);
            probe.outcome = Some(Ok(probe.features.clone()));
        } else {
            probe.outbox.push_back(Question::Commands);
        }
        probe
    }

    fn handle(&mut self, question: Question, answer: Answer) -> Result<(), Error> {
        let query = question.command();
        let features = &mut self.features;
        match question {
            Question::Commands => {
                features.commands = Some(names(decode(&query, answer)?));
                self.recognise()?;
            }
            Question::Events => {
                let events: Option<Vec<Named>> = decode_optional(&query, answer)?;
                // QEMU 6.0 took the query away, and 1.2 brought it: who lists the schema is new.
                features.announces = match events {
                    Some(events) => names(events).contains("DEVICE_DELETED"),
                    None => features.has("query-qmp-schema"),
                };
            }
            Question::Types => {
                let types: Option<Vec<Named>> = decode_optional(&query, answer)?;
                features.throttle_groups = types.is_some_and(|types| !types.is_empty());
            }
            Question::DriveOptions => {
                let groups: Option<Vec<OptionGroup>> = decode_optional(&query, answer)?;
                let options = groups.into_iter().flatten().flat_map(|group| group.parameters);
                features.drive_options = Some(names(options.collect()));
            }
            Question::DriveAdd => {
                let text: Option<String> = match answer {
                    Answer::Returned(value) => human::text(&value),
                    answer => decode_optional(&query, answer)?,
                };
                if self.forced.is_none() && !text.is_some_and(|it| it.starts_with("drive_add ")) {
                    return Err(self.no_dialect());
                }
            }
        }
        Ok(())
    }

    /// Which dialect it is, by the commands that it lists; asks what else must be known for that.
    fn recognise(&mut self) -> Result<(), Error> {
        let features = &mut self.features;
        let commands = features.commands.clone().unwrap_or_default();
        let found = if BLOCKDEV.iter().all(|it| commands.contains(*it)) {
            Some((Dialect::Blockdev, "it lists blockdev-add and blockdev-del"))
        } else if commands.contains(RED_HAT) {
            Some((Dialect::Rhel6, "it lists __com.redhat_drive_add"))
        } else if commands.contains(command::HUMAN) {
            Some((Dialect::Drive, "it lists no blockdev-del, and its human monitor has drive_add"))
        } else {
            None
        };
        let forced = self.forced.map(|dialect| (dialect, "it was said which to speak"));
        let Some((dialect, how)) = forced.or(found) else { return Err(self.no_dialect()) };
        features.dialect = dialect;
        how.clone_into(&mut features.recognised);
        let has_types = commands.contains("qom-list-types");
        features.throttle_groups = false;
        // 2.10 and 2.11 do it too, and are taken for older: no command tells.
        features.names_devices = commands.contains("blockdev-insert-medium");
        self.outbox.extend(has_types.then_some(Question::Types));
        if dialect == Dialect::Drive {
            self.outbox.extend([Question::DriveOptions, Question::DriveAdd]);
        }
        Ok(())
    }

    fn no_dialect(&self) -> Error {
        Error::NoDialect { version: self.features.version.clone() }
    }
}

impl Operation for Probe {
    type Outcome = Result<Features, Error>;

    /// It is what finds them.
    fn speak(&mut self, _features: &Features) {}

    fn poll_transmit(&mut self) -> Option<Command> {
        let question = self.outbox.pop_front()?;
        self.asked.push_back(question);
        Some(question.command())
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        let Some(question) = self.asked.pop_front() else { return };
        if let Err(error) = self.handle(question, answer) {
            self.outbox.clear();
            self.outcome.get_or_insert(Err(error));
        }
        if self.outbox.is_empty() && self.asked.is_empty() {
            self.outcome.get_or_insert_with(|| Ok(self.features.clone()));
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use qplug_proto::QemuVersion;

    use super::*;
    use crate::operation::script::Happens::{self, Answer};
    use crate::operation::script::play;

    fn greeting(major: u32, minor: u32, oob: bool) -> Greeting {
        let capabilities = if oob { vec!["oob".to_owned()] } else { Vec::new() };
        let version = QemuVersion { major, minor, micro: 0 };
        Greeting { version, capabilities, ..Greeting::default() }
    }

    fn probed(greeting: &Greeting, script: Vec<Happens>) -> Result<Features, Error> {
        play(Probe::new(greeting, None), script)
    }

    const HELP: &str = r#""drive_add [[<domain>:]<bus>:]<slot>\r\n[file=file][,if=type]...\r\n""#;

    #[test]
    fn who_offers_oob_is_asked_nothing() {
        let features = probed(&greeting(7, 2, true), vec![]).unwrap();
        assert_eq!(features.dialect(), Dialect::Blockdev);
        assert!(super::super::Ability::ALL.into_iter().all(|ability| features.can(ability)));
        assert!(
            features.flat_objects && !probed(&greeting(4, 2, true), vec![]).unwrap().flat_objects
        );
    }

    #[test]
    fn qemu_0_14_has_drives_and_no_events() {
        let commands = r#"[{"name": "device_add"}, {"name": "human-monitor-command"}]"#;
        let features = probed(
            &greeting(0, 14, false),
            vec![
                Answer("query-commands", "", Ok(commands)),
                Answer("query-events", "", Err("The command query-events has not been found")),
                Answer("query-command-line-options", "drive", Err("not found")),
                Answer("human-monitor-command", "help drive_add", Ok(HELP)),
            ],
        );
        let features = features.unwrap();
        assert_eq!(features.dialect(), Dialect::Drive);
        use super::super::Ability;
        for ability in [Ability::Announcing, Ability::Throttling, Ability::Discard, Ability::Sizes]
        {
            assert!(!features.can(ability), "{ability}");
        }
        assert!(features.has_drive_serials());
    }

    #[test]
    fn qemu_2_5_has_an_unfinished_blockdev_add_and_is_told_of_drives() {
        let commands = r#"[{"name": "blockdev-add"}, {"name": "x-blockdev-del"}, {"name": "qom-list-types"}, {"name": "qom-list"},
            {"name": "human-monitor-command"}, {"name": "block_set_io_throttle"}, {"name": "drive-backup"}]"#;
        let options = r#"[{"option": "drive", "parameters": [{"name": "discard", "type": "string"},
            {"name": "throttling.bps-total-max"}, {"name": "read-only"}]}]"#;
        let features = probed(
            &greeting(2, 5, false),
            vec![
                Answer("query-commands", "", Ok(commands)),
                Answer("query-events", "", Ok(r#"[{"name": "DEVICE_DELETED"}]"#)),
                Answer("qom-list-types", "throttle-group", Ok("[]")),
                Answer("query-command-line-options", "drive", Ok(options)),
                Answer("human-monitor-command", "help drive_add", Ok(HELP)),
            ],
        );
        let features = features.unwrap();
        assert_eq!(features.dialect(), Dialect::Drive);
        use super::super::Ability;
        for ability in [Ability::Announcing, Ability::Bursts, Ability::Discard, Ability::Sizes] {
            assert!(features.can(ability), "{ability}");
        }
        for ability in [Ability::DetectZeroes, Ability::Marks, Ability::OtherBuses] {
            assert!(!features.can(ability), "{ability}");
        }
        assert!(!features.has_drive_serials());
    }

    #[test]
    fn qemu_2_9_has_nodes_and_does_not_say_which_device_has_which() {
        let commands =
            r#"[{"name": "blockdev-add"}, {"name": "blockdev-del"}, {"name": "qom-list-types"}]"#;
        let features = probed(
            &greeting(2, 9, false),
            vec![
                Answer("query-commands", "", Ok(commands)),
                Answer("query-events", "", Ok(r#"[{"name": "DEVICE_DELETED"}]"#)),
                Answer("qom-list-types", "throttle-group", Ok("[]")),
            ],
        );
        let features = features.unwrap();
        assert_eq!(features.dialect(), Dialect::Blockdev);
        assert!(!features.names_devices && !features.flat_objects && !features.throttle_groups);
        assert!(features.announces);
    }

    #[test]
    fn who_has_no_command_for_disks_is_told_so() {
        for (commands, script) in [
            (r#"[{"name": "query-commands"}]"#, vec![]),
            (
                r#"[{"name": "human-monitor-command"}]"#,
                vec![
                    Answer("query-events", "", Err("not found")),
                    Answer("query-command-line-options", "", Err("not found")),
                    Answer(
                        "human-monitor-command",
                        "",
                        Ok(r#""unknown command: 'drive_add'\r\n""#),
                    ),
                ],
            ),
        ] {
            let mut all = vec![Answer("query-commands", "", Ok(commands))];
            all.extend(script);
            let error = probed(&greeting(0, 14, false), all).unwrap_err();
            assert!(matches!(error, Error::NoDialect { .. }), "{error}");
        }
        let red_hat = r#"[{"name": "__com.redhat_drive_add"}, {"name": "human-monitor-command"}]"#;
        let script = vec![
            Answer("query-commands", "", Ok(red_hat)),
            Answer("query-events", "", Err("not found")),
        ];
        assert_eq!(probed(&greeting(0, 12, false), script).unwrap().dialect(), Dialect::Rhel6);
    }
}
