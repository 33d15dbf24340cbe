//! Unit tests of the client.

use super::*;
use std::time::Duration;

const GREETING: &[u8] = b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n";
const NEGOTIATED: &[u8] = b"{\"return\": {}, \"id\": -1}\r\n";
const NO_ARGUMENTS: Option<&()> = None;

fn ready() -> Client {
    let mut client = Client::new(Dialect::Qmp, None);
    client.handle_input(GREETING).unwrap();
    client.handle_input(NEGOTIATED).unwrap();
    assert!(matches!(client.poll_incoming(), Some(Incoming::Greeting(_))));
    transmit(&mut client);
    client
}

/// What is sent, as text.
fn transmit(client: &mut Client) -> String {
    let text = String::from_utf8_lossy(client.poll_transmit()).into_owned();
    client.handle_transmitted(client.poll_transmit().len());
    text
}

#[test]
fn commands_given_early_travel_behind_the_negotiation_in_one_write() {
    let mut client = Client::new(Dialect::Qmp, None);
    client.execute("query-status", NO_ARGUMENTS, None).unwrap();
    assert_eq!(transmit(&mut client), "");
    client.handle_input(GREETING).unwrap();
    let sent = transmit(&mut client);
    assert_eq!(
        sent,
        "{\"execute\":\"qmp_capabilities\",\"id\":-1}\n{\"execute\":\"query-status\",\"id\":0}\n"
    );
    assert_eq!(client.traffic(), Traffic { commands: 2, bytes: sent.len() as u64 });
}

#[test]
fn replies_and_events_come_out_in_the_order_they_came_in() {
    let mut client = ready();
    let a = client.execute("a", NO_ARGUMENTS, None).unwrap();
    let b = client.execute("b", Some(&serde_json::json!({"x": 1})), None).unwrap();
    let input = b"{\"return\": 1, \"id\": 0}\r\n{\"event\": \"E\"}\r\n{\"error\": {\"class\": \"C\", \"desc\": \"d\"}, \"id\": 1}\r\n";
    client.handle_input(input).unwrap();
    assert!(
        matches!(client.poll_incoming(), Some(Incoming::Reply { id, result: Ok(_) }) if id == a)
    );
    assert!(matches!(client.poll_incoming(), Some(Incoming::Event(event)) if event.name == "E"));
    assert!(
        matches!(client.poll_incoming(), Some(Incoming::Reply { id, result: Err(_) }) if id == b)
    );
    assert!(client.poll_incoming().is_none());
}

#[test]
fn an_overdue_command_is_reported_once_and_its_late_reply_dropped() {
    let mut client = ready();
    let start = Instant::now();
    let deadline = start + Duration::from_secs(1);
    let id = client.execute("slow", NO_ARGUMENTS, Some(deadline)).unwrap();
    assert_eq!(client.poll_timeout(), Some(deadline));
    client.handle_timeout(start).unwrap();
    assert!(client.poll_incoming().is_none());
    client.handle_timeout(deadline).unwrap();
    assert!(
        matches!(client.poll_incoming(), Some(Incoming::Unknown { id: late, why: Unanswered::Overdue }) if late == id)
    );
    assert_eq!(client.poll_timeout(), None);
    client.handle_input(b"{\"return\": {}, \"id\": 0}").unwrap();
    assert!(client.poll_incoming().is_none());
}

#[test]
fn replies_with_unknown_ids_disturb_nothing() {
    let mut client = ready();
    client.handle_input(b"{\"return\": {}, \"id\": \"x\"} {\"return\": {}, \"id\": 9}").unwrap();
    client.handle_input(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"d\"}}").unwrap();
    assert!(matches!(client.poll_incoming(), Some(Incoming::Unattributed(_))));
    assert!(client.poll_incoming().is_none());
}

#[test]
fn a_silent_peer_and_one_that_does_not_greet_are_told_apart() {
    let deadline = Instant::now();
    let mut client = Client::new(Dialect::Qmp, Some(deadline));
    assert_eq!(client.poll_timeout(), Some(deadline));
    assert_eq!(client.handle_timeout(deadline), Err(ProtocolError::Silent));
    let mut client = Client::new(Dialect::Qmp, None);
    let error = client.handle_input(b"{\"return\": {}}{\"return\": {}}").unwrap_err();
    assert!(matches!(error, ProtocolError::NoGreeting { .. }), "{error}");
}

#[test]
fn the_answer_to_an_earlier_clients_last_command_is_not_taken_for_ones_own() {
    for (left_over, id) in [("{\"return\": 1}", "no id"), ("{\"return\": 1, \"id\": 0}", "ours")] {
        for before_the_greeting in [true, false] {
            let mut client = Client::new(Dialect::Qmp, None);
            let ours = client.execute("a", NO_ARGUMENTS, None).unwrap();
            let greeting = std::str::from_utf8(GREETING).unwrap();
            let input = match before_the_greeting {
                true => format!("{left_over}{greeting}"),
                false => format!("{greeting}{left_over}"),
            };
            client.handle_input(input.as_bytes()).unwrap();
            assert!(matches!(client.poll_incoming(), Some(Incoming::Greeting(_))), "{id}");
            assert!(client.poll_incoming().is_none(), "{id}");
            client.handle_input(NEGOTIATED).unwrap();
            client.handle_input(b"{\"return\": 2, \"id\": 0}").unwrap();
            let reply = client.poll_incoming();
            assert!(
                matches!(&reply, Some(Incoming::Reply { id, result: Ok(value) })
                    if *id == ours && value.get() == "2"),
                "{reply:?}"
            );
        }
    }
}

#[test]
fn a_refused_negotiation_ends_the_conversation() {
    let mut client = Client::new(Dialect::Qmp, None);
    client.handle_input(GREETING).unwrap();
    let refusal = b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": -1}";
    let error = client.handle_input(refusal).unwrap_err();
    assert!(matches!(error, ProtocolError::Negotiation(_)), "{error}");
}

#[test]
fn pending_commands_are_bounded() {
    let mut client = ready();
    for _ in 0..MAX_PENDING_COMMANDS {
        client.execute("a", NO_ARGUMENTS, None).unwrap();
    }
    assert_eq!(client.execute("a", NO_ARGUMENTS, None), Err(ExecuteError::Full));
}

fn outcomes(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.poll_incoming()).map(|it| format!("{it:?}")).collect()
}

#[test]
fn out_of_band_commands_never_wait_behind_a_full_queue() {
    let mut client = Client::new(Dialect::QmpWithOob, None);
    client.handle_input(GREETING).unwrap();
    assert_eq!(
        transmit(&mut client),
        "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]},\"id\":-1}\n"
    );
    client.handle_input(NEGOTIATED).unwrap();
    for _ in 0..OOB_IN_FLIGHT + 2 {
        client.execute("a", NO_ARGUMENTS, None).unwrap();
    }
    assert_eq!(transmit(&mut client).matches("execute").count(), OOB_IN_FLIGHT);
    client.execute_oob("yank", NO_ARGUMENTS, None).unwrap();
    assert_eq!(transmit(&mut client), "{\"exec-oob\":\"yank\",\"id\":9}\n");
    client.handle_input(b"{\"return\": {}, \"id\": 9}").unwrap();
    assert_eq!(transmit(&mut client), "", "an out-of-band reply makes no room");
    client.handle_input(b"{\"return\": {}, \"id\": 0}").unwrap();
    assert_eq!(transmit(&mut client), "{\"execute\":\"a\",\"id\":7}\n");
}

#[test]
fn out_of_band_must_be_offered_and_asked_for() {
    let mut client = ready();
    assert_eq!(client.execute_oob("yank", NO_ARGUMENTS, None), Err(ExecuteError::NoOob));
    let mut client = Client::new(Dialect::QmpWithOob, None);
    let old = String::from_utf8(GREETING.to_vec()).unwrap().replace("\"oob\"", "");
    client.handle_input(old.as_bytes()).unwrap();
    assert_eq!(transmit(&mut client), "{\"execute\":\"qmp_capabilities\",\"id\":-1}\n");
    assert_eq!(client.execute_oob("yank", NO_ARGUMENTS, None), Err(ExecuteError::NoOob));
}

#[test]
fn a_cancelled_command_disturbs_nothing_when_its_reply_comes() {
    let mut client = ready();
    let id = client.execute("a", NO_ARGUMENTS, Some(Instant::now())).unwrap();
    client.execute("b", NO_ARGUMENTS, None).unwrap();
    client.cancel(id);
    assert_eq!(client.poll_timeout(), None);
    client.handle_input(b"{\"return\": 1, \"id\": 0}{\"return\": 2, \"id\": 1}").unwrap();
    assert_eq!(outcomes(&mut client).len(), 1);
}

#[test]
fn a_close_tells_what_was_sent_from_what_was_not() {
    let mut client = Client::new(Dialect::QmpWithOob, None);
    client.handle_input(GREETING).unwrap();
    client.handle_input(NEGOTIATED).unwrap();
    client.poll_incoming();
    for _ in 0..=OOB_IN_FLIGHT {
        client.execute("a", NO_ARGUMENTS, None).unwrap();
    }
    let last_sent = client.execute_oob("yank", NO_ARGUMENTS, None).unwrap();
    client.cancel(last_sent);
    client.handle_close();
    let outcomes = outcomes(&mut client);
    assert_eq!(outcomes.len(), OOB_IN_FLIGHT + 1);
    assert!(outcomes[..OOB_IN_FLIGHT].iter().all(|it| it.contains("Closed")), "{outcomes:?}");
    assert!(outcomes[OOB_IN_FLIGHT].contains("NotSent"), "{outcomes:?}");
}

#[test]
fn events_before_the_greeting_are_events() {
    let mut client = Client::new(Dialect::Qmp, None);
    client.handle_input(b"{\"event\": \"EARLY\"}").unwrap();
    client.handle_input(GREETING).unwrap();
    let outcomes = outcomes(&mut client);
    assert!(outcomes[0].contains("EARLY") && outcomes[1].contains("Greeting"), "{outcomes:?}");
}

#[test]
fn a_reply_with_numbers_that_json_cannot_have_is_a_reply() {
    let mut client = ready();
    client.execute("a", NO_ARGUMENTS, None).unwrap();
    client.handle_input(b"{\"return\": {\"rate\": inf}, \"id\": 0}\r\n").unwrap();
    let Some(Incoming::Reply { result: Ok(value), .. }) = client.poll_incoming() else { panic!() };
    assert_eq!(value.get(), "{\"rate\": null}");
    let error = client.handle_input(b"{\"return\": infinity}\r\n").unwrap_err();
    assert!(matches!(error, ProtocolError::Message { .. }), "{error}");
}

#[test]
fn an_agent_is_brought_in_step_and_asked_one_thing_at_a_time() {
    let mut client = Client::new(Dialect::Agent { token: 42 }, None);
    client.execute("guest-ping", NO_ARGUMENTS, None).unwrap();
    client.execute("guest-info", NO_ARGUMENTS, None).unwrap();
    assert_eq!(client.poll_transmit()[0], 0xff);
    assert!(transmit(&mut client).ends_with("guest-sync-delimited\",\"arguments\":{\"id\":42}}\n"));
    // Left from an earlier client: half an answer, and the answer to its synchronization.
    client.handle_input(b"half\": 1}\n\xff{\"return\": 41}\n").unwrap();
    assert!(client.poll_incoming().is_none());
    client.handle_input(b"\xff{\"return\": 42}\n").unwrap();
    assert!(matches!(client.poll_incoming(), Some(Incoming::Synchronized)));
    assert_eq!(transmit(&mut client), "{\"execute\":\"guest-ping\"}\n");
    client.handle_input(b"{\"return\": {}}\n").unwrap();
    assert_eq!(transmit(&mut client), "{\"execute\":\"guest-info\"}\n");
    client.handle_input(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n").unwrap();
    let outcomes = outcomes(&mut client);
    assert!(outcomes[0].contains("Ok(") && outcomes[1].contains("Err("), "{outcomes:?}");
}

#[test]
fn nothing_of_ours_is_null_and_ids_are_small_numbers() {
    let mut client = ready();
    client.execute("a", Some(&()), None).unwrap();
    assert_eq!(transmit(&mut client), "{\"execute\":\"a\",\"id\":0}\n");
    // 0.14.1 gives numbers back as they came up to 2^63 - 1, and that one for any larger.
    client.next_id = u32::MAX;
    client.execute("b", NO_ARGUMENTS, None).unwrap();
    client.execute("c", NO_ARGUMENTS, None).unwrap();
    let sent = transmit(&mut client);
    assert_eq!(sent, "{\"execute\":\"b\",\"id\":4294967295}\n{\"execute\":\"c\",\"id\":0}\n");
}

/// The lines of 0.14.1, whose monitor is dead after a stray brace until one connects anew.
#[test]
fn a_monitor_of_0_14_that_went_silent_is_told_and_met_again() {
    const GREETING_0_14: &[u8] = b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 1, \"minor\": 14, \"major\": 0}, \"package\": \"\"}, \"capabilities\": []}}\r\n";
    const UNPARSED: &[u8] = b"{\"error\": {\"class\": \"JSONParsing\", \"desc\": \"Invalid JSON syntax\", \"data\": {}}}\r\n";
    let mut client = Client::new(Dialect::QmpWithOob, None);
    client.handle_input(GREETING_0_14).unwrap();
    assert_eq!(transmit(&mut client), "{\"execute\":\"qmp_capabilities\",\"id\":-1}\n");
    client.handle_input(NEGOTIATED).unwrap();
    assert!(matches!(client.poll_incoming(), Some(Incoming::Greeting(_))));
    let start = Instant::now();
    let id = client.execute("query-status", NO_ARGUMENTS, Some(start)).unwrap();
    client.handle_input(UNPARSED).unwrap();
    let Some(Incoming::Unattributed(error)) = client.poll_incoming() else { panic!() };
    assert_eq!(error.class, "JSONParsing");
    client.handle_timeout(start).unwrap();
    let Some(Incoming::Unknown { id: overdue, why: Unanswered::Overdue }) = client.poll_incoming()
    else {
        panic!()
    };
    assert_eq!(overdue, id);
    client.handle_close();
    client.begin_anew(Dialect::Qmp, None);
    client.handle_input(GREETING_0_14).unwrap();
    client.handle_input(NEGOTIATED).unwrap();
    transmit(&mut client);
    client.execute("query-status", NO_ARGUMENTS, None).unwrap();
    client
        .handle_input(b"{\"return\": {\"singlestep\": false, \"running\": true}, \"id\": 1}\r\n")
        .unwrap();
    assert!(matches!(client.poll_incoming(), Some(Incoming::Greeting(_))));
    assert!(matches!(client.poll_incoming(), Some(Incoming::Reply { result: Ok(_), .. })));
}
