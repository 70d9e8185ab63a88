//! Keys of adapters that write to files: `file.*`.

use std::path::PathBuf;

use super::Wanted;
use super::outside;
use crate::adapt::sinks::file::{FileSink, Names, Settings, Sync};
use crate::adapt::{BatchLimits, Sink, Template};
use crate::config::{BadSetting, Section};
use crate::settings::Problem;

/// Files.
pub(super) fn file(wanted: &Wanted<'_>) -> Result<Box<dyn Sink>, Problem> {
    let section = wanted.section.below("file.");
    Ok(Box::new(FileSink::new(Settings {
        folder: folder(&section)?,
        names: names(wanted, &section)?,
        size_max: section.count("max_bytes"),
        age_max: section.duration("max_age"),
        kept_max: section.size("keep"),
        mode: mode(&section)?,
        sync: match section.text("sync").as_deref() {
            Some("close") => Sync::Close,
            Some("never") => Sync::Never,
            _ => Sync::Batch,
        },
        open_max: section.size("open_files"),
        files_max: section.size("max_files"),
        batch: BatchLimits {
            records_max: section.size("batch_records"),
            bytes_max: section.size("batch_bytes"),
            age_max: section.duration("batch_age"),
        },
        timeout: outside::timeout(&section)?,
    })))
}

fn folder(section: &Section<'_>) -> Result<PathBuf, BadSetting> {
    let why = "it is the folder that files are below";
    let folder = section.text("dir").map(PathBuf::from);
    let folder = folder.ok_or_else(|| section.missing("dir", why))?;
    if !folder.is_absolute() {
        let reason = format!("= {}: write the whole path, from /", folder.display());
        return Err(section.refuse("dir", reason));
    }
    Ok(folder)
}

fn names(wanted: &Wanted<'_>, section: &Section<'_>) -> Result<Names, BadSetting> {
    let text = section.text("path").unwrap_or_else(|| format!("{}.ndjson", wanted.name));
    let refuse =
        |error: &dyn std::fmt::Display| section.refuse("path", format!("= {text}: {error}"));
    let template = Template::parse(&text).map_err(|error| refuse(&error))?;
    Names::new(template).map_err(|error| refuse(&error))
}

fn mode(section: &Section<'_>) -> Result<u32, BadSetting> {
    /// What the owner cannot read and write is of no use.
    const OWNER: u32 = 0o600;
    let text = section.text("mode").unwrap_or_default();
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode & !0o666 == 0 && mode & OWNER == OWNER => Ok(mode),
        _ => Err(section.refuse("mode", format!("= {text} has to be octal, from 0600 to 0666"))),
    }
}
