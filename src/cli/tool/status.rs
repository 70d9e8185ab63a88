//! `choria tool status`: judges a server by the status file it writes, for monitoring systems.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use argh::{ArgsInfo, FromArgs};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::render::value::indented;
use crate::util::{duration, time};

/// Check the health of a server by its status file, and print one line.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} --status-file /var/lib/choria/status.json\n{command_name} --status-file status.json --message-since 10m --no-disconnected",
    note = "Exit codes:\n\
        0 all is well\n\
        1 something is not, the first of which is told"
)]
pub struct CheckStatus {
    /// the status file to check
    #[argh(option, arg_name = "file")]
    status_file: PathBuf,
    /// check that the server is connected to a broker, which is done anyway
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "accepted because scripts give it; it is the default")]
    disconnected: bool,
    /// do not check that the server is connected to a broker
    #[argh(switch)]
    no_disconnected: bool,
    /// the longest time without a message, 1h by default, 0 for no check
    #[argh(option, arg_name = "time", default = "HOUR", from_str_fn(length))]
    message_since: Duration,
    /// the oldest the file may be, 30m by default, 0 for no check
    #[argh(option, arg_name = "time", default = "HOUR / 2", from_str_fn(length))]
    max_age: Duration,
    /// the shortest time the certificate must be valid for, 24h by default, 0 for no check
    #[argh(option, arg_name = "time", default = "24 * HOUR", from_str_fn(length))]
    certificate_age: Duration,
    /// the shortest time the token must be valid for, 24h by default, 0 for no check
    #[argh(option, arg_name = "time", default = "24 * HOUR", from_str_fn(length))]
    token_age: Duration,
    /// check that the server is being provisioned
    #[argh(switch)]
    unprovisioned: bool,
    /// check that the server is not being provisioned
    #[argh(switch)]
    provisioned: bool,
    /// one JSON document
    #[argh(switch, short = 'j')]
    json: bool,
}

const HOUR: Duration = Duration::from_secs(3_600);
/// A larger file is no status file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

fn length(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

impl Subcommand for CheckStatus {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        let now = SystemTime::now();
        let read = read(&self.status_file);
        let expiry = read.as_ref().ok().and_then(|(status, _)| expiry(status, now));
        let found = read.as_ref().ok().map(|(status, written)| found(status, *written));
        let outcome = read
            .map_err(|reason| format!("could not be read: {reason}"))
            .and_then(|(status, written)| self.check(&status, written, now));
        let (word, exit) = match &outcome {
            Ok(()) => ("OK", Exit::Success),
            Err(reason) => (reason.as_str(), Exit::Failed),
        };
        let mut out = std::io::stdout();
        if self.json {
            let file = self.status_file.display().to_string();
            writeln!(out, "{}", indented(&document(file, &outcome, found), 2))?;
            return Ok(exit);
        }
        writeln!(out, "{} {word}", self.status_file.display())?;
        if let Some(expiry) = expiry {
            writeln!(out, "{expiry}")?;
        }
        Ok(exit)
    }
}

/// The parts of a status file that are judged.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    uptime: i64,
    connected_server: String,
    last_message: i64,
    provisioning_mode: bool,
    certificate_expires: String,
    token_expires: String,
}

/// What the file says, with nothing for what is not known.
fn found(status: &Status, written: SystemTime) -> Map<String, Value> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !is_unknown(text));
    let last = (status.last_message > 0).then(|| time::from_unix(status.last_message));
    let found = json!({
        "written": time::rfc3339(written),
        "uptime": status.uptime,
        "connected_server": text(&status.connected_server),
        "last_message": last.map(time::rfc3339),
        "provisioning_mode": status.provisioning_mode,
        "certificate_expires": text(&status.certificate_expires),
        "token_expires": text(&status.token_expires),
    });
    match found {
        Value::Object(found) => found,
        _ => Map::new(),
    }
}

/// The judgement and what it is about; a file that could not be read says nothing.
fn document(
    file: String,
    outcome: &Result<(), String>,
    found: Option<Map<String, Value>>,
) -> Value {
    let mut document = json!({
        "file": file,
        "ok": outcome.is_ok(),
        "reason": outcome.as_ref().err(),
    });
    if let (Value::Object(document), Some(found)) = (&mut document, found) {
        document.extend(found);
    }
    document
}

/// When the certificate ends, if the server has one.
fn expiry(status: &Status, now: SystemTime) -> Option<String> {
    let text = &status.certificate_expires;
    let expires = time::parse_rfc3339(text).filter(|_| !is_unknown(text))?;
    Some(match expires.duration_since(now) {
        Ok(left) => format!("certificate valid until {text} ({}d)", left.as_secs() / 86_400),
        Err(_) => format!("certificate expired on {text}"),
    })
}

/// The year-1 time that Go writes for "unknown", and no text.
fn is_unknown(text: &str) -> bool {
    text.is_empty() || text.starts_with("0001-01-01T00:00:00")
}

fn read(path: &Path) -> Result<(Status, SystemTime), String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    let written = metadata.modified().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let status = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    Ok((status, written))
}

impl CheckStatus {
    /// The first thing that is not well.
    fn check(&self, status: &Status, written: SystemTime, now: SystemTime) -> Result<(), String> {
        let age = now.duration_since(written).unwrap_or_default();
        if !self.max_age.is_zero() && age > self.max_age {
            return Err(format!("older than {}", duration::go(self.max_age)));
        }
        check_expiry("certificate", &status.certificate_expires, self.certificate_age, now)?;
        check_expiry("token", &status.token_expires, self.token_age, now)?;
        if !self.no_disconnected && status.connected_server.is_empty() {
            return Err("connection check failed: not connected".to_owned());
        }
        self.check_messages(status, now)?;
        match (self.unprovisioned, self.provisioned, status.provisioning_mode) {
            (true, _, false) => Err("not in provisioning mode".to_owned()),
            (_, true, true) => Err("in provisioning mode".to_owned()),
            _ => Ok(()),
        }
    }

    /// A server that has just started and was not asked anything yet is well.
    fn check_messages(&self, status: &Status, now: SystemTime) -> Result<(), String> {
        let limit = i64::try_from(self.message_since.as_secs()).unwrap_or(i64::MAX);
        if limit == 0 || (status.last_message == 0 && status.uptime < limit) {
            return Ok(());
        }
        if time::unix_secs(now).saturating_sub(status.last_message) <= limit {
            return Ok(());
        }
        let last = time::rfc3339(time::from_unix(status.last_message));
        Err(format!("no recent messages: last message at {last}"))
    }
}

/// A time that is not known is not judged.
fn check_expiry(what: &str, text: &str, least: Duration, now: SystemTime) -> Result<(), String> {
    if least.is_zero() || is_unknown(text) {
        return Ok(());
    }
    let expires =
        time::parse_rfc3339(text).ok_or_else(|| format!("{what} expiry {text:?} is no time"))?;
    match expires.duration_since(now) {
        Ok(left) if left >= least => Ok(()),
        Ok(left) => {
            let left = duration::go(Duration::from_secs(left.as_secs()));
            Err(format!("{what} expires {} ({left})", time::rfc3339(expires)))
        }
        Err(_) => Err(format!("{what} expired {}", time::rfc3339(expires))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn judge(options: &[&str], json: &str, age: u64) -> Result<(), String> {
        let options = [&["--status-file", "s"], options].concat();
        let check = CheckStatus::from_args(&["status"], &options).unwrap();
        let now = time::from_unix(NOW);
        check.check(&serde_json::from_str(json).unwrap(), now - Duration::from_secs(age), now)
    }

    #[test]
    fn the_first_thing_that_is_not_well_is_told() {
        let well = r#"{"uptime":10,"connected_server":"nats://b:4222","last_message":1699999990,
            "provisioning_mode":false,"certificate_expires":"2033-01-01T00:00:00Z",
            "token_expires":"0001-01-01T00:00:00Z"}"#;
        let soon = r#"{"connected_server":"x","certificate_expires":"2023-11-14T23:13:20Z"}"#;
        let past = r#"{"connected_server":"x","token_expires":"2023-11-14T22:13:19Z"}"#;
        let quiet = r#"{"connected_server":"x","last_message":1699990000}"#;
        let idle = r#"{"connected_server":"x","uptime":4000}"#;
        let fresh = r#"{"connected_server":"x","uptime":3000}"#;
        let cases: [(&[&str], _, _, Result<(), &str>); 16] = [
            (&[], well, 0, Ok(())),
            (&[], well, 1_801, Err("older than 30m0s")),
            (&["--max-age", "0"], well, 1_801, Ok(())),
            (&["--max-age", "1h"], well, 1_801, Ok(())),
            (&[], soon, 0, Err("certificate expires 2023-11-14T23:13:20Z (1h0m0s)")),
            (&["--certificate-age", "30m"], fresh, 0, Ok(())),
            (&[], past, 0, Err("token expired 2023-11-14T22:13:19Z")),
            (&["--token-age", "0"], fresh, 0, Ok(())),
            (&[], "{}", 0, Err("connection check failed: not connected")),
            (&["--no-disconnected"], "{}", 0, Ok(())),
            (&[], quiet, 0, Err("no recent messages: last message at 2023-11-14T19:26:40Z")),
            (&["--message-since", "1d"], quiet, 0, Ok(())),
            (&[], idle, 0, Err("no recent messages: last message at 1970-01-01T00:00:00Z")),
            (&[], fresh, 0, Ok(())),
            (&["--unprovisioned"], well, 0, Err("not in provisioning mode")),
            (&["--provisioned"], well, 0, Ok(())),
        ];
        for (options, json, age, expected) in cases {
            let expected = expected.map_err(str::to_owned);
            assert_eq!(judge(options, json, age), expected, "{options:?} {json}");
        }
    }

    #[test]
    fn the_document_says_what_is_known() {
        let status: Status = serde_json::from_str(
            r#"{"uptime":10,"connected_server":"nats://b:4222","last_message":1699999990,
            "certificate_expires":"2033-01-01T00:00:00Z","token_expires":"0001-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        let found = found(&status, time::from_unix(NOW));
        assert_eq!(
            document("s".to_owned(), &Ok(()), Some(found)),
            json!({
                "file": "s", "ok": true, "reason": null, "written": "2023-11-14T22:13:20Z",
                "uptime": 10, "connected_server": "nats://b:4222",
                "last_message": "2023-11-14T22:13:10Z", "provisioning_mode": false,
                "certificate_expires": "2033-01-01T00:00:00Z", "token_expires": null,
            })
        );
        assert_eq!(
            document("s".to_owned(), &Err("no".to_owned()), None),
            json!({"file": "s", "ok": false, "reason": "no"})
        );
    }

    #[test]
    fn the_end_of_the_certificate_is_told() {
        let told = |text: &str| {
            let status = Status { certificate_expires: text.to_owned(), ..Status::default() };
            expiry(&status, time::from_unix(NOW))
        };
        assert_eq!(told(""), None);
        assert_eq!(told("0001-01-01T00:00:00Z"), None);
        let later = told("2023-11-16T22:13:20Z");
        assert_eq!(later.as_deref(), Some("certificate valid until 2023-11-16T22:13:20Z (2d)"));
        let past = told("2023-11-14T22:13:19Z");
        assert_eq!(past.as_deref(), Some("certificate expired on 2023-11-14T22:13:19Z"));
    }
}
