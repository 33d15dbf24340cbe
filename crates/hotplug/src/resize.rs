//! Giving a disk another size while the guest uses it.

use std::time::Instant;

use serde::Serialize;

use crate::command::{self, Command};
use crate::dialect::{Ability, Features};
use crate::error::{After, Error};
use crate::observe::{Look, Observer};
use crate::operation::{Answer, Operation};
use crate::texts::Meaning;

/// What sizes are multiples of, in bytes: a sector.
const SECTOR_BYTES: u64 = 512;

/// What a step does.
const RESIZE: &str = "give the disk another size";

/// A size to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Bytes(u64),
    /// So many bytes more than now.
    Plus(u64),
}

/// A disk that has the size that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resized {
    /// The disk.
    pub name: String,
    /// Its size before, in bytes; absent where the machine does not tell (QEMU before 1.6).
    pub before: Option<u64>,
    /// Its size now, in bytes.
    pub bytes: u64,
}

/// A resize under way.
#[derive(Debug)]
pub struct Resize {
    name: String,
    size: Size,
    shrink: bool,
    observer: Observer,
    outbox: Option<Command>,
    resized: Resized,
    outcome: Option<Result<Resized, Error>>,
}

impl Resize {
    /// A resize of the disk of this name, or of the device of this id. A disk is made smaller only
    /// with `shrink`: what lies behind its new end is lost, and QEMU does not ask.
    #[must_use]
    pub fn new(name: &str, size: Size, shrink: bool) -> Self {
        let mut observer = Observer::default();
        observer.look([Look::Blocks]);
        let resized = Resized { name: name.to_owned(), before: None, bytes: 0 };
        Self { name: name.to_owned(), size, shrink, observer, outbox: None, resized, outcome: None }
    }

    fn begin(&mut self) -> Result<(), Error> {
        let blocks = self.observer.observed.blocks.as_ref();
        let device = blocks.and_then(|blocks| blocks.device(&self.name));
        let Some(node) = device.and_then(|device| device.node) else {
            let known = blocks.iter().flat_map(|blocks| blocks.devices());
            let known = known.filter(|it| it.node.is_some()).map(|it| it.id.to_owned()).collect();
            return Err(Error::NoSuchDevice { name: self.name.clone(), known });
        };
        let before = node.bytes();
        let bytes = match self.size {
            Size::Bytes(bytes) => bytes,
            Size::Plus(more) => before
                .ok_or_else(|| self.observer.observed.features.lacks(Ability::Sizes))?
                .saturating_add(more),
        };
        if let Some(why) = self.unfit(bytes, before, node.read_only) {
            return Err(Error::SizeUnfit { name: self.name.clone(), bytes, why });
        }
        (self.resized.before, self.resized.bytes) = (before, bytes);
        if Some(bytes) == before {
            self.outcome = Some(Ok(self.resized.clone()));
        } else {
            self.outbox = Some(match self.observer.observed.features.has_drives() {
                true => command::resize_drive(&node.name, bytes),
                false => command::resize(&node.name, bytes),
            });
        }
        Ok(())
    }

    /// Why the disk cannot have this size.
    fn unfit(&self, bytes: u64, before: Option<u64>, read_only: bool) -> Option<String> {
        if !bytes.is_multiple_of(SECTOR_BYTES) {
            return Some(format!("it is no multiple of {SECTOR_BYTES}"));
        }
        if before.is_none_or(|before| bytes < before) && !self.shrink {
            let now = before.map_or_else(
                || "this QEMU does not tell how many it has now".to_owned(),
                |before| format!("it has {before} now"),
            );
            return Some(format!(
                "{now}, and what lies behind the new end would be lost. If you mean it, shrink the \
                 file system first, then give --shrink"
            ));
        }
        (before != Some(bytes) && read_only).then(|| "it is read-only".to_owned())
    }

    fn handle_resized(&self, answer: Answer) -> Result<Resized, Error> {
        match answer {
            Answer::Returned(_) => Ok(self.resized.clone()),
            Answer::Refused(reply) => {
                let meaning = Meaning::of(&reply);
                Err(Error::Refused { doing: RESIZE, reply, meaning, after: After::Unchanged })
            }
            Answer::Lost(why) => {
                Err(Error::Unknown { name: self.name.clone(), doing: RESIZE, why })
            }
            Answer::NotSent(why) => {
                Err(Error::NotSent { doing: RESIZE, why, after: After::Unchanged })
            }
        }
    }
}

impl Operation for Resize {
    type Outcome = Result<Resized, Error>;

    fn speak(&mut self, features: &Features) {
        self.observer.speak(features);
    }

    fn poll_transmit(&mut self) -> Option<Command> {
        self.observer.poll_transmit().or_else(|| self.outbox.take())
    }

    fn handle_answer(&mut self, answer: Answer, _now: Instant) {
        if self.observer.is_done() {
            self.outcome = Some(self.handle_resized(answer));
            return;
        }
        let begun = match self.observer.handle_answer(answer) {
            Ok(()) if self.observer.is_done() => self.begin(),
            looked => looked,
        };
        if let Err(error) = begun {
            self.outcome = Some(Err(error));
        }
    }

    fn poll_outcome(&mut self) -> Option<Self::Outcome> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::script::Happens::{self, Answer, Lost};
    use crate::operation::script::play;

    const BLOCKS: &str = r#"[{"device": "", "qdev": "/machine/peripheral/data/virtio-backend", "inserted":
        {"node-name": "data.format", "drv": "raw", "file": "/a", "ro": false, "image": {"virtual-size": 1024}}}]"#;

    fn resize(size: Size, shrink: bool, steps: Vec<Happens>) -> Result<Resized, Error> {
        let look = [Answer("query-block", "", Ok(BLOCKS))];
        play(Resize::new("data", size, shrink), look.into_iter().chain(steps).collect())
    }

    #[test]
    fn a_disk_grows_to_a_size_or_by_one() {
        for size in [Size::Bytes(2048), Size::Plus(1024)] {
            let step = Answer("block_resize", r#""data.format","size":2048"#, Ok("{}"));
            let resized = resize(size, false, vec![step]).unwrap();
            assert_eq!((resized.before, resized.bytes), (Some(1024), 2048));
        }
        assert_eq!(resize(Size::Bytes(1024), false, vec![]).unwrap().bytes, 1024);
    }

    #[test]
    fn a_disk_shrinks_only_when_told_so() {
        let error = resize(Size::Bytes(512), false, vec![]).unwrap_err().to_string();
        assert!(error.contains("--shrink"), "{error}");
        let step = Answer("block_resize", r#""size":512"#, Ok("{}"));
        assert_eq!(resize(Size::Bytes(512), true, vec![step]).unwrap().bytes, 512);
        assert!(resize(Size::Bytes(1000), true, vec![]).is_err());
    }

    #[test]
    fn a_lost_answer_is_unknown() {
        let error = resize(Size::Plus(512), false, vec![Lost("block_resize")]).unwrap_err();
        assert!(matches!(error, Error::Unknown { .. }), "{error}");
    }
}
