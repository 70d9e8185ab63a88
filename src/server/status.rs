//! The status file: what monitoring reads without asking the network (server notes 14.1).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use smol::Timer;

use super::counters::Snapshot;
use super::node::Node;
use super::settings::StatusFile;
use super::workers::Workers;
use crate::security::Provider;
use crate::util::time;

/// What stands for a time that is not known.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The content of the file, also part of registered inventories; the order of the fields is that of the file.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    identity: String,
    uptime: u64,
    connected_server: String,
    last_message: i64,
    provisioning_mode: bool,
    stats: Snapshot,
    certificate_expires: String,
    token_expires: String,
}

/// When this server's proofs end. A token may be renewed while it runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expiry {
    /// The certificate, if there is one.
    pub certificate: Option<SystemTime>,
    /// The token, if there is one.
    pub token: Option<SystemTime>,
}

impl Expiry {
    /// Those of this process now.
    pub(super) fn of(security: &Provider) -> Self {
        let (certificate, token) = (security.certificate_expires(), security.token_expires());
        Self { certificate, token }
    }
}

/// Writes the file now, then at every interval, for ever.
pub async fn write_regularly(
    node: Arc<Node>,
    file: StatusFile,
    security: Arc<Provider>,
    workers: Workers,
) {
    if file.interval.is_zero() {
        log::debug!("server: no status file, its interval is 0");
        return;
    }
    loop {
        write_once(&node, &file, Expiry::of(&security), &workers).await;
        Timer::after(file.interval).await;
    }
}

/// Writes the file once; what goes wrong is logged.
pub async fn write_once(node: &Node, file: &StatusFile, expiry: Expiry, workers: &Workers) {
    let text = content(node, expiry, SystemTime::now());
    let path = file.path.clone();
    let written = workers.run(move || write_atomically(&path, &text)).await;
    if let Ok(Err(error)) = written {
        log::error!("server: status not written file={} err={error}", file.path.display());
    }
}

impl Status {
    /// How the server does now.
    pub(super) fn of(node: &Node, expiry: Expiry, now: SystemTime) -> Self {
        Status {
            identity: node.identity.clone(),
            uptime: node.uptime_secs(now),
            connected_server: node.link.connected_url().unwrap_or_default(),
            last_message: node.counters.last_message(),
            provisioning_mode: false,
            stats: node.counters.snapshot(),
            certificate_expires: shown(expiry.certificate),
            token_expires: shown(expiry.token),
        }
    }
}

fn content(node: &Node, expiry: Expiry, now: SystemTime) -> Vec<u8> {
    // A struct of texts and numbers always has a JSON form.
    serde_json::to_vec(&Status::of(node, expiry, now)).unwrap_or_default()
}

fn shown(end: Option<SystemTime>) -> String {
    end.map_or(NO_TIME.to_owned(), time::rfc3339)
}

/// Replaces the file in one step: a reader sees the old or the new content, never a part.
fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"));
    };
    let temporary =
        path.with_file_name(format!(".{}.{:016x}", name.to_string_lossy(), fastrand::u64(..)));
    let written = create(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; this file may not even exist.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn create(path: &Path) -> io::Result<File> {
    // Never an existing file: in a shared folder it could be a link to somebody else's.
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    make_readable(&file)?;
    Ok(file)
}

/// Monitoring runs as another user, whatever the umask says.
#[cfg(unix)]
fn make_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::testing::{self, Recorder, TempDir};

    fn file(path: &Path) -> StatusFile {
        StatusFile { path: path.to_owned(), interval: Duration::from_secs(30) }
    }

    #[test]
    fn the_content_is_that_of_the_reference() {
        let node = testing::node(Arc::new(Recorder::default()));
        node.counters.total.increment();
        node.counters.ttl_expired.increment();
        node.counters.message_seen(time::from_unix(1_700_000_007));
        let now = node.started + Duration::from_secs(10);
        let expiry = Expiry { certificate: Some(time::from_unix(2_740_755_455)), token: None };
        assert_eq!(
            String::from_utf8(content(&node, expiry, now)).unwrap(),
            concat!(
                r#"{"identity":"node1.example.net","uptime":10,"connected_server":"nats://localhost:4222","#,
                r#""last_message":1700000007,"provisioning_mode":false,"#,
                r#""stats":{"total":1,"valid":0,"invalid":0,"passed":0,"filtered":0,"replies":0,"ttlexpired":1,"events":0},"#,
                r#""certificate_expires":"2056-11-06T16:57:35Z","token_expires":"0001-01-01T00:00:00Z"}"#
            )
        );
        let text = String::from_utf8(content(&node, Expiry::default(), now)).unwrap();
        assert!(text.contains(r#""certificate_expires":"0001-01-01T00:00:00Z""#), "{text}");
    }

    #[test]
    fn the_file_is_replaced_in_one_step_and_readable_by_all() {
        let dir = TempDir::new();
        let path = dir.path().join("status.json");
        std::fs::write(&path, "old").unwrap();
        let node = testing::node(Arc::new(Recorder::default()));
        let before = std::fs::File::open(&path).unwrap();
        smol::block_on(write_once(&node, &file(&path), Expiry::default(), &testing::workers()));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with('}'), "{text}");
        assert_eq!(io::read_to_string(before).unwrap(), "old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_costs_nothing_else() {
        let node = testing::node(Arc::new(Recorder::default()));
        let path = Path::new("/nonexistent/choria/status.json");
        smol::block_on(write_once(&node, &file(path), Expiry::default(), &testing::workers()));
        assert!(write_atomically(Path::new("/"), b"x").is_err());
    }
}
