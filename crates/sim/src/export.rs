//! Exports of nodes over NBD, as far as they hold nodes.

use std::time::Instant;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::graph::{Claim, User, UserId, UserKind};
use crate::machine::Machine;
use crate::refusal::{Reply, generic, missing, no_device_nor_node};

#[derive(Debug, Default)]
pub(crate) struct Exports {
    is_serving: bool,
    all: Vec<Export>,
}

#[derive(Debug)]
struct Export {
    id: String,
    node: String,
    user: UserId,
}

impl Machine {
    pub(crate) fn nbd_server_start(&mut self, mut arguments: Arguments) -> Reply {
        arguments.any("addr").ok_or_else(|| missing("addr"))?;
        for option in ["tls-creds", "tls-authz", "max-connections"] {
            arguments.any(option);
        }
        arguments.finish()?;
        if self.exports.is_serving {
            return Err(generic("NBD server already running"));
        }
        self.exports.is_serving = true;
        Ok(json!({}))
    }

    pub(crate) fn nbd_server_stop(&mut self, arguments: Arguments, now: Instant) -> Reply {
        arguments.finish()?;
        if !self.exports.is_serving {
            return Err(generic("NBD server not running"));
        }
        self.exports.is_serving = false;
        for export in std::mem::take(&mut self.exports.all) {
            self.close_export(&export, now);
        }
        Ok(json!({}))
    }

    pub(crate) fn block_export_add(&mut self, mut arguments: Arguments) -> Reply {
        arguments.required_text("type")?;
        let id = arguments.required_text("id")?;
        let node = arguments.required_text("node-name")?;
        let writable = arguments.boolean("writable")?.unwrap_or(false);
        for option in ["name", "description", "bitmaps", "writethrough", "iothread"] {
            arguments.any(option);
        }
        arguments.finish()?;
        if self.exports.all.iter().any(|export| export.id == id) {
            return Err(generic(format!("Block export id '{id}' is already in use")));
        }
        let found = self.graph.find(&node).ok_or_else(|| no_device_nor_node("", &node))?;
        if !self.exports.is_serving {
            return Err(generic("NBD server not running"));
        }
        let user = self.graph.add_user(User {
            node: found,
            label: String::new(),
            kind: UserKind::Export,
            claim: Claim::export(writable),
        })?;
        self.exports.all.push(Export { id, node, user });
        Ok(json!({}))
    }

    pub(crate) fn block_export_del(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        let id = arguments.required_text("id")?;
        arguments.any("mode");
        arguments.finish()?;
        let Some(at) = self.exports.all.iter().position(|export| export.id == id) else {
            return Err(generic(format!("Export '{id}' is not found")));
        };
        let export = self.exports.all.remove(at);
        self.close_export(&export, now);
        Ok(json!({}))
    }

    fn close_export(&mut self, export: &Export, now: Instant) {
        self.graph.remove_user(export.user);
        self.emit("BLOCK_EXPORT_DELETED", Some(json!({"id": export.id})), now);
    }

    pub(crate) fn query_block_exports(&self) -> Value {
        let show = |export: &Export| {
            json!({
                "node-name": export.node, "shutting-down": false, "type": "nbd", "id": export.id,
            })
        };
        self.exports.all.iter().map(show).collect()
    }
}
