//! Words of the wire as words of Rust.

/// Words that no field may be called.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// `block-dirty_bitmap` as `BlockDirtyBitmap`, `DEVICE_DELETED` as `DeviceDeleted`.
pub(super) fn camel(name: &str) -> String {
    let shouts = !name.contains(|letter: char| letter.is_ascii_lowercase());
    let mut ident = String::new();
    for part in name.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        // `1` and `_0` apart: 1.10 is not 11.0.
        let begins_with_digit = part.starts_with(|letter: char| letter.is_ascii_digit());
        if begins_with_digit && ident.ends_with(|letter: char| letter.is_ascii_digit()) {
            ident.push('_');
        }
        let mut letters = part.chars();
        ident.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        if shouts {
            ident.extend(letters.map(|letter| letter.to_ascii_lowercase()));
        } else {
            ident.extend(letters);
        }
    }
    match ident.chars().next() {
        None => "Empty".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("N{ident}"),
        Some(_) if ident == "Self" => "SelfWord".to_owned(),
        Some(_) => ident,
    }
}

/// `node-name` as `node_name`, `type` as `r#type`.
pub(super) fn snake(name: &str) -> String {
    let mut ident = String::new();
    for letter in name.chars() {
        ident.push(if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' });
    }
    if KEYWORDS.contains(&ident.as_str()) {
        return format!("r#{ident}");
    }
    if ident.starts_with(|letter: char| letter.is_ascii_digit()) || ident.is_empty() {
        return format!("n{ident}");
    }
    if matches!(ident.as_str(), "self" | "super" | "crate") { ident + "_word" } else { ident }
}

/// One of what a plural names: `blocks` as `block`.
pub(super) fn singular(ident: &str) -> String {
    let is_plural = ident.ends_with('s') && !ident.ends_with("ss") && !ident.ends_with("us");
    if ident.ends_with("Stats") || !is_plural {
        return ident.to_owned();
    }
    match ident.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => ident[..ident.len() - 1].to_owned(),
    }
}

/// The first of a name and its numbered kin that is free.
pub(super) fn unused(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    let kin = |number: usize| if number == 1 { name.clone() } else { format!("{name}{number}") };
    (1..).map(kin).find(|name| !is_taken(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_rust_has_them() {
        for (name, camels, snakes) in [
            ("block-dirty_bitmap", "BlockDirtyBitmap", "block_dirty_bitmap"),
            ("DEVICE_DELETED", "DeviceDeleted", "device_deleted"),
            ("type", "Type", "r#type"),
            ("self", "SelfWord", "self_word"),
            ("1.10", "N1_10", "n1_10"),
            ("11.0", "N11_0", "n11_0"),
            ("", "Empty", "n"),
            ("x-check", "XCheck", "x_check"),
        ] {
            assert_eq!((camel(name).as_str(), snake(name).as_str()), (camels, snakes));
        }
    }

    #[test]
    fn one_of_many() {
        for (many, one) in
            [("Jobs", "Job"), ("Capabilities", "Capability"), ("Status", "Status"), ("Bus", "Bus")]
        {
            assert_eq!(singular(many), one);
        }
        assert_eq!(unused("A".to_owned(), |name| name == "A"), "A2");
    }
}
