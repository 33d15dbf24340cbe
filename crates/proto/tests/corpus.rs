//! The fuzz targets' corpus, in the ordinary test run: whatever was once found stays found.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

#[path = "../fuzz/src/lib.rs"]
#[allow(clippy::expect_used, unreachable_pub, reason = "it is a crate of its own elsewhere")]
mod bodies;

use std::path::Path;

fn every_file(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        body(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0, "an empty corpus proves nothing");
}

#[test]
fn the_corpus_of_the_client() {
    every_file("client", bodies::client);
}

#[test]
fn the_corpus_of_the_server() {
    every_file("server", bodies::server);
}

#[test]
fn the_corpus_of_the_pair() {
    every_file("pair", bodies::pair);
}
