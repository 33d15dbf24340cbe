//! The conversation: begun anew, side by side, and in the face of rubbish.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use qplug_agent::meeting::{Seek, Token};
use qplug_agent::wire::{AddEntropy, Ended, Line, PROTOCOL, QueryAgent, Run, SetTime};

use super::room::Room;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Reads until the text is there.
fn read_until(stream: &mut UnixStream, text: &str) -> String {
    let mut all = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&all).contains(text) {
        stream.read_exact(&mut byte).unwrap_or_else(|error| {
            panic!("{error} before {text}: {}", String::from_utf8_lossy(&all))
        });
        all.push(byte[0]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn whoever_comes_is_greeted_whatever_was_said_before() {
    for mut room in Room::each("whoever_comes_is_greeted_whatever_was_said_before").await {
        let info = room.ask(&QueryAgent {}).await;
        assert_eq!((info.protocol, info.complaints), (PROTOCOL, Vec::new()));
        // The product's own connection is let go of.
        drop(room.appliance.take());
        for round in 0..5_u8 {
            let mut stream = UnixStream::connect(room.place().join("agent.0")).unwrap();
            stream.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
            stream.write_all(b"\xff}}]]{{ \"execute\": rubbish \xff{'execute': ").unwrap();
            let token = Token::new([round; 16]);
            stream.write_all(&token.mark()).unwrap();
            let mut seek = Seek::new(&token);
            let mut byte = [0];
            while seek.take(&byte).is_none() {
                stream.read_exact(&mut byte).unwrap();
            }
            read_until(&mut stream, "\"package\": \"qplug-agent\"");
            read_until(&mut stream, "\r\n");
            let early = b"{'execute': 'query-agent'}";
            stream.write_all(early).unwrap();
            assert!(read_until(&mut stream, "\r\n").contains("CommandNotFound"));
            let negotiate = b"{'execute': 'qmp_capabilities', 'arguments': {'enable': ['oob']}}";
            stream.write_all(negotiate).unwrap();
            read_until(&mut stream, "\r\n");
            stream.write_all(b"{'exec-oob': 'no-such-command', 'id': 1}").unwrap();
            assert!(read_until(&mut stream, "\r\n").contains("CommandNotFound"));
            // Left in the middle of a message.
            stream.write_all(b"{'execute': 'query-").unwrap();
        }
    }
}

#[tokio::test]
async fn programs_are_run_with_their_output_input_and_end() {
    for room in Room::each("programs_are_run_with_their_output_input_and_end").await {
        let files = room.files().await;
        assert_eq!(room.run(&files, 1, "echo a  'b  c' $((6 * 7)) >&2").await, "a b  c 42\n");
        let run = |line: &str, stdout, stdin| Run {
            command: Line::Shell(line.to_owned()),
            stdout,
            stderr: None,
            stdin,
        };
        let (output, input) = (files.open(2), files.open(3));
        let output = tokio::task::spawn_blocking(move || output.receive().unwrap());
        let sending = tokio::task::spawn_blocking(move || input.send(b"one\ntwo\n"));
        let line = "while read -r it; do echo \"<$it>\"; done; exit 7";
        let ended = room.ask(&run(line, 2, Some(3))).await;
        assert_eq!(ended, Ended { status: Some(7), signal: None });
        sending.await.unwrap();
        assert_eq!(output.await.unwrap(), b"<one>\n<two>\n");
        files.open(4);
        let ended = room.ask(&run("kill -9 $$", 4, None)).await;
        assert_eq!(ended, Ended { status: None, signal: Some(9) });
        // Nobody wants the output any more: the program is ended, however long it would go on.
        let output = files.open(5);
        let breaking = tokio::task::spawn_blocking(move || {
            let mut output = output;
            output.read_exact(&mut [0; 3]).unwrap();
            output.abort("enough");
        });
        let ended =
            room.ask(&run("echo go; while :; do read -r it </dev/disk; done", 5, None)).await;
        breaking.await.unwrap();
        assert_eq!(ended.signal, Some(9));
        // A program may close its output and go on, and what it leaves behind holds up nobody.
        let output = files.open(7);
        let output = tokio::task::spawn_blocking(move || output.receive().unwrap());
        let line = "echo first; exec >&- 2>&-; read -r it; test \"$it\" = more; exit $?";
        let input = files.open(8);
        let sending = tokio::task::spawn_blocking(move || input.send(b"more\n"));
        let ended = room.ask(&run(line, 7, Some(8))).await;
        assert_eq!(ended, Ended { status: Some(0), signal: None });
        assert_eq!(output.await.unwrap(), b"first\n");
        sending.await.unwrap();
        let output = files.open(9);
        let output = tokio::task::spawn_blocking(move || output.receive().unwrap());
        let line = "sh -c 'kill -STOP $$' & echo left";
        let ended = room.ask(&run(line, 9, None)).await;
        assert_eq!(ended, Ended { status: Some(0), signal: None });
        assert_eq!(output.await.unwrap(), b"left\n");
        let none = Run { command: Line::Words(vec!["no-such".into()]), ..run("", 6, None) };
        files.open(6);
        assert!(room.try_ask(&none).await.unwrap_err().to_string().contains("no program no-such"));
    }
}

#[tokio::test]
async fn the_clock_is_set_and_random_numbers_are_stirred() {
    for room in Room::each("the_clock_is_set_and_random_numbers_are_stirred").await {
        let time_us = 2_000_000_000_000_000;
        room.ask(&SetTime { time_us }).await;
        let info = room.ask(&QueryAgent {}).await;
        assert!((time_us..time_us + 60_000_000).contains(&info.time_us), "{}", info.time_us);
        room.ask(&AddEntropy { base64: "c29tZSBieXRlcw==".to_owned() }).await;
        assert!(room.try_ask(&AddEntropy { base64: "!".to_owned() }).await.is_err());
    }
}
