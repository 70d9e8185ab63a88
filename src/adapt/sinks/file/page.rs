//! One file: opened and repaired, appended to, rotated.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::IgnoredAny;

use super::name::ROTATED;
use super::{Settings, Sync};
use crate::util::time;

/// Permissions of folders that are made.
const FOLDER_MODE: u32 = 0o750;
/// Bytes at the end of a file in which the end of a line is looked for.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Names that are tried for a rotated file.
const NAMES_TRIED_MAX: u32 = 1_000;

/// An open file. Nobody else writes to it: it is locked.
#[derive(Debug)]
pub(super) struct Page {
    file: File,
    path: PathBuf,
    bytes: u64,
    since: SystemTime,
}

impl Page {
    /// Opens the file at `path` below the folder, makes it when it is not there, and repairs its end.
    pub(super) fn open(settings: &Settings, path: &Path) -> io::Result<Page> {
        let full = settings.folder.join(path);
        let parent = full.parent().unwrap_or(&settings.folder);
        make_folder(settings, parent)?;
        let (file, is_new) = open_file(&full, settings.mode)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another process is writing to it",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if is_new {
            file.set_permissions(Permissions::from_mode(settings.mode))?;
            if settings.sync == Sync::Batch {
                File::open(parent)?.sync_all()?;
            }
        }
        // Where the file system does not know when it was made, it counts from the last write.
        let since = metadata.created().or_else(|_| metadata.modified())?;
        let mut page = Page { file, path: full, bytes: metadata.len(), since };
        page.repair()?;
        Ok(page)
    }

    /// Ends a line that a crash has left: one that is whole gets its end, another one is cut off.
    fn repair(&mut self) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let start = self.bytes.saturating_sub(LINE_BYTES_MAX);
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        if last == *b"\n" {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        (&self.file).take(LINE_BYTES_MAX).read_to_end(&mut tail)?;
        let end = memchr::memrchr(b'\n', &tail);
        let rest = tail.get(end.map_or(0, |end| end + 1)..).unwrap_or_default();
        // Something else that was there before is left as it is.
        let is_ours = matches!(rest.first(), Some(b'{' | 0)) && (end.is_some() || start == 0);
        if is_ours && serde_json::from_slice::<IgnoredAny>(rest).is_err() {
            let cut = rest.len() as u64;
            self.bytes -= cut;
            self.file.set_len(self.bytes)?;
            let path = self.path.display();
            log::warn!("adapt: cut off {cut} bytes of a line that was not finished file={path}");
            return Ok(());
        }
        self.file.write_all(b"\n")?;
        self.bytes += 1;
        Ok(())
    }

    /// Whether the file is to be rotated before this many bytes are added. A new file never is.
    pub(super) fn is_full(&self, settings: &Settings, more: usize, now: SystemTime) -> bool {
        let age = now.duration_since(self.since).unwrap_or_default();
        let is_large =
            settings.size_max > 0 && self.bytes.saturating_add(more as u64) > settings.size_max;
        let is_old = !settings.age_max.is_zero() && age >= settings.age_max;
        self.bytes > 0 && (is_large || is_old)
    }

    /// Adds lines, all of them or none.
    pub(super) fn append(&mut self, lines: &[u8], to_disk: bool) -> io::Result<()> {
        let written = self.file.write_all(lines);
        let written = written.and_then(|()| if to_disk { self.file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => self.bytes += lines.len() as u64,
            Err(_) => {
                // The attempt that comes next repairs what this cannot.
                let _ = self.file.set_len(self.bytes);
            }
        }
        written
    }

    /// Asks that everything is on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file the name of a rotated one, and removes those that are too many.
    pub(super) fn rotate(&mut self, settings: &Settings, now: SystemTime) -> io::Result<()> {
        if settings.sync != Sync::Never {
            self.sync()?;
        }
        let stamp: String =
            time::rfc3339_micros(now).chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parent = self.path.parent().unwrap_or(&settings.folder);
        let target = free_name(parent, &format!("{name}{ROTATED}{stamp}"))?;
        fs::rename(&self.path, &target)?;
        log::debug!("adapt: rotated file={} to={}", self.path.display(), target.display());
        if settings.kept_max > 0
            && let Err(error) = remove_old(parent, &name, settings.kept_max)
        {
            log::warn!("adapt: old files stay folder={} err={error}", parent.display());
        }
        Ok(())
    }
}

/// Makes the folders of a path, and looks that no link leads out of the sink's own.
fn make_folder(settings: &Settings, parent: &Path) -> io::Result<()> {
    if parent == settings.folder {
        return Ok(());
    }
    // The sink's own folder is the operator's to make: without it, a disk is missing.
    let root = settings.folder.canonicalize()?;
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(parent)?;
    if !parent.canonicalize()?.starts_with(&root) {
        let text = "a link leads out of the folder of this adapter";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// The file, and whether it was made. Links are not followed, and what is no file does not block.
fn open_file(path: &Path, mode: u32) -> io::Result<(File, bool)> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(mode).custom_flags(flags);
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok((options.open(path)?, false))
        }
        Err(error) => Err(error),
    }
}

/// A path that nothing is at.
fn free_name(parent: &Path, name: &str) -> io::Result<PathBuf> {
    for number in 0..NAMES_TRIED_MAX {
        let path = match number {
            0 => parent.join(name),
            _ => parent.join(format!("{name}.{number:03}")),
        };
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is no free name for a rotated file"))
}

/// Removes the oldest of the rotated files of this name.
fn remove_old(parent: &Path, name: &str, kept_max: usize) -> io::Result<()> {
    let prefix = format!("{name}{ROTATED}");
    let mut rotated = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            rotated.push(entry.path());
        }
    }
    // The time is part of the name.
    rotated.sort();
    let too_many = rotated.len().saturating_sub(kept_max);
    for path in rotated.into_iter().take(too_many) {
        fs::remove_file(&path)?;
    }
    Ok(())
}
