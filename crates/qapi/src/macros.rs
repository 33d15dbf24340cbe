//! The macros that say what generated types look like on the wire.
//!
//! Their functions are `inline` so that they are compiled by who uses them, and then only those: of
//! two hundred commands a program has five.

/// Lets serde read and write what is [`Wire`](crate::wire::Wire).
#[macro_export]
#[doc(hidden)]
macro_rules! with_serde {
    ($type:ident) => {
        impl $crate::wire::serde::Serialize for $type {
            fn serialize<S: $crate::wire::serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                $crate::wire::serde::Serialize::serialize(
                    &$crate::wire::Wire::write(self),
                    serializer,
                )
            }
        }

        impl<'de> $crate::wire::serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::wire::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let value = $crate::wire::serde::Deserialize::deserialize(deserializer)?;
                $crate::wire::Wire::read(value).map_err($crate::wire::serde::de::Error::custom)
            }
        }
    };
}

/// Reads and writes whole objects where there is [`Members`](crate::wire::Members).
#[macro_export]
#[doc(hidden)]
macro_rules! whole {
    ($type:ident) => {
        impl $crate::wire::Wire for $type {
            #[inline]
            fn read(
                value: $crate::wire::Value,
            ) -> ::std::result::Result<Self, $crate::wire::Mismatch> {
                $crate::wire::read_members(value)
            }

            #[inline]
            fn write(&self) -> $crate::wire::Value {
                $crate::wire::write_members(self)
            }
        }

        $crate::with_serde!($type);
    };
}

/// A struct that is an object: its fields and the names of its members; after a semicolon fields that
/// have members of their own beside them; after `..` the field with all that is left.
#[macro_export]
#[doc(hidden)]
macro_rules! object {
    ($type:ident) => { $crate::object!($type {}); };
    ($type:ident {
        $($field:ident = $name:literal),* $(,)?
        $(; $flat:ident)?
        $(; ..$rest:ident)?
    }) => {
        impl $crate::wire::Members for $type {
            #[allow(unused_variables, reason = "some have no members")]
            #[inline]
            fn take(
                object: &mut $crate::wire::Object,
            ) -> ::std::result::Result<Self, $crate::wire::Mismatch> {
                Ok(Self {
                    $($field: $crate::wire::take(object, $name)?,)*
                    $($flat: $crate::wire::Members::take(object)?,)?
                    $($rest: ::std::mem::take(object),)?
                })
            }

            #[allow(unused_variables, reason = "some have no members")]
            #[inline]
            fn put(&self, object: &mut $crate::wire::Object) {
                $($crate::wire::put(object, $name, &self.$field);)*
                $($crate::wire::Members::put(&self.$flat, object);)?
                $(object.extend(self.$rest.clone());)?
            }
        }

        $crate::whole!($type);
    };
}

/// A constructor with what may not be left out.
#[macro_export]
#[doc(hidden)]
macro_rules! new {
    ($type:ident ($($field:ident: $of:ty),+) $($optional:ident),+ $(,)?) => {
        impl $type {
            /// With all left out that may be.
            #[must_use]
            pub fn new($($field: impl Into<$of>),+) -> Self {
                Self { $($field: $field.into(),)+ $($optional: Default::default()),+ }
            }
        }
    };
}

/// An enum of members that hang on the value of one, the tag.
#[macro_export]
#[doc(hidden)]
macro_rules! variants {
    ($type:ident, $tag:literal {
        $($variant:ident $(($inner:ident: $of:ty))? = $name:literal),* $(,)?
    }) => {
        impl $type {
            /// The value of the tag.
            #[must_use]
            #[inline]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                    Self::Other { name, .. } => name,
                }
            }
        }

        impl $crate::wire::Members for $type {
            #[inline]
            fn take(
                object: &mut $crate::wire::Object,
            ) -> ::std::result::Result<Self, $crate::wire::Mismatch> {
                let name: String = $crate::wire::take(object, $tag)?;
                Ok(match name.as_str() {
                    $($name => Self::$variant $((<$of as $crate::wire::Members>::take(object)?))?,)*
                    _ => Self::Other { name, members: ::std::mem::take(object) },
                })
            }

            #[inline]
            fn put(&self, object: &mut $crate::wire::Object) {
                object.insert($tag.to_owned(), self.name().into());
                match self {
                    $(Self::$variant $(($inner))? => {
                        $($crate::wire::Members::put($inner, object);)?
                    })*
                    Self::Other { members, .. } => object.extend(members.clone()),
                }
            }
        }

        impl $crate::wire::Tagged for $type {
            const TAG: &'static str = $tag;
        }
    };
}

/// An enum of words.
#[macro_export]
#[doc(hidden)]
macro_rules! words {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// The word on the wire.
            #[must_use]
            #[inline]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $type {
            #[inline]
            fn from(text: &str) -> Self {
                match text {
                    $($name => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl ::std::fmt::Display for $type {
            #[inline]
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl $crate::wire::Wire for $type {
            #[inline]
            fn read(
                value: $crate::wire::Value,
            ) -> ::std::result::Result<Self, $crate::wire::Mismatch> {
                let text = value.as_str().map(Self::from);
                text.ok_or_else(|| $crate::wire::Mismatch::new("a string", &value))
            }

            #[inline]
            fn write(&self) -> $crate::wire::Value {
                self.as_str().into()
            }
        }

        $crate::with_serde!($type);
    };
}

/// An enum of values that are told apart by what kind of JSON they are.
#[macro_export]
#[doc(hidden)]
macro_rules! choice {
    ($type:ident { $($variant:ident($of:ty) if $is:ident),* $(,)? } $(or $null:ident)?) => {
        impl $crate::wire::Wire for $type {
            #[inline]
            fn read(
                value: $crate::wire::Value,
            ) -> ::std::result::Result<Self, $crate::wire::Mismatch> {
                $(if value.is_null() {
                    return Ok(Self::$null);
                })?
                $(if value.$is() {
                    return <$of as $crate::wire::Wire>::read(value).map(Self::$variant);
                })*
                Ok(Self::Other(value))
            }

            #[inline]
            fn write(&self) -> $crate::wire::Value {
                match self {
                    $(Self::$variant(value) => $crate::wire::Wire::write(value),)*
                    $(Self::$null => $crate::wire::Value::Null,)?
                    Self::Other(value) => value.clone(),
                }
            }
        }

        $(impl From<$of> for $type {
            #[inline]
            fn from(value: $of) -> Self {
                Self::$variant(value)
            }
        })*

        $crate::with_serde!($type);
    };
}

/// The enum of events.
#[macro_export]
#[doc(hidden)]
macro_rules! events {
    ($type:ident {
        $($(#[$if:meta])* $variant:ident $(($inner:ident: $of:ty))? = $name:literal),* $(,)?
    }) => {
        impl $type {
            /// Its name on the wire.
            #[must_use]
            #[inline]
            pub fn name(&self) -> &str {
                match self {
                    $($(#[$if])* Self::$variant { .. } => $name,)*
                    Self::Other { name, .. } => name,
                }
            }

            /// Reads an event from its name and its data.
            ///
            /// # Errors
            /// When the data of an event that is known are not what they should be.
            #[inline]
            pub fn read(
                name: &str,
                mut data: $crate::wire::Object,
            ) -> ::std::result::Result<Self, $crate::wire::Mismatch> {
                Ok(match name {
                    $($(#[$if])* $name => {
                        Self::$variant $((<$of as $crate::wire::Members>::take(&mut data)?))?
                    })*
                    _ => Self::Other { name: name.to_owned(), data: ::std::mem::take(&mut data) },
                })
            }

            /// Its data as they are on the wire.
            #[must_use]
            #[inline]
            pub fn data(&self) -> $crate::wire::Object {
                #[allow(unused_mut, reason = "there may be no event with data")]
                let mut data = $crate::wire::Object::new();
                match self {
                    $($(#[$if])* Self::$variant $(($inner))? => {
                        $($crate::wire::Members::put($inner, &mut data);)?
                    })*
                    Self::Other { data, .. } => return data.clone(),
                }
                data
            }
        }
    };
}
