//! What the fuzz targets do with bytes. `tests/corpus.rs` does it too, with the committed corpus.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use qplug_proto::{
    Client, CommandId, Dialect, Generation, Greeting, Incoming, QemuVersion, Request, Server,
};
use serde_json::value::RawValue;

const GREETING: &[u8] = b"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n{\"return\": {}, \"id\": -1}\r\n";

/// A server's bytes: the client learns the same of them whole and in pieces, and every command has
/// one end. The first byte says how the bytes are cut.
pub fn client(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let oob = first & 1 == 1;
    let whole = learned(oob, bytes, usize::MAX);
    let pieces = learned(oob, bytes, usize::from(first / 2) + 1);
    assert_eq!(whole, pieces);
}

fn learned(oob: bool, bytes: &[u8], piece: usize) -> (Vec<String>, bool) {
    let dialect = if oob { Dialect::QmpWithOob } else { Dialect::Qmp };
    let mut client = Client::new(dialect, None);
    client.handle_input(GREETING).expect("the greeting is one");
    let given: Vec<_> =
        (0..12).filter_map(|_| client.execute("a", None::<&()>, None).ok()).collect();
    client.cancel(given[3]);
    let mut learned = Vec::new();
    let mut is_broken = false;
    // Until its line ends, a message with a part of another behind it may wait for the rest.
    for piece in bytes.chunks(piece).chain([&b"\n"[..]]) {
        is_broken = client.handle_input(piece).is_err();
        learned.extend(std::iter::from_fn(|| client.poll_incoming()));
        if is_broken {
            break;
        }
    }
    client.handle_close();
    learned.extend(std::iter::from_fn(|| client.poll_incoming()));
    let mut ended = BTreeSet::new();
    for id in learned.iter().filter_map(end) {
        assert!(ended.insert(id), "{id:?} ended twice");
    }
    let all = given.iter().all(|id| ended.contains(id) || *id == given[3]);
    assert!(all, "a command without an end");
    (learned.iter().map(|learned| format!("{learned:?}")).collect(), is_broken)
}

fn end(incoming: &Incoming) -> Option<CommandId> {
    match incoming {
        Incoming::Reply { id, .. } | Incoming::Unknown { id, .. } | Incoming::NotSent(id) => {
            Some(*id)
        }
        _ => None,
    }
}

/// A client's bytes: the server answers the same to them whole and in pieces, in JSON, and can be
/// got through to afterwards. The first byte says how the bytes are cut.
pub fn server(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let piece = usize::from(first / 2) + 1;
    let start = "{\"execute\":\"qmp_capabilities\"}";
    assert_eq!(
        answered(new_server(), start, bytes, usize::MAX),
        answered(new_server(), start, bytes, piece)
    );
    // With these, how the bytes come may change what overtakes what.
    let start = "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}";
    answered(new_server(), start, bytes, piece);
    answered(new_server(), "", bytes, piece);
    answered(Server::agent(), "", bytes, piece);
    let start = "{\"execute\":\"qmp_capabilities\"}";
    for generation in [Generation::V1_2, Generation::V2_5, Generation::V2_9] {
        answered(server_of(generation), start, bytes, piece);
    }
    // Of 0.14 no byte makes sure that it can be got through to.
    let whole = said(&mut server_of(Generation::V0_14), start, bytes, usize::MAX);
    assert_eq!(whole, said(&mut server_of(Generation::V0_14), start, bytes, piece));
}

fn server_of(generation: Generation) -> Server {
    Server::of(generation, Greeting::default())
}

fn new_server() -> Server {
    Server::new(Greeting {
        version: QemuVersion { major: 7, minor: 2, micro: 0 },
        package: String::new(),
        capabilities: vec!["oob".to_owned()],
    })
}

fn answered(mut server: Server, start: &str, bytes: &[u8], piece: usize) -> Vec<u8> {
    let output = said(&mut server, start, bytes, piece);
    let last = output.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_end = last.windows(11).any(|bytes| bytes == b"\"id\": \"end\"");
    assert!(is_end, "{}", output.escape_ascii());
    output
}

/// All that the server says to these bytes, which is JSON.
fn said(server: &mut Server, start: &str, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let end = b"\xff{\"execute\":\"a\",\"id\":\"end\"}";
    for piece in [start.as_bytes()].into_iter().chain(bytes.chunks(piece)).chain([&end[..]]) {
        server.handle_input(piece);
        while let Some(Request { id, .. }) = server.poll_request() {
            server.reply(id, Ok(RawValue::from_string("{}".to_owned()).expect("it is JSON")));
        }
        output.extend(server.poll_transmit().unwrap_or_default());
        assert!(server.wants_input());
    }
    for line in output.split(|byte| *byte == b'\n').map(|line| line.trim_ascii()) {
        let line = line.strip_prefix(b"\xff").unwrap_or(line);
        let is_json = serde_json::from_slice::<&RawValue>(line).is_ok();
        assert!(line.is_empty() || is_json, "{}", line.escape_ascii());
    }
    output
}

/// Each byte is something that happens to a client and a server that talk to each other.
pub fn pair(data: &[u8]) {
    let Some((&first, ops)) = data.split_first() else { return };
    let dialect = if first & 1 == 1 { Dialect::QmpWithOob } else { Dialect::Qmp };
    let mut now = Instant::now();
    let (mut client, mut server) = (Client::new(dialect, None), new_server());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let mut given = Vec::new();
    let mut held: Vec<Request> = Vec::new();
    let mut learned = Vec::new();
    for (number, op) in ops.iter().enumerate() {
        let count = usize::from(op >> 3);
        match op & 7 {
            0 => given.extend(client.execute(&format!("c{number}"), None::<&()>, None)),
            1 => given.extend(client.execute_oob(&format!("c{number}"), None::<&()>, None)),
            2 => {
                let deadline = now + Duration::from_millis(count as u64);
                given.extend(client.execute(&format!("c{number}"), None::<&()>, Some(deadline)));
            }
            3 => up
                .drain(..up.len().min(count * 4))
                .for_each(|byte: u8| server.handle_input(&[byte])),
            4 => {
                let bytes: Vec<u8> = down.drain(..down.len().min(count * 4)).collect();
                client.handle_input(&bytes).expect("our server speaks QMP");
            }
            5 => held.extend(server.poll_request()),
            6 if !held.is_empty() => {
                let request = held.remove(count % held.len());
                let value = RawValue::from_string(format!("\"{}\"", request.command));
                server.reply(request.id, Ok(value.expect("it is JSON")));
            }
            _ => {
                now += Duration::from_millis(count as u64);
                client.handle_timeout(now).expect("there is no deadline for the greeting");
                server.handle_timeout(now);
            }
        }
        up.extend_from_slice(client.poll_transmit());
        client.handle_transmitted(client.poll_transmit().len());
        down.extend(server.poll_transmit().unwrap_or_default());
        assert!(held.iter().filter(|request| !request.out_of_band).count() <= 1);
        learned.extend(std::iter::from_fn(|| client.poll_incoming()));
    }
    client.handle_close();
    learned.extend(std::iter::from_fn(|| client.poll_incoming()));
    let ended: Vec<_> = learned.iter().filter_map(end).collect();
    let once: BTreeSet<_> = ended.iter().copied().collect();
    assert_eq!((ended.len(), once.len()), (given.len(), given.len()), "{learned:?}");
}
