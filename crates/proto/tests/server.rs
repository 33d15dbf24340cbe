//! The server's order and its bounds, with requests that are answered when the test says so.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

mod monitor;

use std::time::Instant;

use monitor::Start;
use qplug_proto::{
    ErrorReply, Event, Greeting, OOB_QUEUE_LIMIT, OUTPUT_HIGH_WATER, OUTPUT_LIMIT, QemuVersion,
    Request, Server,
};
use serde_json::value::RawValue;

fn negotiated(start: Start) -> Server {
    let mut server = monitor::server();
    server.handle_input(start.bytes());
    assert!(server.poll_request().is_none() && server.is_negotiated());
    server.poll_transmit();
    server
}

fn commands(server: &mut Server, count: usize) {
    for number in 0..count {
        server.handle_input(format!("{{\"execute\":\"c{number}\",\"id\":{number}}}").as_bytes());
    }
}

fn answer(server: &mut Server, request: &Request) -> String {
    server.reply(request.id, Ok(RawValue::from_string("{}".to_owned()).unwrap()));
    String::from_utf8(server.poll_transmit().unwrap()).unwrap()
}

#[test]
fn the_greeting_says_what_is_behind_it() {
    let mut server = Server::new(Greeting {
        version: QemuVersion { major: 7, minor: 2, micro: 22 },
        package: "é\"".to_owned(),
        capabilities: vec!["oob".to_owned()],
    });
    let greeting = String::from_utf8(server.poll_transmit().unwrap()).unwrap();
    let version =
        "{\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\\u00E9\\\"\"}";
    let expected =
        format!("{{\"QMP\": {{\"version\": {version}, \"capabilities\": [\"oob\"]}}}}\r\n");
    assert_eq!(greeting, expected);
}

#[test]
fn what_was_not_offered_cannot_be_enabled() {
    let mut server = Server::new(Greeting {
        version: QemuVersion { major: 2, minor: 9, micro: 0 },
        package: String::new(),
        capabilities: Vec::new(),
    });
    server.poll_transmit();
    server.handle_input(Start::Oob.bytes());
    assert!(server.poll_request().is_none() && !server.is_negotiated());
    let answer = String::from_utf8(server.poll_transmit().unwrap()).unwrap();
    assert!(answer.contains("GenericError") && answer.contains("'oob'"), "{answer}");
}

#[test]
fn in_band_commands_run_one_at_a_time_and_in_their_order() {
    let mut server = negotiated(Start::Ready);
    commands(&mut server, 100);
    for number in 0..100 {
        let request = server.poll_request().unwrap();
        assert_eq!(request.command, format!("c{number}"));
        assert!(server.poll_request().is_none());
        let reply = answer(&mut server, &request);
        assert_eq!(reply, format!("{{\"return\": {{}}, \"id\": {number}}}\r\n"));
        let again = Err(ErrorReply::not_found("twice"));
        server.reply(request.id, again);
        assert!(server.poll_transmit().is_none(), "a request has one reply");
    }
    assert!(server.poll_request().is_none() && server.wants_input());
}

#[test]
fn an_old_qemu_s_errors_are_sent_with_their_data() {
    let mut server = negotiated(Start::Ready);
    server.handle_input(b"{\"execute\": \"no-such\", \"id\": \"e1\"}\n");
    let request = server.poll_request().unwrap();
    let data = RawValue::from_string(r#"{"name": "no-such"}"#.to_owned()).unwrap();
    server.reply(request.id, Err(ErrorReply::not_found("no-such").with_data(data)));
    // As 0.14.1 was recorded to answer.
    let expected = r#"{"id": "e1", "error": {"class": "CommandNotFound", "desc": "The command no-such has not been found", "data": {"name": "no-such"}}}"#;
    assert_eq!(monitor::lines(&server.poll_transmit().unwrap()), [expected]);
}

#[test]
fn with_eight_in_flight_an_out_of_band_command_starves() {
    let yank = b"{\"exec-oob\":\"yank\"}";
    let mut server = negotiated(Start::Oob);
    commands(&mut server, OOB_QUEUE_LIMIT - 1);
    let running = server.poll_request().unwrap();
    assert!(server.wants_input());
    server.handle_input(yank);
    assert!(server.poll_request().unwrap().out_of_band);
    commands(&mut server, 1);
    server.handle_input(yank);
    assert!(server.poll_request().is_none() && !server.wants_input());
    answer(&mut server, &running);
    assert!(server.poll_request().unwrap().out_of_band && server.wants_input());
}

#[test]
fn out_of_band_requests_that_nobody_answers_are_bounded() {
    let mut server = negotiated(Start::Oob);
    for _ in 0..OOB_QUEUE_LIMIT * 2 {
        server.handle_input(b"{\"exec-oob\":\"yank\"}");
    }
    let requests: Vec<_> = std::iter::from_fn(|| server.poll_request()).collect();
    assert_eq!(requests.len(), OOB_QUEUE_LIMIT);
    assert!(!server.wants_input());
    answer(&mut server, &requests[0]);
    assert!(server.poll_request().is_some());
}

#[test]
fn a_peer_that_does_not_read_is_given_up_on_at_the_bound() {
    let mut server = negotiated(Start::Ready);
    let data = format!("\"{}\"", "x".repeat(1 << 20));
    let data = RawValue::from_string(data).unwrap();
    let event = Event { name: "E".to_owned(), data: Some(data), timestamp: None };
    let now = Instant::now();
    assert!(server.wants_input());
    server.emit(&event, now);
    assert!(!server.wants_input(), "it stops reading at {OUTPUT_HIGH_WATER}");
    for _ in 0..(OUTPUT_LIMIT >> 20) * 2 {
        server.emit(&event, now);
    }
    assert!(server.is_overrun());
    let output = server.poll_transmit().unwrap();
    assert!(output.len() < OUTPUT_LIMIT + (2 << 20), "{}", output.len());
    assert!(server.is_overrun(), "what was dropped does not come back");
}
