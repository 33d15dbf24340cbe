//! How a word is read, on the command line and in a list: the same text means the same in both.

use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::{PossibleValue, TypedValueParser};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Whether something is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OnOff(pub(crate) bool);

impl FromStr for OnOff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" | "true" => Ok(Self(true)),
            "off" | "false" => Ok(Self(false)),
            _ => Err(format!("{text:?} is neither on nor off")),
        }
    }
}

/// A World Wide Name: 64 bits, in hexadecimal digits as it is printed everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wwn(pub(crate) u64);

impl FromStr for Wwn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| is_plain);
        number.map(Self).ok_or_else(|| format!("{text:?} is no name of 16 hexadecimal digits"))
    }
}

/// Reads a word as its type does, and tells who completes which words there are. Whether another is
/// taken is for the type to say.
#[derive(Debug, Clone)]
pub(crate) struct OneOf<T> {
    words: Vec<&'static str>,
    of: PhantomData<fn() -> T>,
}

impl<T> OneOf<T> {
    pub(crate) fn of(words: &[&'static str]) -> Self {
        Self { words: words.to_vec(), of: PhantomData }
    }
}

impl<T> TypedValueParser for OneOf<T>
where
    T: FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let parse = |text: &str| text.parse::<T>();
        parse.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.words.iter().map(|word| PossibleValue::new(*word))))
    }
}

/// A number of things or bytes, with K, M, G or T for powers of 1024.
pub(crate) fn amount(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (&text[..at], unit.to_ascii_uppercase()),
        _ => (text, ' '),
    };
    let shift = match unit {
        ' ' => 0,
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return Err(no_amount(text)),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| no_amount(text))
}

fn no_amount(text: &str) -> String {
    format!("{text:?} is no whole number, such as 100, 4K or 10M (K, M, G, T)")
}

/// A size in bytes that fits 32 bits, such as 4096 or 4K.
pub(crate) fn block_size(text: &str) -> Result<u32, String> {
    u32::try_from(amount(text)?).map_err(|_| format!("{text:?} is too large for a block"))
}

/// One word of a list, which may be written as a text, a number or a truth value.
pub(crate) fn one<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: FromStr,
    T::Err: fmt::Display,
    D: Deserializer<'de>,
{
    from.deserialize_any(Word(PhantomData)).map(Some)
}

/// A block size of a list.
pub(crate) fn one_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let text: Option<String> = one(from)?;
    text.map(|text| block_size(&text).map_err(Error::custom)).transpose()
}

/// Several words of a list, or one.
pub(crate) fn several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_any(Words)
}

struct Word<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, is_on: bool) -> Result<T, E> {
        self.visit_str(&is_on.to_string())
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or several in brackets")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Vec<String>, A::Error> {
        let mut all = Vec::new();
        while let Some(text) = texts.next_element()? {
            all.push(text);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!(amount("100"), Ok(100));
        assert_eq!(amount("10M"), Ok(10 << 20));
        assert_eq!(amount("1k"), Ok(1024));
        for text in ["", "M", "-1", "1.5G", "10X", "99999999999T"] {
            assert!(amount(text).is_err(), "{text}");
        }
        assert_eq!(block_size("4K"), Ok(4096));
        assert!(block_size("4G").is_err());
    }

    #[test]
    fn a_word_that_is_offered_is_taken_and_others_may_be() {
        let command =
            clap::Command::new("x")
                .arg(clap::Arg::new("word").value_parser(OneOf::<String>::of(&["a", "b"])));
        let argument = command.get_arguments().next().unwrap();
        let offered = argument.get_possible_values();
        assert_eq!(offered.iter().map(PossibleValue::get_name).collect::<Vec<_>>(), ["a", "b"]);
        let taken = command.clone().try_get_matches_from(["x", "c"]).unwrap();
        assert_eq!(taken.get_one::<String>("word").unwrap(), "c");
        let command = clap::Command::new("x")
            .arg(clap::Arg::new("on").value_parser(OneOf::<OnOff>::of(&["on", "off"])));
        assert!(command.clone().try_get_matches_from(["x", "on"]).is_ok());
        let error = command.try_get_matches_from(["x", "maybe"]).unwrap_err().to_string();
        assert!(error.contains("neither on nor off"), "{error}");
    }

    #[test]
    fn names_of_the_world_are_hexadecimal() {
        assert_eq!("0x5000c50015ea71aa".parse(), Ok(Wwn(0x5000_c500_15ea_71aa)));
        assert_eq!("5000c50015ea71aa".parse(), Ok(Wwn(0x5000_c500_15ea_71aa)));
        for text in ["", "x", "+5", "0x5000c50015ea71aa1"] {
            assert!(text.parse::<Wwn>().is_err(), "{text}");
        }
    }
}
