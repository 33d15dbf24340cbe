//! Pages of the documentation that show screens, held to what is drawn.
//!
//! A screen is a block of text behind a line `<!-- screen: NAME -->`.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// What begins a screen; the name follows.
const BEGIN: &str = "<!-- screen: ";

/// Draws every screen of a page anew, and compares. With `QPLUG_RECORD` in the environment the page is
/// written instead.
///
/// # Errors
///
/// When the page cannot be read or written, has no screens, or shows others.
pub fn hold_to(page: &Path, mut draw: impl FnMut(&str) -> String) -> Result<()> {
    let text = fs::read_to_string(page).map_err(Error::file("read", page))?;
    let (mut written, mut rest) = (String::new(), text.as_str());
    let mut others = String::new();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let cut = after.split_once(" -->\n```text\n").and_then(|(name, after)| {
            let (shown, after) = after.split_once("\n```\n")?;
            Some((name, shown, after))
        });
        let (name, shown, after) =
            cut.ok_or_else(|| broken(page, "a screen is no block of text"))?;
        let screen = draw(name);
        if screen != shown {
            others += &format!("\n{name} is drawn so:\n{screen}\nand shown so:\n{shown}");
        }
        written += &format!("{before}{BEGIN}{name} -->\n```text\n{screen}\n```\n");
        rest = after;
    }
    if written.is_empty() {
        return Err(broken(page, "there are no screens"));
    }
    written += rest;
    if std::env::var_os("QPLUG_RECORD").is_some() {
        return fs::write(page, written).map_err(Error::file("write", page));
    }
    match written == text {
        true => Ok(()),
        false => Err(broken(page, &others)),
    }
}

fn broken(page: &Path, what: &str) -> Error {
    let page = page.display();
    Error::failed(format!("{page}: {what}\n(QPLUG_RECORD=1 writes the screens anew)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_shows_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        fs::write(&page, "x\n<!-- screen: a -->\n```text\none\ntwo\n```\ny\n").unwrap();
        hold_to(&page, |name| format!("{}ne\ntwo", name.replace('a', "o"))).unwrap();
        assert!(hold_to(&page, |_| "other".to_owned()).is_err());
        fs::write(&page, "no screens").unwrap();
        assert!(hold_to(&page, |_| String::new()).is_err());
    }
}
