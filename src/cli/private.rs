//! Files with secrets: read with a limit, written for their owner alone, whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::exit::Failure;

/// Who may read a file beside its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Nobody.
    Owner,
    /// Everybody.
    All,
}

/// Reads a file of at most `bytes_max` bytes; `what` names it in the failure.
pub(super) fn read(what: &str, path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let failed = |reason: &dyn std::fmt::Display| {
        Failure::new(format!("cannot read the {what} {}: {reason}", path.display()))
    };
    let mut contents = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(limit).read_to_end(&mut contents).map_err(|error| failed(&error))?;
    if contents.len() > bytes_max {
        return Err(failed(&format!("it has more than {bytes_max} bytes")));
    }
    Ok(contents)
}

/// [`read`] for text; white space at its ends is cut off.
pub(super) fn read_text(what: &str, path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let contents = read(what, path, bytes_max)?;
    match std::str::from_utf8(&contents) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(_) => Err(Failure::new(format!("the {what} {} is not text", path.display()))),
    }
}

/// Writes a file beside the one of that name and puts it in its place, so that nobody ever finds half of it and what
/// was there is kept when something fails. What is not a regular file, a pipe for instance, is written as it is.
pub(super) fn write(path: &Path, contents: &[u8], readers: Readers) -> Result<(), Failure> {
    let result = match fs::metadata(path) {
        Ok(there) if !there.is_file() => fs::write(path, contents),
        _ => replace(path, contents, readers),
    };
    result.map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}

fn replace(path: &Path, contents: &[u8], readers: Readers) -> io::Result<()> {
    // A link keeps pointing at the file that is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, &path)).inspect_err(|_| {
        // What is left over would only be in the way.
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_are_whole_private_and_bounded() {
        let folder = std::env::temp_dir().join(format!("choria-private-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("token");
        fs::write(&path, "old").unwrap();
        write(&path, b"new\n", Readers::Owner).unwrap();
        assert_eq!(read_text("token", &path, 4).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = read("token", &path, 3).unwrap_err();
        assert!(refused.message.ends_with("it has more than 3 bytes"), "{refused}");
        assert!(write(&folder.join("no/such"), b"", Readers::All).is_err());
        write(Path::new("/dev/null"), b"x", Readers::Owner).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
