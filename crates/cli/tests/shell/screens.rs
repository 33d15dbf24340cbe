//! The screens in the documentation are what the shell draws.
//!
//! `QPLUG_RECORD=1` writes them anew.

use std::path::Path;

use qplug_testbed::page;
use qplug_testbed::terminal::{Key, Terminal};

use crate::sim;
use crate::terminal::shell;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/shell.md");

/// What stands for the time of an event.
const A_TIME: &str = "2026-01-31T12:00:00.000Z";

/// Draws each screen of the page, by its name there.
fn draw(name: &str, terminal: &mut Terminal) {
    match name {
        "session" => {
            line(terminal, "attach data.img --format raw --name d\n", "by-id/virtio-d");
            line(terminal, "query-named-block-nodes | grep -c node-name\n", "grep -c");
            terminal
                .wait_for("a count", |screen| screen.contents().contains("\n2\nqmp running>"))
                .unwrap();
            line(terminal, "device_del id=d\n", "{}");
            line(terminal, "blockdev-add driver=", "DEVICE_DELETED device=d");
            terminal.wait_for_text("running> blockdev-add driver= blk").unwrap();
        }
        "completion" => {
            line(terminal, "attach data.img --format raw\n", "by-id/virtio-data");
            line(terminal, "block-dirty-bitmap-add node=d", "node=d");
            terminal.press(Key::Tab).unwrap();
            terminal.wait_for_text("data.format").unwrap();
        }
        "transaction" => {
            line(terminal, "transaction\n", "transaction(0)>");
            line(
                terminal,
                "block-dirty-bitmap-add node=data.format nam=night\n",
                "abort drops them",
            );
            line(
                terminal,
                "block-dirty-bitmap-add node=data.format name=night\n",
                "transaction(1)>",
            );
            line(
                terminal,
                "blockdev-backup device=data.format target=backup sync=full\n",
                "transaction(2)>",
            );
        }
        name => panic!("the page has a screen {name}, which nobody draws"),
    }
}

/// Types a line, and waits for this.
fn line(terminal: &mut Terminal, text: &str, until: &str) {
    terminal.type_text(text).unwrap();
    terminal.wait_for_line(until).unwrap();
}

/// Waits until the shell has read what it reads but once, which a first line is not to be counted with.
fn know_the_schema(terminal: &mut Terminal) {
    terminal.type_text("device_del ").unwrap();
    terminal.wait_for_text("device_del id=…").unwrap();
    terminal.press(Key::Ctrl('u')).unwrap();
    terminal.wait_for_no("device_del").unwrap();
}

/// A screen without what differs each time.
fn settled(screen: &str) -> String {
    let lines = screen.lines().map(|line| match line.split_once('Z') {
        Some((time, rest)) if time.len() + 1 == A_TIME.len() && time.starts_with("20") => {
            format!("{A_TIME}{rest}")
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_page_shows_what_is_drawn() {
    let draw = |name: &str| {
        let sim = sim(&["--guest", "slow:1s"]);
        sim.image("data.img").unwrap();
        let mut terminal = shell(&sim, 80);
        know_the_schema(&mut terminal);
        draw(name, &mut terminal);
        settled(&terminal.screen().replace(sim.folder().to_str().unwrap(), "/images"))
    };
    page::hold_to(Path::new(PAGE), draw).unwrap();
}
