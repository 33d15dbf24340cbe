//! What `blockdev-add` asks for, and opening it: all nodes of one command come, or none.

use qplug_proto::ErrorReply;
use serde_json::{Map, Value};

use super::driver::{self, Driver, Kind, Type, is_there};
use super::{Cache, Edge, Graph, MAX_NODE_NAME, Node, NodeId, Opened};
use crate::arguments::Arguments;
use crate::config::Version;
use crate::fdset::Fdsets;
use crate::files::{Files, Image, OpenError};
use crate::objects::Objects;
use crate::refusal::{
    generic, missing, no_device_nor_node, not_accepted, unknown_parameter, wrong_type,
};

/// How deep backing images may lie.
const MAX_BACKING: usize = 200;

/// The size of a null node that has none given: 1 GiB.
const NULL_BYTES: u64 = 1 << 30;

/// The size of what is far away, and never looked at.
const REMOTE_BYTES: u64 = 1 << 30;

/// A node as `blockdev-add` describes it.
#[derive(Debug)]
pub(crate) struct Blockdev {
    driver: &'static Driver,
    name: Option<String>,
    read_only: Option<bool>,
    direct: Option<bool>,
    no_flush: Option<bool>,
    detect_zeroes: Option<String>,
    discard: Option<String>,
    options: Map<String, Value>,
    children: Vec<(&'static str, Reference)>,
}

#[derive(Debug)]
enum Reference {
    Name(String),
    Inline(Box<Blockdev>),
    None,
}

/// What opening looks at besides the graph.
pub(crate) struct World<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) fdsets: &'a Fdsets,
    pub(crate) objects: &'a Objects,
}

/// What a node takes from the one above it.
#[derive(Debug, Clone, Copy)]
struct Inherited {
    read_only: bool,
    cache: Cache,
    depth: usize,
}

impl Blockdev {
    /// Reads the description, with the types checked as QEMU's schema has them.
    pub(crate) fn parse(mut arguments: Arguments, version: Version) -> Result<Self, ErrorReply> {
        let name = arguments.required_text("driver")?;
        let found = driver::find(&name).filter(|driver| is_there(driver.name, version));
        let driver = found.ok_or_else(|| match version < Version::V7_2 {
            true => unknown_parameter(&name),
            false => not_accepted("driver", &name),
        })?;
        let mut blockdev = Self {
            driver,
            name: arguments.text("node-name")?,
            read_only: None,
            direct: None,
            no_flush: None,
            detect_zeroes: None,
            discard: words(&mut arguments, "discard", &["ignore", "unmap"])?,
            options: Map::new(),
            children: Vec::new(),
        };
        if let Some(mut cache) = arguments.object("cache")? {
            blockdev.direct = cache.boolean("direct")?;
            blockdev.no_flush = cache.boolean("no-flush")?;
            cache.finish()?;
        }
        blockdev.read_only = arguments.boolean("read-only")?;
        for option in ["auto-read-only", "force-share"] {
            if is_there(option, version) {
                arguments.boolean(option)?;
            }
        }
        blockdev.detect_zeroes = words(&mut arguments, "detect-zeroes", &["off", "on", "unmap"])?;
        for option in driver.options {
            if is_there(&format!("{}.{}", driver.name, option.name), version) {
                blockdev.option(&mut arguments, option, version)?;
            }
        }
        arguments.finish()?;
        Ok(blockdev)
    }

    fn option(
        &mut self,
        arguments: &mut Arguments,
        option: &'static driver::Opt,
        version: Version,
    ) -> Result<(), ErrorReply> {
        let label = arguments.label(option.name);
        let value = match option.of {
            Type::Text => arguments.text(option.name)?.map(Value::from),
            Type::Bool => arguments.boolean(option.name)?.map(Value::from),
            Type::Int => arguments.integer(option.name)?.map(Value::from),
            Type::Words(list) => words(arguments, option.name, list)?.map(Value::from),
            Type::Object => arguments.object(option.name)?.map(|it| Value::from(it.rest())),
            Type::Node | Type::NodeOrNull => {
                let reference = match arguments.any(option.name) {
                    None if option.is_required => return Err(missing(&label)),
                    None => return Ok(()),
                    Some(Value::String(name)) => Reference::Name(name),
                    Some(Value::Object(members)) => {
                        let nested = Arguments::nested(members, format!("{label}."));
                        Reference::Inline(Box::new(Self::parse(nested, version)?))
                    }
                    Some(Value::Null) if option.of == Type::NodeOrNull => Reference::None,
                    Some(_) => return Err(wrong_type(&label, "BlockdevRef")),
                };
                self.children.push((option.name, reference));
                return Ok(());
            }
        };
        match value {
            Some(value) => {
                self.options.insert(option.name.to_owned(), value);
                Ok(())
            }
            None if option.is_required => Err(missing(&label)),
            None => Ok(()),
        }
    }

    /// A description of a file, as a backing image is opened by its path.
    fn over_file(format: &str, path: &str, version: Version) -> Result<Self, ErrorReply> {
        let file = serde_json::json!({"driver": "file", "filename": path});
        let node = serde_json::json!({"driver": format, "file": file, "read-only": true});
        match node {
            Value::Object(members) => {
                Self::parse(Arguments::nested(members, String::new()), version)
            }
            _ => Err(generic("no description")),
        }
    }

    /// Whether it names its node.
    pub(crate) fn is_named(&self) -> bool {
        self.name.is_some()
    }

    fn text(&self, option: &str) -> Option<&str> {
        self.options.get(option).and_then(Value::as_str)
    }
}

fn words(
    arguments: &mut Arguments,
    name: &str,
    words: &[&str],
) -> Result<Option<String>, ErrorReply> {
    match arguments.text(name)? {
        // QEMU names words with nothing before them, wherever they stand.
        Some(word) if !words.contains(&word.as_str()) => Err(not_accepted(name, &word)),
        word => Ok(word),
    }
}

impl Graph {
    /// `blockdev-add`.
    pub(crate) fn add(
        &mut self,
        blockdev: &Blockdev,
        world: &World<'_>,
    ) -> Result<NodeId, ErrorReply> {
        if blockdev.name.is_none() {
            return Err(generic("'node-name' must be specified for the root node"));
        }
        let id = self.open(blockdev, world)?;
        if let Some(node) = self.node_mut(id) {
            node.is_of_monitor = true;
        }
        Ok(id)
    }

    /// Opens a node that the monitor does not own: it goes when its last user does.
    pub(crate) fn open(
        &mut self,
        blockdev: &Blockdev,
        world: &World<'_>,
    ) -> Result<NodeId, ErrorReply> {
        let cache = Cache { direct: false, no_flush: false };
        let top = Inherited { read_only: false, cache, depth: 0 };
        let before = self.next;
        self.open_below(blockdev, world, top).inspect_err(|_| {
            // What was opened on the way is closed again.
            self.nodes.retain(|id, _| *id <= before);
        })
    }

    fn open_below(
        &mut self,
        blockdev: &Blockdev,
        world: &World<'_>,
        from: Inherited,
    ) -> Result<NodeId, ErrorReply> {
        let cache = Cache {
            direct: blockdev.direct.unwrap_or(from.cache.direct),
            no_flush: blockdev.no_flush.unwrap_or(from.cache.no_flush),
        };
        let read_only = blockdev.read_only.unwrap_or(from.read_only);
        let zeroes = blockdev.detect_zeroes.as_deref().unwrap_or("off");
        let below = Inherited { read_only, cache, depth: from.depth + 1 };
        let mut children = Vec::new();
        for (role, reference) in &blockdev.children {
            let child = match reference {
                Reference::None => continue,
                Reference::Name(name) => {
                    let found = self.find(name).ok_or_else(|| no_device_nor_node(name, name));
                    if *role == "backing" {
                        found.map_err(|error| in_backing(&error))?
                    } else {
                        found?
                    }
                }
                Reference::Inline(inline) => {
                    let read_only = read_only || *role == "backing";
                    self.open_below(inline, world, Inherited { read_only, ..below })?
                }
            };
            children.push((*role, child));
        }
        let name = self.fresh_name(blockdev.name.as_deref())?;
        if zeroes == "unmap" && blockdev.discard.as_deref() != Some("unmap") {
            return Err(generic(
                "setting detect-zeroes to unmap is not allowed without setting discard operation \
                 to unmap",
            ));
        }
        let mut node = Node {
            name,
            driver: blockdev.driver.name,
            path: String::new(),
            read_only,
            is_of_monitor: false,
            bytes: 0,
            reads: 0,
            opened: None,
            children: Vec::new(),
            throttle_group: blockdev.text("throttle-group").map(ToOwned::to_owned),
            secret: blockdev.text("key-secret").map(ToOwned::to_owned),
            detect_zeroes: zeroes.to_owned(),
            cache,
            snapshots: Vec::new(),
            blocked_by: None,
        };
        let lies_on = children.iter().find(|(role, _)| *role == "file").map(|(_, child)| *child);
        self.look_below(&mut node, blockdev, world, lies_on)?;
        if let Some(backing) = self.backing(&node, blockdev, world, lies_on, below)? {
            children.push(("backing", backing));
        }
        let id = self.number();
        node.children = children
            .into_iter()
            .map(|(role, child)| Edge { order: self.number(), role, child })
            .collect();
        self.nodes.insert(id, node);
        self.check(id)?;
        Ok(id)
    }

    fn fresh_name(&mut self, wanted: Option<&str>) -> Result<String, ErrorReply> {
        let Some(name) = wanted else {
            self.unnamed += 1;
            return Ok(format!("#block{}", 99 + self.unnamed));
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(is_plain) {
            return Err(generic(format!("Invalid node-name: '{name}'")));
        }
        if self.find(name).is_some() {
            return Err(generic(format!("Duplicate nodes with node-name='{name}'")));
        }
        if name.len() > MAX_NODE_NAME {
            return Err(generic("Node name too long"));
        }
        Ok(name.to_owned())
    }

    /// A throttle node shows all its options, and those of the nodes below, as 7.2 and 10.0 do.
    fn throttled_path(&self, group: &str, below: &Node) -> String {
        let file = below.children.iter().find(|edge| edge.role == "file");
        let (driver, path) = (below.driver, &below.path);
        let below = match file.and_then(|edge| self.node(edge.child)) {
            Some(file) => {
                let file = file.driver;
                format!(
                    r#"{{"driver": "{driver}", "file": {{"driver": "{file}", "filename": "{path}"}}}}"#
                )
            }
            None => format!(r#"{{"driver": "{driver}", "filename": "{path}"}}"#),
        };
        format!(r#"json:{{"throttle-group": "{group}", "driver": "throttle", "file": {below}}}"#)
    }

    /// What the driver finds: a file, or an image of its format in the node below.
    fn look_below(
        &self,
        node: &mut Node,
        blockdev: &Blockdev,
        world: &World<'_>,
        lies_on: Option<NodeId>,
    ) -> Result<(), ErrorReply> {
        if let Some(below) = lies_on.and_then(|id| self.node(id)) {
            node.path = match &node.throttle_group {
                Some(group) => self.throttled_path(group, below),
                None => below.path.clone(),
            };
            node.bytes = below.bytes;
        }
        match blockdev.driver.kind {
            Kind::File | Kind::HostDevice => open_file(node, blockdev, world)?,
            Kind::Null => {
                let size = blockdev.options.get("size").and_then(Value::as_u64);
                node.bytes = size.unwrap_or(NULL_BYTES);
                let name = blockdev.driver.name;
                node.path = match size {
                    Some(size) => format!("json:{{\"driver\": \"{name}\", \"size\": {size}}}"),
                    None => format!("{name}://"),
                };
            }
            Kind::Remote => {
                node.path = remote_path(blockdev);
                node.bytes = REMOTE_BYTES;
            }
            Kind::Filter => {
                if let Some(group) = &node.throttle_group
                    && !world.objects.is_a(group, "throttle-group")
                {
                    return Err(generic(format!("Throttle group '{group}' does not exist")));
                }
                if let Some(size) = blockdev.options.get("size").and_then(Value::as_u64) {
                    node.bytes = size;
                }
            }
            Kind::Format(complaint) => {
                if blockdev.driver.name == "luks" {
                    check_secret(node, world)?;
                }
                // What cannot be looked at is believed.
                if let Some(image) = lies_on.and_then(|id| self.image_below(id)) {
                    if image.format != blockdev.driver.name {
                        return Err(generic(complaint.replace("{}", &node.path)));
                    }
                    node.bytes = image.bytes;
                }
            }
        }
        Ok(())
    }

    /// The image in the file below a node.
    fn image_below(&self, id: NodeId) -> Option<Image> {
        let opened = |id| self.node(id).and_then(|node| node.opened.as_ref());
        self.below(id).into_iter().find_map(opened).map(|opened| opened.image.clone())
    }

    /// The image that this one says it lies on, unless the description names another.
    fn backing(
        &mut self,
        node: &Node,
        blockdev: &Blockdev,
        world: &World<'_>,
        lies_on: Option<NodeId>,
        below: Inherited,
    ) -> Result<Option<NodeId>, ErrorReply> {
        let is_given = blockdev.children.iter().any(|(role, _)| *role == "backing");
        if is_given || !matches!(blockdev.driver.kind, Kind::Format(_)) {
            return Ok(None);
        }
        let backing = lies_on.and_then(|id| self.image_below(id)).and_then(|it| it.backing);
        let Some((path, format)) = backing else { return Ok(None) };
        if below.depth > MAX_BACKING {
            return Err(generic("Too many backing images"));
        }
        let path = beside(&node.path, &path);
        let backing = Blockdev::over_file(&format, &path, self.version)?;
        match self.open_below(&backing, world, Inherited { read_only: true, ..below }) {
            Ok(id) => Ok(Some(id)),
            Err(error) => Err(in_backing(&error)),
        }
    }
}

fn in_backing(error: &ErrorReply) -> ErrorReply {
    ErrorReply::new(&error.class, format!("Could not open backing file: {}", error.desc))
}

fn check_secret(node: &Node, world: &World<'_>) -> Result<(), ErrorReply> {
    match &node.secret {
        None => Err(generic("Parameter 'key-secret' is required for cipher")),
        Some(secret) if !world.objects.is_a(secret, "secret") => {
            Err(generic(format!("No secret with id '{secret}'")))
        }
        Some(_) => Ok(()),
    }
}

/// A backing image's path is relative to the folder of the image over it.
fn beside(image: &str, path: &str) -> String {
    match image.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}

fn remote_path(blockdev: &Blockdev) -> String {
    match blockdev.text("url") {
        Some(url) => url.to_owned(),
        None => format!("{}://", blockdev.driver.name),
    }
}

fn open_file(node: &mut Node, blockdev: &Blockdev, world: &World<'_>) -> Result<(), ErrorReply> {
    let path = blockdev.text("filename").unwrap_or_default();
    if blockdev.text("aio") == Some("native") && !node.cache.direct {
        return Err(generic(
            "aio=native was specified, but it requires cache.direct=on, which was not specified.",
        ));
    }
    let (opened, identity, fdset) = match path.strip_prefix("/dev/fdset/") {
        Some(set) => {
            let (set, file) = world.fdsets.open(set, path, node.read_only)?;
            (world.files.look(&file), file, Some(set))
        }
        None => (world.files.look(path), path.to_owned(), None),
    };
    let opened = opened.and_then(|image| {
        let is_denied = image.is_read_only && !node.read_only && fdset.is_none();
        if is_denied { Err(OpenError::Denied) } else { Ok(image) }
    });
    let image = opened.map_err(|error| generic(format!("Could not open '{path}': {error}")))?;
    let is_device = blockdev.driver.kind == Kind::HostDevice;
    if is_device && !image.is_device {
        return Err(generic(format!(
            "'host_device' driver requires '{path}' to be either a character or block device"
        )));
    }
    if !is_device && image.is_device {
        return Err(generic(format!("'file' driver requires '{path}' to be a regular file")));
    }
    node.path = path.to_owned();
    node.bytes = image.file_bytes;
    node.opened = Some(Opened { image, identity, fdset });
    Ok(())
}
