//! One file of a spool: a line that says what it is, then records.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{Found, HEAD_BYTES, decode, find};
use super::{SpoolError, failed};
use crate::adapt::Record;

/// What every segment begins with.
const START: &[u8] = b"choria spool 1\n\n";
/// Its length.
pub(super) const START_BYTES: u64 = START.len() as u64;
const SUFFIX: &str = ".segment";
/// Bytes read at once while a segment is looked through.
const LOOK_BYTES: usize = 256 * 1024;

/// A segment and what is known of it.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Up to here it holds whole records.
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Open while it is read.
    reader: Option<File>,
}

/// Records that were read.
pub(super) struct Read {
    pub(super) records: Vec<Record>,
    /// The place behind them.
    pub(super) end: u64,
    /// Why nothing more can be read.
    pub(super) damage: Option<String>,
}

/// The segments of a folder, oldest first. What is not whole at their ends is cut off; empty ones are deleted.
pub(super) fn open_all(folder: &Path) -> Result<VecDeque<Segment>, SpoolError> {
    let entries = fs::read_dir(folder).map_err(failed("read the folder of the spool", folder))?;
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("read the folder of the spool", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_suffix(SUFFIX).and_then(|hex| u64::from_str_radix(hex, 16).ok());
        if let Some(number) = number {
            segments.push(Segment::open(path, number)?);
        }
    }
    segments.sort_by_key(|segment| segment.number);
    let (full, empty): (Vec<_>, Vec<_>) = segments.into_iter().partition(|one| one.records > 0);
    empty.iter().for_each(Segment::delete);
    Ok(full.into())
}

impl Segment {
    /// Makes an empty one.
    pub(super) fn create(folder: &Path, number: u64) -> Result<(Segment, File), SpoolError> {
        let path = folder.join(format!("{number:016x}{SUFFIX}"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).map_err(failed("make", &path))?;
        file.write_all_at(START, 0).map_err(failed("write to", &path))?;
        Ok((Segment { number, path, bytes: START_BYTES, records: 0, reader: None }, file))
    }

    /// Opens one that is there, and looks through it.
    fn open(path: PathBuf, number: u64) -> Result<Segment, SpoolError> {
        let file = File::open(&path).map_err(failed("open", &path))?;
        let length = file.metadata().map_err(failed("look at", &path))?.len();
        let mut segment = Segment { number, path, bytes: length, records: 0, reader: None };
        let mut start = [0; START.len()];
        if file.read_exact_at(&mut start, 0).is_err() || start != START {
            log::error!(
                "adapt: {} is no segment of a spool, it is passed over",
                segment.path.display()
            );
            segment.set_aside();
            return Ok(segment);
        }
        segment.reader = Some(file);
        let (records, end) = segment.walk(length);
        if end < length {
            let (lost, path) = (length - end, segment.path.display());
            log::warn!("adapt: the end of {path} is not whole, it is cut off bytes={lost}");
        }
        (segment.records, segment.bytes, segment.reader) = (records, end, None);
        Ok(segment)
    }

    /// Gives a file another name so that it is neither used nor deleted.
    fn set_aside(&self) {
        let name = self.path.with_extension("unknown");
        if let Err(error) = fs::rename(&self.path, name) {
            log::warn!("adapt: cannot rename {}: {error}", self.path.display());
        }
    }

    /// Counts whole records up to a place; says where they end.
    fn walk(&self, until: u64) -> (u64, u64) {
        let Some(file) = &self.reader else { return (0, START_BYTES) };
        let (mut records, mut at) = (0, START_BYTES);
        let mut bytes = vec![0; LOOK_BYTES];
        let mut wanted = LOOK_BYTES;
        'reading: while at < until {
            let left = usize::try_from(until - at).unwrap_or(usize::MAX);
            bytes.resize(wanted.min(left), 0);
            if file.read_exact_at(&mut bytes, at).is_err() {
                break;
            }
            let mut rest = bytes.as_slice();
            wanted = LOOK_BYTES;
            loop {
                match find(rest) {
                    Found::Whole(_, length) => {
                        records += 1;
                        at += length as u64;
                        rest = rest.get(length..).unwrap_or_default();
                        if rest.is_empty() {
                            break;
                        }
                    }
                    Found::Short(length) if at + length as u64 <= until && length > rest.len() => {
                        wanted = length.max(LOOK_BYTES);
                        break;
                    }
                    Found::Short(_) | Found::Damaged => break 'reading,
                }
            }
        }
        (records, at)
    }

    /// How many records end before a place, if it is one between two records.
    pub(super) fn records_before(&mut self, offset: u64) -> Option<u64> {
        self.open_reader().ok()?;
        let (records, end) = self.walk(offset.min(self.bytes));
        (end == offset).then_some(records)
    }

    fn open_reader(&mut self) -> Result<&File, SpoolError> {
        if self.reader.is_none() {
            let file = File::open(&self.path).map_err(failed("open", &self.path))?;
            self.reader = Some(file);
        }
        self.reader.as_ref().ok_or_else(|| SpoolError::InUse(self.path.clone()))
    }

    /// Writes whole records behind the others.
    pub(super) fn write(
        &mut self,
        file: &File,
        bytes: &[u8],
        records: u64,
    ) -> Result<(), SpoolError> {
        // What fails half way is written over by the next one, or cut off when the file is opened.
        file.write_all_at(bytes, self.bytes).map_err(failed("write to", &self.path))?;
        self.bytes += bytes.len() as u64;
        self.records += records;
        Ok(())
    }

    /// Reads records from a place on.
    pub(super) fn read(&mut self, from: u64, records_max: usize, bytes_max: usize) -> Read {
        let mut read = Read { records: Vec::new(), end: from, damage: None };
        let mut wanted = bytes_max.max(HEAD_BYTES);
        let until = self.bytes;
        while read.records.is_empty() && read.damage.is_none() && from < until {
            let left = usize::try_from(until - from).unwrap_or(usize::MAX);
            let mut bytes = vec![0; wanted.min(left)];
            let filled = self.open_reader().and_then(|file| {
                file.read_exact_at(&mut bytes, from)
                    .map_err(failed("read", Path::new("the segment")))
            });
            if let Err(error) = filled {
                read.damage = Some(error.to_string());
                break;
            }
            wanted = read.take(&bytes, records_max, left);
        }
        read
    }

    pub(super) fn delete(&self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            log::warn!("adapt: cannot delete {}: {error}", self.path.display());
        }
    }
}

impl Read {
    /// Takes records out of bytes, of which the segment has `left` in all; says how many bytes the first one needs when
    /// they are too few.
    fn take(&mut self, bytes: &[u8], records_max: usize, left: usize) -> usize {
        let mut rest = bytes;
        while self.records.len() < records_max && !rest.is_empty() {
            match find(rest) {
                Found::Whole(content, length) => {
                    let Some(record) = decode(content) else {
                        self.damage = Some("a record cannot be read".to_owned());
                        return 0;
                    };
                    self.records.push(record);
                    self.end += length as u64;
                    rest = rest.get(length..).unwrap_or_default();
                }
                Found::Short(length) if bytes.len() < left => {
                    // There is more in the file: for the next batch, or for a larger read.
                    return length;
                }
                Found::Short(_) => {
                    self.damage = Some("a record is not whole".to_owned());
                    return 0;
                }
                Found::Damaged => {
                    self.damage = Some("a checksum does not fit".to_owned());
                    return 0;
                }
            }
        }
        0
    }
}
