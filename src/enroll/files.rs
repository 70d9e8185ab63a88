//! Files and folders of certificates: written whole or not at all, with their modes, one process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Error;

/// Bytes of a key, request, certificate or CA file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Makes a folder and those above it. One that exists stays as it is.
pub(super) fn make_folder(path: &Path, mode: u32) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    let failed = |source| Error::file("make the folder", path, source);
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed)?;
    // The umask has taken something away.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}

/// The contents of a file, or nothing when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let failed = |source| Error::file("read", path, source);
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes"))));
    }
    Ok(Some(bytes))
}

/// Writes a file beside its place, and puts it there when it is whole and on the disk.
pub(super) fn write(path: &Path, contents: &[u8], mode: u32) -> Result<(), Error> {
    let temporary = beside(path);
    let written = write_new(&temporary, contents, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|source| Error::file("write", path, source))
}

fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    // What an interrupted attempt has left.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Held while a process works on a folder; others are turned away.
#[derive(Debug)]
pub(super) struct Lock(
    #[expect(dead_code, reason = "the lock lasts as long as the file is open")] File,
);

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self, Error> {
        let failed = |source| Error::file("lock the folder", folder, source);
        let file = File::open(folder).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy { folder: folder.to_owned() }),
            Err(error) => Err(failed(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enroll::tests::Folder;

    #[test]
    fn files_are_replaced_whole_and_have_their_mode() {
        let folder = Folder::new();
        let path = folder.path("a/b/key.pem");
        make_folder(path.parent().unwrap(), 0o750).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        for (text, mode) in [("one", 0o640), ("two", 0o644)] {
            fs::write(beside(&path), "left over").unwrap();
            write(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text.as_bytes()));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert!(!beside(&path).exists());
        }
        let parent = fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(parent.permissions().mode() & 0o777, 0o750);
        let error = write(&folder.path("no/such/file"), b"", 0o644).unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
    }

    #[test]
    fn only_one_works_on_a_folder() {
        let folder = Folder::new();
        let held = Lock::take(folder.as_path()).unwrap();
        assert!(matches!(Lock::take(folder.as_path()), Err(Error::Busy { .. })));
        drop(held);
        Lock::take(folder.as_path()).unwrap();
    }
}
