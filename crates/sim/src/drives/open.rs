//! What a drive is asked to be, and opening its image.

use qplug_proto::ErrorReply;
use serde_json::{Map, Value, json};

use super::{Drive, INTERFACES, MadeBy};
use crate::arguments::Arguments;
use crate::config::Version;
use crate::files::OpenError;
use crate::graph::{Blockdev, Claim, NodeId, User, UserId, UserKind, takes_option};
use crate::human::Options;
use crate::machine::Machine;
use crate::objects::is_identifier;
use crate::refusal::{self, generic};
use crate::words;

/// What a drive could be told before QEMU looked at a block driver's own options (1.7).
const OLD: &[&str] = &[
    "addr", "aio", "bus", "cache", "cyls", "file", "format", "heads", "if", "index", "media",
    "readonly", "rerror", "secs", "serial", "snapshot", "trans", "unit", "werror",
];

/// What came before 1.2, throttling above all; RHEL 6 has it too.
const SINCE_1_1: &[&str] =
    &["boot", "bps", "bps_rd", "bps_wr", "copy-on-read", "iops", "iops_rd", "iops_wr"];

/// What a drive of QEMU 2.5 and later may be told besides its driver's own options.
const NEW: &[&str] = &[
    "auto-read-only",
    "boot",
    "copy-on-read",
    "detect-zeroes",
    "discard",
    "driver",
    "force-share",
    "node-name",
    "read-only",
];

/// What is not there any more in QEMU 7.2: the device is told.
const GONE: &[&str] = &["addr", "boot", "cyls", "heads", "secs", "serial", "trans"];

/// How QEMU begins the name of an image that is far away.
const REMOTE: &[&str] = &[
    "ftp",
    "ftps",
    "gluster",
    "gluster+tcp",
    "http",
    "https",
    "iscsi",
    "nbd",
    "nbd+unix",
    "nfs",
    "rbd",
    "sheepdog",
    "ssh",
];

/// What there is to open.
struct Image {
    path: String,
    format: String,
    is_read_only: bool,
    /// The cache mode, which QEMU had checked.
    cache: String,
    aio: Option<String>,
    discard: Option<String>,
    detect_zeroes: Option<String>,
    node_name: Option<String>,
}

impl Machine {
    /// Adds a drive, as `drive_add` and `-drive` do; its name and its interface's number are returned.
    ///
    /// # Errors
    /// What the human monitor prints.
    pub(crate) fn add_drive(
        &mut self,
        mut options: Options,
    ) -> Result<(String, usize), ErrorReply> {
        let version = self.version;
        if options.id.as_deref().is_some_and(|id| !is_identifier(id)) {
            return Err(refusal::no_identifier());
        }
        if let Some(id) = options.id.as_deref().filter(|id| self.drives.is_taken(id)) {
            return Err(refusal::duplicate("drive", id));
        }
        if let Some((name, _)) = options.given.iter().find(|(name, _)| !is_known(name, version)) {
            return Err(refusal::unknown_parameter(name));
        }
        let interface = options.take("if").unwrap_or_else(|| "ide".to_owned());
        let Some(number) = INTERFACES.iter().position(|known| *known == interface) else {
            return Err(generic(format!("unsupported bus type '{interface}'")));
        };
        let media = options.take("media").unwrap_or_else(|| "disk".to_owned());
        if !["disk", "cdrom"].contains(&media.as_str()) {
            return Err(generic(format!("'{media}' invalid media")));
        }
        let is_cd = media == "cdrom";
        let limits = limits(&mut options)?;
        let serial = if version < Version::V7_2 { options.take("serial") } else { None };
        let stops = |policy: Option<String>, usual: bool| {
            policy.map_or(usual, |policy| ["enospc", "stop"].contains(&policy.as_str()))
        };
        let may_stop = stops(options.take("werror"), true) | stops(options.take("rerror"), false);
        let unit = self.drives.free_unit();
        let name = self.drives.name_for(options.id.as_deref(), &interface, unit, version);
        let id = options.id.take();
        let image = image(&mut options, is_cd, &name, self)?;
        let user = image.map(|image| self.open_image(&image, &name)).transpose()?;
        let order = self.graph.number();
        let drive = Drive::new(&name, MadeBy::Drive, order);
        self.drives.add(Drive { id, user, is_cd, serial, limits, unit, may_stop, ..drive });
        Ok((name, number))
    }

    /// Takes back a drive that was just added.
    pub(crate) fn take_drive_back(&mut self, name: &str) {
        if let Some(user) = self.drives.remove(name).and_then(|drive| drive.user) {
            self.graph.remove_user(user);
        }
    }

    /// Takes the image away from a drive, also under a device; whether there is such a drive.
    pub(crate) fn drop_drive(&mut self, name: &str) -> bool {
        let Some(drive) = self.drives.find_mut(name) else { return false };
        let Some(device) = drive.device else {
            self.take_drive_back(name);
            return true;
        };
        // The device keeps its place, and the id is taken until it is gone.
        drive.is_dropped = true;
        let user = self.devices.at_mut(device).and_then(|device| device.user.take());
        if let Some(user) = user {
            self.graph.remove_user(user);
        }
        true
    }

    /// Opens an image for a drive, which then has it.
    fn open_image(&mut self, image: &Image, drive: &str) -> Result<UserId, ErrorReply> {
        let version = self.version;
        let path = &image.path;
        if let Some(protocol) = protocol(path, version)
            && !is_remote(path)
        {
            let missing = generic(format!("Could not open '{path}': {}", OpenError::Missing));
            return Err(match version < Version::V2_5 {
                true => worded(missing, path, version),
                false => generic(format!("Unknown protocol '{protocol}'")),
            });
        }
        let blockdev =
            Blockdev::parse(Arguments::nested(describe(image, self), String::new()), version)?;
        let (graph, world) = self.graph_and_world();
        let node = graph.open(&blockdev, &world).map_err(|why| worded(why, path, version))?;
        if is_remote(path) {
            graph.rename_file(node, path);
        }
        self.use_as_drive(node, drive)
    }

    /// A drive that no device has takes a node for itself.
    pub(crate) fn use_as_drive(&mut self, node: NodeId, drive: &str) -> Result<UserId, ErrorReply> {
        let (kind, claim, label) = (UserKind::Drive, Claim::nothing(), drive.to_owned());
        let added = self.graph.add_user(User { node, label, kind, claim });
        added.inspect_err(|_| self.graph.drop_unused(node))
    }

    /// Opens the image of a medium that is given by its name, as `change` and
    /// `blockdev-change-medium` do.
    pub(crate) fn open_medium(
        &mut self,
        path: &str,
        format: Option<&str>,
        is_read_only: bool,
    ) -> Result<NodeId, ErrorReply> {
        let format = match format {
            Some(format) => format.to_owned(),
            None => self.probe(path),
        };
        let image = Image {
            path: path.to_owned(),
            format,
            is_read_only,
            cache: "writeback".to_owned(),
            aio: None,
            discard: None,
            detect_zeroes: None,
            node_name: None,
        };
        let blockdev = Blockdev::parse(
            Arguments::nested(describe(&image, self), String::new()),
            self.version,
        )?;
        let (graph, world) = self.graph_and_world();
        graph.open(&blockdev, &world)
    }

    /// The format that an image's header shows.
    fn probe(&self, path: &str) -> String {
        self.files.look(path).map_or_else(|_| "raw".to_owned(), |image| image.format)
    }
}

/// Whether QEMU knows an option by itself; later ones leave it to the block driver.
fn is_known(name: &str, version: Version) -> bool {
    match version {
        Version::V0_14 => OLD.contains(&name),
        Version::Rhel6 | Version::V1_2 => OLD.contains(&name) || SINCE_1_1.contains(&name),
        _ => true,
    }
}

/// What the options say of the image; `None` for an empty drive.
fn image(
    options: &mut Options,
    is_cd: bool,
    drive: &str,
    machine: &Machine,
) -> Result<Option<Image>, ErrorReply> {
    let version = machine.version;
    let cache = options.take("cache").unwrap_or_else(|| "writeback".to_owned());
    if !["none", "off", "writeback", "writethrough", "directsync", "unsafe"].contains(&&*cache) {
        return Err(generic("invalid cache option"));
    }
    let aio = options.take("aio");
    if aio.as_deref().is_some_and(|aio| !["threads", "native", "io_uring"].contains(&aio)) {
        return Err(generic("invalid aio option"));
    }
    let format = options.take("format").or_else(|| options.take("driver"));
    if let Some(format) = format.as_deref()
        && !crate::graph::driver_names().any(|name| name == format)
    {
        return Err(match version < Version::V2_5 {
            true => generic(format!("'{format}' invalid format")),
            false => words::no_format(version, format),
        });
    }
    let mut is_read_only = is_cd;
    for name in ["readonly", "read-only"] {
        if let Some(value) = options.take(name) {
            is_read_only = on_or_off(name, &value)?;
        }
    }
    let path = options.take("file").or_else(|| options.take("file.filename"));
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return match format {
            Some(_) if version >= Version::V7_2 => {
                Err(generic("A block device must be specified for \"file\""))
            }
            _ => Ok(None),
        };
    };
    let format = format.unwrap_or_else(|| machine.probe(&path));
    let image = Image {
        path,
        is_read_only,
        cache,
        aio,
        discard: options.take("discard").filter(|_| version >= Version::V2_5),
        detect_zeroes: options.take("detect-zeroes"),
        node_name: options.take("node-name"),
        format,
    };
    let strange = options.given.iter().find(|(name, _)| !belongs(name, &image.format, version));
    match strange {
        None => Ok(Some(image)),
        Some((name, _)) => {
            let of = match version < Version::V2_9 {
                true => format!("used by device '{drive}' doesn't"),
                false => "does not".to_owned(),
            };
            let format = image.format;
            Err(generic(format!("Block format '{format}' {of} support the option '{name}'")))
        }
    }
}

/// Whether a drive of 2.5 and later may be told this, given what its block driver may be.
fn belongs(name: &str, format: &str, version: Version) -> bool {
    if version < Version::V2_5 {
        return true;
    }
    if GONE.contains(&name) {
        return version < Version::V7_2;
    }
    let nested = ["cache.", "file.", "throttling.", "stats-"];
    OLD.contains(&name)
        || NEW.contains(&name)
        || nested.iter().any(|prefix| name.starts_with(prefix))
        || takes_option(format, name)
}

/// The node to open, as `blockdev-add` would be told.
fn describe(image: &Image, machine: &Machine) -> Map<String, Value> {
    let is_device = machine.files.look(&image.path).is_ok_and(|found| found.is_device);
    let mut file = match is_remote(&image.path) {
        true => json!({"driver": "nbd", "server": {}}),
        false => {
            let driver = if is_device { "host_device" } else { "file" };
            json!({"driver": driver, "filename": image.path})
        }
    };
    let is_direct = ["none", "off", "directsync"].contains(&&*image.cache);
    if let Some(aio) = &image.aio
        && (is_direct || machine.version >= Version::V2_9)
    {
        // Before, what could not be had was passed over.
        file["aio"] = json!(aio);
    }
    let mut node = json!({
        "driver": image.format, "file": file, "read-only": image.is_read_only,
        "cache": {"direct": is_direct, "no-flush": image.cache == "unsafe"},
    });
    let rest = [
        ("discard", &image.discard),
        ("detect-zeroes", &image.detect_zeroes),
        ("node-name", &image.node_name),
    ];
    for (name, value) in rest {
        if let Some(value) = value {
            let is_unmap = name == "discard" && value == "on";
            node[name] = json!(if is_unmap { "unmap" } else { value });
        }
    }
    node.as_object().cloned().unwrap_or_default()
}

/// Why an image could not be opened: before 2.5 no more than the number of the error is told.
fn worded(why: ErrorReply, path: &str, version: Version) -> ErrorReply {
    if version >= Version::V2_5 {
        return why;
    }
    let reason = match why.desc.split_once("': ") {
        Some((opening, reason)) if opening.starts_with("Could not open '") => reason,
        _ => "Invalid argument",
    };
    generic(format!("could not open disk image {path}: {reason}"))
}

/// What QEMU takes for a protocol at the beginning of a name. Before 1.2 any colon ends one, also
/// behind a slash (`path_has_protocol`), so that a file whose name has a colon cannot be opened.
fn protocol(path: &str, version: Version) -> Option<&str> {
    let (before, _) = path.split_once(':')?;
    (version < Version::V1_2 || !before.contains('/')).then_some(before)
}

fn is_remote(path: &str) -> bool {
    path.split_once(':').is_some_and(|(protocol, _)| REMOTE.contains(&protocol))
}

fn on_or_off(name: &str, value: &str) -> Result<bool, ErrorReply> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(generic(format!("Parameter '{name}' expects 'on' or 'off'"))),
    }
}

/// The speeds that a drive is held to.
fn limits(options: &mut Options) -> Result<Vec<(String, u64)>, ErrorReply> {
    let mut limits = Vec::new();
    for name in ["bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"] {
        if let Some(value) = options.take(name) {
            let number = value.parse();
            let limit =
                number.map_err(|_| generic(format!("Parameter '{name}' expects a number")))?;
            limits.push((name.to_owned(), limit));
        }
    }
    Ok(limits)
}
