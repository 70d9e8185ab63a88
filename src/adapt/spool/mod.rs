//! Records on disk while their sink does not take them: a folder of segment files, oldest first.
//!
//! Records are appended to the last segment and read from the first. How far the first one was delivered stands in a small
//! file beside them, so that a process that was killed begins where it stopped; what was delivered after that file was
//! written comes twice, with the same message id. A segment is deleted when all of it was delivered. Every record has a
//! checksum: what a crash left half written at the end of a segment is cut off when the folder is opened.
//!
//! A killed process loses nothing that was appended. Files are synced when a segment is full, once a second while it is
//! written, and at the end, so a computer that loses its power loses a second.
//!
//! Everything here blocks: [`super::queue`] calls it on threads made for that.

mod record;
mod segment;

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Record;
use crate::util::crc::crc32c;
use record::{encode, encoded_len};
use segment::{START_BYTES, Segment};

/// A segment is full at this size, or at a sixteenth of the limit of its spool.
const SEGMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The smallest size at which a segment is full.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// The smallest limit that makes sense: a message of the largest usual size and room for others.
pub const SPOOL_BYTES_MIN: u64 = 1024 * 1024;
/// Time between two syncs of a segment that is written.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The number of the first segment; what was older than it at an end of the process goes before it.
const FIRST_NUMBER: u64 = 1 << 40;
const LOCK: &str = "lock";
const CURSOR: &str = "delivered";

/// What goes when the spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropRule {
    /// The oldest segment.
    Oldest,
    /// What comes.
    Newest,
}

/// Where a spool is and how large it may get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The folder; it is made when it does not exist, and belongs to one adapter of one process.
    pub folder: PathBuf,
    /// Bytes of all segments together; at least [`SPOOL_BYTES_MIN`].
    pub bytes_max: u64,
    /// What goes when that is reached.
    pub rule: DropRule,
}

/// Why a spool cannot be used.
#[derive(Debug)]
pub enum SpoolError {
    /// Another process uses the folder.
    InUse(PathBuf),
    /// The system refused something.
    Io {
        /// What was done.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpoolError::InUse(path) => {
                write!(f, "another process uses the spool {}", path.display())
            }
            SpoolError::Io { doing, path, source } => {
                write!(f, "cannot {doing} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SpoolError::InUse(_) => None,
            SpoolError::Io { source, .. } => Some(source),
        }
    }
}

/// Makes an error of what the system said.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { doing, path, source }
}

/// What became of records that were to be appended.
#[derive(Debug, Default)]
pub struct Appended {
    /// Those that did not get in because the spool is full.
    pub newest_dropped: usize,
    /// Those that left because of it.
    pub oldest_dropped: usize,
    /// Those that could not be written, and why.
    pub unwritten: Option<(usize, SpoolError)>,
}

/// A batch that was read.
#[derive(Debug, Default)]
pub struct Taken {
    /// The records, oldest first. They stay in the spool until [`Spool::commit`].
    pub records: Vec<Record>,
    /// Records that were lost to damage of the file.
    pub damaged: usize,
}

/// The records of one adapter on disk.
#[derive(Debug)]
pub struct Spool {
    settings: SpoolSettings,
    segment_bytes_max: u64,
    /// Oldest first; only the last one is written. None is empty.
    segments: VecDeque<Segment>,
    /// The file of the last segment, while it is written.
    writer: Option<File>,
    is_dirty: bool,
    synced_at: Instant,
    /// Where the first record that was not delivered begins in the first segment, and how many records are before it.
    delivered: Place,
    /// The end of what is being delivered.
    in_hand: Option<Place>,
    cursor: File,
    /// Held as long as the spool is open.
    _lock: File,
}

/// A place between two records of the first segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    records: u64,
}

const START: Place = Place { offset: START_BYTES, records: 0 };

impl Spool {
    /// Opens a folder, with what an earlier process left there.
    ///
    /// # Errors
    /// When the folder cannot be made, used alone, read or written.
    pub fn open(settings: SpoolSettings) -> Result<Spool, SpoolError> {
        let folder = settings.folder.as_path();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed("make the folder of the spool", folder))?;
        let lock = open_file(&folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(SpoolError::InUse(folder.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(failed("lock", folder)(error)),
        }
        let segments = segment::open_all(folder)?;
        let cursor = open_file(&folder.join(CURSOR))?;
        let size_max = (settings.bytes_max / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let mut spool = Spool {
            segment_bytes_max: size_max,
            segments,
            writer: None,
            is_dirty: false,
            synced_at: Instant::now(),
            delivered: START,
            in_hand: None,
            cursor,
            _lock: lock,
            settings,
        };
        spool.read_cursor();
        Ok(spool)
    }

    /// Records that were not delivered.
    pub fn records(&self) -> u64 {
        let all: u64 = self.segments.iter().map(|segment| segment.records).sum();
        all.saturating_sub(self.delivered.records)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends records, newest last.
    pub fn append(&mut self, records: &[Record]) -> Appended {
        let mut outcome = Appended::default();
        let mut bytes = Vec::new();
        let mut waiting = 0;
        for (index, record) in records.iter().enumerate() {
            let length = encoded_len(record) as u64;
            let is_full = self.last_bytes() + bytes.len() as u64 + length > self.segment_bytes_max;
            if is_full && let Err(error) = self.write(&mut bytes, &mut waiting) {
                outcome.unwritten = Some((records.len() - index + waiting as usize, error));
                return outcome;
            }
            if is_full {
                self.seal();
            }
            if !self.make_room(bytes.len() as u64 + length, &mut outcome) {
                outcome.newest_dropped += 1;
                continue;
            }
            encode(&mut bytes, record);
            waiting += 1;
        }
        if let Err(error) = self.write(&mut bytes, &mut waiting) {
            outcome.unwritten = Some((waiting as usize, error));
        }
        self.sync_at_times();
        outcome
    }

    /// Puts records before all others: those of a batch in hand, then those that waited behind it. Says whether there was
    /// room; nothing is changed otherwise.
    ///
    /// # Errors
    /// When they could not be written; nothing is changed then.
    pub fn prepend(&mut self, in_hand: &[Record], behind: &[Record]) -> Result<bool, SpoolError> {
        let mut bytes = Vec::new();
        in_hand.iter().for_each(|record| encode(&mut bytes, record));
        let end = Place { offset: START_BYTES + bytes.len() as u64, records: in_hand.len() as u64 };
        behind.iter().for_each(|record| encode(&mut bytes, record));
        let fits = self.bytes() + START_BYTES + bytes.len() as u64 <= self.settings.bytes_max;
        // What was read of the first segment would be read again.
        if bytes.is_empty() || !fits || self.delivered != START || self.in_hand.is_some() {
            return Ok(false);
        }
        let number = self.segments.front().map_or(FIRST_NUMBER, |first| first.number - 1);
        let (mut segment, file) = Segment::create(&self.settings.folder, number)?;
        let records = (in_hand.len() + behind.len()) as u64;
        if let Err(error) = segment.write(&file, &bytes, records) {
            segment.delete();
            return Err(error);
        }
        if self.segments.is_empty() {
            self.writer = Some(file);
            self.is_dirty = true;
        } else if let Err(error) = file.sync_data() {
            log::warn!("adapt: cannot sync {}: {error}", segment.path.display());
        }
        self.segments.push_front(segment);
        self.in_hand = Some(end).filter(|_| !in_hand.is_empty());
        self.write_cursor();
        Ok(true)
    }

    /// The oldest records that were not delivered, at most so many and so many bytes, but one at least.
    pub fn read(&mut self, records_max: usize, bytes_max: usize) -> Taken {
        let mut taken = Taken::default();
        while let Some(first) = self.segments.front_mut() {
            let read = first.read(self.delivered.offset, records_max, bytes_max);
            let count = read.records.len() as u64;
            if let Some(reason) = read.damage {
                let left = first.records.saturating_sub(self.delivered.records + count);
                taken.damaged += usize::try_from(left).unwrap_or(usize::MAX);
                log::error!(
                    "adapt: the spool is damaged, records are lost file={} records={left} err={reason}",
                    first.path.display()
                );
                first.bytes = read.end;
                first.records = self.delivered.records + count;
                if self.segments.len() == 1 {
                    self.writer = None;
                }
            }
            if read.records.is_empty() {
                self.remove_first();
                continue;
            }
            let records = self.delivered.records + count;
            self.in_hand = Some(Place { offset: read.end, records });
            taken.records = read.records;
            break;
        }
        taken
    }

    /// What was read last is delivered.
    pub fn commit(&mut self) {
        let Some(place) = self.in_hand.take() else { return };
        self.delivered = place;
        if self.segments.front().is_some_and(|first| place.offset >= first.bytes) {
            self.remove_first();
        }
        self.write_cursor();
    }

    /// Syncs what was written.
    pub fn sync(&mut self) {
        if let (true, Some(file)) = (self.is_dirty, &self.writer)
            && let Err(error) = file.sync_data()
        {
            log::warn!("adapt: cannot sync the spool {}: {error}", self.settings.folder.display());
        }
        self.is_dirty = false;
        self.synced_at = Instant::now();
    }

    fn sync_at_times(&mut self) {
        if self.is_dirty && self.synced_at.elapsed() >= SYNC_EVERY {
            self.sync();
        }
    }

    /// Bytes of the segment that is written.
    fn last_bytes(&self) -> u64 {
        match &self.writer {
            Some(_) => self.segments.back().map_or(0, |last| last.bytes),
            None => 0,
        }
    }

    /// Ends the segment that is written.
    fn seal(&mut self) {
        self.sync();
        self.writer = None;
    }

    /// Writes what was encoded, and counts it as written.
    fn write(&mut self, bytes: &mut Vec<u8>, records: &mut u64) -> Result<(), SpoolError> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.writer.is_none() {
            let number = self.segments.back().map_or(FIRST_NUMBER, |last| last.number + 1);
            let (segment, file) = Segment::create(&self.settings.folder, number)?;
            self.segments.push_back(segment);
            self.writer = Some(file);
        }
        if let (Some(file), Some(last)) = (&self.writer, self.segments.back_mut()) {
            last.write(file, bytes, *records)?;
        }
        self.is_dirty = true;
        bytes.clear();
        *records = 0;
        Ok(())
    }

    /// Makes room for so many bytes more, if the rule allows it; says whether there is.
    fn make_room(&mut self, more: u64, outcome: &mut Appended) -> bool {
        let needed = |spool: &Spool| spool.bytes() + START_BYTES + more;
        while needed(self) > self.settings.bytes_max {
            let can_drop = self.settings.rule == DropRule::Oldest
                && !self.segments.is_empty()
                && more + START_BYTES <= self.settings.bytes_max;
            if !can_drop {
                return false;
            }
            let first = self.segments.front().map_or(0, |first| first.records);
            let in_hand = self.in_hand.unwrap_or(self.delivered).records;
            outcome.oldest_dropped +=
                usize::try_from(first.saturating_sub(in_hand)).unwrap_or(usize::MAX);
            self.remove_first();
            self.write_cursor();
        }
        true
    }

    /// Deletes the first segment. What is in hand of it is not in the spool any more.
    fn remove_first(&mut self) {
        if let Some(first) = self.segments.pop_front() {
            first.delete();
        }
        if self.segments.is_empty() {
            self.writer = None;
            self.is_dirty = false;
        }
        self.delivered = START;
        self.in_hand = None;
    }

    /// Remembers how far the first segment was delivered. If that cannot be written, more comes twice after a crash.
    fn write_cursor(&self) {
        let number = self.segments.front().map_or(0, |first| first.number);
        let mut bytes = [number, self.delivered.offset].map(u64::to_le_bytes).concat();
        bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
        if let Err(error) = self.cursor.write_all_at(&bytes, 0) {
            log::warn!(
                "adapt: cannot write to the spool {}: {error}",
                self.settings.folder.display()
            );
        }
    }

    fn read_cursor(&mut self) {
        let mut bytes = [0; 20];
        if self.cursor.read_exact_at(&mut bytes, 0).is_err() {
            return;
        }
        let (content, sum) = bytes.split_at(16);
        if sum != crc32c(content).to_le_bytes() {
            return;
        }
        let (number, offset) = content.split_at(8);
        let number_of = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let (number, offset) = (number_of(number), number_of(offset));
        if let Some(first) = self.segments.front_mut()
            && first.number == number
            && let Some(records) = first.records_before(offset)
        {
            self.delivered = Place { offset, records };
            if offset >= first.bytes {
                self.remove_first();
            }
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.sync();
    }
}

/// Opens a file that only its owner may read, and makes it when it is not there.
fn open_file(path: &Path) -> Result<File, SpoolError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(failed("open", path))
}

#[cfg(test)]
mod tests;
