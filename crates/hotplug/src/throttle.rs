//! Limits to a disk's speed.

use serde_json::{Map, Value};

use crate::name::DiskName;

/// Limits: QEMU's `ThrottleLimits` (`iops-total`, `bps-read` and so on), per second.
pub type Limits = Map<String, Value>;

/// The kinds of limits that QEMU knows (`ThrottleLimits`, 2.11), beside `iops-size`.
const KINDS: [&str; 6] =
    ["iops-total", "iops-read", "iops-write", "bps-total", "bps-read", "bps-write"];

/// How large a request may be to count as one, in bytes.
const SIZE: &str = "iops-size";

/// How a disk is throttled: by limits of its own, or as one of a group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Throttle {
    /// The group that shares the limits; the disk's own when there is none.
    pub(crate) group: Option<String>,
    /// The limits; none for a group that exists.
    pub(crate) limits: Limits,
    /// The object of a group that somebody else made.
    found: Option<String>,
}

/// A limit that QEMU does not know, or that contradicts another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is no such limit.
    #[error(
        "{0:?} is no limit; one of {known}, each with -max and -max-length for bursts, and iops-size",
        known = KINDS.join(", ")
    )]
    Unknown(String),
    /// A total and a part of it.
    #[error("{0}-total cannot be limited together with {0}-read or {0}-write")]
    TotalAndPart(&'static str),
    /// A burst needs a limit to burst over.
    #[error("{burst} needs {limit}, and must not be below it")]
    Burst {
        /// The limit of the burst.
        burst: String,
        /// The limit it goes with.
        limit: String,
    },
    /// A number that is negative or no number.
    #[error("{0} must be a whole number, 0 or more")]
    Number(String),
}

impl Throttle {
    /// The limits that there are, beside those of bursts (`-max`, `-max-length`).
    pub fn limits() -> impl Iterator<Item = &'static str> {
        KINDS.into_iter().chain([SIZE])
    }

    /// Limits of the disk's own, or those of a group, which is made when it is not there.
    #[must_use]
    pub fn new(group: Option<String>, limits: Limits) -> Self {
        Self { group, limits, found: None }
    }

    /// The id that qplug gives a group that disks share. One of the plain name may be there
    /// already: somebody else made it, so that it is used and never removed.
    pub(crate) fn shared_id(&self) -> Option<String> {
        self.group.as_ref().map(|group| format!("{}{group}", crate::name::SHARED_GROUP))
    }

    /// Uses this group.
    pub(crate) fn use_group(&mut self, id: String) {
        self.found = Some(id);
    }

    /// The id of the group's object.
    pub(crate) fn group_id(&self, disk: &DiskName) -> String {
        self.found.clone().or_else(|| self.shared_id()).unwrap_or_else(|| disk.throttle_group())
    }
}

/// All limits that there are: those given, and none where nothing is said. QEMU leaves what is not
/// named as it was.
pub(crate) fn all(limits: &Limits) -> Limits {
    let mut all = Limits::new();
    for kind in KINDS {
        all.insert(kind.to_owned(), 0.into());
        all.insert(format!("{kind}-max"), 0.into());
        all.insert(format!("{kind}-max-length"), 1.into());
    }
    all.insert(SIZE.to_owned(), 0.into());
    all.extend(limits.clone());
    all
}

/// Limits in the words of `block_set_io_throttle`, which wants to be told of six at least.
pub(crate) fn of_device(limits: &Limits) -> Limits {
    let mut words: Limits = Limits::new();
    words.extend(KINDS.map(|kind| (word(kind), 0.into())));
    words.extend(limits.iter().map(|(key, value)| (word(key), value.clone())));
    words
}

/// A limit's name among the options of a drive: bursts have the long one only (QEMU 1.7).
pub(crate) fn drive_option(limit: &str) -> String {
    match KINDS.contains(&limit) {
        true => word(limit),
        false => format!("throttling.{limit}"),
    }
}

/// `bps-read` is `bps_rd`, and `iops-total` is `iops`.
fn word(limit: &str) -> String {
    let word = limit.replace('-', "_").replace("_total", "");
    word.replace("_read", "_rd").replace("_write", "_wr")
}

/// Checks what QEMU would refuse.
///
/// # Errors
/// See [`LimitError`].
pub(crate) fn check(limits: &Limits) -> Result<(), LimitError> {
    for (key, value) in limits {
        let kind = key.strip_suffix("-max-length").or(key.strip_suffix("-max")).unwrap_or(key);
        if !KINDS.contains(&kind) && key != SIZE {
            return Err(LimitError::Unknown(key.clone()));
        }
        if value.as_u64().is_none() {
            return Err(LimitError::Number(key.clone()));
        }
    }
    let number = |key: &str| limits.get(key).and_then(Value::as_u64).filter(|n| *n > 0);
    for kind in ["iops", "bps"] {
        for burst in ["", "-max"] {
            let limited = |what: &str| number(&format!("{kind}-{what}{burst}")).is_some();
            if limited("total") && (limited("read") || limited("write")) {
                return Err(LimitError::TotalAndPart(kind));
            }
        }
    }
    for limit in KINDS {
        let burst = format!("{limit}-max");
        if number(&burst).is_some_and(|max| number(limit).is_none_or(|it| it > max)) {
            return Err(LimitError::Burst { burst, limit: limit.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_that_qemu_would_refuse_are_refused() {
        let check = |limits: Value| check(limits.as_object().unwrap());
        assert_eq!(check(json!({"iops-total": 100, "bps-read": 5, "bps-write": 6})), Ok(()));
        assert_eq!(check(json!({"iops-total": 100, "iops-total-max": 200})), Ok(()));
        assert_eq!(check(json!({"iops": 1})), Err(LimitError::Unknown("iops".to_owned())));
        assert_eq!(check(json!({"iops-total": -1})), Err(LimitError::Number("iops-total".into())));
        let both = json!({"bps-total": 1, "bps-read": 1});
        assert_eq!(check(both), Err(LimitError::TotalAndPart("bps")));
        assert!(matches!(check(json!({"bps-read-max": 1})), Err(LimitError::Burst { .. })));
    }
}
