//! Files: sent, taken, listed, found, and kept within the tree.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use qplug_agent::Name;
use qplug_agent::wire::{
    Chmod, Copy, Download, EntryKind, Find, ListDevices, ListUses, Ls, Mkdir, Place, Rename, Rm,
    Stat, TarIn, TarOut, Umount, Upload,
};
use qplug_testbed::image::Image;

use super::disks::mount;
use super::room::Room;
use crate::host::Files;

/// How long a file of a gibibyte may take.
const PATIENCE: Duration = Duration::from_secs(300);

async fn with_file_system(room: &Room, mib: u64) -> (Files, Image) {
    let files = room.files().await;
    let image = room.image("data.img", mib);
    image.make_ext4().unwrap();
    room.add("data", &image.path, false).await;
    room.ask(&mount("data", "/")).await;
    (files, image)
}

async fn upload(room: &Room, files: &Files, number: u32, path: &Name, content: Vec<u8>) {
    let stream = files.open(number);
    let length = content.len() as u64;
    let sending = tokio::task::spawn_blocking(move || stream.send(&content));
    let to = Place::Path(path.clone());
    let moved = room.ask(&Upload { to, stream: number, mode: None, offset: None }).await;
    sending.await.unwrap();
    assert_eq!(moved.bytes, length);
}

async fn download(room: &Room, files: &Files, number: u32, from: Place) -> Vec<u8> {
    let stream = files.open(number);
    let receiving = tokio::task::spawn_blocking(move || stream.receive().unwrap());
    let wish = Download { from, stream: number, offset: None, bytes: None };
    let moved = room.ask(&wish).await;
    let content = receiving.await.unwrap();
    assert_eq!(moved.bytes, content.len() as u64);
    content
}

async fn tar_in(room: &Room, files: &Files, number: u32, archive: Vec<u8>) {
    let stream = files.open(number);
    let sending = tokio::task::spawn_blocking(move || stream.send(&archive));
    let agent = room.appliance().agent().await.unwrap();
    let client = agent.client().clone().with_command_timeout(PATIENCE);
    let wish = TarIn { path: "/".into(), stream: number };
    client.execute("tar-in", Some(&wish)).await.unwrap();
    sending.await.unwrap();
}

fn new_header() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn all_entries(kind: EntryKind, names: impl IntoIterator<Item = Name>) -> BTreeSet<(Name, String)> {
    names.into_iter().map(|name| (name, format!("{kind:?}"))).collect()
}

async fn list(room: &Room, path: &str, limit: u32) -> BTreeSet<(Name, String)> {
    let mut found = BTreeSet::new();
    let mut from = None;
    loop {
        let wish = Ls { path: path.into(), from, limit: Some(limit), long: false };
        let listing = room.ask(&wish).await;
        assert!(listing.entries.len() <= limit as usize);
        for entry in listing.entries {
            assert!(found.insert((entry.name, format!("{:?}", entry.kind))), "an entry came twice");
        }
        from = listing.next;
        if from.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_sent_and_is_in_the_image() {
    for room in Room::each("a_file_comes_back_as_it_was_sent_and_is_in_the_image").await {
        let (files, _) = with_file_system(&room, 128).await;
        let content: Vec<u8> = (0..32_u32 << 18)
            .flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let start = Instant::now();
        upload(&room, &files, 1, &"/big".into(), content.clone()).await;
        let up = start.elapsed();
        let start = Instant::now();
        let back = download(&room, &files, 2, Place::Path("/big".into())).await;
        let down = start.elapsed();
        assert!(back == content, "{} bytes came back", back.len());
        println!("{} MiB up in {up:?}, down in {down:?}", content.len() >> 20);
        upload(&room, &files, 3, &"/empty".into(), Vec::new()).await;
        assert!(download(&room, &files, 4, Place::Path("/empty".into())).await.is_empty());
        room.ask(&Umount { path: None, force: false }).await;
        let device = download(&room, &files, 5, Place::Device("data".to_owned())).await;
        assert_eq!(device.len(), 128 << 20);
        assert_eq!(device[0x438..0x43a], [0x53, 0xef]);
    }
}

#[tokio::test]
async fn names_may_have_any_byte_but_slash_and_nul() {
    for room in Room::each("names_may_have_any_byte_but_slash_and_nul").await {
        let (files, _) = with_file_system(&room, 64).await;
        let bytes = (1..=u8::MAX).filter(|byte| *byte != b'/');
        let names: Vec<Name> = bytes.map(|byte| Name::from(&[b'n', byte, b'x'][..])).collect();
        let mut archive = tar::Builder::new(Vec::new());
        for name in &names {
            let mut header = new_header();
            header.set_size(name.as_bytes().len() as u64);
            header.set_mode(0o640);
            archive.append_data(&mut header, name.as_path(), name.as_bytes()).unwrap();
        }
        tar_in(&room, &files, 1, archive.into_inner().unwrap()).await;
        room.ask(&Rm { path: "/lost+found".into() }).await;
        let expected = all_entries(EntryKind::File, names.clone());
        assert_eq!(list(&room, "/", 100).await, expected);
        for (number, name) in (10..).zip(names.iter().rev().take(20)) {
            let content = download(&room, &files, number, Place::Path(name.clone())).await;
            assert_eq!(content, name.as_bytes());
        }
        let stream = files.open(2);
        let receiving = tokio::task::spawn_blocking(move || stream.receive().unwrap());
        let found = room.ask(&Find { path: "/".into(), stream: 2 }).await;
        assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
        let paths: BTreeSet<Vec<u8>> =
            receiving.await.unwrap().split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        assert_eq!(found.count, 1 + names.len() as u64);
        assert!(names.iter().all(|name| paths.contains(&[b"/", name.as_bytes()].concat())));
    }
}

#[tokio::test]
async fn a_large_folder_is_listed_in_parts() {
    large_folder("a_large_folder_is_listed_in_parts", 5_000).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_folder_of_a_hundred_thousand_files_is_listed() {
    large_folder("a_folder_of_a_hundred_thousand_files_is_listed", 100_000).await;
}

async fn large_folder(test: &str, count: usize) {
    for room in Room::each(test).await {
        let (files, _) = with_file_system(&room, 2048).await;
        let mut archive = tar::Builder::new(Vec::new());
        let names: Vec<_> = (0..count).map(|at| format!("many/file-{at}")).collect();
        for name in &names {
            let mut header = new_header();
            header.set_size(0);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, &[][..]).unwrap();
        }
        let start = Instant::now();
        tar_in(&room, &files, 1, archive.into_inner().unwrap()).await;
        println!("{count} files unpacked in {:?}", start.elapsed());
        let start = Instant::now();
        let found = list(&room, "/many", 1000).await;
        println!("{count} entries listed in {:?}", start.elapsed());
        let names = names.iter().map(|name| Name::from(&name.as_bytes()[5..]));
        assert_eq!(found, all_entries(EntryKind::File, names));
    }
}

#[tokio::test]
async fn no_link_leads_out_of_the_tree() {
    for room in Room::each("no_link_leads_out_of_the_tree").await {
        let (files, _) = with_file_system(&room, 64).await;
        let mut archive = tar::Builder::new(Vec::new());
        let mut link = |name: &str, target: &str| {
            let mut header = new_header();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, name, target).unwrap();
        };
        link("up", "../../../../..");
        link("root", "/");
        link("init", "/init");
        link("proc", "/proc/1/root/init");
        tar_in(&room, &files, 1, archive.into_inner().unwrap()).await;
        // The appliance's own file system has these.
        for path in ["/init", "/up/init", "/root/init", "/proc", "/up/modules", "/root/proc/1"] {
            let stat = Stat { path: path.into(), link: false };
            assert!(room.try_ask(&stat).await.is_err(), "{path}");
        }
        let stat = Stat { path: "/init".into(), link: true };
        assert_eq!(room.ask(&stat).await.target, Some("/init".into()));
        // A path through a link is one of the tree.
        upload(&room, &files, 2, &"/root/up/file".into(), b"here".to_vec()).await;
        assert_eq!(download(&room, &files, 3, Place::Path("/file".into())).await, b"here");
    }
}

#[tokio::test]
async fn folders_and_files_are_made_changed_and_removed() {
    for room in Room::each("folders_and_files_are_made_changed_and_removed").await {
        let (files, _) = with_file_system(&room, 64).await;
        room.ask(&Mkdir { path: "/a/b c/d".into(), mode: Some(0o700) }).await;
        upload(&room, &files, 1, &"/a/b c/file".into(), b"content".to_vec()).await;
        room.ask(&Chmod { path: "/a/b c/file".into(), mode: 0o4751 }).await;
        room.ask(&Rename { from: "/a/b c/file".into(), to: "/a/other".into() }).await;
        let status = room.ask(&Stat { path: "/a/other".into(), link: false }).await;
        assert_eq!((status.kind, status.bytes, status.mode), (EntryKind::File, 7, 0o4751));
        let status = room.ask(&Stat { path: "/a/b c/d".into(), link: false }).await;
        assert_eq!((status.kind, status.mode), (EntryKind::Folder, 0o700));
        assert!(room.try_ask(&Rm { path: "/a".into() }).await.is_err(), "it is not empty");
        let error = room.try_ask(&Stat { path: "/none".into(), link: false }).await.unwrap_err();
        assert!(error.to_string().contains("cannot open /none"), "{error}");

        let stream = files.open(2);
        let receiving = tokio::task::spawn_blocking(move || stream.receive().unwrap());
        room.ask(&TarOut { path: "/a".into(), stream: 2 }).await;
        let archive = receiving.await.unwrap();
        let mut archive = tar::Archive::new(&archive[..]);
        let mut paths: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        paths.sort();
        paths.retain(|path| !path.is_empty());
        assert_eq!(paths, ["b c", "b c/d", "other"].map(|path| path.to_owned()));
        for path in ["/a/other", "/a/b c/d", "/a/b c", "/a"] {
            room.ask(&Rm { path: path.into() }).await;
        }
    }
}

#[tokio::test]
async fn a_host_that_breaks_off_costs_its_own_command_only() {
    for room in Room::each("a_host_that_breaks_off_costs_its_own_command_only").await {
        let (files, _) = with_file_system(&room, 64).await;
        let stream = files.open(1);
        let sending = tokio::task::spawn_blocking(move || {
            let mut stream = stream;
            stream.write_all(&[7; 3 << 20]).unwrap();
            stream.abort("changed my mind");
        });
        let to = Place::Path("/partly".into());
        let wish = Upload { to, stream: 1, mode: None, offset: None };
        let error = room.try_ask(&wish).await.unwrap_err();
        assert!(error.to_string().contains("changed my mind"), "{error}");
        sending.await.unwrap();
        // A disk that is full says so, to the stream and to the command.
        let stream = files.open(2);
        let sending = tokio::task::spawn_blocking(move || {
            let mut stream = stream;
            stream.write_all(&vec![7; 80 << 20]).map_err(|error| error.to_string())
        });
        let to = Place::Path("/too-big".into());
        let error = room.try_ask(&Upload { to, stream: 2, mode: None, offset: None }).await;
        assert!(error.unwrap_err().to_string().contains("No space left"));
        assert!(sending.await.unwrap().unwrap_err().contains("No space left"));
        // Nothing has a name that is not whole.
        let left = list(&room, "/", 100).await;
        let left: Vec<_> = left.into_iter().map(|(name, _)| name.display()).collect();
        assert_eq!(left, ["lost+found"]);
        // Rubbish on the port ends what is on it, and the next host begins anew.
        files.say(b"rubbish that is no frame");
        files.hang_up();
        let files = room.files().await;
        upload(&room, &files, 1, &"/fine".into(), b"fine".to_vec()).await;
        assert_eq!(download(&room, &files, 2, Place::Path("/fine".into())).await, b"fine");
    }
}

#[tokio::test]
async fn a_disk_of_the_appliances_own_carries_a_file_and_is_in_no_list() {
    const MIB: u64 = 96;
    for room in Room::each("a_disk_of_the_appliances_own_carries_a_file_and_is_in_no_list").await {
        let (files, _) = with_file_system(&room, 256).await;
        let content: Vec<u8> = (0..(MIB << 18) as u32).flat_map(u32::to_le_bytes).collect();
        let source = room.folder.path().join("source");
        std::fs::write(&source, &content[..content.len() - 100]).unwrap();
        let machine = room.appliance().machine().await.unwrap();
        let own = "qplug.copy.0";
        let start = Instant::now();
        room.plug_in(&machine, own, &source).await;
        let length = content.len() as u64 - 100;
        let wish = Copy {
            from: Place::Own(own.to_owned()),
            to: Place::Path("/copy".into()),
            bytes: Some(length),
            mode: None,
        };
        assert_eq!(room.ask(&wish).await.bytes, length);
        println!("{MIB} MiB copied in {:?}", start.elapsed());
        assert_eq!(room.ask(&ListDevices {}).await.len(), 1);
        for name in [own, "/dev/disk/qplug/qplug.copy.0"] {
            let wish = ListUses { device: name.to_owned() };
            let error = room.try_ask(&wish).await.unwrap_err();
            assert!(error.to_string().contains("DeviceNotFound"), "{error}");
        }
        let back = download(&room, &files, 1, Place::Path("/copy".into())).await;
        assert!(back == content[..content.len() - 100], "{} bytes came back", back.len());
    }
}

/// A block of a large file: unlike all others.
fn block(at: u32) -> Vec<u8> {
    (0..1_u32 << 18).flat_map(|word| (word ^ at.wrapping_mul(0x9e37_79b9)).to_le_bytes()).collect()
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_gibibyte_goes_in_and_out() {
    const BLOCKS: u32 = 1024;
    for room in Room::each("a_gibibyte_goes_in_and_out").await {
        let (files, _) = with_file_system(&room, 3072).await;
        let place = || Place::Path("/big".into());
        let mut stream = files.open(1);
        let start = Instant::now();
        let sending = tokio::task::spawn_blocking(move || {
            for at in 0..BLOCKS {
                stream.write_all(&block(at)).unwrap();
            }
            stream.end();
        });
        let agent = room.appliance().agent().await.unwrap();
        let wish = Upload { to: place(), stream: 1, mode: None, offset: None };
        let patient = async |command: &'static str, wish: serde_json::Value| {
            let client = agent.client().clone().with_command_timeout(PATIENCE);
            client.execute_oob(command, Some(&wish)).await.unwrap().get().to_owned()
        };
        let moved = patient("upload", serde_json::to_value(&wish).unwrap()).await;
        sending.await.unwrap();
        let up = start.elapsed();
        assert_eq!(moved, format!("{{\"bytes\":{}}}", u64::from(BLOCKS) << 20));
        let mut stream = files.open(2);
        let start = Instant::now();
        let receiving = tokio::task::spawn_blocking(move || {
            let mut got = vec![0; 1 << 20];
            for at in 0..BLOCKS {
                std::io::Read::read_exact(&mut stream, &mut got).unwrap();
                assert!(got == block(at), "block {at} differs");
            }
            assert_eq!(std::io::Read::read(&mut stream, &mut got).unwrap(), 0);
        });
        let wish = Download { from: place(), stream: 2, offset: None, bytes: None };
        patient("download", serde_json::to_value(&wish).unwrap()).await;
        receiving.await.unwrap();
        println!("1 GiB up in {up:?}, down in {:?}", start.elapsed());
    }
}
