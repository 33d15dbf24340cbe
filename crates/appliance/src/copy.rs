//! Files copied in and out. What has a name is whole, on either side: a file is written beside the one that
//! it is to be, and takes its place at the end.

use std::fs::{self, File, Metadata};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use qplug_agent::Name;
use qplug_agent::wire::{EntryKind, Place, Stat};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

use crate::appliance::Appliance;
use crate::carry::{CARRIED_FROM, Load, SECTOR};
use crate::count::{Counted, Watch};
use crate::error::{Error, Result};

/// What a file is called that is not whole yet, before what no other one is called.
const DRAFT: &str = ".qplug-draft-";

/// The mode of a new file, as far as the user's mask lets it.
const NEW_FILE: u32 = 0o666;

/// A host that has no more room than this has none: QEMU writes more than this at once.
const NO_ROOM_BYTES: u64 = 2 << 20;

impl Appliance {
    /// Copies a file of the host to a path of the mounted file systems, in the place of a file that is there,
    /// whose owner and mode the new one has then; else it has the mode of the host's. How many bytes it had.
    ///
    /// # Errors
    /// When one of the two cannot be read or written. Nothing has changed then.
    pub async fn copy_in(&self, from: &Path, to: Name, watch: Watch<'_>) -> Result<u64> {
        let file = File::open(from).map_err(Error::file("open", from))?;
        let found = file.metadata().map_err(Error::file("look at", from))?;
        if found.is_dir() {
            return Err(Error::content(from, "is a folder; tar-in takes folders"));
        }
        let mode = Some(found.mode() & 0o777);
        let bytes = found.is_file().then_some(found.len());
        if let Some(bytes) = bytes.filter(|bytes| *bytes >= CARRIED_FROM) {
            let carrier = file.try_clone().map_err(Error::file("open", from))?;
            let load = Load::In(to.clone(), mode);
            if let Some(moved) = self.carry(carrier, bytes, load, watch).await? {
                return Ok(moved);
            }
        }
        let mut source = Counted::new(tokio::fs::File::from_std(file), bytes, watch);
        self.upload(&mut source, Place::Path(to), mode).await
    }

    /// Copies a file of the mounted file systems to a path of the host, in the place of a file that is there,
    /// whose owner and mode the new one has then. How many bytes it had.
    ///
    /// # Errors
    /// When one of the two cannot be read or written. Nothing has changed then, unless the path is a device
    /// or a pipe, or its folder refuses new files.
    pub async fn copy_out(&self, from: Name, to: &Path, watch: Watch<'_>) -> Result<u64> {
        let status = self.ask(&Stat { path: from.clone(), link: false }).await?;
        if status.kind == EntryKind::Folder {
            let what = format!("{} is a folder; tar-out takes folders", from.display());
            return Err(Error::Wish(what));
        }
        let landing = Landing::at(to)?;
        let bytes = status.bytes;
        if bytes >= CARRIED_FROM && landing.is_file() {
            let load = Load::Out(from.clone());
            let carrier = landing.with_room(bytes)?;
            let carried = self.carry(carrier, bytes, load, watch).await;
            match carried.map_err(|error| landing.explained(error))? {
                Some(moved) => {
                    landing.keep(moved)?;
                    return Ok(moved);
                }
                None => landing.empty()?,
            }
        }
        let file = tokio::fs::File::from_std(landing.file()?);
        let mut sink = Counted::new(file, Some(bytes), watch);
        let moved = self.download(Place::Path(from), &mut sink).await?;
        sink.flush().await.map_err(Error::file("write", to))?;
        landing.keep(moved)?;
        Ok(moved)
    }
}

/// Where a file of the host is to be.
enum Landing {
    /// A file that is made anew; the old one, where there is one.
    Draft(NamedTempFile, PathBuf, Option<Box<Metadata>>),
    /// What cannot be made anew: a device, a pipe, a file in a folder that takes no others.
    There(File, PathBuf),
}

impl Landing {
    fn at(path: &Path) -> Result<Self> {
        let old = fs::metadata(path).ok().map(Box::new);
        let open = |path: &Path| {
            let file = File::options().write(true).truncate(true).open(path);
            file.map(|file| Self::There(file, path.to_owned())).map_err(Error::file("open", path))
        };
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            return open(path);
        }
        // A link stays, and what it leads to is made anew.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let draft = tempfile::Builder::new()
            .prefix(DRAFT)
            .permissions(fs::Permissions::from_mode(NEW_FILE))
            .tempfile_in(folder.unwrap_or(Path::new(".")));
        match draft {
            Ok(draft) => Ok(Self::Draft(draft, path, old)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && old.is_some() => {
                open(&path)
            }
            Err(error) => Err(Error::file("make", &path)(error)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Draft(_, path, _) | Self::There(_, path) => path,
        }
    }

    fn inner(&self) -> &File {
        match self {
            Self::Draft(draft, _, _) => draft.as_file(),
            Self::There(file, _) => file,
        }
    }

    fn is_file(&self) -> bool {
        matches!(self, Self::Draft(..))
    }

    /// The same file once more.
    fn file(&self) -> Result<File> {
        self.inner().try_clone().map_err(Error::file("open", self.path()))
    }

    /// The same, open for reading too and as long as a disk that has room for so much.
    fn with_room(&self, bytes: u64) -> Result<File> {
        self.set_len(bytes.next_multiple_of(SECTOR))?;
        self.file()
    }

    fn empty(&self) -> Result<()> {
        self.set_len(0)?;
        self.inner().seek(SeekFrom::Start(0)).map(drop).map_err(Error::file("write", self.path()))
    }

    fn set_len(&self, bytes: u64) -> Result<()> {
        self.inner().set_len(bytes).map_err(Error::file("write", self.path()))
    }

    /// What the appliance says of a disk that it cannot write to is an error of the host's where the host has no
    /// room.
    fn explained(&self, error: Error) -> Error {
        let room = rustix::fs::fstatvfs(self.inner());
        match room {
            Ok(room) if room.f_bavail.saturating_mul(room.f_frsize) < NO_ROOM_BYTES => {
                Error::file("write", self.path())(io::ErrorKind::StorageFull.into())
            }
            _ => error,
        }
    }

    /// So many bytes came, and they are all.
    fn keep(self, bytes: u64) -> Result<()> {
        let Self::Draft(draft, path, old) = self else { return Ok(()) };
        let kept = || {
            draft.as_file().set_len(bytes)?;
            if let Some(old) = old {
                // Only root gives files away.
                let _ = chown(draft.path(), Some(old.uid()), Some(old.gid()));
                draft.as_file().set_permissions(old.permissions())?;
            }
            Ok(())
        };
        kept().map_err(Error::file("write", &path))?;
        draft.persist(&path).map(drop).map_err(|error| Error::file("make", &path)(error.error))
    }
}
