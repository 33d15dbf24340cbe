//! Network backends: nothing but their names, so that what names one that there is not is refused.

use qplug_proto::ErrorReply;
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::config::Version;
use crate::machine::Machine;
use crate::model::Model;
use crate::refusal::{Reply, duplicate, generic, missing, no_device, not_accepted};

impl Machine {
    /// `netdev_add`, of type `user`.
    pub(crate) fn netdev_add(&mut self, mut arguments: Arguments) -> Reply {
        let kind = arguments.required_text("type")?;
        let Some(id) = arguments.text("id")? else { return Err(missing("id")) };
        if self.netdevs.contains(&id) {
            return Err(match self.version < Version::V7_2 {
                true => duplicate("netdev", &id),
                false => generic(format!("Duplicate ID '{id}'")),
            });
        }
        if kind != "user" {
            return Err(match self.version {
                Version::V0_14 | Version::Rhel6 => {
                    generic("Parameter 'type' expects a netdev backend type")
                }
                Version::V1_2 | Version::V2_5 | Version::V2_9 => {
                    generic(format!("Invalid parameter '{kind}'"))
                }
                Version::V7_2 | Version::V10_0 => not_accepted("type", &kind),
            });
        }
        self.netdevs.push(id);
        Ok(json!({}))
    }

    /// `netdev_del`.
    pub(crate) fn netdev_del(&mut self, mut arguments: Arguments) -> Reply {
        let id = arguments.required_text("id")?;
        arguments.finish()?;
        let at = self.netdevs.iter().position(|known| *known == id);
        self.netdevs.remove(at.ok_or_else(|| no_device(&id))?);
        Ok(json!({}))
    }

    /// `set_link`, which changes nothing here.
    pub(crate) fn set_link(&mut self, mut arguments: Arguments) -> Reply {
        let name = arguments.required_text("name")?;
        arguments.boolean("up")?;
        arguments.finish()?;
        let is_known = self.netdevs.contains(&name) || self.devices.by_id(&name).is_some();
        if is_known { Ok(json!({})) } else { Err(no_device(&name)) }
    }

    /// A network adapter must name a backend that there is.
    pub(crate) fn check_netdev(
        &self,
        model: &Model,
        properties: &Map<String, Value>,
    ) -> Result<(), ErrorReply> {
        match properties.get("netdev").and_then(Value::as_str) {
            Some(name) if !self.netdevs.iter().any(|known| known == name) => {
                let holder = model.drive_holder(self.version);
                Err(generic(format!("Property '{holder}.netdev' can't find value '{name}'")))
            }
            _ => Ok(()),
        }
    }
}
