//! The audit file: every line is appended by one write to the file that has the name now.
//!
//! The name is looked up before each line, so a file that was moved away, as log rotation does, is
//! followed by a new one; one that was cut to nothing goes on at its start. Nothing is synced to disk:
//! the kernel keeps what was written when this process ends in any way, and whoever can make the
//! whole machine fail could as well change the file. A sync for each request would cost more than
//! most actions do.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{
    FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;

/// Where the audit file is and who may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub path: PathBuf,
    /// Permissions of a file that is made here; those of a file that is there are left alone.
    pub mode: u32,
    /// The group that is to own it; nothing leaves owner and group alone.
    pub group: Option<u32>,
}

/// Why a line was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// The file cannot be found, opened or made.
    Open(PathBuf, io::Error),
    /// The name is that of a folder, a pipe or a socket.
    Kind(PathBuf),
    /// The group or the permissions cannot be set.
    Owner(PathBuf, io::Error),
    /// Nothing was written.
    Write(PathBuf, io::Error),
    /// Only the beginning of the line was written.
    Partial {
        /// The file.
        path: PathBuf,
        /// Bytes that were written.
        written: usize,
        /// Bytes of the line.
        length: usize,
    },
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unwritten::Open(path, error) => {
                write!(f, "cannot open audit log {}: {error}", path.display())
            }
            Unwritten::Kind(path) => {
                write!(f, "cannot open audit log {}: it is not a file", path.display())
            }
            Unwritten::Owner(path, error) => {
                write!(
                    f,
                    "cannot set owner, group and mode of audit log {}: {error}",
                    path.display()
                )
            }
            Unwritten::Write(path, error) => {
                write!(f, "cannot write audit log {}: {error}", path.display())
            }
            Unwritten::Partial { path, written, length } => write!(
                f,
                "cannot write audit log {}: only {written} of {length} bytes were taken",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Unwritten {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Unwritten::Open(_, error) | Unwritten::Owner(_, error) | Unwritten::Write(_, error) => {
                Some(error)
            }
            Unwritten::Kind(_) | Unwritten::Partial { .. } => None,
        }
    }
}

/// The audit file of a process. Blocks; one line is written at a time.
#[derive(Debug)]
pub struct AuditFile {
    place: Place,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    /// Whether the last write ended in the middle of a line.
    torn: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode.
    id: (u64, u64),
}

impl AuditFile {
    /// Opens the file, which is made when it is not there.
    ///
    /// # Errors
    /// Why lines could not be written to it.
    pub fn open(place: Place) -> Result<AuditFile, Unwritten> {
        let file = AuditFile { place, state: Mutex::default() };
        file.with_open(|_, _| Ok(()))?;
        Ok(file)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Appends a line, which ends with a line feed and holds no other. It is in the file, whole, when
    /// this returns without an error.
    ///
    /// # Errors
    /// Why it is not. What was written of it stands on a line of its own then.
    pub fn append(&self, line: &[u8]) -> Result<(), Unwritten> {
        debug_assert!(line.ends_with(b"\n") && memchr::memchr(b'\n', line) == Some(line.len() - 1));
        self.with_open(|open, torn| {
            let mut bytes = Vec::new();
            if *torn {
                bytes.push(b'\n');
            }
            bytes.extend_from_slice(line);
            let written = write_once(&open.file, &bytes)
                .map_err(|error| Unwritten::Write(self.place.path.clone(), error))?;
            if let Some(last) = bytes[..written].last() {
                *torn = *last != b'\n';
            }
            if written == bytes.len() {
                return Ok(());
            }
            let (path, length) = (self.place.path.clone(), bytes.len());
            Err(Unwritten::Partial { path, written, length })
        })
    }

    /// Does `work` with the file that has the name now. A file that failed is opened anew the next time.
    fn with_open(
        &self,
        work: impl FnOnce(&Open, &mut bool) -> Result<(), Unwritten>,
    ) -> Result<(), Unwritten> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { open, torn } = &mut *guard;
        let current = match open.take() {
            Some(current) if is_at(&self.place.path, current.id) => current,
            _ => Open::new(&self.place, torn)?,
        };
        work(&current, torn)?;
        *open = Some(current);
        Ok(())
    }
}

/// Whether the file of this device and inode has the name.
fn is_at(path: &Path, id: (u64, u64)) -> bool {
    fs::metadata(path).is_ok_and(|metadata| id_of(&metadata) == id)
}

fn id_of(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// One write, whatever it takes.
fn write_once(mut file: &File, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match file.write(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

impl Open {
    fn new(place: &Place, torn: &mut bool) -> Result<Open, Unwritten> {
        let failed = |error| Unwritten::Open(place.path.clone(), error);
        let file = open_or_make(place)?;
        let metadata = file.metadata().map_err(failed)?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_char_device() {
            return Err(Unwritten::Kind(place.path.clone()));
        }
        if kind.is_file() {
            give_to(&file, &metadata, place.group)
                .map_err(|error| Unwritten::Owner(place.path.clone(), error))?;
            // Without the right to read, what this process remembers has to do.
            if let Some(is_torn) = is_torn(&file, metadata.len()) {
                *torn = is_torn;
            }
        }
        Ok(Open { id: id_of(&metadata), file })
    }
}

/// The file, opened for appending and if possible for reading; never waits, not even for a pipe.
fn open_or_make(place: &Place) -> Result<File, Unwritten> {
    let failed = |error| Unwritten::Open(place.path.clone(), error);
    let mut options = OpenOptions::new();
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    options.append(true).read(true).custom_flags(flags);
    match options.open(&place.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return options.read(false).open(&place.path).map_err(failed);
        }
        opened => return opened.map_err(failed),
    }
    match options.create_new(true).mode(0o600).open(&place.path) {
        // It was made meanwhile, or the name is a link that leads to no file yet.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            options.create_new(false).create(true).mode(place.mode);
            options.open(&place.path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
        Ok(file) => {
            // Here, because the process's mask would take something away at creation.
            file.set_permissions(Permissions::from_mode(place.mode))
                .map_err(|error| Unwritten::Owner(place.path.clone(), error))?;
            Ok(file)
        }
    }
}

/// Makes this process's user and the group the owners, when a group is wanted.
fn give_to(file: &File, metadata: &Metadata, group: Option<u32>) -> io::Result<()> {
    let Some(group) = group else { return Ok(()) };
    let user = rustix::process::geteuid().as_raw();
    if (metadata.uid(), metadata.gid()) == (user, group) {
        return Ok(());
    }
    fchown(file, Some(user), Some(group))
}

/// Whether the file ends in the middle of a line; nothing when it cannot be read.
fn is_torn(file: &File, length: u64) -> Option<bool> {
    let Some(last) = length.checked_sub(1) else { return Some(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last).ok().map(|()| byte[0] != b'\n')
}

/// A mode as Go reads numbers: octal with a leading `0` or `0o`, else hexadecimal, binary or decimal.
/// Nothing when it is no mode of a file.
pub fn parse_mode(text: &str) -> Option<u32> {
    let digits = |prefix: &[&str]| prefix.iter().find_map(|prefix| text.strip_prefix(prefix));
    let (digits, radix) = if let Some(rest) = digits(&["0x", "0X"]) {
        (rest, 16)
    } else if let Some(rest) = digits(&["0b", "0B"]) {
        (rest, 2)
    } else if let Some(rest) = digits(&["0o", "0O"]) {
        (rest, 8)
    } else if let Some(rest) = text.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        (rest, 8)
    } else {
        (text, 10)
    };
    let plain = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
    let mode = u32::from_str_radix(digits, radix).ok().filter(|_| plain)?;
    (mode <= 0o777).then_some(mode)
}

#[cfg(test)]
mod tests;
