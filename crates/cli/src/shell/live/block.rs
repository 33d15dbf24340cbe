//! What a machine says of its nodes, drives and bitmaps.

use qplug_qmp::Client;
use serde_json::Value;

use super::machine::{ask, listed};
use crate::shell::complete::Name;

/// By whose name a drive is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    /// As `qplug list` has it: the device's id, or the drive's name where it has none.
    ByQplug,
    /// As QEMU's `id` takes it: the device's id, or its path in QOM.
    ByQemu,
}

/// All nodes that a command can name.
pub(super) async fn nodes(client: &Client) -> Option<Vec<Name>> {
    Some(listed(&ask(client, "query-named-block-nodes").await?, "node-name", &["drv", "file"]))
}

/// Nodes, and drives.
pub(super) async fn devices(client: &Client) -> Option<Vec<Name>> {
    let drives = ask(client, "query-block").await?;
    let mut names = listed(&drives, "device", &[]);
    names.extend(nodes(client).await.unwrap_or_default());
    Some(names)
}

/// Drives whose medium can be changed.
pub(super) async fn drives(client: &Client, called: Called) -> Option<Vec<Name>> {
    let drives = ask(client, "query-block").await?;
    let removable = drives.as_array()?.iter().filter(|drive| drive["removable"] == true);
    Some(removable.filter_map(|it| drive(it, called)).collect())
}

fn drive(drive: &Value, called: Called) -> Option<Name> {
    let text = |key: &str| drive[key].as_str().filter(|text| !text.is_empty());
    let device = text("qdev");
    let name = match called {
        Called::ByQemu => device?,
        // A device with no id has a path there.
        Called::ByQplug => device.filter(|it| !it.starts_with('/')).or_else(|| text("device"))?,
    };
    Some(Name::new(name, drive["inserted"]["file"].as_str().unwrap_or("empty")))
}

/// The dirty bitmaps of a node, or of what is in a drive.
pub(super) async fn bitmaps(client: &Client, node: &str) -> Option<Vec<Name>> {
    let nodes = ask(client, "query-named-block-nodes").await?;
    let named = nodes.as_array()?.iter().find(|it| it["node-name"] == node);
    if let Some(named) = named {
        return Some(listed(&named["dirty-bitmaps"], "name", &[]));
    }
    let drives = ask(client, "query-block").await?;
    let drive = drives.as_array()?.iter().find(|it| it["device"] == node)?;
    Some(listed(&drive["inserted"]["dirty-bitmaps"], "name", &[]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_drive_is_called_by_its_id_where_it_has_one() {
        let named = json!({"device": "", "qdev": "cd0", "removable": true});
        let path = "/machine/unattached/device[5]";
        let inserted = json!({"file": "a.iso"});
        let unnamed = json!({"device": "ide1-cd0", "qdev": path, "inserted": inserted});
        let qplug = |value| drive(value, Called::ByQplug);
        let qemu = |value| drive(value, Called::ByQemu);
        assert_eq!(qplug(&named), Some(Name::new("cd0", "empty")));
        assert_eq!(qplug(&unnamed), Some(Name::new("ide1-cd0", "a.iso")));
        assert_eq!(qemu(&unnamed), Some(Name::new(path, "a.iso")));
        assert_eq!(qemu(&json!({"device": "x"})), None);
    }
}
