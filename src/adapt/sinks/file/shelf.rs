//! The files that are open, and how many there may be.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::name::OVERFLOW;
use super::page::Page;
use super::{Settings, Sync};
use crate::adapt::SinkError;

/// A file that nothing was written to for so long does not count any more.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// Lines for one file.
#[derive(Debug)]
pub(super) struct Parcel {
    path: PathBuf,
    lines: Vec<u8>,
    /// Which records of the batch they are.
    records: Vec<usize>,
}

impl Parcel {
    pub(super) fn new(path: PathBuf) -> Parcel {
        Parcel { path, lines: Vec::new(), records: Vec::new() }
    }

    /// Adds a line. Line ends in it become blanks: in JSON they can only be between its parts.
    pub(super) fn push(&mut self, record: usize, body: &[u8]) {
        let start = self.lines.len();
        self.lines.extend_from_slice(body);
        if memchr::memchr2(b'\n', b'\r', body).is_some() {
            for byte in self.lines.iter_mut().skip(start) {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        self.lines.push(b'\n');
        self.records.push(record);
    }
}

/// Records that were not written, and why.
pub(super) type Failed = Vec<(Vec<usize>, String)>;

/// The files of one sink.
#[derive(Debug)]
pub(super) struct Shelf {
    settings: Arc<Settings>,
    open: HashMap<PathBuf, Open>,
    /// Counts uses, so that the file used longest ago is known.
    uses: u64,
    /// Every file that was written to, and when last.
    known: HashMap<PathBuf, Instant>,
    overflowed: bool,
}

#[derive(Debug)]
struct Open {
    page: Page,
    used: u64,
}

impl Shelf {
    pub(super) fn new(settings: Arc<Settings>) -> Shelf {
        Shelf { settings, open: HashMap::new(), uses: 0, known: HashMap::new(), overflowed: false }
    }

    /// Appends every parcel to its file. A file that fails costs its own lines only.
    pub(super) fn write(&mut self, parcels: Vec<Parcel>) -> Failed {
        let mut failed = Vec::new();
        for parcel in parcels {
            let path = self.place(parcel.path);
            if let Err(error) = self.append(&path, &parcel.lines) {
                // Closed, so that the next attempt repairs it.
                self.open.remove(&path);
                let shown = self.settings.folder.join(&path);
                let reason = format!("cannot write to {}: {error}", shown.display());
                failed.push((parcel.records, reason));
            }
        }
        failed
    }

    /// The path, or that of the file for all that are too many.
    fn place(&mut self, path: PathBuf) -> PathBuf {
        let now = Instant::now();
        if let Some(last) = self.known.get_mut(&path) {
            *last = now;
            return path;
        }
        if self.known.len() >= self.settings.files_max {
            self.known.retain(|_, last| now.saturating_duration_since(*last) < FORGOTTEN);
        }
        if self.known.len() < self.settings.files_max {
            self.known.insert(path.clone(), now);
            return path;
        }
        if !std::mem::replace(&mut self.overflowed, true) {
            let (folder, max) = (self.settings.folder.display(), self.settings.files_max);
            log::error!(
                "adapt: records would need more than {max} files, the rest goes to {folder}/{OVERFLOW}"
            );
        }
        PathBuf::from(OVERFLOW)
    }

    fn append(&mut self, path: &Path, lines: &[u8]) -> io::Result<()> {
        let now = SystemTime::now();
        self.uses += 1;
        let uses = self.uses;
        if !self.open.contains_key(path) {
            self.make_room();
            let page = Page::open(&self.settings, path)?;
            self.open.insert(path.to_owned(), Open { page, used: uses });
        }
        let Some(open) = self.open.get_mut(path) else { return Ok(()) };
        open.used = uses;
        if open.page.is_full(&self.settings, lines.len(), now) {
            open.page.rotate(&self.settings, now)?;
            open.page = Page::open(&self.settings, path)?;
        }
        open.page.append(lines, self.settings.sync == Sync::Batch)
    }

    /// Closes the file used longest ago when there is no room for one more.
    fn make_room(&mut self) {
        while self.open.len() >= self.settings.open_max.max(1) {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else { return };
            if let Some(open) = self.open.remove(&path) {
                self.put_away(&path, open.page);
            }
        }
    }

    /// Closes every file.
    pub(super) fn close(&mut self) {
        for (path, open) in std::mem::take(&mut self.open) {
            self.put_away(&path, open.page);
        }
    }

    fn put_away(&self, path: &Path, mut page: Page) {
        if self.settings.sync != Sync::Never
            && let Err(error) = page.sync()
        {
            let shown = self.settings.folder.join(path);
            log::error!("adapt: lines may be lost in a crash file={} err={error}", shown.display());
        }
    }

    /// Looks whether files could be written, and writes none.
    pub(super) fn check(&self) -> Result<String, SinkError> {
        let folder = &self.settings.folder;
        let shown = folder.display();
        let failed = |error: &dyn std::fmt::Display| {
            SinkError::new(format!("cannot use the folder {shown}: {error}"))
                .hint("it has to exist, and this process has to be able to write to it")
        };
        let metadata = std::fs::metadata(folder).map_err(|error| failed(&error))?;
        if !metadata.is_dir() {
            return Err(failed(&"it is no folder"));
        }
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(folder, access).map_err(|error| failed(&error))?;
        let disk = rustix::fs::statvfs(folder).map_err(|error| failed(&error))?;
        let free_mib = disk.f_bavail.saturating_mul(disk.f_frsize) / (1024 * 1024);
        Ok(format!("the folder {shown} can be written to, {free_mib} MiB are free"))
    }

    #[cfg(test)]
    pub(super) fn open_files(&self) -> usize {
        self.open.len()
    }
}
