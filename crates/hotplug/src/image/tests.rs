//! Looking at images.

use std::io::Write;

use tempfile::NamedTempFile;

use super::*;
use crate::secret::Secret;

fn file(content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn look(path: &Path, format: Option<Format>) -> Result<Storage, ImageError> {
    Storage::path(path).format(format).look()
}

fn refusal(builder: StorageBuilder) -> String {
    builder.look().unwrap_err().to_string()
}

fn qcow2(backing: u64, encryption: u32) -> Vec<u8> {
    let mut header = vec![0; HEADER_BYTES];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    header[8..16].copy_from_slice(&backing.to_be_bytes());
    header[24..32].copy_from_slice(&(1_u64 << 20).to_be_bytes());
    header[32..36].copy_from_slice(&encryption.to_be_bytes());
    header
}

fn luks(version: u8) -> Vec<u8> {
    let mut header = vec![0; 4096];
    header[..8].copy_from_slice(&[b'L', b'U', b'K', b'S', 0xba, 0xbe, 0, version]);
    header[104..108].copy_from_slice(&4_u32.to_be_bytes());
    header
}

#[test]
fn a_missing_image_and_a_folder_are_told_apart() {
    let missing = look(Path::new("/no/such/image"), None).unwrap_err().to_string();
    assert!(missing.contains("/no/such/image") && missing.contains("No such file"), "{missing}");
    let folder = look(Path::new("/"), None).unwrap_err().to_string();
    assert!(folder.contains("neither a file nor a block device"), "{folder}");
}

#[test]
fn a_relative_path_becomes_absolute_and_a_format_is_taken_as_given() {
    let image = look(Path::new("Cargo.toml"), Some(Format::qcow2())).unwrap();
    let path = image.label();
    assert!(path.starts_with('/') && path.ends_with("/Cargo.toml"));
    assert_eq!(image.layers[0].format, Format::qcow2());
    let found = look(Path::new("Cargo.toml"), None).unwrap();
    assert_eq!(found.layers[0].format, Format::raw());
}

#[test]
fn an_empty_image_is_refused() {
    let empty = file(b"");
    assert!(matches!(look(empty.path(), None), Err(ImageError::Empty { .. })));
    let mut header = qcow2(0, 0);
    header[24..32].fill(0);
    assert!(matches!(look(file(&header).path(), None), Err(ImageError::Empty { .. })));
    assert_eq!(look(file(b"x").path(), None).unwrap().layers[0].bytes, Some(512));
}

#[test]
fn a_backing_file_in_the_header_needs_one_that_is_given() {
    let (top, base) = (file(&qcow2(512, 0)), file(&[0; 512]));
    assert!(matches!(look(top.path(), None), Err(ImageError::Distrusted { .. })));
    let given = Storage::path(top.path()).backing(vec![Storage::path(base.path())]);
    let layers = given.look().unwrap().layers;
    assert_eq!((layers.len(), &layers[1].format), (2, &Format::raw()));
    assert!(Storage::path(top.path()).no_backing(true).look().is_ok());
    // The lowest one's header names one again.
    let twice = Storage::path(top.path()).backing(vec![Storage::path(top.path())]);
    assert!(matches!(twice.look(), Err(ImageError::Distrusted { .. })));
    let upside_down = Storage::path(base.path()).backing(vec![Storage::path(top.path())]);
    assert!(refusal(upside_down).contains("lies on no other"));
    let mut data_file = qcow2(512, 0);
    data_file[79] = 4;
    let data_file = file(&data_file);
    let elsewhere = Storage::path(data_file.path()).no_backing(true);
    assert!(refusal(elsewhere).contains("external data file"));
}

#[test]
fn a_passphrase_is_there_just_when_it_is_needed() {
    let secret = || Some(Secret::new("x"));
    let with = |file: &NamedTempFile| Storage::path(file.path()).passphrase(secret());
    let (old, new) = (file(&luks(1)), file(&luks(2)));
    assert!(refusal(Storage::path(old.path())).contains("--secret-file"));
    let found = with(&old).look().unwrap();
    assert_eq!((&found.layers[0].format, found.layers[0].bytes), (&Format::luks(), Some(2048)));
    assert!(refusal(with(&new)).contains("guest unlock it"));
    let encrypted = file(&qcow2(0, 2));
    assert!(matches!(look(encrypted.path(), None), Err(ImageError::NoPassphrase { .. })));
    assert!(with(&encrypted).look().unwrap().layers[0].is_encrypted);
    assert!(refusal(with(&file(&qcow2(0, 1)))).contains("old method"));
    assert!(refusal(with(&file(&qcow2(0, 0)))).contains("passphrase is given"));
    let served = Storage::parse("nbd://h/x").unwrap().passphrase(secret());
    assert!(served.format(Some(Format::luks())).look().unwrap().layers[0].is_encrypted);
}

#[test]
fn what_is_served_needs_a_format_and_what_belongs_to_it() {
    let raw = || Some(Format::raw());
    let parse = |text: &str| Storage::parse(text).unwrap();
    assert!(refusal(parse("nbd://h/x")).contains("--format"));
    assert!(refusal(parse("nbds://h/x").format(raw())).contains("certificates"));
    let secret = || Some(Secret::new("a password"));
    assert!(refusal(parse("nbd://h/x").format(raw()).password(secret())).contains("no image"));
    assert!(refusal(parse("rbd:p/i").format(raw()).password(secret())).contains("base64"));
    assert!(parse("https://u@h/x").format(raw()).password(secret()).look().is_ok());
    let folder = Some(PathBuf::from("certs"));
    assert!(refusal(parse("nbds://h/x").format(raw()).certificates(folder)).contains("absolute"));
    let remote = Storage::path("/x").remote(true);
    assert!(matches!(remote.look(), Err(ImageError::Unseen { .. })));
}

#[test]
fn a_descriptor_must_be_open_as_it_will_be_used() {
    let image = file(&[0; 1024]);
    let open = |write| OpenOptions::new().read(true).write(write).open(image.path()).unwrap();
    let storage = |write, read_only| Storage::descriptor(open(write).into()).read_only(read_only);
    assert!(storage(true, false).look().unwrap().has_descriptors());
    assert!(storage(false, true).look().is_ok());
    assert!(refusal(storage(false, false)).contains("only for reading"));
    assert!(refusal(storage(true, true)).contains("for writing"));
    assert!(storage(false, false).snapshot(true).look().is_ok());
    let write_only = OpenOptions::new().write(true).open(image.path()).unwrap();
    assert!(refusal(Storage::descriptor(write_only.into())).contains("only for writing"));
    let pipe = std::io::pipe().unwrap().0;
    let pipe = Storage::descriptor(pipe.into()).read_only(true);
    assert!(refusal(pipe).contains("neither a file nor a block device"));
}

#[test]
fn an_image_that_is_handed_over_is_known_by_its_inode() {
    let image = file(&[0; 1024]);
    let by_path = look(image.path(), None).unwrap();
    let handed = Storage::path(image.path()).hand_over(true).look().unwrap();
    assert_eq!(by_path.layers[0].identity, handed.layers[0].identity);
    assert!(handed.has_descriptors() && !by_path.has_descriptors());
    assert_eq!(handed.label(), by_path.label());
}

#[test]
fn an_overlay_is_a_file_without_a_name() {
    let (image, folder) = (file(&[0; 1 << 20]), tempfile::tempdir().unwrap());
    let snapshot = |path: &Path| {
        Storage::path(path).snapshot(true).snapshot_folder(Some(folder.path().into()))
    };
    let storage = snapshot(image.path()).look().unwrap();
    assert!(storage.overlay.is_some());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let vdi = snapshot(image.path()).format(Some("vdi".parse().unwrap()));
    assert!(refusal(vdi).contains("cannot be told"));
    let nowhere = snapshot(image.path()).snapshot_folder(Some("/no/such".into()));
    assert!(refusal(nowhere).contains("/no/such"));
}
