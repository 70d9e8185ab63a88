//! Files that must not be seen half-written, or by others.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::crypto::key::{self, PrivateKey};

/// For its owner only.
pub const SECRET: u32 = 0o600;
/// For everybody to read.
pub const PUBLIC: u32 = 0o644;
const SECRET_FOLDER: u32 = 0o700;
const PUBLIC_FOLDER: u32 = 0o755;

/// Replaces a file in one step, on disk when this returns: a reader sees the old or the new contents, whatever happens.
///
/// # Errors
/// What the system says; the old file is untouched then.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    put(path, contents, mode, |temporary| fs::rename(temporary, path))
}

/// Writes a file that must not exist yet in one step, on disk when this returns: there is a whole one or none, whatever
/// happens.
///
/// # Errors
/// What the system says; a file that is there is untouched.
pub fn create_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    put(path, contents, mode, |temporary| {
        match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
            // Not every file system can do this. A second name replaces nothing either; the first one goes.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::hard_link(temporary, path)?;
                fs::remove_file(temporary)
            }
            result => Ok(result?),
        }
    })
}

/// Writes a file beside its place, and has it put there when it is whole and on disk.
fn put(
    path: &Path,
    contents: &[u8],
    mode: u32,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{:016x}", fastrand::u64(..)));
    let written = create(&temporary, mode).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()?;
        place(&temporary)?;
        sync_folder(path)
    });
    if written.is_err() {
        // The first error is the one to report; this file may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A new file with exactly these permissions, whatever the umask says.
fn create(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(SECRET).open(path)?;
    if mode != SECRET {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    Ok(file)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a folder and those above it; one that exists is left as it is.
///
/// # Errors
/// What the system says.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    }
}

/// The folders that Puppet uses for certificates, which the provider `puppet` reads (`plugin.choria.ssldir`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf(PathBuf);

/// A file that could not be written or read.
#[derive(Debug)]
pub struct Unwritten {
    /// Which one.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for Unwritten {}

impl Shelf {
    /// The folders below this one.
    pub fn new(folder: impl Into<PathBuf>) -> Shelf {
        Shelf(folder.into())
    }

    /// Where everything is.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The certificate of a name, which has to be well-formed.
    pub fn certificate_path(&self, name: &str) -> PathBuf {
        self.0.join(format!("certs/{name}.pem"))
    }

    /// The private key of a name.
    pub fn key_path(&self, name: &str) -> PathBuf {
        self.0.join(format!("private_keys/{name}.pem"))
    }

    /// The certificate of the authority.
    pub fn ca_path(&self) -> PathBuf {
        self.0.join("certs/ca.pem")
    }

    /// What the authority has revoked.
    pub fn crl_path(&self) -> PathBuf {
        self.0.join("crl.pem")
    }

    /// The key of a name: the one that is there, else a new one that is written before anybody hears of it.
    ///
    /// # Errors
    /// When it cannot be read, made or written.
    pub fn key(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<PrivateKey, key::Error>,
    ) -> Result<PrivateKey, Unwritten> {
        let path = self.key_path(name);
        let failed = |source| Unwritten { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(text) => {
                return PrivateKey::from_pem(&text)
                    .map_err(|error| failed(io::Error::other(error)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let key = make().map_err(|error| failed(io::Error::other(error)))?;
        let folder = self.0.join("private_keys");
        make_folder(&self.0, PUBLIC_FOLDER)
            .and_then(|()| make_folder(&folder, SECRET_FOLDER))
            .and_then(|()| create_new(&path, key.pem().as_bytes(), SECRET))
            .map_err(failed)?;
        Ok(key)
    }

    /// Puts a certificate in its place, with those of the authority; an empty text leaves a file as it is. The certificate comes last: where it is, everything
    /// is.
    ///
    /// # Errors
    /// Which file cannot be written.
    pub fn put(&self, name: &str, certificate: &str, ca: &str, crl: &str) -> Result<(), Unwritten> {
        let certs = self.0.join("certs");
        for folder in [&self.0, &certs] {
            make_folder(folder, PUBLIC_FOLDER)
                .map_err(|source| Unwritten { path: folder.clone(), source })?;
        }
        let files = [
            (self.ca_path(), ca),
            (self.crl_path(), crl),
            (self.certificate_path(name), certificate),
        ];
        for (path, text) in files.iter().filter(|(_, text)| !text.is_empty()) {
            replace(path, text.as_bytes(), PUBLIC)
                .map_err(|source| Unwritten { path: path.clone(), source })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = format!("choria-files-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(folder);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap().map(Result::unwrap);
            let mut names: Vec<_> =
                entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_new_file_is_whole_or_not_there_and_replaces_nothing() {
        let folder = Folder::new("new");
        let path = folder.0.join("ca.key");
        // What a crash has left is in nobody's way.
        fs::write(folder.0.join(".ca.key.0000000000000000"), "hal").unwrap();
        create_new(&path, b"one", SECRET).unwrap();
        let again = create_new(&path, b"two", PUBLIC).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET);
        assert_eq!(folder.names(), [".ca.key.0000000000000000", "ca.key"]);
        replace(&path, b"two", PUBLIC).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PUBLIC);
        let absent = create_new(&folder.0.join("no/such"), b"", SECRET).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        assert_eq!(folder.names().len(), 2);
    }

    #[test]
    fn nobody_sees_half_a_file() {
        let folder = Folder::new("half");
        let contents = vec![7; 256 * 1024];
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    for name in folder.names().iter().filter(|name| !name.starts_with('.')) {
                        assert_eq!(fs::read(folder.0.join(name)).unwrap().len(), contents.len());
                    }
                }
            });
            for number in 0..20 {
                create_new(&folder.0.join(number.to_string()), &contents, SECRET).unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert_eq!(folder.names().len(), 20);
    }
}
