//! Whether a disk sits in a port that unplugs by PCI Express's own means: there Linux waits five
//! seconds after the button is pressed, in case it is pressed again, and lets go after 6.3 s.

use std::time::Instant;

use crate::command::{self, Command};
use crate::dialect::Features;
use crate::error::Error;
use crate::inventory::{Pci, Port};
use crate::name::DiskName;
use crate::operation::{Answer, Operation, decode, decode_optional};

/// A question under way. A root port's bus names what plugs for it: ACPI's device, or, where that
/// does not, the port itself (seen on 7.2 and 10.0, q35 with and without
/// `acpi-pci-hotplug-with-bridge-support`).
#[derive(Debug)]
pub(crate) struct AskNative {
    disk: DiskName,
    port: Option<String>,
    outbox: Option<Command>,
    outcome: Option<Result<bool, Error>>,
}

impl AskNative {
    pub(crate) fn new(disk: DiskName) -> Self {
        Self { disk, port: None, outbox: Some(command::query_pci()), outcome: None }
    }

    fn handle(&mut self, answer: Answer) -> Result<Option<bool>, Error> {
        let Some(port) = &self.port else {
            let pci: Option<Pci> = decode_optional(&command::query_pci(), answer)?;
            return Ok(match pci.and_then(|pci| pci.port_of(self.disk.as_str())) {
                Some(Port::Root(port)) => {
                    self.outbox = Some(command::query_plugger(&port));
                    self.port = Some(port);
                    None
                }
                _ => Some(false),
            });
        };
        let plugger: Option<String> = match answer {
            Answer::Refused(_) => None,
            answer => Some(decode(&command::query_plugger(port), answer)?),
        };
        let of_port = |path: String| path.rsplit('/').next() == Some(port.as_str());
        Ok(Some(plugger.is_some_and(of_port)))
    }
}

impl Operation for AskNative {
    type Outcome = Result<bool, Error>;

    /// Whatever the machine can: who does not answer has none.
    fn speak(&mut self, _features: &Features) {}

    fn poll_transmit(&mut self) -> Option<Command> {
        self.outbox.take()
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        self.outcome = self.handle(answer).transpose();
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::script::Happens::Answer;
    use crate::operation::script::play;

    const PCI: &str = r#"[{"bus": 0, "devices": [
        {"slot": 0, "id": {"vendor": 32902, "device": 10688}, "class_info": {"class": 1536}, "qdev_id": ""},
        {"slot": 1, "id": {"vendor": 6966, "device": 12}, "class_info": {"class": 1540}, "qdev_id": "rp0",
         "pci_bridge": {"bus": {"secondary": 1}, "devices": [
            {"slot": 0, "id": {"vendor": 6900, "device": 4162}, "class_info": {"class": 256}, "qdev_id": "data"}]}}]}]"#;

    fn ask(disk: &str, script: Vec<crate::operation::script::Happens>) -> bool {
        play(AskNative::new(DiskName::new(disk).unwrap()), script).unwrap()
    }

    #[test]
    fn the_port_plugs_for_itself_or_acpi_does() {
        let look = || Answer("query-pci", "", Ok(PCI));
        let plugger = |path| Answer("qom-get", "/machine/peripheral/rp0/rp0", Ok(path));
        assert!(ask("data", vec![look(), plugger(r#""/machine/peripheral/rp0""#)]));
        assert!(!ask("data", vec![look(), plugger(r#""/machine/unattached/device[2]""#)]));
        assert!(!ask("other", vec![look()]));
        let unknown = Answer("qom-get", "hotplug-handler", Err("not found"));
        assert!(!ask("data", vec![look(), unknown]));
    }
}
