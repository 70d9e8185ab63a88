//! The configuration management classes of a node: one a line in a file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::sys::{Stamp, read_bounded};

/// The largest classes file that is read.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where the classes of a server come from. Clones share one cache.
#[derive(Clone, Debug)]
pub struct Classes {
    source: Arc<Source>,
}

#[derive(Debug)]
enum Source {
    Fixed(Arc<[String]>),
    File { path: PathBuf, cached: Mutex<Cached> },
}

#[derive(Debug, Default)]
struct Cached {
    stamp: Option<Stamp>,
    is_settled: bool,
    classes: Arc<[String]>,
}

impl Classes {
    /// Classes from a file, read again whenever it changes.
    pub fn from_file(path: PathBuf) -> Classes {
        Classes { source: Arc::new(Source::File { path, cached: Mutex::default() }) }
    }

    /// Classes that never change.
    pub fn fixed(mut classes: Vec<String>) -> Classes {
        classes.sort();
        Classes { source: Arc::new(Source::Fixed(classes.into())) }
    }

    /// The classes when they are at hand without touching a file.
    pub fn immediate(&self) -> Option<Arc<[String]>> {
        match &*self.source {
            Source::Fixed(classes) => Some(classes.clone()),
            Source::File { .. } => None,
        }
    }

    /// The classes in order, none when the file cannot be read. Blocks on the file system.
    pub fn read(&self) -> Arc<[String]> {
        self.read_whole().unwrap_or_default()
    }

    /// The classes in order; nothing when the file cannot be read, for those who must not take that
    /// for having no classes. Blocks on the file system.
    pub fn read_whole(&self) -> Option<Arc<[String]>> {
        match &*self.source {
            Source::Fixed(classes) => Some(classes.clone()),
            Source::File { path, cached } => read_file(path, cached, SystemTime::now()),
        }
    }
}

fn read_file(path: &Path, cached: &Mutex<Cached>, now: SystemTime) -> Option<Arc<[String]>> {
    let stamp = Stamp::of(path);
    let mut cached = cached.lock().unwrap_or_else(PoisonError::into_inner);
    if stamp.is_some() && cached.stamp == stamp && cached.is_settled {
        return Some(cached.classes.clone());
    }
    *cached = match read_bounded(path, FILE_BYTES_MAX) {
        Ok((bytes, stamp)) => Cached {
            is_settled: stamp.is_settled(now),
            stamp: Some(stamp),
            classes: parse(&bytes).into(),
        },
        Err(error) => {
            // Many nodes have no such file: not worth more than a debug line.
            log::debug!("classes: no classes file={} err={error}", path.display());
            Cached::default()
        }
    };
    cached.stamp.is_some().then(|| cached.classes.clone())
}

/// One class a line, kept exactly, sorted.
fn parse(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut classes: Vec<String> = text.lines().map(str::to_owned).collect();
    classes.sort();
    classes
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::server::testing::TempDir;

    #[test]
    fn lines_are_kept_exactly_and_sorted() {
        let cases: &[(&[u8], &[&str])] = &[
            (b"", &[]),
            (b"nginx\napache\n", &["apache", "nginx"]),
            (b"a\r\nb", &["a", "b"]),
            (b" x \n#y\n\nRole::Web\n", &["", " x ", "#y", "Role::Web"]),
            (b"\xff\n", &["\u{fffd}"]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), *expected);
        }
    }

    #[test]
    fn a_missing_file_is_no_classes_and_changes_show() {
        let dir = TempDir::new();
        let path = dir.path().join("classes.txt");
        let classes = Classes::from_file(path.clone());
        assert!(classes.read().is_empty());
        fs::write(&path, "one\n").unwrap();
        assert_eq!(*classes.read(), ["one".to_owned()]);
        fs::write(&path, "two\n").unwrap();
        assert_eq!(*classes.read(), ["two".to_owned()]);
        fs::remove_file(&path).unwrap();
        assert!(classes.read().is_empty());
    }
}
