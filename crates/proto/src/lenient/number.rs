//! Numbers, as QEMU of before 7.2 has them after it read them.

use crate::generation::Generation;

/// How many decimals are kept of a number that is no integer (C's `%f`).
const DECIMALS: usize = 6;

/// A number in strict JSON. 7.2 keeps what can be kept, and it is left as it was given.
pub(super) fn read(text: &str, generation: Generation) -> String {
    if generation == Generation::V7_2 {
        return text.to_owned();
    }
    if text.contains(['.', 'e', 'E']) {
        return fraction(text.parse().unwrap_or_default());
    }
    match text.parse::<i64>() {
        Ok(integer) => integer.to_string(),
        Err(_) if generation < Generation::V2_5 => clamped(text).to_string(),
        Err(_) => fraction(text.parse().unwrap_or_default()),
    }
}

/// As C's `strtoll` gives it.
fn clamped(text: &str) -> i64 {
    if text.starts_with('-') { i64::MIN } else { i64::MAX }
}

fn fraction(value: f64) -> String {
    if !value.is_finite() {
        // No JSON, and not asked: nobody's id is that large.
        return "0".to_owned();
    }
    let text = format!("{value:.DECIMALS$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemus_were_heard_to_echo() {
        for (text, generation, echo) in [
            ("9007199254740993", Generation::V0_14, "9007199254740993"),
            ("18446744073709551615", Generation::V0_14, "9223372036854775807"),
            ("18446744073709551615", Generation::V1_2, "9223372036854775807"),
            ("18446744073709551615", Generation::V2_5, "18446744073709551616"),
            ("18446744073709551615", Generation::V7_2, "18446744073709551615"),
            ("01", Generation::V0_14, "1"),
            ("-0", Generation::V0_14, "0"),
            ("1e5", Generation::V0_14, "100000"),
            ("2.5", Generation::V2_9, "2.5"),
        ] {
            assert_eq!(read(text, generation), echo, "{text} {generation:?}");
        }
    }
}
