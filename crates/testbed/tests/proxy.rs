//! The proxy between a client and a real monitor.

use std::sync::mpsc;
use std::time::Duration;

use qplug_testbed::monitor::Monitor;
use qplug_testbed::proxy::{Moment, Proxy, Side, Then};
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn it_passes_on_and_writes_down() {
    for qemu in Qemu::under_test("proxy") {
        let machine = Machine::builder(&qemu, Board::Pc).pretty().halted().unwrap();
        let path = machine.folder().join("proxy.sock");
        let proxy = Proxy::start(&path, &machine.qmp_path()).unwrap();
        let (told, heard) = mpsc::channel();
        for moment in [Moment::Executed(1), Moment::Forwarded(1), Moment::Arrived(1)] {
            let told = told.clone();
            proxy.at(moment, move || {
                told.send(moment).unwrap();
                Then::GoOn
            });
        }
        // The oracle reads lines, and this monitor is pretty: its greeting has line ends inside.
        assert!(Monitor::connect(&path, SOON).is_err());
        proxy.cut();

        let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        std::io::Write::write_all(&mut client, b"{'execute': 'qmp_capabilities'}\n").unwrap();
        let moments: Vec<_> = (0..3).map(|_| heard.recv_timeout(SOON).unwrap()).collect();
        assert_eq!(moments, [Moment::Arrived(1), Moment::Forwarded(1), Moment::Executed(1)]);
        assert_eq!(proxy.commands(), 1);
        let said = proxy.conversation();
        assert_eq!(said.last().unwrap().by, Side::Qemu);
        assert_eq!(said.iter().filter(|said| said.by == Side::Client).count(), 1);
    }
}

#[test]
fn it_cuts_before_during_and_after() {
    for qemu in Qemu::under_test("proxy cuts") {
        // Command 1 is the negotiation, command 2 the one that makes a node.
        for (moment, executed) in [
            (Moment::Arrived(2), Some(false)),
            (Moment::Forwarded(2), None),
            (Moment::Executed(2), Some(true)),
        ] {
            let mut machine = Machine::builder(&qemu, Board::Q35).halted().unwrap();
            let path = machine.folder().join("proxy.sock");
            let proxy = Proxy::start(&path, &machine.qmp_path()).unwrap();
            proxy.at(moment, || Then::Cut);
            let mut client = Monitor::connect(&path, SOON).unwrap();
            let node = json!({"driver": "null-co", "node-name": "n"});
            let lost = client.execute("blockdev-add", node).unwrap_err();
            assert_eq!(lost["class"], "Testbed", "{moment:?}: {lost}");

            let query = machine.oracle.execute("query-named-block-nodes", json!({}));
            let is_there = query.unwrap().as_array().unwrap().len() == 1;
            assert!(executed.is_none_or(|expected| is_there == expected), "{moment:?}");
            // The monitor is free again for the next client.
            let mut next = Monitor::connect(&path, SOON).unwrap();
            next.execute("query-status", json!({})).unwrap();
        }
    }
}
