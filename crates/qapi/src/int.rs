//! An integer of QEMU's.

use std::fmt;

use serde_json::{Number, Value};

use crate::wire::{Mismatch, Wire};

/// An integer of up to 64 bits, with a sign or without.
///
/// A schema does not say which, and both kinds go to their ends: an address that a guest panics with
/// has the highest bit, and an error number is negative. Any integer of Rust's goes in by
/// [`From`] and comes out by [`TryFrom`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Int(i128);

/// An integer that is larger or smaller than the type it was to go into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not fit")]
pub struct OutOfRange(pub Int);

macro_rules! convert {
    ($($type:ty)*) => {$(
        impl From<$type> for Int {
            fn from(value: $type) -> Self {
                Self(value.into())
            }
        }

        impl TryFrom<Int> for $type {
            type Error = OutOfRange;

            fn try_from(value: Int) -> Result<Self, OutOfRange> {
                value.0.try_into().map_err(|_| OutOfRange(value))
            }
        }

        impl PartialEq<$type> for Int {
            fn eq(&self, other: &$type) -> bool {
                self.0 == i128::from(*other)
            }
        }
    )*};
}

convert!(u8 u16 u32 u64 i8 i16 i32 i64);

impl fmt::Display for Int {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Int {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Wire for Int {
    fn read(value: Value) -> Result<Self, Mismatch> {
        let unsigned = value.as_u64().map(Self::from);
        let int = unsigned.or_else(|| value.as_i64().map(Self::from));
        int.ok_or_else(|| Mismatch::new("an integer", &value))
    }

    fn write(&self) -> Value {
        let unsigned = u64::try_from(*self).map(Number::from);
        // It was made of one or the other.
        let number = unsigned.or_else(|_| i64::try_from(*self).map(Number::from));
        number.map_or(Value::Null, Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_ends_are_kept() {
        for value in [json!(u64::MAX), json!(i64::MIN), json!(0), json!(-1)] {
            assert_eq!(Int::read(value.clone()).unwrap().write(), value);
        }
        assert_eq!(Int::from(5), 5);
        assert_eq!(u8::try_from(Int::from(256)), Err(OutOfRange(Int::from(256))));
        for value in [json!(1.5), json!("1"), json!(null)] {
            assert!(Int::read(value).is_err());
        }
    }
}
