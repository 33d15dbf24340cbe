//! The forms in which a user names where a disk's bytes are. Pure.

use std::path::PathBuf;

use fluent_uri::Uri;

/// The forms, as an error lists them.
const FORMS: &str = "PATH, nbd://HOST[:PORT][/EXPORT], nbds://HOST[:PORT][/EXPORT], \
    nbd+unix:///[EXPORT]?socket=PATH, http://… or https://…, ssh://[USER@]HOST[:PORT]/PATH, \
    iscsi://[USER@]HOST[:PORT]/TARGET/LUN or rbd:POOL/[NAMESPACE/]IMAGE[@SNAPSHOT][:id=USER][:conf=PATH]";

/// Ports that a server has unless another is given.
const NBD_PORT: u16 = 10809;
const SSH_PORT: u16 = 22;
const ISCSI_PORT: u16 = 3260;

/// A text that names no storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no storage: {reason} (one of {FORMS}; a file of such a name is ./NAME)")]
pub struct LocationError {
    /// The text, without a password that stood in it.
    text: String,
    reason: String,
}

/// Where a disk's bytes are, as the user said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// A file or a block device.
    Path(PathBuf),
    /// An export of a server that speaks NBD.
    Nbd { server: Server, export: Option<String>, tls: bool },
    /// A file that a web server serves.
    Http { url: String, user: Option<String>, tls: bool },
    /// A file of another host.
    Ssh { user: Option<String>, host: String, port: u16, path: String },
    /// A logical unit of an iSCSI target.
    Iscsi { user: Option<String>, portal: String, target: String, lun: u32 },
    /// An image in a Ceph cluster.
    Rbd(Rbd),
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    Inet { host: String, port: u16 },
    Unix { path: String },
}

/// An image in a Ceph cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rbd {
    pub(crate) pool: String,
    pub(crate) namespace: Option<String>,
    pub(crate) image: String,
    pub(crate) snapshot: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) conf: Option<String>,
}

impl Location {
    /// Reads a location off a text. What is no URI is a path.
    pub(crate) fn parse(text: &str) -> Result<Self, LocationError> {
        let error = |reason: String| LocationError { text: without_password(text), reason };
        if let Some(rest) = text.strip_prefix("rbd:") {
            return rbd(rest.trim_start_matches('/')).map(Self::Rbd).map_err(error);
        }
        let is_scheme = |it: &str| {
            it.starts_with(|first: char| first.is_ascii_alphabetic())
                && it.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        };
        match text.split_once("://") {
            Some((scheme, _)) if is_scheme(scheme) => uri(scheme, text).map_err(error),
            _ if text.is_empty() => Err(error("it is empty".to_owned())),
            _ => Ok(Self::Path(text.into())),
        }
    }

    /// A proposal for the disk's name.
    pub(crate) fn stem(&self) -> Option<String> {
        let last = |text: &str| {
            let path = text.split(['?', '#']).next().unwrap_or(text);
            let name = path.rsplit('/').next().unwrap_or(path);
            name.split('.').next().map(ToOwned::to_owned)
        };
        let stem = match self {
            Self::Path(path) => path.file_stem()?.to_str().map(ToOwned::to_owned),
            Self::Nbd { export, .. } => export.as_deref().and_then(last),
            Self::Http { url, .. } => last(url),
            Self::Ssh { path, .. } => last(path),
            Self::Iscsi { target, .. } => target.rsplit(':').next().map(ToOwned::to_owned),
            Self::Rbd(rbd) => last(&rbd.image),
        };
        stem.filter(|stem| !stem.is_empty())
    }
}

/// The text with the password of a URI, and the key of a Ceph image, masked.
fn without_password(text: &str) -> String {
    if let Some((before, _)) = text.split_once(":key=").filter(|_| text.starts_with("rbd:")) {
        return format!("{before}:key=***");
    }
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (info, _) = authority.rsplit_once('@')?;
        let (user, _) = info.split_once(':')?;
        Some(format!("{scheme}://{user}:***{}", &rest[info.len()..]))
    };
    masked().unwrap_or_else(|| text.to_owned())
}

/// The parts of a URI.
struct Parts {
    user: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    /// Without its first slash; decoded.
    path: String,
    query: Vec<(String, String)>,
}

fn uri(scheme: &str, text: &str) -> Result<Location, String> {
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "nbd" | "nbds" => {
            let parts = parts(text, &[])?;
            if parts.user.is_some() {
                return Err("NBD has no users".to_owned());
            }
            let server = Server::Inet { host: host(&parts)?, port: parts.port.unwrap_or(NBD_PORT) };
            Ok(Location::Nbd { server, export: non_empty(parts.path), tls: scheme == "nbds" })
        }
        "nbd+unix" => nbd_unix(parts(text, &["socket"])?),
        "http" | "https" => http(text, scheme == "https"),
        "ssh" => {
            let parts = parts(text, &[])?;
            let (host, port) = (host(&parts)?, parts.port.unwrap_or(SSH_PORT));
            let path = non_empty(parts.path).ok_or("the path is missing")?;
            Ok(Location::Ssh { host, port, user: parts.user, path: format!("/{path}") })
        }
        "iscsi" => iscsi(parts(text, &[])?),
        _ => Err(format!("{scheme} is no protocol that qplug knows")),
    }
}

fn parts(text: &str, keys: &[&str]) -> Result<Parts, String> {
    let uri = Uri::parse(text).map_err(|error| error.to_string())?;
    let authority = uri.authority().ok_or("the host is missing")?;
    let user = match authority.userinfo() {
        None => None,
        Some(info) if info.as_str().contains(':') => {
            return Err("a password does not belong there, where everybody can read it; \
                        it goes into a file"
                .to_owned());
        }
        Some(user) => non_empty(utf8(user.decode().to_bytes())?),
    };
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    let port = authority.port_to_u16().map_err(|_| "the port is not a number below 65536")?;
    let path = utf8(uri.path().decode().to_bytes())?;
    let path = path.strip_prefix('/').unwrap_or(&path).to_owned();
    let mut query = Vec::new();
    for pair in uri.query().into_iter().flat_map(|query| query.split('&')) {
        let (key, value) = pair.split_once('=').ok_or("a query is KEY=VALUE")?;
        if !keys.contains(&key.as_str()) {
            return Err(format!("{:?} is unknown behind the ?", key.as_str()));
        }
        query.push((key.as_str().to_owned(), utf8(value.decode().to_bytes())?));
    }
    Ok(Parts { user, host: non_empty(host.to_owned()), port, path, query })
}

fn utf8(bytes: std::borrow::Cow<'_, [u8]>) -> Result<String, String> {
    let text = String::from_utf8(bytes.into_owned());
    text.map_err(|_| "it is not UTF-8, and QMP cannot carry it".to_owned())
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn host(parts: &Parts) -> Result<String, String> {
    parts.host.clone().ok_or_else(|| "the host is missing".to_owned())
}

fn nbd_unix(parts: Parts) -> Result<Location, String> {
    if parts.host.is_some() || parts.user.is_some() {
        return Err("there is no host before a unix socket: nbd+unix:///".to_owned());
    }
    let path = parts.query.into_iter().find(|(key, _)| key == "socket");
    let path = path.and_then(|(_, path)| non_empty(path)).ok_or("?socket=PATH is missing")?;
    if !path.starts_with('/') {
        return Err("the socket's path must be absolute: QEMU has a folder of its own".to_owned());
    }
    let server = Server::Unix { path };
    Ok(Location::Nbd { server, export: non_empty(parts.path), tls: false })
}

/// QEMU gives the URL to libcurl as it is; only the user is another option.
fn http(text: &str, tls: bool) -> Result<Location, String> {
    // The query is the server's own.
    let (before, _) = text.split_once('?').unwrap_or((text, ""));
    let parts = parts(before, &[])?;
    host(&parts)?;
    let uri = Uri::parse(text).map_err(|error| error.to_string())?;
    if uri.fragment().is_some() {
        return Err("what stands behind # never reaches a server".to_owned());
    }
    let url = match uri.authority().and_then(|authority| authority.userinfo()) {
        None => text.to_owned(),
        Some(info) => text.replacen(&format!("{}@", info.as_str()), "", 1),
    };
    Ok(Location::Http { url, user: parts.user, tls })
}

fn iscsi(parts: Parts) -> Result<Location, String> {
    let (target, lun) = parts.path.rsplit_once('/').ok_or("/TARGET/LUN is missing")?;
    let lun = lun.parse().map_err(|_| "the LUN is not a number")?;
    let target = non_empty(target.to_owned()).ok_or("the target is missing")?;
    let (host, port) = (host(&parts)?, parts.port.unwrap_or(ISCSI_PORT));
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(Location::Iscsi { user: parts.user, portal: format!("{host}:{port}"), target, lun })
}

fn rbd(text: &str) -> Result<Rbd, String> {
    let mut words = text.split(':');
    let name = words.next().unwrap_or_default();
    let (name, snapshot) = match name.split_once('@') {
        Some((_, "")) => return Err("the snapshot is missing".to_owned()),
        Some((name, snapshot)) => (name, Some(snapshot.to_owned())),
        None => (name, None),
    };
    let parts: Vec<_> = name.split('/').collect();
    let (pool, namespace, image) = match *parts {
        [pool, image] => (pool, None, image),
        [pool, namespace, image] => (pool, Some(namespace.to_owned()), image),
        _ => return Err("it is not POOL/IMAGE or POOL/NAMESPACE/IMAGE".to_owned()),
    };
    if parts.contains(&"") {
        return Err("the pool, the namespace or the image is missing".to_owned());
    }
    let (pool, image) = (pool.to_owned(), image.to_owned());
    let mut rbd = Rbd { pool, namespace, image, snapshot, ..Rbd::default() };
    for word in words {
        match word.split_once('=') {
            Some(("id", user)) => rbd.user = non_empty(user.to_owned()),
            Some(("conf", path)) => rbd.conf = non_empty(path.to_owned()),
            _ => return Err("only :id=USER and :conf=PATH go behind the image".to_owned()),
        }
    }
    Ok(rbd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Location {
        Location::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn nbd(host: &str, port: u16, export: Option<&str>, tls: bool) -> Location {
        let server = Server::Inet { host: host.to_owned(), port };
        Location::Nbd { server, export: export.map(ToOwned::to_owned), tls }
    }

    #[test]
    fn paths_and_nbd_are_read() {
        let unix = |export: Option<&str>| Location::Nbd {
            server: Server::Unix { path: "/run/n sock".to_owned() },
            export: export.map(ToOwned::to_owned),
            tls: false,
        };
        for (given, expected) in [
            ("a/b.img", Location::Path("a/b.img".into())),
            ("./nbd://x", Location::Path("./nbd://x".into())),
            ("C:\\x", Location::Path("C:\\x".into())),
            ("nbd://host", nbd("host", 10809, None, false)),
            ("nbd://[::1]:1/a%20b/c", nbd("::1", 1, Some("a b/c"), false)),
            ("NBDS://h/e", nbd("h", 10809, Some("e"), true)),
            ("nbd+unix:///e?socket=/run/n%20sock", unix(Some("e"))),
            ("nbd+unix://?socket=/run/n%20sock", unix(None)),
        ] {
            assert_eq!(parsed(given), expected, "{given}");
        }
    }

    #[test]
    fn servers_of_files_are_read() {
        let url = "https://h:8/x.img?sig=a:b@c".to_owned();
        let user = Some("u".to_owned());
        assert_eq!(
            parsed("https://u@h:8/x.img?sig=a:b@c"),
            Location::Http { url, user: user.clone(), tls: true }
        );
        let (host, path) = ("h".to_owned(), "/d/x.img".to_owned());
        let ssh = Location::Ssh { user: None, host, port: 22, path };
        assert_eq!(parsed("ssh://h/d/x.img"), ssh);
        let (portal, target) = ("[fe80::1]:3260".to_owned(), "iqn.2001-04.org:disk".to_owned());
        let iscsi = Location::Iscsi { user, portal, target, lun: 1 };
        assert_eq!(parsed("iscsi://u@[fe80::1]/iqn.2001-04.org:disk/1"), iscsi);
    }

    #[test]
    fn rbd_has_a_form_of_its_own() {
        let Location::Rbd(rbd) = parsed("rbd:p/n/i@s:id=me:conf=/etc/c") else { panic!() };
        assert_eq!((rbd.pool.as_str(), rbd.namespace.as_deref()), ("p", Some("n")));
        assert_eq!((rbd.image.as_str(), rbd.snapshot.as_deref()), ("i", Some("s")));
        assert_eq!((rbd.user.as_deref(), rbd.conf.as_deref()), (Some("me"), Some("/etc/c")));
        assert_eq!(parsed("rbd://p/i"), parsed("rbd:p/i"));
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password_with_it() {
        for (text, reason) in [
            ("", "empty"),
            ("file:///a", "no protocol"),
            ("nbd:///x", "host is missing"),
            ("nbd://h:99999", "port is not a number"),
            ("nbd://u@h", "no users"),
            ("nbd://h?x=1", "unknown behind"),
            ("nbd+unix:///x", "socket=PATH is missing"),
            ("nbd+unix:///x?socket=rel", "must be absolute"),
            ("nbd+unix://h/x?socket=/s", "no host"),
            ("nbd://h/a b", "unexpected character"),
            ("ssh://h", "path is missing"),
            ("iscsi://h/t", "LUN"),
            ("iscsi://h/t/x", "LUN is not a number"),
            ("rbd:p", "is not POOL/IMAGE"),
            ("rbd:p/", "is missing"),
            ("rbd:p/i@", "snapshot is missing"),
            ("rbd:p/i:key=AQB", "only :id=USER"),
            ("https://u:hunter2@h/x", "into a file"),
            ("https://h/x#y", "never reaches"),
        ] {
            let error = Location::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("AQB"), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_is_proposed() {
        for (text, stem) in [
            ("/a/data.qcow2", Some("data")),
            ("nbd://h/x/data.raw", Some("data")),
            ("nbd://h", None),
            ("https://h/d/data.img?x=/y", Some("data")),
            ("ssh://h/d/data.img", Some("data")),
            ("iscsi://h/iqn.2001:data/0", Some("data")),
            ("rbd:p/data@s", Some("data")),
        ] {
            assert_eq!(parsed(text).stem().as_deref(), stem, "{text}");
        }
    }
}
