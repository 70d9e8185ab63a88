//! Telling whether a file changed without reading it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file younger than this is read again next time: a second write within one tick of the file
/// system's clock leaves time and size as they were.
const SETTLE: Duration = Duration::from_millis(50);

/// What identifies one state of a file; two equal stamps mean the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    /// When content or attributes changed last: a time that nobody can set back.
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl Stamp {
    /// The stamp of what is at `path` now, nothing when it cannot be looked at.
    pub fn of(path: &Path) -> Option<Stamp> {
        std::fs::metadata(path).ok().map(|metadata| Stamp::from_metadata(&metadata))
    }

    /// When the content was changed last, by the clock of the file system.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Says whether a content read under this stamp may be kept: `now` is later than the file's
    /// last change by more than the clock tick of a file system.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        self.modified
            .and_then(|modified| now.duration_since(modified).ok())
            .is_some_and(|age| age > SETTLE)
    }

    fn from_metadata(metadata: &Metadata) -> Stamp {
        let (changed, inode) = change(metadata);
        Stamp { modified: metadata.modified().ok(), changed, size: metadata.len(), inode }
    }
}

/// Time of the last change and inode, where there are such things.
#[cfg(unix)]
fn change(metadata: &Metadata) -> ((i64, i64), u64) {
    use std::os::unix::fs::MetadataExt;
    ((metadata.ctime(), metadata.ctime_nsec()), metadata.ino())
}

#[cfg(not(unix))]
fn change(_metadata: &Metadata) -> ((i64, i64), u64) {
    ((0, 0), 0)
}

/// Reads a whole file of at most `bytes_max`, with the stamp it had when it was opened.
///
/// # Errors
/// What the operating system says, and `FileTooLarge` above the limit.
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, Stamp)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let text = format!("larger than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok((bytes, Stamp::from_metadata(&metadata)))
}
