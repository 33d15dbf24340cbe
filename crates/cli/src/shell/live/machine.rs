//! What the machine is asked for names.

use qplug_hotplug::{Dialect, DiskState, ListedDisk, ListedPort, Machine, PortKind, PortState};
use qplug_qapi::introspection::{Property, Schema};
use qplug_qmp::Client;
use serde_json::{Value, json};

use super::{Source, block};
use crate::commands::schema;
use crate::commands::schema::source::{self, Freshness};
use crate::failure::Failure;
use crate::shell::complete::{Kind, Name};
use crate::shell::link::Link;
use crate::shell::verb::QPLUG;
use crate::shell::vocabulary::Vocabulary;

impl Source for Link {
    fn vocabulary(&self) -> &'static Vocabulary {
        &QPLUG
    }

    fn age(&self) -> u64 {
        Self::age(self)
    }

    fn connections(&self) -> u64 {
        Self::connections(self)
    }

    fn is_there(&self) -> bool {
        self.client().is_some()
    }

    async fn schema(self) -> Result<Option<Schema>, Failure> {
        let client = self.monitor()?.connect().await?;
        let known = source::live(&client, Freshness::Cached).await?;
        Ok(known.map(|known| known.schema))
    }

    async fn names(self, kind: Kind) -> Option<Vec<Name>> {
        match kind {
            Kind::MachineFiles(_) if self.is_elsewhere() => None,
            Kind::MachineFiles(folder) => super::files_in(folder).await,
            kind => names(&kind, &self.client()?, self.dialect()).await,
        }
    }

    fn on_change(&self, changed: impl Fn() + Send + 'static) {
        Self::on_change(self, changed);
    }

    fn redraw(&self) {
        Self::redraw(self);
    }
}

/// The names of a kind that a machine has; `None` where it does not say.
async fn names(kind: &Kind, client: &Client, dialect: Option<Dialect>) -> Option<Vec<Name>> {
    let machine = || Machine::new(client.clone()).dialect(dialect);
    Some(match kind {
        Kind::Commands => listed(&ask(client, "query-commands").await?, "name", &[]),
        Kind::Nodes => block::nodes(client).await?,
        Kind::BlockDevices => block::devices(client).await?,
        Kind::Drives => block::drives(client, block::Called::ByQplug).await?,
        Kind::DriveDevices => block::drives(client, block::Called::ByQemu).await?,
        Kind::Bitmaps(node) => block::bitmaps(client, node).await?,
        Kind::Devices => children(client, "/machine/peripheral").await?,
        Kind::Objects => children(client, "/objects").await?,
        Kind::Disks => disks(&machine().list().await.ok()?),
        Kind::Ports => machine().ports().await.ok()?.ports.iter().map(port).collect(),
        Kind::Buses => machine().ports().await.ok()?.ports.iter().filter_map(bus).collect(),
        Kind::Jobs => jobs(client).await?,
        Kind::Exports => {
            listed(&ask(client, "query-block-exports").await?, "id", &["type", "node-name"])
        }
        Kind::Chardevs => listed(&ask(client, "query-chardev").await?, "label", &["filename"]),
        Kind::Netdevs => netdevs(&human(client, "info network").await?),
        Kind::QomChildren(path) => {
            let below = properties_at(client, path).await?.into_iter();
            below.filter(leads_on).map(|it| Name::new(it.text + "/", it.note)).collect()
        }
        Kind::QomProperties(path) => {
            let properties = properties_at(client, path).await?.into_iter();
            properties.filter(|name| !name.note.starts_with("child<")).collect()
        }
        Kind::DeviceTypes => types(client, json!({"implements": "device"})).await?,
        Kind::Types => types(client, json!({})).await?,
        Kind::Properties(class) => properties(client, class).await?,
        Kind::HumanCommands => human_commands(&human(client, "help").await?, ""),
        Kind::HumanInfo => human_commands(&human(client, "help info").await?, "info "),
        Kind::Files(_) | Kind::MachineFiles(_) | Kind::HostCommands => return None,
        Kind::Labels | Kind::Links | Kind::Mountable | Kind::Mounts | Kind::Tree(_) => return None,
    })
}

/// The answer to a query without arguments.
pub(super) async fn ask(client: &Client, command: &str) -> Option<Value> {
    ask_with(client, command, None).await
}

async fn ask_with(client: &Client, command: &str, arguments: Option<Value>) -> Option<Value> {
    let reply = client.execute(command, arguments.as_ref()).await.ok()?;
    serde_json::from_str(reply.get()).ok()
}

async fn human(client: &Client, line: &str) -> Option<String> {
    let reply = ask_with(client, "human-monitor-command", Some(json!({"command-line": line})));
    reply.await?.as_str().map(ToOwned::to_owned)
}

/// The texts under one key of objects in an array, with those under others as notes.
pub(super) fn listed(array: &Value, key: &str, notes: &[&str]) -> Vec<Name> {
    let entries = array.as_array().map_or(&[][..], Vec::as_slice);
    let name = |entry: &Value| {
        let text = entry[key].as_str().filter(|text| !text.is_empty())?;
        let notes = notes.iter().filter_map(|note| entry[note].as_str());
        Some(Name::new(text, notes.collect::<Vec<_>>().join(", ")))
    };
    entries.iter().filter_map(name).collect()
}

/// A job is called by its id; before 3.0 there were block jobs alone, called by their drive.
async fn jobs(client: &Client) -> Option<Vec<Name>> {
    if let Some(jobs) = ask(client, "query-jobs").await {
        return Some(listed(&jobs, "id", &["type", "status"]));
    }
    Some(listed(&ask(client, "query-block-jobs").await?, "device", &["type"]))
}

async fn properties_at(client: &Client, path: &str) -> Option<Vec<Name>> {
    let found = ask_with(client, "qom-list", Some(json!({"path": path}))).await?;
    Some(listed(&found, "name", &["type"]))
}

/// Whether a property leads to another object.
fn leads_on(property: &Name) -> bool {
    property.note.starts_with("child<") || property.note.starts_with("link<")
}

async fn children(client: &Client, path: &str) -> Option<Vec<Name>> {
    let found = properties_at(client, path).await?.into_iter();
    let of_child = |name: Name| {
        let class = name.note.strip_prefix("child<")?.strip_suffix('>')?.to_owned();
        Some(Name::new(name.text, class))
    };
    Some(found.filter_map(of_child).collect())
}

async fn types(client: &Client, which: Value) -> Option<Vec<Name>> {
    Some(listed(&ask_with(client, "qom-list-types", Some(which)).await?, "name", &[]))
}

/// What a device takes, or an object where it is the type of one.
async fn properties(client: &Client, class: &str) -> Option<Vec<Name>> {
    let found = schema::properties::offered(client, class).await.ok()??;
    let name = |property: &Property| {
        let kind = &property.type_name;
        let note = property.description.as_ref().map(|it| format!("{kind}: {it}"));
        Name::new(property.name.as_str(), note.unwrap_or_else(|| kind.clone()))
    };
    Some(found.iter().map(name).collect())
}

fn disks(disks: &[ListedDisk]) -> Vec<Name> {
    let ours = disks.iter().filter(|disk| disk.state != DiskState::Foreign);
    let name = |disk: &ListedDisk| {
        let state = match disk.state {
            DiskState::HalfDone => "half done, ",
            DiskState::Pending => "pending, ",
            DiskState::Attached | DiskState::Foreign => "",
        };
        let image = disk.image.as_deref().unwrap_or_default();
        Name::new(disk.name.as_str(), format!("{state}{image}"))
    };
    ours.map(name).collect()
}

fn port(port: &ListedPort) -> Name {
    let state = match (port.state, &port.holds) {
        (PortState::Free, _) => "free".to_owned(),
        (PortState::Taken, Some(device)) => format!("holds {device}"),
        (PortState::Taken, None) => "taken".to_owned(),
        (PortState::Fixed, _) => "takes none while the machine runs".to_owned(),
        (PortState::Leaving, _) => "leaving".to_owned(),
    };
    Name::new(port.port.as_str(), state)
}

/// A port as `device_add` calls the bus there.
fn bus(listed: &ListedPort) -> Option<Name> {
    let Name { text, note } = port(listed);
    match listed.kind {
        PortKind::RootPort | PortKind::UsbBus => Some(Name::new(text, note)),
        // The slot goes into addr.
        PortKind::Slot => Some(Name::new(text.split('/').next()?, "")),
        PortKind::ScsiController => Some(Name::new(format!("{text}.0"), note)),
        PortKind::ChannelSubsystem => None,
    }
}

/// `info network` has a line a backend, with its name first: indented with ` \ ` below the device or
/// the hub that it belongs to, or like a device where it belongs to none. A hub's port may stand alone.
fn netdevs(text: &str) -> Vec<Name> {
    let name = |line: &str| {
        let below = line.strip_prefix(" \\ ");
        let (name, rest) = match (below, line.split_once(": ")) {
            (Some(below), _) => below.split_once(": ").unwrap_or((below, "")),
            (None, Some(found)) => found,
            (None, None) => return None,
        };
        let kind = rest.split(',').find_map(|it| it.strip_prefix("type=")).unwrap_or_default();
        (below.is_some() || kind != "nic").then(|| Name::new(name, kind))
    };
    text.lines().filter_map(name).collect()
}

/// `help` has a line a command: `name|alias arguments -- what it does`; of `help info`, each begins with
/// `info `.
fn human_commands(text: &str, prefix: &str) -> Vec<Name> {
    let names = text.lines().filter_map(|line| {
        let (usage, about) = line.strip_prefix(prefix)?.split_once(" -- ")?;
        let names = usage.split_whitespace().next()?.split('|');
        Some(names.map(|name| Name::new(name, about.trim())).collect::<Vec<_>>())
    });
    names.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_texts_have_names_in_them() {
        let help = "commit device|all -- commit changes\r\nquit|q  -- quit the emulator\r\n\
                    info [subcommand] -- show various information\r\nother\r\n";
        let found: Vec<_> = human_commands(help, "").into_iter().map(|name| name.text).collect();
        assert_eq!(found, ["commit", "quit", "q", "info"]);
        let info = "info qtree  -- show device tree\r\n";
        assert_eq!(human_commands(info, "info "), [Name::new("qtree", "show device tree")]);
        let network = "hub 0\r\n \\ port0\r\n \\ port1: nic1: index=0,type=nic,model=e1000\r\n\
                       nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\r\n \
                       \\ net0: index=0,type=user,net=10.0.2.0\r\nnet1: index=0,type=user\r\n";
        let found: Vec<_> = netdevs(network).into_iter().map(|name| name.text).collect();
        assert_eq!(found, ["port0", "port1", "net0", "net1"]);
    }

    #[test]
    fn what_has_no_name_is_not_named() {
        let array = json!([{"id": "a", "type": "x"}, {"id": ""}, {"type": "x"}, 5]);
        assert_eq!(listed(&array, "id", &["type"]), [Name::new("a", "x")]);
        assert_eq!(listed(&json!({}), "id", &[]), []);
    }
}
