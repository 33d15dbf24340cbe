//! `blockdev-add` and `x-blockdev-del` as QEMU 2.5 tries them: with an id they make drives and take
//! them away.

use qplug_proto::ErrorReply;
use serde_json::json;

use super::{Drive, MadeBy};
use crate::arguments::Arguments;
use crate::graph::{Blockdev, NodeId};
use crate::machine::Machine;
use crate::refusal::{Reply, generic, missing};

impl Machine {
    /// `blockdev-add`, with all that it is told in `options`.
    pub(crate) fn wrapped_blockdev_add(&mut self, mut arguments: Arguments) -> Reply {
        let options = arguments.object("options")?.ok_or_else(|| missing("options"))?;
        arguments.finish()?;
        let mut options = Arguments::nested(options.rest(), String::new());
        let id = options.text("id")?;
        let blockdev = Blockdev::parse(options, self.version)?;
        if let Some(id) = id.as_deref().filter(|id| self.drives.find(id).is_some()) {
            return Err(generic(format!("Device with id '{id}' already exists")));
        }
        let (graph, world) = self.graph_and_world();
        match id {
            None if blockdev.is_named() => {
                graph.add(&blockdev, &world)?;
            }
            None => {
                return Err(generic(
                    "'id' and/or 'node-name' need to be specified for the root node",
                ));
            }
            Some(id) => {
                let node = graph.open(&blockdev, &world)?;
                self.add_blockdev_drive(&id, node)?;
            }
        }
        Ok(json!({}))
    }

    fn add_blockdev_drive(&mut self, id: &str, node: NodeId) -> Result<(), ErrorReply> {
        let user = self.use_as_drive(node, id)?;
        let order = self.graph.number();
        let drive = Drive::new(id, MadeBy::Blockdev, order);
        self.drives.add(Drive { user: Some(user), ..drive });
        Ok(())
    }

    /// `x-blockdev-del`, of a drive or of a node.
    pub(crate) fn x_blockdev_del(&mut self, mut arguments: Arguments) -> Reply {
        let (id, node) = (arguments.text("id")?, arguments.text("node-name")?);
        arguments.finish()?;
        match (id, node) {
            (Some(id), None) => {
                let Some(drive) = self.drives.find(&id) else {
                    return Err(generic(format!("Cannot find block backend {id}")));
                };
                if drive.made_by != MadeBy::Blockdev {
                    let why = "Deleting block backend added with drive-add is not supported";
                    return Err(generic(why));
                }
                if drive.device.is_some() {
                    return Err(generic(format!("Block backend {id} is in use")));
                }
                self.take_drive_back(&id);
            }
            (None, Some(node)) => {
                if self.graph.find(&node).is_none() {
                    return Err(generic(format!("Cannot find node {node}")));
                }
                self.graph.delete(&node)?;
            }
            _ => return Err(generic("Exactly one of id and node-name must be specified")),
        }
        Ok(json!({}))
    }
}
