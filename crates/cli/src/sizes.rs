//! Sizes and limits as people write them, in QEMU's units: K, M, G and T are powers of 1024.

use qplug_hotplug::Size;

/// Parses a size in bytes, with or without a unit.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: a whole number, with K, M, G or T if you like");
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        Some((at, 't' | 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is more than any disk has"))
}

/// Parses a size to be: absolute, or `+` so much.
pub(crate) fn new_size(text: &str) -> Result<Size, String> {
    match text.strip_prefix('+') {
        Some(more) => bytes(more).map(Size::Plus),
        None => bytes(text).map(Size::Bytes),
    }
}

/// Parses a limit, such as `iops-total=100`.
pub(crate) fn limit(text: &str) -> Result<(String, u64), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no LIMIT=NUMBER"))?;
    Ok((key.to_owned(), bytes(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("3k"), Ok(3072));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        assert_eq!(new_size("+1T"), Ok(Size::Plus(1 << 40)));
        assert_eq!(limit("bps-read=10M"), Ok(("bps-read".to_owned(), 10 << 20)));
        for text in ["", "G", "-1", "1.5G", "1GB", "+", "99999999999T", "1é"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
