use proptest::prelude::*;

use super::*;

fn token(byte: u8) -> Token {
    Token::new([byte; 16])
}

fn pair() -> (Streams, Streams) {
    (Streams::new(End::Host, &token(1)), Streams::new(End::Agent, &token(1)))
}

/// Moves what waits, in pieces of this size, until nothing moves any more.
fn settle(host: &mut Streams, agent: &mut Streams, piece: usize) {
    loop {
        let (up, down) = (host.poll_transmit(), agent.poll_transmit());
        if up.is_none() && down.is_none() {
            return;
        }
        for part in up.unwrap_or_default().chunks(piece) {
            agent.handle_input(part).unwrap();
        }
        for part in down.unwrap_or_default().chunks(piece) {
            host.handle_input(part).unwrap();
        }
    }
}

fn read_all(streams: &mut Streams, number: u32) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 777];
    while let Read::Bytes(count) = streams.read(number, &mut buffer) {
        all.extend_from_slice(&buffer[..count]);
    }
    all
}

#[test]
fn a_host_sends_nothing_before_the_agent_has_opened() {
    let (mut host, mut agent) = pair();
    host.open(7).unwrap();
    settle(&mut host, &mut agent, 5);
    assert_eq!(host.write(7, b"early"), Write::Wait);
    agent.open(7).unwrap();
    settle(&mut host, &mut agent, 5);
    assert_eq!(host.write(7, b"hello"), Write::Taken(5));
    host.finish(7);
    settle(&mut host, &mut agent, 1);
    assert_eq!(read_all(&mut agent, 7), b"hello");
    assert_eq!(agent.read(7, &mut [0; 8]), Read::End);
}

#[test]
fn an_end_that_is_said_early_is_heard_when_the_agent_has_opened() {
    let (mut host, mut agent) = pair();
    for number in [1, 2, 3] {
        host.open(number).unwrap();
    }
    host.finish(1);
    host.close(2, "never mind");
    host.forget(3);
    settle(&mut host, &mut agent, 50);
    for number in [1, 2, 3] {
        agent.open(number).unwrap();
    }
    settle(&mut host, &mut agent, 50);
    assert_eq!(agent.read(1, &mut [0]), Read::End);
    assert_eq!(agent.read(2, &mut [0]), Read::Aborted("never mind".to_owned()));
    assert_eq!(agent.read(3, &mut [0]), Read::Wait);
    assert_eq!(host.streams.len(), 1);
}

#[test]
fn a_stream_that_lost_bytes_on_its_way_is_never_a_whole_one() {
    // Its only frame, its first half, its last one.
    for lost in [0..3, 0..1, 2..3] {
        let (mut host, mut agent) = pair();
        host.open(1).unwrap();
        agent.open(1).unwrap();
        settle(&mut host, &mut agent, 4096);
        let mut frames = Vec::new();
        for part in [b"one", b"two", b"six"] {
            assert_eq!(agent.write(1, part), Write::Taken(3));
            frames.push(agent.poll_transmit().unwrap());
        }
        agent.finish(1);
        let end = agent.poll_transmit().unwrap();
        frames.drain(lost.clone());
        for frame in frames {
            host.handle_input(&frame).unwrap();
        }
        host.handle_input(&end).unwrap();
        let came = 9 - 3 * lost.len();
        let reason = format!("{came} of 9 bytes came");
        assert_eq!(host.read(1, &mut [0; 16]), Read::Aborted(reason));
    }
}

#[test]
fn an_agent_sends_a_window_at_once_and_more_as_it_is_read() {
    let (mut host, mut agent) = pair();
    host.open(1).unwrap();
    agent.open(1).unwrap();
    let block = vec![9; MAX_PAYLOAD];
    let mut sent = 0;
    let mut send = |agent: &mut Streams, host: &mut Streams| {
        while let Write::Taken(count) = agent.write(1, &block) {
            sent += count;
            settle(host, agent, 4096);
        }
        sent
    };
    assert_eq!(send(&mut agent, &mut host), WINDOW);
    assert_eq!(read_all(&mut host, 1).len(), WINDOW);
    settle(&mut host, &mut agent, 4096);
    // What was read last is granted with what is read next.
    assert!(send(&mut agent, &mut host) > 2 * WINDOW - GRANT);
}

#[test]
fn a_writer_waits_while_the_port_is_full() {
    let (_, mut agent) = pair();
    agent.open(1).unwrap();
    let block = vec![0; MAX_PAYLOAD];
    while agent.write(1, &block) != Write::Wait {}
    assert!(agent.poll_transmit().unwrap().len() < HIGH_WATER + 2 * MAX_PAYLOAD);
    assert_eq!(agent.write(1, &block), Write::Taken(MAX_PAYLOAD));
}

#[test]
fn a_stream_that_nobody_reads_holds_up_no_other() {
    let (mut host, mut agent) = pair();
    for number in [1, 2] {
        host.open(number).unwrap();
        agent.open(number).unwrap();
    }
    while let Write::Taken(_) = agent.write(1, &[1; 4096]) {
        settle(&mut host, &mut agent, 4096);
    }
    assert_eq!(agent.write(2, b"through"), Write::Taken(7));
    settle(&mut host, &mut agent, 4096);
    assert_eq!(read_all(&mut host, 2), b"through");
}

#[test]
fn closing_early_tells_the_peer_why_and_late_frames_are_passed_over() {
    let (mut host, mut agent) = pair();
    host.open(3).unwrap();
    agent.open(3).unwrap();
    settle(&mut host, &mut agent, 100);
    assert_eq!(host.write(3, b"data"), Write::Taken(4));
    agent.close(3, "no space left");
    settle(&mut host, &mut agent, 100);
    assert_eq!(host.write(3, b"more"), Write::Aborted("no space left".to_owned()));
    host.close(3, "");
    settle(&mut host, &mut agent, 100);
    assert!(host.streams.is_empty() && agent.streams.is_empty());
}

#[test]
fn a_peer_that_breaks_the_rules_ends_all_streams() {
    let frame = |kind: u8, number: u32, payload: &[u8]| {
        let mut bytes = token(1).mark().to_vec();
        bytes.push(kind);
        bytes.extend(number.to_le_bytes());
        bytes.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        bytes.extend(payload);
        bytes
    };
    let mut flood = Vec::new();
    for _ in 0..=WINDOW / MAX_PAYLOAD {
        let mut one = frame(1, 1, &[0; MAX_PAYLOAD]);
        flood.extend(one.split_off(if flood.is_empty() { 0 } else { token(1).mark().len() }));
    }
    for (bytes, fault) in [
        (frame(9, 1, b""), Fault::Kind(9)),
        (frame(2, 1, b"x"), Fault::Length(1)),
        (frame(4, 1, b"x"), Fault::Length(1)),
        (flood, Fault::Overrun(1)),
    ] {
        let (_, mut agent) = pair();
        agent.open(1).unwrap();
        assert_eq!(agent.handle_input(&bytes), Err(fault.clone()));
        assert_eq!(agent.read(1, &mut [0]), Read::Aborted(fault.to_string()));
        assert_eq!(agent.handle_input(b"more"), Err(fault));
    }
}

#[test]
fn there_are_only_so_many_streams_and_each_number_once() {
    let (mut host, _) = pair();
    for number in 0..MAX_STREAMS {
        host.open(u32::try_from(number).unwrap()).unwrap();
    }
    assert_eq!(host.open(0), Err(OpenError::InUse(0)));
    assert_eq!(host.open(999), Err(OpenError::TooMany));
}

#[test]
fn what_was_said_before_the_mark_is_passed_over() {
    let mut old = Streams::new(End::Agent, &token(2));
    old.open(1).unwrap();
    let _ = old.write(1, b"stale");
    let (mut host, mut agent) = pair();
    host.open(1).unwrap();
    agent.open(1).unwrap();
    host.handle_input(&old.poll_transmit().unwrap()).unwrap();
    assert!(!host.has_met());
    let _ = agent.write(1, b"fresh");
    settle(&mut host, &mut agent, 9);
    assert!(host.has_met());
    assert_eq!(read_all(&mut host, 1), b"fresh");
}

proptest! {
    #[test]
    fn nothing_that_comes_from_the_port_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (_, mut agent) = pair();
        agent.open(0).unwrap();
        agent.handle_input(&token(1).mark()).unwrap();
        let _ = agent.handle_input(&bytes);
        let _ = agent.read(0, &mut [0; 16]);
    }

    #[test]
    fn bytes_arrive_as_they_were_sent_however_they_are_cut(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        piece in 1_usize..50,
    ) {
        let (mut host, mut agent) = pair();
        host.open(5).unwrap();
        agent.open(5).unwrap();
        settle(&mut host, &mut agent, piece);
        let mut rest = &content[..];
        while let (false, Write::Taken(count)) = (rest.is_empty(), host.write(5, rest)) {
            rest = &rest[count..];
        }
        host.finish(5);
        settle(&mut host, &mut agent, piece);
        prop_assert_eq!(read_all(&mut agent, 5), content);
    }
}
