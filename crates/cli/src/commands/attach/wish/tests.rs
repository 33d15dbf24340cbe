//! What is understood of a command line, and what is refused before any machine is asked.

use clap::Parser;

use super::*;
use crate::args::{Args, Command};

/// What becomes of `qplug attach` with these words, on an image that is not looked at.
fn wish(words: &[&str]) -> Result<Wish, Failure> {
    let line = [&["qplug", "attach"], words].concat();
    let args = Args::try_parse_from(line).map_err(|error| Failure::usage(error.to_string()))?;
    let Command::Attach(attach) = args.command else { unreachable!("it is an attach") };
    read(&attach, false)
}

fn refused(words: &[&str]) -> Failure {
    let plain = ["/a.img", "--remote", "--format", "raw"];
    match wish(&[&plain, words].concat()) {
        Ok(_) => panic!("{words:?} is taken"),
        Err(failure) => failure,
    }
}

#[test]
fn wrong_words_are_named() {
    for (words, exit, part) in [
        (vec!["--bus", "ide"], Exit::Impossible, "IDE knows no plugging"),
        (vec!["--bus", "sata"], Exit::Impossible, "does not implement SATA hot-plug"),
        (vec!["--bus", "floppy"], Exit::Impossible, "part of its controller"),
        (vec!["--bus", "virtio-mmio"], Exit::Impossible, "from the start"),
        (vec!["--bus", "nvme-ns"], Exit::Impossible, "--bus nvme"),
        (vec!["--bus", "scsi"], Exit::Usage, "virtio-scsi"),
        (vec!["--cache", "fast"], Exit::Usage, "writethrough"),
        (vec!["--aio", "native"], Exit::Impossible, "--cache none"),
        (vec!["--detect-zeroes", "unmap"], Exit::Impossible, "--discard unmap"),
        (vec!["--discard", "maybe"], Exit::Usage, "unmap or ignore"),
        (vec!["--logical-block-size", "1000"], Exit::Impossible, "power of two"),
        (vec!["--logical-block-size", "many"], Exit::Usage, "whole number"),
        (vec!["--wwn", "xyz"], Exit::Usage, "hexadecimal"),
        (vec!["--wwn", "5", "--bus", "nvme"], Exit::Impossible, "has no wwn"),
        (vec!["--queues", "2", "--bus", "virtio-scsi"], Exit::Impossible, "has no queues"),
        (vec!["--iothread", "io1", "--bus", "nvme"], Exit::Impossible, "has no iothread"),
        (vec!["--write-cache", "yes"], Exit::Usage, "neither on nor off"),
        (vec!["--werror", "panic"], Exit::Usage, "enospc"),
        (vec!["--throttle", "iops-total"], Exit::Usage, "KEY=VALUE"),
        (vec!["--throttle", "iops-total=fast"], Exit::Usage, "whole number"),
        (vec!["--throttle", "iops=1"], Exit::Impossible, "is no limit"),
        (vec!["--throttle", "bps-total=1,bps-read=1"], Exit::Impossible, "together"),
        (vec!["--throttle", "bps-read=1,bps-read=2"], Exit::Usage, "given twice"),
        (vec!["--set", "cache=none"], Exit::Usage, "device. or node."),
        (vec!["--set", "device.id=x"], Exit::Impossible, "qplug's own"),
        (vec!["--set", "node.driver.x=1"], Exit::Impossible, "no object"),
        (vec!["--set", "device.x={"], Exit::Usage, "EOF"),
        (vec!["--serial", "a b"], Exit::Impossible, "cannot be a serial"),
        (vec!["--name", "1st"], Exit::Impossible, "cannot name a disk"),
        (vec!["--list", "l.toml"], Exit::Usage, "cannot be used with"),
        (vec!["--dry-run", "--wait", "guest"], Exit::Usage, "cannot be used with"),
        (vec!["--wait", "godot"], Exit::Usage, "guest"),
        (vec!["--secret-file", "/nonexistent"], Exit::Usage, "No such file"),
        (vec!["/b.img", "--name", "x"], Exit::Usage, "--name is of one disk"),
        (vec!["/b.img", "--wwn", "5"], Exit::Usage, "--wwn is of one disk"),
        (vec!["/b.img", "--serial", "x"], Exit::Usage, "--serial is of one disk"),
        (vec!["/b.img", "--bootindex", "1"], Exit::Usage, "--bootindex is of one disk"),
    ] {
        let failure = refused(&words);
        assert_eq!(failure.exit, exit, "{words:?}: {}", failure.message);
        assert!(failure.message.contains(part), "{words:?}: {}", failure.message);
    }
}

#[test]
fn many_images_make_many_disks_with_names_of_their_own() {
    let many =
        wish(&["/a.img", "/b.qcow2", "--remote", "--format", "raw", "--bus", "auto"]).unwrap();
    let names: Vec<_> = many.disks.iter().map(|disk| disk.name().to_string()).collect();
    assert_eq!((names, many.is_single), (vec!["a".to_owned(), "b".to_owned()], false));
    assert!(wish(&["/a.img", "--remote", "--format", "raw"]).unwrap().is_single);
}

#[test]
fn every_option_is_taken() {
    wish(&[
        "/a.img",
        "--remote",
        "--format",
        "raw",
        "--bus",
        "virtio-blk",
        "--name",
        "data",
        "--port",
        "rp0",
        "--serial",
        "s1",
        "--cache",
        "none",
        "--aio",
        "native",
        "--discard",
        "unmap",
        "--detect-zeroes",
        "unmap",
        "--iothread",
        "io1",
        "--queues",
        "2",
        "--throttle",
        "iops-total=100,bps-total=10M",
        "--throttle-group",
        "g",
        "--logical-block-size",
        "4K",
        "--physical-block-size",
        "4096",
        "--bootindex",
        "1",
        "--share-rw",
        "--write-cache",
        "off",
        "--rerror",
        "stop",
        "--werror",
        "enospc",
        "--read-only",
        "--set",
        "device.scsi=off",
        "--set",
        "node.file.locking=off",
    ])
    .unwrap();
    wish(&["/a.img", "--remote", "--format", "raw", "--bus", "virtio-scsi", "--wwn", "0x5"])
        .unwrap();
}

#[test]
fn a_list_is_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.img"), [0; 4096]).unwrap();
    let list = folder.path().join("disks");
    std::fs::write(&list, "[[disk]]\nimage = 'a.img'\nbus = 'nvme'\n").unwrap();
    let list = list.to_str().unwrap();
    let listed = wish(&["--list", list]).unwrap();
    assert_eq!((listed.disks.len(), listed.is_single), (1, false));
    let failure = wish(&["--list", list, "--cache", "none"]).err().unwrap();
    assert!(failure.message.contains("go into the list"), "{}", failure.message);
}
