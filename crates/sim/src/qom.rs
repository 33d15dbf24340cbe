//! QOM, as far as a hotplug looks at it: the machine, its devices, their buses, the objects.

use qplug_proto::ErrorReply;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::config::Board;
use crate::device::{Device, Place};
use crate::machine::Machine;
use crate::objects::Object;
use crate::pci::Bus;
use crate::refusal::{Reply, generic, missing, no_device, wrong_type};

/// Something with a path.
enum Node<'a> {
    Machine,
    Peripheral,
    Objects,
    Device(&'a Device),
    /// The device in a device that does the work.
    Inner(&'a Device),
    Bus(&'a Bus),
    ScsiBus(String),
    Object(&'a Object),
}

impl Machine {
    pub(crate) fn qom_list(&self, mut arguments: Arguments) -> Reply {
        let path = arguments.required_text("path")?;
        arguments.finish()?;
        let node = self.at_path(&path).ok_or_else(|| no_device(&path))?;
        let listed = self.properties(&node).into_iter();
        Ok(listed.map(|(name, of, _)| json!({"name": name, "type": of})).collect())
    }

    pub(crate) fn qom_get(&self, mut arguments: Arguments) -> Reply {
        let path = arguments.required_text("path")?;
        let property = arguments.required_text("property")?;
        arguments.finish()?;
        let node = self.at_path(&path).ok_or_else(|| no_device(&path))?;
        let found = self.properties(&node).into_iter().find(|(name, ..)| *name == property);
        found.map(|(.., value)| value).ok_or_else(|| self.no_property(&node, &property))
    }

    pub(crate) fn qom_set(&mut self, mut arguments: Arguments) -> Reply {
        let path = arguments.required_text("path")?;
        let property = arguments.required_text("property")?;
        let value = arguments.any("value").ok_or_else(|| missing("value"))?;
        arguments.finish()?;
        if let Some(id) = path.strip_prefix("/objects/")
            && property == "limits"
            && let Some(object) = self.objects.find_mut(id)
        {
            object.set_limits(value)?;
            return Ok(json!({}));
        }
        let node = self.at_path(&path).ok_or_else(|| no_device(&path))?;
        let found = self.properties(&node).into_iter().any(|(name, ..)| name == property);
        match node {
            _ if !found => Err(self.no_property(&node, &property)),
            Node::Device(device) if property == "attached" => {
                let path = device.path.clone();
                let Some(attached) = value.as_bool() else {
                    return Err(wrong_type(&property, "boolean"));
                };
                self.attach_usb(&path, attached);
                Ok(json!({}))
            }
            Node::Device(device) if device.model.inner.starts_with("virtio-") => {
                Err(generic(format!(
                    "Attempt to set property '{property}' on anonymous device (type '{}') after it \
                     was realized",
                    device.model.inner
                )))
            }
            Node::Device(device) => Err(generic(format!(
                "Attempt to set property '{property}' on device '{}' (type '{}') after it was \
                 realized",
                device.id.as_deref().unwrap_or_default(),
                device.model.name
            ))),
            _ => Err(generic("Insufficient permission to perform this operation")),
        }
    }

    fn attach_usb(&mut self, path: &str, attached: bool) {
        let key = self.devices.by_path(path).map(|(key, _)| key);
        if let Some(device) = key.and_then(|key| self.devices.at_mut(key)) {
            device.properties.insert("attached".to_owned(), json!(attached));
        }
    }

    /// Whether there is something at this path.
    pub(crate) fn is_path(&self, path: &str) -> bool {
        path.starts_with('/') && self.at_path(path).is_some()
    }

    fn at_path(&self, path: &str) -> Option<Node<'_>> {
        let node = match path {
            "/machine" => Node::Machine,
            "/machine/peripheral" => Node::Peripheral,
            "/objects" => Node::Objects,
            _ => {
                if let Some(id) = path.strip_prefix("/objects/") {
                    return self.objects.iter().find(|it| it.id == id).map(Node::Object);
                }
                if let Some(bus) = self.pci.find_path(path) {
                    return Some(Node::Bus(bus));
                }
                let bus_of = |device: &Device| {
                    let inner = device.inner_path().unwrap_or_else(|| device.path.clone());
                    device.buses().find(|bus| format!("{inner}/{bus}") == path)
                };
                let mut devices = self.devices.present().map(|(_, device)| device);
                return devices.find_map(|device| {
                    if device.path == path {
                        return Some(Node::Device(device));
                    }
                    if device.inner_path().as_deref() == Some(path) {
                        return Some(Node::Inner(device));
                    }
                    bus_of(device).map(Node::ScsiBus)
                });
            }
        };
        Some(node)
    }

    fn no_property(&self, node: &Node<'_>, property: &str) -> ErrorReply {
        let of = match node {
            Node::Machine => self.machine_type(),
            Node::Peripheral | Node::Objects => "container".to_owned(),
            Node::Device(device) => device.model.name.to_owned(),
            Node::Inner(device) => device.model.inner.to_owned(),
            Node::Bus(_) => "PCIE".to_owned(),
            Node::ScsiBus(_) => "SCSI".to_owned(),
            Node::Object(object) => object.kind.to_owned(),
        };
        generic(format!("Property '{of}.{property}' not found"))
    }

    fn machine_type(&self) -> String {
        let board = match self.board {
            Board::Q35 => "q35",
            Board::Pc => "i440fx",
        };
        format!("pc-{board}-{}-machine", self.version.name())
    }

    /// Names, types and values.
    fn properties(&self, node: &Node<'_>) -> Vec<(String, String, Value)> {
        let named = |name: &str, of: &str, value: Value| (name.to_owned(), of.to_owned(), value);
        let child = |id: &str, of: &str, path: &str| {
            (id.to_owned(), format!("child<{of}>"), Value::from(path))
        };
        match node {
            Node::Machine => vec![
                named("type", "string", json!(self.machine_type())),
                child("peripheral", "container", "/machine/peripheral"),
                child("peripheral-anon", "container", "/machine/peripheral-anon"),
                child("unattached", "container", "/machine/unattached"),
            ],
            Node::Peripheral => {
                let devices = self.devices.present().map(|(_, device)| device);
                let devices = devices.filter_map(|device| {
                    Some(child(device.id.as_deref()?, device.model.name, &device.path))
                });
                let of = [named("type", "string", json!("container"))];
                of.into_iter().chain(devices).collect()
            }
            Node::Objects => {
                let objects = self.objects.iter();
                let objects = objects.map(|object| {
                    child(&object.id, object.kind, &format!("/objects/{}", object.id))
                });
                let of = [named("type", "string", json!("container"))];
                of.into_iter().chain(objects).collect()
            }
            Node::Device(device) | Node::Inner(device) => self.device_properties(device),
            Node::Bus(bus) => {
                let of = [
                    named("type", "string", json!("PCIE")),
                    named("realized", "bool", json!(true)),
                ];
                let children = bus.children().into_iter();
                let children = children.map(|(number, of, path)| {
                    (format!("child[{number}]"), format!("link<{of}>"), json!(path))
                });
                of.into_iter().chain(children).collect()
            }
            Node::ScsiBus(bus) => {
                let of = [named("type", "string", json!("SCSI"))];
                let sits_there = |device: &Device| matches!(&device.place, Place::Scsi { bus: its, .. } if its == bus);
                let devices = self.devices.present().map(|(_, device)| device);
                let children = devices.filter(|device| sits_there(device)).zip(0..);
                let children = children.map(|(device, number)| {
                    let of = format!("link<{}>", device.model.name);
                    (format!("child[{number}]"), of, json!(device.path))
                });
                of.into_iter().chain(children).collect()
            }
            Node::Object(object) => {
                let of = named("type", "string", json!(object.kind));
                match object.kind {
                    "throttle-group" => {
                        vec![of, named("limits", "ThrottleLimits", object.limits())]
                    }
                    _ => vec![of],
                }
            }
        }
    }

    fn device_properties(&self, device: &Device) -> Vec<(String, String, Value)> {
        let mut all: Vec<(String, String, Value)> = Vec::new();
        let mut add = |name: &str, of: &str, value: Value| {
            all.push((name.to_owned(), of.to_owned(), value));
        };
        add("type", "string", json!(device.model.name));
        add("parent_bus", "link<bus>", json!(""));
        add("realized", "bool", json!(true));
        add("hotplugged", "bool", json!(!device.is_fixed));
        add("hotpluggable", "bool", json!(true));
        match &device.place {
            Place::Pci { bus, .. } => {
                if device.model.name == "pcie-root-port" {
                    let behind = device.id.as_deref().and_then(|id| self.pci.find(id));
                    let takes = behind.is_some_and(|at| self.pci.bus(at).hotplug.is_some());
                    add("hotplug", "bool", json!(takes));
                }
                add("parent-bus-number", "uint32", json!(bus));
            }
            Place::Scsi { id, lun, .. } => {
                add("scsi-id", "uint32", json!(id));
                add("lun", "uint32", json!(lun));
                add("channel", "uint32", json!(0));
                add("device_id", "str", json!(device.text("device_id").unwrap_or_default()));
            }
            Place::Usb { .. } => {
                let attached = device.properties.get("attached").and_then(Value::as_bool);
                let by_itself = device.model.name == "usb-storage";
                add("attached", "bool", json!(attached.unwrap_or(by_itself)));
            }
            Place::Serial { .. } | Place::Ide { .. } => {}
        }
        if !device.model.inner.is_empty() && device.model.name != "virtio-scsi-pci" {
            add("serial", "str", json!(device.text("serial").unwrap_or_default()));
            let user = device.user.and_then(|user| self.graph.users().find(|(id, _)| *id == user));
            let node = user.and_then(|(_, user)| self.graph.node(user.node));
            add("drive", "str", json!(node.map_or("", |node| node.name.as_str())));
        }
        all
    }
}
