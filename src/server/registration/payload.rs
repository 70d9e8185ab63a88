//! The text of a registration message. Names and order of its fields are those of the reference.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use data_encoding::BASE64;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::FILE_BYTES_MAX;
use crate::server::agent::Metadata;
use crate::server::agents::VERSION;
use crate::server::node::Node;
use crate::server::status::{Expiry, Status};
use crate::sys::read_bounded;
use crate::util::{gzip, time};

const FILE_PROTOCOL: &str = "choria:registration:filecontent:1";
const INVENTORY_PROTOCOL: &str = "choria:registration:inventorycontent:1";
/// What builds without a revision say, as the reference does.
const NO_REVISION: &str = "unknown";

/// Why there is nothing to publish.
#[derive(Debug)]
pub(super) enum Unusable {
    /// There is no such file.
    Missing(PathBuf),
    /// There is nothing in it.
    Empty(PathBuf),
    /// It cannot be read, or is too large.
    Read(PathBuf, io::Error),
    /// It cannot be written as JSON.
    Encode(serde_json::Error),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Missing(path) => write!(f, "could not find data file {}", path.display()),
            Unusable::Empty(path) => write!(f, "data file {} is empty", path.display()),
            Unusable::Read(path, error) => {
                write!(f, "cannot read data file {}: {error}", path.display())
            }
            Unusable::Encode(error) => write!(f, "cannot write it as JSON: {error}"),
        }
    }
}

impl std::error::Error for Unusable {}

#[derive(Serialize)]
struct FileMessage<'a> {
    mtime: i64,
    file: &'a str,
    updated: bool,
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zcontent: Option<String>,
}

/// A message with the content of a file, and the time that the file was changed. It counts as updated when it was
/// changed after `known`, the time in the message before. Blocks on the file system.
pub(super) fn of_file(
    path: &Path,
    is_compressed: bool,
    known: Option<i64>,
) -> Result<(Vec<u8>, i64), Unusable> {
    let (bytes, stamp) = read_bounded(path, FILE_BYTES_MAX).map_err(|error| {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Unusable::Missing(path),
            _ => Unusable::Read(path, error),
        }
    })?;
    if bytes.is_empty() {
        return Err(Unusable::Empty(path.to_owned()));
    }
    let mtime = stamp.modified().map_or(0, time::unix_secs);
    let (content, zcontent) = if is_compressed {
        (None, Some(BASE64.encode(&gzip::compress(&bytes))))
    } else {
        (Some(BASE64.encode(&bytes)), None)
    };
    let message = FileMessage {
        mtime,
        file: &path.to_string_lossy(),
        // Nothing is updated at the start: the restart of a fleet is no news.
        updated: known.is_some_and(|known| mtime > known),
        protocol: FILE_PROTOCOL,
        content,
        zcontent,
    };
    Ok((serde_json::to_vec(&message).map_err(Unusable::Encode)?, mtime))
}

#[derive(Serialize)]
struct InventoryMessage<'a> {
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zcontent: Option<String>,
}

#[derive(Serialize)]
struct Inventory<'a> {
    /// Null when there is none.
    agents: Option<&'a [Metadata]>,
    classes: &'a [String],
    facts: &'a Value,
    status: Status,
    collectives: &'a [String],
    build_info: BuildInfo<'a>,
    /// No autonomous agents are hosted.
    machines: [(); 0],
}

#[derive(Serialize)]
struct BuildInfo<'a> {
    version: &'a str,
    sha: &'a str,
}

/// What the server can tell about itself only where it may block.
pub(super) struct Known {
    pub(super) facts: Arc<Value>,
    pub(super) classes: Arc<[String]>,
    pub(super) expiry: Expiry,
}

/// A message with the inventory of a server. May take a while.
pub(super) fn of_inventory(
    node: &Node,
    known: &Known,
    is_compressed: bool,
    now: SystemTime,
) -> Result<Vec<u8>, Unusable> {
    let inventory = Inventory {
        agents: Some(node.agents()).filter(|agents| !agents.is_empty()),
        classes: &known.classes,
        facts: &known.facts,
        status: Status::of(node, known.expiry, now),
        collectives: &node.collectives,
        build_info: BuildInfo { version: VERSION, sha: NO_REVISION },
        machines: [],
    };
    let text = serde_json::to_string(&inventory).map_err(Unusable::Encode)?;
    let (content, zcontent) = if is_compressed {
        (None, Some(BASE64.encode(&gzip::compress(text.as_bytes()))))
    } else {
        (Some(RawValue::from_string(text).map_err(Unusable::Encode)?), None)
    };
    let message = InventoryMessage { protocol: INVENTORY_PROTOCOL, content, zcontent };
    serde_json::to_vec(&message).map_err(Unusable::Encode)
}
