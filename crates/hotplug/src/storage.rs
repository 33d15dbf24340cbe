//! Where a disk's bytes are, as QEMU opens them: the nodes, and what they need beside them.
//!
//! ```text
//!  NAME.format ──► NAME.file ──► a file, a device, a server, an open file
//!      │ backing
//!      ▼
//!  the next layer, by no name of ours: it leaves with the top
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `storage/builder.rs` | what a caller can say |
//! | `storage/location.rs` | paths and URIs |
//! | `storage/protocol.rs` | the node that gets at an image, and what it shows |
//! | `image.rs` | whether it is so |

mod builder;
mod location;
mod protocol;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::command::Descriptor;
use crate::format::Format;
use crate::image::{ImageError, Locks, READ, RESIZE, WRITE};
use crate::inventory::{Fdsets, Node, Nodes};
use crate::name::DiskName;
use crate::options::Access;
use crate::secret::Secret;

pub(crate) use builder::Place;
pub use builder::StorageBuilder;
pub(crate) use location::Location;
pub use location::LocationError;
pub(crate) use protocol::{Handed, Protocol, owner};

/// Where a disk's bytes are, and in which format.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The image, and what it lies on, top first; never empty.
    pub(crate) layers: Vec<Layer>,
    /// Whether it was said that nothing lies below the lowest.
    pub(crate) no_backing: bool,
    /// The empty image on top of it all, for a disk that forgets.
    pub(crate) overlay: Option<Handed>,
    pub(crate) passphrase: Option<Secret>,
    pub(crate) password: Option<Secret>,
    /// The folder with certificates.
    pub(crate) certificates: Option<String>,
    /// Whether it was looked at as one that is only read.
    pub(crate) read_only: bool,
}

/// An image, and what was seen of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) protocol: Protocol,
    pub(crate) format: Format,
    /// Whether it takes the passphrase.
    pub(crate) is_encrypted: bool,
    /// The size that a guest sees, in bytes, where that could be told.
    pub(crate) bytes: Option<u64>,
    pub(crate) locks: Locks,
    /// Which file it is, where that could be seen: `DEVICE:INODE`.
    pub(crate) identity: Option<String>,
    /// Whether it is an open file that may be written; nothing for one that QEMU opens.
    pub(crate) is_writable: Option<bool>,
}

/// An object that a disk owns, such as a secret.
#[derive(Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) properties: Map<String, Value>,
}

/// What is in it may be secret.
impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, kind, .. } = self;
        f.debug_struct("Object").field("id", id).field("kind", kind).finish_non_exhaustive()
    }
}

/// Drivers that every QEMU has.
const USUAL_DRIVERS: [&str; 5] = ["raw", "qcow2", "file", "host_device", "nbd"];

impl Storage {
    /// An image that was not looked at.
    pub(crate) fn of(protocol: Protocol, format: Format) -> Self {
        Self {
            layers: vec![Layer::unseen(protocol, format)],
            no_backing: false,
            overlay: None,
            passphrase: None,
            password: None,
            certificates: None,
            read_only: false,
        }
    }

    /// The nodes: the format node with all that it lies on, as `blockdev-add` takes them.
    pub(crate) fn nodes(&self, name: &DiskName, read_only: bool, access: &Access) -> Value {
        let (top, lower) = match &self.overlay {
            Some(_) => (None, &self.layers[..]),
            None => (self.layers.first(), self.layers.get(1..).unwrap_or_default()),
        };
        let mut backing = None;
        for layer in lower.iter().rev() {
            let (mut format, mut file) = self.layer_nodes(layer, name);
            format["read-only"] = json!(true);
            file["read-only"] = json!(true);
            backing = Some(self.join(format, file, backing));
        }
        let (mut format, mut file) = match (top, &self.overlay) {
            (Some(layer), _) => self.layer_nodes(layer, name),
            (None, Some(overlay)) => {
                let file = Protocol::Handed(overlay.clone()).node(name);
                (json!({"driver": Format::qcow2().as_str()}), file)
            }
            (None, None) => (json!({}), json!({})),
        };
        format["node-name"] = json!(name.format_node());
        file["node-name"] = json!(name.file_node());
        access.write_both(&mut file, read_only);
        if top.is_none_or(|layer| layer.protocol.is_local()) {
            access.write_file(&mut file);
        }
        access.write_both(&mut format, read_only);
        access.write_format(&mut format);
        self.join(format, file, backing)
    }

    /// The format node and the one below it, of a layer.
    fn layer_nodes(&self, layer: &Layer, name: &DiskName) -> (Value, Value) {
        let mut format = json!({"driver": layer.format.as_str()});
        let mut file = layer.protocol.node(name);
        if layer.is_encrypted && layer.format == Format::luks() {
            format["key-secret"] = json!(name.secret());
        } else if layer.is_encrypted {
            format["encrypt"] = json!({"format": "luks", "key-secret": name.secret()});
        }
        if let Protocol::Served(location) = &layer.protocol
            && location.takes_password()
            && self.password.is_some()
        {
            location.write_password(&mut file, name);
        }
        (format, file)
    }

    fn join(&self, mut format: Value, file: Value, backing: Option<Value>) -> Value {
        format["file"] = file;
        match backing {
            Some(backing) => format["backing"] = backing,
            None if self.no_backing && may_have_backing(format["driver"].as_str()) => {
                format["backing"] = Value::Null;
            }
            None => {}
        }
        format
    }

    /// The objects that must be there before the nodes.
    pub(crate) fn objects(&self, name: &DiskName) -> Vec<Object> {
        let mut objects = Vec::new();
        if let Some(passphrase) = &self.passphrase {
            let properties = passphrase.properties();
            objects.push(Object { id: name.secret(), kind: "secret", properties });
        }
        if let Some(password) = &self.password {
            let is_rbd =
                |layer: &Layer| matches!(layer.protocol, Protocol::Served(Location::Rbd(_)));
            let properties = match self.layers.iter().any(is_rbd) {
                true => password.encoded_properties(),
                false => password.properties(),
            };
            objects.push(Object { id: name.auth(), kind: "secret", properties });
        }
        if let Some(folder) = &self.certificates {
            let mut properties = Map::new();
            properties.insert("dir".to_owned(), folder.as_str().into());
            properties.insert("endpoint".to_owned(), "client".into());
            objects.push(Object { id: name.tls(), kind: "tls-creds-x509", properties });
        }
        objects
    }

    /// The path of an image that is a path and nothing more, as QEMU takes it where it opens images by
    /// name.
    pub(crate) fn plain_path(&self) -> Option<&str> {
        let [layer] = &self.layers[..] else { return None };
        let has_more = self.overlay.is_some() || self.no_backing || self.passphrase.is_some();
        match &layer.protocol {
            Protocol::File(path) | Protocol::HostDevice(path) if !has_more => Some(path),
            _ => None,
        }
    }

    /// Whether descriptors must be handed over, which only a unix socket carries.
    #[must_use]
    pub fn has_descriptors(&self) -> bool {
        self.handed().next().is_some()
    }

    fn handed(&self) -> impl Iterator<Item = &Handed> {
        let layers = self.layers.iter().filter_map(|layer| match &layer.protocol {
            Protocol::Handed(handed) => Some(handed),
            _ => None,
        });
        layers.chain(&self.overlay)
    }

    /// Numbers the sets of descriptors: none of those taken, which these become too. QEMU adds a
    /// descriptor to a set that is there, and opens any of it. So numbers are made of what is in the
    /// set: another client that takes the same one meanwhile hands over the same file.
    pub(crate) fn number_descriptors(&mut self, name: &DiskName, taken: &mut HashSet<u64>) {
        let layers = self.layers.iter_mut().filter_map(|layer| match &mut layer.protocol {
            Protocol::Handed(handed) => Some(handed),
            _ => None,
        });
        for handed in layers.chain(&mut self.overlay) {
            handed.number(name, taken);
        }
    }

    /// The descriptors that must be handed over before the nodes: the number of each's set, and whose
    /// it is.
    pub(crate) fn descriptors(&self, name: &DiskName) -> Vec<(u32, Descriptor, String)> {
        let each =
            |handed: &Handed| (handed.set, handed.descriptor.clone(), owner(name, &handed.mark));
        self.handed().map(each).collect()
    }

    /// The drivers that not every QEMU has, so that it is asked first.
    pub(crate) fn rare_drivers(&self) -> Vec<&str> {
        let drivers =
            self.layers.iter().flat_map(|layer| [layer.format.as_str(), layer.protocol.driver()]);
        drivers.filter(|driver| !USUAL_DRIVERS.contains(driver)).collect()
    }

    /// The image in words, with no secret.
    pub(crate) fn label(&self) -> String {
        self.layers.first().map(|layer| layer.protocol.label()).unwrap_or_default()
    }

    /// The image's format; for one under a throw-away overlay its own, not the overlay's.
    pub(crate) fn format(&self) -> String {
        self.layers.first().map(|layer| layer.format.to_string()).unwrap_or_default()
    }

    /// The images, by what tells each from all others, and whether it is written.
    pub(crate) fn images(&self, read_only: bool) -> impl Iterator<Item = (String, bool)> {
        self.layers.iter().enumerate().map(move |(at, layer)| {
            let key = layer.identity.clone().or_else(|| layer.protocol.shown());
            (key.unwrap_or_else(|| layer.protocol.label()), self.writes(at, read_only))
        })
    }

    fn writes(&self, at: usize, read_only: bool) -> bool {
        at == 0 && self.overlay.is_none() && !read_only
    }

    /// The nodes of the machine that lie on one of the images, where they or we write to it.
    pub(crate) fn users<'a>(
        &'a self,
        nodes: &'a Nodes,
        sets: Option<&'a Fdsets>,
        read_only: bool,
    ) -> impl Iterator<Item = &'a Node> {
        self.layers.iter().enumerate().flat_map(move |(at, layer)| {
            let writes = self.writes(at, read_only);
            let over: Vec<&Node> = match layer.protocol.shown() {
                Some(shown) => nodes.over(&shown).collect(),
                None => {
                    nodes.all().filter(|it| layer.protocol.is_shown_as(&it.path, sets)).collect()
                }
            };
            over.into_iter().filter(move |node| writes || !node.read_only)
        })
    }

    /// The image that another process has open in a way that leaves no room for ours.
    pub(crate) fn locked(&self, read_only: bool, share_rw: bool) -> Option<ImageError> {
        let locked = |(at, layer): &(usize, &Layer)| {
            let is_raw = layer.format == Format::raw();
            let writes = self.writes(*at, read_only);
            let wanted = match (writes, is_raw) {
                (false, _) => READ,
                (true, true) => READ | WRITE,
                (true, false) => READ | WRITE | RESIZE,
            };
            let is_top = *at == 0 && self.overlay.is_none();
            let unshared = match (is_top, is_raw) {
                (true, true) if share_rw => 0,
                (true, true) => WRITE,
                _ => WRITE | RESIZE,
            };
            layer.locks.refuse(wanted, unshared)
        };
        let (_, layer) = self.layers.iter().enumerate().find(locked)?;
        Some(ImageError::Locked { image: layer.protocol.label(), holder: layer.locks.holder() })
    }

    /// Whether the disk's nodes are ones over this image, and over all that it lies on.
    pub(crate) fn is_under(&self, name: &DiskName, nodes: &Nodes, sets: Option<&Fdsets>) -> bool {
        let Some(format) = nodes.format_node(name) else { return false };
        let file = nodes.node(&name.file_node());
        let handed = self.overlay.clone().map(Protocol::Handed);
        let (protocol, driver, lower) = match (&handed, self.layers.split_first()) {
            (Some(overlay), _) => (overlay, Format::qcow2(), &self.layers[..]),
            (None, Some((top, lower))) => (&top.protocol, top.format.clone(), lower),
            (None, None) => return false,
        };
        // The upper one shows the file of the lower, but for images with options or layers.
        let is_it = format.driver == driver.as_str()
            && file.is_none_or(|file| file.may_be_of(protocol.driver()))
            && protocol.is_shown_as(&file.unwrap_or(format).path, sets);
        is_it && self.is_over(lower, format, sets)
    }

    /// Whether a node lies on these layers, where they were given.
    fn is_over(&self, layers: &[Layer], node: &Node, sets: Option<&Fdsets>) -> bool {
        if layers.is_empty() && !self.no_backing {
            return true;
        }
        let mut below = node.backing();
        for layer in layers {
            let Some(image) = below else { return false };
            let is_it = layer.protocol.is_shown_below(image.filename(), sets);
            if image.format() != Some(layer.format.as_str()) || !is_it {
                return false;
            }
            below = image.backing();
        }
        below.is_none() || !self.no_backing
    }

    /// Checks that the disk can be what it is to be.
    ///
    /// # Errors
    /// When the image is of a kind that cannot.
    pub(crate) fn check(
        &self,
        read_only: bool,
        access: &Access,
        block: Option<u32>,
    ) -> Result<(), ImageError> {
        let Some(top) = self.layers.first() else { return Ok(()) };
        let image = || top.protocol.label();
        if self.overlay.is_some() && read_only {
            return Err(ImageError::ReadOnlyOverlay { image: image() });
        }
        for (at, layer) in self.layers.iter().enumerate() {
            let writes = self.writes(at, read_only);
            if layer.is_writable.is_some_and(|is_writable| is_writable != writes) {
                return Err(ImageError::AccessMode { image: layer.protocol.label(), writes });
            }
        }
        if matches!(top.protocol, Protocol::Served(Location::Http { .. }))
            && self.writes(0, read_only)
        {
            return Err(ImageError::OnlyRead { image: image() });
        }
        if let (Some(block), Some(bytes)) = (block, top.bytes)
            && bytes % u64::from(block) != 0
        {
            return Err(ImageError::CutBlock { image: image(), bytes, block });
        }
        if access.aio.is_some() && self.overlay.is_none() && !top.protocol.is_local() {
            return Err(ImageError::NoAio { image: image() });
        }
        Ok(())
    }
}

impl Layer {
    /// One that was not looked at.
    pub(crate) fn unseen(protocol: Protocol, format: Format) -> Self {
        Self {
            protocol,
            format,
            is_encrypted: false,
            bytes: None,
            locks: Locks::default(),
            identity: None,
            is_writable: None,
        }
    }
}

/// Whether images of this format can lie on others.
pub(crate) fn may_have_backing(driver: Option<&str>) -> bool {
    matches!(driver, Some("qcow2" | "qcow" | "qed" | "vmdk"))
}
