use std::sync::mpsc::{self, Receiver, Sender};

use super::*;

/// Longer than any of this takes.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// A reader that takes a text only when it is let to.
struct Slow {
    go: Receiver<()>,
    taken: Sender<String>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go.recv().map_err(|_| ErrorKind::BrokenPipe)?;
        self.taken.send(String::from_utf8(bytes.to_vec()).unwrap()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slow(bound: usize) -> (Aside, Sender<()>, Receiver<String>) {
    let (go, may_go) = mpsc::channel();
    let (taken, texts) = mpsc::channel();
    let writer = Slow { go: may_go, taken };
    (Aside::new(writer, bound, |count| format!("({count})\n")), go, texts)
}

/// Waits until the thread has taken all that waits, and so is at its reader's mercy.
fn wait_until_in_hand(aside: &Aside) {
    while !aside.0.0.lock().waiting.is_empty() {
        thread::yield_now();
    }
}

#[test]
fn a_reader_that_does_not_read_holds_nobody_up() {
    let (aside, go, texts) = slow(8);
    aside.put(b"first\n");
    wait_until_in_hand(&aside);
    aside.put(b"2\n");
    aside.put(b"too long\n");
    aside.put(b"x\n");
    assert_eq!(aside.missing(), 2, "8 bytes wait at most");
    assert!(!aside.is_written());
    let error = aside.drain(Some(Duration::from_millis(10))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    (0..2).for_each(|_| go.send(()).unwrap());
    aside.drain(PATIENCE).unwrap();
    assert!(aside.is_written());
    let written: Vec<_> = texts.try_iter().collect();
    assert_eq!(written, ["first\n", "2\n(2)\n"]);
}

#[test]
fn a_mark_stands_where_texts_are_missing() {
    let (aside, go, texts) = slow(8);
    aside.put(b"first\n");
    wait_until_in_hand(&aside);
    aside.put(b"too long\n");
    go.send(()).unwrap();
    assert_eq!(texts.recv().unwrap(), "first\n");
    go.send(()).unwrap();
    assert_eq!(texts.recv().unwrap(), "(1)\n");
    aside.drain(PATIENCE).unwrap();
    aside.put(b"one that is longer than the bound\n");
    go.send(()).unwrap();
    assert_eq!(texts.recv().unwrap(), "one that is longer than the bound\n");
}

#[test]
fn a_writer_that_fails_is_told_of_once() {
    let (aside, go, _texts) = slow(8);
    drop(go);
    aside.put(b"a\n");
    assert_eq!(aside.drain(PATIENCE).unwrap_err().kind(), ErrorKind::BrokenPipe);
    aside.put(b"b\n");
    assert!(aside.is_written() && aside.drain(PATIENCE).is_ok());
}

#[test]
fn what_was_put_down_is_written_after_the_last_clone_is_gone() {
    let (aside, go, texts) = slow(80);
    aside.put(b"a\n");
    wait_until_in_hand(&aside);
    aside.put(b"b\n");
    drop(aside.clone());
    drop(aside);
    (0..2).for_each(|_| go.send(()).unwrap());
    assert_eq!(texts.iter().collect::<String>(), "a\nb\n", "and then the thread ends");
}
