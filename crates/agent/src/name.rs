//! File names in JSON.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A file name or a path: any bytes but NUL.
///
/// In JSON it is a string, or, where it is no text that QMP's JSON can have, an object:
/// `{"base64": "/w=="}`. So no name needs an escape of its own, and none is ambiguous.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Bytes { base64: String },
}

impl Name {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as a path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// For people: odd bytes are replaced.
    #[must_use]
    pub fn display(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl From<Vec<u8>> for Name {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_owned())
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_owned())
    }
}

impl From<OsString> for Name {
    fn from(name: OsString) -> Self {
        Self(name.into_vec())
    }
}

impl From<PathBuf> for Name {
    fn from(path: PathBuf) -> Self {
        Self(path.into_os_string().into_vec())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if text.chars().all(is_plain) => serializer.serialize_str(text),
            _ => Wire::Bytes { base64: STANDARD.encode(&self.0) }.serialize(serializer),
        }
    }
}

/// QMP's JSON has no noncharacters (QEMU's `mod_utf8_codepoint`), nor NUL that all its readers take.
fn is_plain(character: char) -> bool {
    let code = u32::from(character);
    code != 0 && !(0xfdd0..=0xfdef).contains(&code) && code & 0xfffe != 0xfffe
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let bytes = match Wire::deserialize(deserializer)? {
            Wire::Text(text) => text.into_bytes(),
            Wire::Bytes { base64 } => STANDARD.decode(base64).map_err(D::Error::custom)?,
        };
        if bytes.contains(&0) {
            return Err(D::Error::custom("a file name has no NUL in it"));
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_bytes_are_told_apart() {
        let json = |bytes: &[u8]| serde_json::to_string(&Name::from(bytes)).unwrap();
        assert_eq!(json(b"/etc/fstab"), r#""/etc/fstab""#);
        assert_eq!(json("/naïve \"\n%41".as_bytes()), r#""/naïve \"\n%41""#);
        assert_eq!(json(b"\xff"), r#"{"base64":"/w=="}"#);
        assert_eq!(json("\u{ffff}".as_bytes()), r#"{"base64":"77+/"}"#);
    }

    #[test]
    fn any_two_bytes_come_through_qmps_json_as_they_were() {
        for first in 1..=u8::MAX {
            for second in 1..=u8::MAX {
                let name = Name::from(&[first, second][..]);
                let sent = serde_json::to_string(&[&name]).unwrap();
                let read = qplug_proto::strict_json(&sent).unwrap();
                let [back]: [Name; 1] = serde_json::from_str(&read).unwrap();
                assert_eq!(back, name);
            }
        }
    }

    #[test]
    fn a_nul_and_bad_base64_are_refused() {
        for text in [r#""a\u0000b""#, r#"{"base64":"AA=="}"#, r#"{"base64":"!"}"#, "7"] {
            assert!(serde_json::from_str::<Name>(text).is_err(), "{text}");
        }
    }
}
