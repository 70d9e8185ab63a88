//! The file format: one `key = value` a line, comments at the start of a line, nothing else.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::error::{Error, Warning};

/// A file larger than this is no configuration.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longer lines are refused rather than cut.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One setting as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value; never empty.
    pub value: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// Reads a file into its settings, in their order.
pub fn read(path: &Path, warnings: &mut Vec<Warning>) -> Result<Vec<Setting>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::TooLarge { path: path.to_owned(), limit: FILE_BYTES_MAX });
    }
    parse(path, &bytes, warnings)
}

/// Reads the content of a file; `path` is for messages.
fn parse(path: &Path, bytes: &[u8], warnings: &mut Vec<Warning>) -> Result<Vec<Setting>, Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut settings = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        if line.len() > LINE_BYTES_MAX {
            let (path, limit) = (path.to_owned(), LINE_BYTES_MAX);
            return Err(Error::LongLine { path, line: number, limit });
        }
        let text = std::str::from_utf8(line)
            .map_err(|_| Error::NotText { path: path.to_owned(), line: number })?
            .trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                // A key without a value is as good as absent.
                if !value.is_empty() {
                    settings.push(Setting { key, value, line: number });
                }
            }
            _ => warnings.push(Warning::NoSetting { place: place(path, number) }),
        }
    }
    Ok(settings)
}

/// `file:line`
pub fn place(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

/// The `.cfg` files of the `plugin.d` folder beside a main file, sorted, with their plugin names.
/// A folder that is not there has no files.
pub fn plugin_files(main: &Path) -> Vec<(String, PathBuf)> {
    let folder = main.with_file_name("plugin.d");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cfg"))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
        .collect();
    files.sort();
    files
}

/// Every `choria.conf` from the root folder down to `cwd`, the nearest last.
pub fn project_files(cwd: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = cwd
        .ancestors()
        .map(|folder| folder.join("choria.conf"))
        .filter(|path| path.is_file())
        .collect();
    files.reverse();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &[u8]) -> (Result<Vec<Setting>, Error>, Vec<Warning>) {
        let mut warnings = Vec::new();
        (parse(Path::new("/c"), text, &mut warnings), warnings)
    }

    #[test]
    fn settings_are_read_as_the_format_says() {
        let text =
            b"\xef\xbb\xbf# comment\n\n  a=1\nb = x = y # z \r\nempty =\n\tplugin.c.d =  e\n a = 2";
        let (read, warnings) = settings(text);
        let read: Vec<_> = read.unwrap().into_iter().map(|s| (s.key, s.value, s.line)).collect();
        let expected =
            [("a", "1", 3), ("b", "x = y # z", 4), ("plugin.c.d", "e", 6), ("a", "2", 7)];
        assert_eq!(read, expected.map(|(k, v, l)| (k.to_owned(), v.to_owned(), l)));
        assert_eq!(warnings, []);
    }

    #[test]
    fn lines_that_set_nothing_are_named() {
        let (read, warnings) = settings(b"collectives\n= x\n");
        assert_eq!(read.unwrap(), []);
        let places: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(places.len(), 2);
        assert!(places[0].starts_with("/c:1: the line is ignored"), "{}", places[0]);
        assert!(places[1].starts_with("/c:2: "));
    }

    #[test]
    fn files_that_are_no_configuration_are_refused_with_their_line() {
        let (read, _) = settings(b"a = 1\nb = \xff\n");
        assert_eq!(read.unwrap_err().to_string(), "/c:2: the line is not UTF-8 text");
        let mut long = b"a = 1\nb = ".to_vec();
        long.resize(LINE_BYTES_MAX + 20, b'x');
        let (read, _) = settings(&long);
        assert_eq!(read.unwrap_err().to_string(), "/c:2: the line is longer than 65536 bytes");
    }
}
