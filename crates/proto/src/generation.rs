//! How QEMU's monitor spoke over the years: what it read, and with which words it refused.
//!
//! Recorded from QEMU 0.14.1, 1.2.2, 2.5.1, 2.9.1 and 7.2 (`tests/transcripts`); 10.0 speaks as 7.2
//! does. The JSON of 0.14 is known best: of 1.2 to 2.9 only what the recordings show is imitated.

/// The QEMU whose monitor a [`crate::Server`] is like. The later is the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// 0.14: errors of many classes that have data; `null` is no value; after a closing bracket that
    /// nothing opened, the connection is of no use any more.
    V0_14,
    /// 1.2: seven classes, and no data.
    V1_2,
    /// 2.5: `null` is a value.
    V2_5,
    /// 2.9: errors about a message have its id.
    V2_9,
    /// 7.2 and 10.0.
    #[default]
    V7_2,
}

/// What is wrong with a message, as far as the generations have words of their own for it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault<'a> {
    NoObject,
    NoCommand,
    /// A member has the wrong type: the word for the one that it should have.
    Type(&'a str, &'a str),
    Unexpected(&'a str),
}

impl Generation {
    /// The words for a fault.
    pub(crate) fn words(self, fault: Fault<'_>) -> String {
        if self < Self::V7_2 {
            return match fault {
                Fault::NoObject => "Expected 'object' in QMP input".to_owned(),
                Fault::NoCommand => "Expected 'execute' in QMP input".to_owned(),
                Fault::Type(member, of) => {
                    format!("QMP input object member '{member}' expects '{of}'")
                }
                Fault::Unexpected(member) => {
                    format!("QMP input object member '{member}' is unexpected")
                }
            };
        }
        match fault {
            Fault::NoObject => "QMP input must be a JSON object".to_owned(),
            Fault::NoCommand => "QMP input lacks member 'execute'".to_owned(),
            Fault::Type(member, of) => {
                let article = if of == "object" { "an" } else { "a" };
                format!("QMP input member '{member}' must be {article} {of}")
            }
            Fault::Unexpected(member) => format!("QMP input member '{member}' is unexpected"),
        }
    }

    /// The words for JSON that cannot be read, for which 7.2 has these.
    pub(crate) fn unreadable(self, words: String) -> String {
        if self < Self::V7_2 { "Invalid JSON syntax".to_owned() } else { words }
    }

    /// The words for a command that comes before the negotiation. (2.5 has others still for a command
    /// that it does not know.)
    pub(crate) fn too_early(self, command: &str) -> String {
        let expecting = "Expecting capabilities negotiation with 'qmp_capabilities'";
        match self {
            Self::V0_14 | Self::V1_2 => format!("The command {command} has not been found"),
            Self::V2_5 => format!("{expecting} before command '{command}'"),
            Self::V2_9 | Self::V7_2 => expecting.to_owned(),
        }
    }

    /// The words for a second negotiation.
    pub(crate) fn too_late(self, command: &str) -> String {
        let complete = "Capabilities negotiation is already complete, command";
        match self {
            Self::V0_14 | Self::V1_2 => format!("The command {command} has not been found"),
            Self::V2_5 => format!("{complete} '{command}' ignored"),
            Self::V2_9 | Self::V7_2 => format!("{complete} ignored"),
        }
    }

    /// The words for an argument that the command does not have.
    pub(crate) fn unexpected_argument(self, name: &str) -> String {
        if self < Self::V2_9 {
            format!("Invalid parameter '{name}'")
        } else {
            format!("Parameter '{name}' is unexpected")
        }
    }
}
