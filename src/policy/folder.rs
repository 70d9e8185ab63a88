//! Policy files: what is read, how much of it, and when it is read again.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::sys::{Stamp, read_bounded};

/// The name of the file of groups, beside the policies.
pub const GROUPS_FILE: &str = "groups";

/// The largest policy file that is read, bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Files whose content is kept. Requests name agents that exist, so there are few.
const FILES_KEPT_MAX: usize = 512;
/// A file that changed so recently may be in the middle of being written: it is looked at again.
const SETTLE: Duration = Duration::from_millis(60);
/// A file that keeps changing for so long is not waited for.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// Where the policies of a node are: beside its configuration file.
pub fn policy_folder(config_file: &Path) -> PathBuf {
    config_file.parent().unwrap_or(Path::new("")).join("policies")
}

/// Whether something is there, a link that leads nowhere included: what cannot be looked at must not
/// be taken for absent.
///
/// # Errors
/// When that cannot be told.
pub(super) fn is_there(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a text can be the name of a policy file: one part of a path, not hidden.
pub(super) fn is_file_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !name.is_empty() && name.len() <= 128 && name.bytes().all(fits) && !name.starts_with('.')
}

/// Parsed files by path, each kept until it changes.
pub(super) struct Cache<T> {
    files: Mutex<HashMap<PathBuf, Kept<T>>>,
}

struct Kept<T> {
    stamp: Stamp,
    parsed: Arc<T>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { files: Mutex::default() }
    }
}

impl<T> Cache<T> {
    /// What `parse` makes of the file as it is now. Blocks on the file system, up to a second while
    /// somebody writes the file.
    ///
    /// # Errors
    /// When the file cannot be read, is too large, or does not stop changing.
    pub(super) fn read(&self, path: &Path, parse: impl FnOnce(&[u8]) -> T) -> io::Result<Arc<T>> {
        let stamp = Stamp::of(path);
        if let Some(kept) = self.locked().get(path)
            && stamp.as_ref() == Some(&kept.stamp)
        {
            return Ok(kept.parsed.clone());
        }
        let (bytes, stamp) = read_settled(path)?;
        let parsed = Arc::new(parse(&bytes));
        let mut files = self.locked();
        if files.len() >= FILES_KEPT_MAX {
            files.clear();
        }
        if stamp.is_settled(SystemTime::now()) {
            files.insert(path.to_owned(), Kept { stamp, parsed: parsed.clone() });
        } else {
            files.remove(path);
        }
        Ok(parsed)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Kept<T>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file that nobody is writing: the same content twice, unless it has been left alone for a
/// while already.
fn read_settled(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    let started = Instant::now();
    let mut read = read_bounded(path, FILE_BYTES_MAX)?;
    let is_still = |stamp: &Stamp| {
        stamp.is_settled(SystemTime::now()) && Stamp::of(path).as_ref() == Some(stamp)
    };
    while !is_still(&read.1) {
        if started.elapsed() > SETTLE_MAX {
            let text = "it is being written";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        std::thread::sleep(SETTLE);
        let again = read_bounded(path, FILE_BYTES_MAX)?;
        let is_same = again == read;
        read = again;
        if is_same {
            break;
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("choria-policy-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unchanged_one_is_not() {
        let folder = folder("cache");
        let path = folder.join("a.policy");
        let cache = Cache::default();
        let read = || cache.read(&path, |bytes| bytes.to_vec());
        assert!(read().is_err());
        fs::write(&path, "one").unwrap();
        assert_eq!(*read().unwrap(), b"one");
        fs::write(&path, "two").unwrap();
        assert_eq!(*read().unwrap(), b"two");
        let old = SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        let first = read().unwrap();
        assert!(Arc::ptr_eq(&first, &read().unwrap()));
        fs::remove_file(&path).unwrap();
        assert!(read().is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_from_the_future_can_be_read() {
        let folder = folder("future");
        let path = folder.join("a.policy");
        fs::write(&path, "one").unwrap();
        let later = SystemTime::now() + Duration::from_secs(3600);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(*Cache::default().read(&path, |bytes| bytes.to_vec()).unwrap(), b"one");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn links_that_lead_nowhere_are_there() {
        let folder = folder("links");
        let path = folder.join("a.policy");
        assert!(!is_there(&path).unwrap());
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(is_there(&path).unwrap());
        assert!(
            is_there(&path.join("below")).is_ok_and(|there| !there)
                || is_there(&path.join("below")).is_err()
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn names_of_files() {
        for (name, expected) in [
            ("rpcutil", true),
            ("a-b_c.d", true),
            ("", false),
            ("..", false),
            (".hidden", false),
            ("a/b", false),
            ("a\0", false),
            ("ä", false),
        ] {
            assert_eq!(is_file_name(name), expected, "{name}");
        }
    }
}
