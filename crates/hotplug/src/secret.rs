//! Passphrases and passwords, which nothing shows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// A passphrase or a password. It is shown nowhere, and its memory is wiped when it is dropped; the
/// command that carries it to QEMU is text, as all of QMP is, and is not.
#[derive(Clone, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes these bytes, every one of them: a line end is part of the secret.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The properties of a `secret` object. JSON carries only text, and QEMU's no NUL.
    pub(crate) fn properties(&self) -> Map<String, Value> {
        let plain = std::str::from_utf8(&self.0).ok().filter(|it| !it.contains(char::is_control));
        match plain {
            Some(text) => data(text.to_owned(), false),
            None => data(STANDARD.encode(&*self.0), true),
        }
    }

    /// The properties of a `secret` object that holds a key which is base64 already, as Ceph's are.
    pub(crate) fn encoded_properties(&self) -> Map<String, Value> {
        data(String::from_utf8_lossy(&self.0).trim().to_owned(), true)
    }

    /// Whether this is base64.
    pub(crate) fn is_encoded(&self) -> bool {
        STANDARD.decode(self.0.trim_ascii()).is_ok_and(|key| !key.is_empty())
    }
}

fn data(text: String, is_encoded: bool) -> Map<String, Value> {
    let mut properties = Map::new();
    properties.insert("data".to_owned(), text.into());
    if is_encoded {
        properties.insert("format".to_owned(), "base64".into());
    }
    properties
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(***) Some(Secret(***))");
        assert_eq!(secret, Secret::new(*b"hunter2"));
    }

    #[test]
    fn what_json_cannot_carry_is_encoded() {
        let plain = Secret::new("grün \"1\"").properties();
        assert_eq!(Value::Object(plain), serde_json::json!({"data": "grün \"1\""}));
        for bytes in [&b"a\0b"[..], b"\xff\xfe", b"line\n"] {
            let properties = Secret::new(bytes).properties();
            assert_eq!(properties["format"], "base64");
            let data = properties["data"].as_str().unwrap();
            assert_eq!(STANDARD.decode(data).unwrap(), bytes);
        }
    }

    #[test]
    fn a_key_of_ceph_is_taken_as_it_is() {
        let key = Secret::new("AQB1c2VyMQ==\n");
        assert!(key.is_encoded() && !Secret::new("no key!").is_encoded());
        assert_eq!(key.encoded_properties()["data"], "AQB1c2VyMQ==");
    }
}
