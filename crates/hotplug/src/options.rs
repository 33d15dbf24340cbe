//! How a disk behaves: what its nodes and its device are told besides what they are.

use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::dialect::Features;

/// How writes are cached, in the words of QEMU's `-drive cache=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// The host's cache is passed by; the guest flushes.
    None,
    /// The host's cache is used; the guest flushes.
    Writeback,
    /// The host's cache is used; every write is flushed.
    Writethrough,
    /// The host's cache is passed by; every write is flushed.
    Directsync,
    /// The host's cache is used, and flushes are ignored: a crash of the host loses data.
    Unsafe,
}

/// How QEMU reads and writes the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aio {
    /// A pool of threads.
    Threads,
    /// Linux's own asynchronous I/O; needs a cache mode that passes the host's cache by.
    Native,
    /// Linux's `io_uring` (QEMU 5.0).
    IoUring,
}

/// What happens to writes of zeroes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetectZeroes {
    /// They are written.
    Off,
    /// They are written as holes where the image can.
    On,
    /// They are discarded; needs discard.
    Unmap,
}

/// What happens when the image cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The guest is told.
    Report,
    /// The guest is not told.
    Ignore,
    /// The machine is paused.
    Stop,
    /// The machine is paused when there is no space left, else the guest is told.
    Enospc,
    /// As QEMU does when it is not told: enospc for writes, report for reads.
    Auto,
}

/// A text that is none of the words of an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {}", known.join(", "))]
pub struct UnknownWord {
    text: String,
    known: Vec<&'static str>,
}

macro_rules! words {
    ($type:ident { $($word:literal => $value:ident),+ $(,)? }) => {
        impl $type {
            /// All the words that there are.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The option's word, as QEMU has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$value),)+
                    _ => Err(UnknownWord { text: text.to_owned(), known: Self::WORDS.to_vec() }),
                }
            }
        }
    };
}

words!(Cache {
    "none" => None, "writeback" => Writeback, "writethrough" => Writethrough,
    "directsync" => Directsync, "unsafe" => Unsafe,
});
words!(Aio { "threads" => Threads, "native" => Native, "io_uring" => IoUring });
words!(DetectZeroes { "off" => Off, "on" => On, "unmap" => Unmap });
words!(OnError {
    "report" => Report, "ignore" => Ignore, "stop" => Stop, "enospc" => Enospc, "auto" => Auto,
});

/// Options that contradict each other; found before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// QEMU refuses this pair.
    #[error("{one} needs {other}")]
    Needs {
        /// The option that was given.
        one: &'static str,
        /// What goes with it.
        other: &'static str,
    },
    /// The disk's bus has no such option.
    #[error("a {bus} disk has no {option}: leave it out, or take another --bus")]
    NotOnBus {
        /// The bus.
        bus: crate::Bus,
        /// The option.
        option: &'static str,
    },
    /// A block size that no disk has.
    #[error("{size} is no block size: a power of two from 512 to 2097152 (2 MiB)")]
    BlockSize {
        /// What was asked for, in bytes.
        size: u32,
    },
    /// The path into the node's options goes through something that is no object.
    #[error("node.{key} goes through something that is no object")]
    NoObject {
        /// The key.
        key: String,
    },
    /// An option that qplug finds the disk by.
    #[error("{key} is qplug's own to set: it finds the disk by it")]
    Reserved {
        /// The key.
        key: String,
    },
}

/// How the image is accessed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// How writes are cached. QEMU's own choice is writeback.
    pub cache: Option<Cache>,
    /// How QEMU reads and writes.
    pub aio: Option<Aio>,
    /// Whether the guest's discards reach the image.
    pub discard: Option<bool>,
    /// What happens to writes of zeroes.
    pub detect_zeroes: Option<DetectZeroes>,
    /// Any other option of the format node, by its path such as `file.locking`.
    pub set: Vec<(String, Value)>,
}

/// What the device is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceOptions {
    /// The disk's World Wide Name (SCSI).
    pub wwn: Option<u64>,
    /// In bytes.
    pub logical_block_size: Option<u32>,
    /// In bytes.
    pub physical_block_size: Option<u32>,
    /// Where the disk stands in the order in which firmware tries to boot.
    pub boot_index: Option<i32>,
    /// Whether another device of the machine may write to the same image.
    pub share_rw: bool,
    /// Whether the guest sees a volatile write cache. The cache mode's choice, unless given.
    pub write_cache: Option<bool>,
    /// What happens when the image cannot be read.
    pub read_error: Option<OnError>,
    /// What happens when the image cannot be written.
    pub write_error: Option<OnError>,
    /// How many queues the guest gets (virtio-blk, nvme).
    pub queues: Option<u16>,
    /// Any other property of the device.
    pub set: Vec<(String, Value)>,
}

/// The sizes that QEMU takes (`hw/core/qdev-properties-system.c`, 5.0 and later).
const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 512..=2 << 20;

/// What a disk is found by in the machine; nobody else may choose it.
const RESERVED_FOR_NODES: [&str; 4] = ["node-name", "driver", "file.node-name", "file.driver"];
const RESERVED_FOR_DEVICES: [&str; 4] = ["id", "drive", "driver", "serial"];

impl Access {
    /// Checks what QEMU would refuse.
    ///
    /// # Errors
    /// See [`OptionError`].
    pub fn check(&self) -> Result<(), OptionError> {
        if self.aio == Some(Aio::Native) && !self.is_direct() {
            let other = "--cache none or --cache directsync";
            return Err(OptionError::Needs { one: "--aio native", other });
        }
        if self.detect_zeroes == Some(DetectZeroes::Unmap) && self.discard != Some(true) {
            let other = "--discard unmap";
            return Err(OptionError::Needs { one: "--detect-zeroes unmap", other });
        }
        reserved(&self.set, &RESERVED_FOR_NODES)
    }

    fn is_direct(&self) -> bool {
        matches!(self.cache, Some(Cache::None | Cache::Directsync))
    }

    /// Whether the device keeps a volatile cache, as far as the cache mode says.
    pub(crate) fn write_cache(&self) -> Option<bool> {
        self.cache.map(|cache| !matches!(cache, Cache::Writethrough | Cache::Directsync))
    }

    /// Writes what both the format and the file node are told.
    pub(crate) fn write_both(&self, node: &mut Value, read_only: bool) {
        if read_only {
            node["read-only"] = json!(true);
        }
        let no_flush = self.cache == Some(Cache::Unsafe);
        if self.is_direct() || no_flush {
            node["cache"] = json!({"direct": self.is_direct(), "no-flush": no_flush});
        }
        if let Some(discard) = self.discard {
            node["discard"] = json!(if discard { "unmap" } else { "ignore" });
        }
    }

    /// Writes what only the format node is told.
    pub(crate) fn write_format(&self, node: &mut Value) {
        if let Some(detect) = self.detect_zeroes {
            node["detect-zeroes"] = json!(detect.as_str());
        }
    }

    /// Writes what only a node of files and host devices is told.
    pub(crate) fn write_file(&self, node: &mut Value) {
        if let Some(aio) = self.aio {
            node["aio"] = json!(aio.as_str());
        }
    }

    /// Writes what the user set, over everything else.
    pub(crate) fn write_set(&self, node: &mut Value) -> Result<(), OptionError> {
        for (key, value) in &self.set {
            let mut place = &mut *node;
            for part in key.split('.') {
                if !(place.is_object() || place.is_null()) {
                    return Err(OptionError::NoObject { key: key.clone() });
                }
                place = &mut place[part];
            }
            *place = value.clone();
        }
        Ok(())
    }
}

impl DeviceOptions {
    /// Checks what QEMU would refuse.
    ///
    /// # Errors
    /// See [`OptionError`].
    pub fn check(&self) -> Result<(), OptionError> {
        let sizes = [self.logical_block_size, self.physical_block_size];
        let wrong = |size: &u32| !size.is_power_of_two() || !BLOCK_SIZES.contains(size);
        if let Some(size) = sizes.into_iter().flatten().find(wrong) {
            return Err(OptionError::BlockSize { size });
        }
        reserved(&self.set, &RESERVED_FOR_DEVICES)
    }

    /// Writes them into a `device_add`'s arguments.
    pub(crate) fn write(
        &self,
        arguments: &mut Map<String, Value>,
        write_cache: Option<bool>,
        features: &Features,
    ) {
        // A drive is told of its cache and of its errors.
        let of_node = |value: Option<Value>| value.filter(|_| !features.has_drives());
        // Where there are no permissions (QEMU 2.9), nobody is refused.
        let share_rw = self.share_rw && features.has("blockdev-del");
        let mut write = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                arguments.insert(key.to_owned(), value);
            }
        };
        let on_off = |on: bool| json!(if on { "on" } else { "off" });
        write("wwn", self.wwn.map(Into::into));
        write("logical_block_size", self.logical_block_size.map(Into::into));
        write("physical_block_size", self.physical_block_size.map(Into::into));
        write("bootindex", self.boot_index.map(Into::into));
        write("share-rw", share_rw.then(|| json!(true)));
        write("write-cache", of_node(self.write_cache.or(write_cache).map(on_off)));
        write("rerror", of_node(self.read_error.map(|policy| policy.as_str().into())));
        write("werror", of_node(self.write_error.map(|policy| policy.as_str().into())));
        for (key, value) in &self.set {
            write(key, Some(value.clone()));
        }
    }
}

fn reserved(set: &[(String, Value)], reserved: &[&str]) -> Result<(), OptionError> {
    // What is set as a whole has no part that was there.
    let is_part = |whole: &str, key: &str| {
        key.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match set.iter().find(|(key, _)| reserved.iter().any(|it| is_part(key, it))) {
        Some((key, _)) => Err(OptionError::Reserved { key: key.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_modes_are_what_qemu_makes_of_them() {
        for (mode, node, write_cache) in [
            (Cache::None, json!({"cache": {"direct": true, "no-flush": false}}), true),
            (Cache::Writeback, json!({}), true),
            (Cache::Writethrough, json!({}), false),
            (Cache::Directsync, json!({"cache": {"direct": true, "no-flush": false}}), false),
            (Cache::Unsafe, json!({"cache": {"direct": false, "no-flush": true}}), true),
        ] {
            let access = Access { cache: Some(mode), ..Access::default() };
            let mut written = json!({});
            access.write_both(&mut written, false);
            assert_eq!((written, access.write_cache()), (node, Some(write_cache)), "{mode:?}");
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let native = Access { aio: Some(Aio::Native), ..Access::default() };
        assert!(native.check().is_err());
        assert!(Access { cache: Some(Cache::None), ..native }.check().is_ok());
        let unmap = Access { detect_zeroes: Some(DetectZeroes::Unmap), ..Access::default() };
        assert!(unmap.check().is_err());
        assert!(Access { discard: Some(true), ..unmap }.check().is_ok());
        for (size, fine) in
            [(512, true), (4096, true), (2 << 20, true), (256, false), (1000, false)]
        {
            let options = DeviceOptions { logical_block_size: Some(size), ..Default::default() };
            assert_eq!(options.check().is_ok(), fine, "{size}");
        }
        let mine = DeviceOptions { set: vec![("id".to_owned(), json!("x"))], ..Default::default() };
        assert!(matches!(mine.check(), Err(OptionError::Reserved { .. })));
        for (key, fine) in [("file", false), ("file.locking", true), ("fil", true)] {
            let set = vec![(key.to_owned(), json!("x"))];
            assert_eq!(Access { set, ..Access::default() }.check().is_ok(), fine, "{key}");
        }
    }

    #[test]
    fn what_is_set_goes_into_objects_and_never_through_values() {
        let mut node = json!({"driver": "raw", "file": {"driver": "file"}});
        let set = |key: &str| vec![(key.to_owned(), json!("off"))];
        let access = Access { set: set("file.locking"), ..Access::default() };
        access.write_set(&mut node).unwrap();
        assert_eq!(node["file"]["locking"], "off");
        let access = Access { set: set("driver.x"), ..Access::default() };
        assert!(access.write_set(&mut node).is_err());
    }
}
