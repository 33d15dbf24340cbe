//! Whether the tests that docs/conformance.md names exist, and no rule is without one.
//!
//! A test is named `file::test`, with the file's path from the project's root.

use std::fs;
use std::path::Path;

use qplug_testbed::{Error, Result};

use crate::cargo::root;

/// Lists every row of the page that is not held by a test.
pub(crate) fn run() -> Result<()> {
    let page = read(&root().join("docs/conformance.md"))?;
    let complaints = complaints(&page, &|file| read(&root().join(file)).ok());
    if complaints.is_empty() {
        return Ok(());
    }
    let list = complaints.join("\n  ");
    Err(Error::failed(format!("docs/conformance.md promises what does not hold:\n  {list}")))
}

fn complaints(page: &str, source: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Rule")) {
        rows += 1;
        let tests: Vec<_> =
            line.split('`').skip(1).step_by(2).filter_map(|word| word.split_once("::")).collect();
        if tests.is_empty() {
            complaints.push(format!("no test is named: {line}"));
        }
        for (file, test) in tests {
            match source(file) {
                None => complaints.push(format!("there is no file {file}")),
                Some(text) if !has_test(&text, test) => {
                    complaints.push(format!("{file} has no test {test}"));
                }
                Some(_) => {}
            }
        }
    }
    if rows == 0 {
        complaints.push("the page has no rows".to_owned());
    }
    complaints
}

/// A function of this name with `#[test]` in the attributes above it.
fn has_test(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    source.match_indices(&head).any(|(at, _)| {
        let above = source[..at].rsplit(['}', ';']).next().unwrap_or_default();
        above.contains("#[test]") || above.contains("#[tokio::test")
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|error| Error::failed(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn helper() {}\n#[test]\nfn it_holds() {}\n";

    fn found(row: &str) -> Vec<String> {
        let page = format!("| Rule | Test |\n|---|---|\n{row}\n");
        complaints(&page, &|file| (file == "a.rs").then(|| SOURCE.to_owned()))
    }

    #[test]
    fn the_page_holds() {
        run().unwrap();
    }

    #[test]
    fn a_row_with_a_test_that_exists_is_kept() {
        assert!(found("| it | `a.rs::it_holds` |").is_empty());
    }

    #[test]
    fn a_row_without_one_is_not() {
        assert!(found("| it | – |")[0].contains("no test is named"));
        assert!(found("| it | `b.rs::it_holds` |")[0].contains("no file"));
        assert!(found("| it | `a.rs::it_hol` |")[0].contains("no test it_hol"));
        assert!(found("| it | `a.rs::helper` |")[0].contains("no test helper"));
        assert!(found("")[0].contains("no rows"));
    }
}
