//! The block drivers there are, and the options of each, as QEMU's schema has them.

use crate::config::Version;

/// What a node of a driver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file of the host's.
    File,
    /// A block device of the host's.
    HostDevice,
    /// Passes everything on to the node below it.
    Filter,
    /// An image format, and what QEMU says of an image in another.
    Format(&'static str),
    /// Zeroes.
    Null,
    /// Something far away, which is never looked at.
    Remote,
}

/// The type of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Bool,
    Int,
    Words(&'static [&'static str]),
    /// Another node: by name, or described in place.
    Node,
    /// Another node, or `null` for none.
    NodeOrNull,
    /// An object that is not looked into.
    Object,
}

#[derive(Debug)]
pub(super) struct Opt {
    pub(super) name: &'static str,
    pub(super) of: Type,
    pub(super) is_required: bool,
}

#[derive(Debug)]
pub(super) struct Driver {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) options: &'static [Opt],
}

const fn opt(name: &'static str, of: Type) -> Opt {
    Opt { name, of, is_required: false }
}

const fn need(name: &'static str, of: Type) -> Opt {
    Opt { name, of, is_required: true }
}

const AIO: Type = Type::Words(&["threads", "native", "io_uring"]);
const ON_OFF_AUTO: Type = Type::Words(&["auto", "on", "off"]);

const FILE: &[Opt] = &[
    need("filename", Type::Text),
    opt("pr-manager", Type::Text),
    opt("locking", ON_OFF_AUTO),
    opt("aio", AIO),
    opt("aio-max-batch", Type::Int),
    opt("drop-cache", Type::Bool),
    opt("x-check-cache-dropped", Type::Bool),
];

const FORMAT: &[Opt] = &[need("file", Type::Node)];
const OVER_BACKING: &[Opt] = &[need("file", Type::Node), opt("backing", Type::NodeOrNull)];

const QCOW2: &[Opt] = &[
    need("file", Type::Node),
    opt("backing", Type::NodeOrNull),
    opt("lazy-refcounts", Type::Bool),
    opt("pass-discard-request", Type::Bool),
    opt("pass-discard-snapshot", Type::Bool),
    opt("pass-discard-other", Type::Bool),
    opt("discard-no-unref", Type::Bool),
    opt("overlap-check", Type::Text),
    opt("cache-size", Type::Int),
    opt("l2-cache-size", Type::Int),
    opt("l2-cache-entry-size", Type::Int),
    opt("refcount-cache-size", Type::Int),
    opt("cache-clean-interval", Type::Int),
    opt("encrypt", Type::Object),
    opt("data-file", Type::Node),
];

const NULL: &[Opt] =
    &[opt("size", Type::Int), opt("latency-ns", Type::Int), opt("read-zeroes", Type::Bool)];

const NBD: &[Opt] = &[
    need("server", Type::Object),
    opt("export", Type::Text),
    opt("tls-creds", Type::Text),
    opt("tls-hostname", Type::Text),
    opt("x-dirty-bitmap", Type::Text),
    opt("reconnect-delay", Type::Int),
    opt("open-timeout", Type::Int),
];

const URL: &[Opt] = &[
    need("url", Type::Text),
    opt("readahead", Type::Int),
    opt("timeout", Type::Int),
    opt("username", Type::Text),
    opt("password-secret", Type::Text),
    opt("proxy-username", Type::Text),
    opt("proxy-password-secret", Type::Text),
    opt("cookie", Type::Text),
    opt("sslverify", Type::Bool),
    opt("cookie-secret", Type::Text),
];

/// In the order in which QEMU's schema lists them, as far as they are here.
pub(super) const DRIVERS: &[Driver] = &[
    Driver {
        name: "copy-on-read",
        kind: Kind::Filter,
        options: &[need("file", Type::Node), opt("bottom", Type::Text)],
    },
    Driver { name: "file", kind: Kind::File, options: FILE },
    Driver { name: "host_device", kind: Kind::HostDevice, options: FILE },
    Driver { name: "http", kind: Kind::Remote, options: URL },
    Driver { name: "https", kind: Kind::Remote, options: URL },
    Driver {
        name: "luks",
        kind: Kind::Format("Volume is not in LUKS format"),
        options: &[
            need("file", Type::Node),
            opt("key-secret", Type::Text),
            opt("header", Type::Node),
        ],
    },
    Driver { name: "nbd", kind: Kind::Remote, options: NBD },
    Driver { name: "null-aio", kind: Kind::Null, options: NULL },
    Driver { name: "null-co", kind: Kind::Null, options: NULL },
    Driver { name: "qcow2", kind: Kind::Format("Image is not in qcow2 format"), options: QCOW2 },
    Driver { name: "qed", kind: Kind::Format("Image not in QED format"), options: OVER_BACKING },
    Driver {
        name: "raw",
        kind: Kind::Filter,
        options: &[need("file", Type::Node), opt("offset", Type::Int), opt("size", Type::Int)],
    },
    Driver {
        name: "throttle",
        kind: Kind::Filter,
        options: &[need("throttle-group", Type::Text), need("file", Type::Node)],
    },
    Driver {
        name: "vdi",
        kind: Kind::Format("Image not in VDI format (bad signature 00000000)"),
        options: FORMAT,
    },
    Driver {
        name: "vhdx",
        kind: Kind::Format("Could not open '{}': Invalid argument"),
        options: FORMAT,
    },
    Driver {
        name: "vmdk",
        kind: Kind::Format("invalid VMDK image descriptor"),
        options: OVER_BACKING,
    },
    Driver {
        name: "vpc",
        kind: Kind::Format("invalid VPC image"),
        options: &[need("file", Type::Node), opt("force-size-calc", Type::Text)],
    },
];

/// What QEMU 2.9 does not have yet, by its recorded schema: drivers, and options of all or of one.
const LATER: &[&str] = &[
    "auto-read-only",
    "copy-on-read",
    "force-share",
    "file.aio-max-batch",
    "file.drop-cache",
    "file.locking",
    "file.pr-manager",
    "file.x-check-cache-dropped",
    "host_device.aio-max-batch",
    "host_device.drop-cache",
    "host_device.locking",
    "host_device.pr-manager",
    "host_device.x-check-cache-dropped",
    "http.cookie-secret",
    "https.cookie-secret",
    "nbd.open-timeout",
    "nbd.reconnect-delay",
    "nbd.tls-hostname",
    "nbd.x-dirty-bitmap",
    "null-aio.read-zeroes",
    "null-co.read-zeroes",
    "qcow2.data-file",
    "qcow2.encrypt",
    "qcow2.l2-cache-entry-size",
    "throttle",
];

/// What 7.2 does not have yet.
const LATEST: &[&str] = &["luks.header", "qcow2.discard-no-unref"];

/// Whether a version has a driver, an option of all, or `DRIVER.OPTION`.
pub(super) fn is_there(name: &str, version: Version) -> bool {
    let is_late = version < Version::V7_2 && LATER.contains(&name);
    let is_last = version < Version::V10_0 && LATEST.contains(&name);
    !is_late && !is_last
}

pub(super) fn find(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.name == name)
}

pub(super) fn is_filter(name: &str) -> bool {
    find(name).is_some_and(|driver| driver.kind == Kind::Filter)
}

/// All of them, for the schema.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    DRIVERS.iter().map(|driver| driver.name)
}

/// Whether a driver has an option of this name.
pub(crate) fn takes_option(driver: &str, option: &str) -> bool {
    find(driver).is_some_and(|driver| driver.options.iter().any(|known| known.name == option))
}
