//! `choria ca list`: what was issued, and how long it lasts.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use super::{FOLDER, failure, open};
use crate::ca::Record;
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::render::table::Table;
use crate::util::time::{self, rfc3339};

/// Less is shown as "expires soon".
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// List certificates, those that end first at the top. Only those that are valid, unless --all asks
/// for the others as well.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name}\n{command_name} --all --json")]
pub struct List {
    /// the folder of the authority, /etc/choria/ca by default
    #[argh(option, arg_name = "folder", default = "PathBuf::from(FOLDER)")]
    dir: PathBuf,
    /// expired and revoked ones as well
    #[argh(switch, short = 'a')]
    all: bool,
    /// one JSON array of objects
    #[argh(switch, short = 'j')]
    json: bool,
}

impl Subcommand for List {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let now = SystemTime::now();
        let mut records = open(&self.dir)?.records().map_err(|error| failure(&error))?;
        records.retain(|record| self.all || record.is_valid(now));
        let mut out = std::io::stdout();
        if self.json {
            let list: Vec<_> = records.iter().map(|record| object(record, now)).collect();
            let text = serde_json::to_string_pretty(&list);
            writeln!(out, "{}", text.map_err(|error| Failure::new(error.to_string()))?)?;
            return Ok(Exit::Success);
        }
        if records.is_empty() {
            writeln!(std::io::stderr(), "There are no certificates")?;
            return Ok(Exit::Success);
        }
        let mut table = Table::new(["Name", "For", "Key", "Expires", "State", "Serial"]);
        for record in &records {
            table.row([
                record.name.clone(),
                record.profile.to_string(),
                record.key.clone(),
                rfc3339(time::from_unix(record.not_after)),
                state(record, now),
                record.serial.clone(),
            ]);
        }
        out.write_all(table.render().as_bytes())?;
        Ok(Exit::Success)
    }
}

fn state(record: &Record, now: SystemTime) -> String {
    if let Some(revoked) = &record.revoked {
        return format!("revoked ({})", revoked.reason);
    }
    match time::from_unix(record.not_after).duration_since(now) {
        Err(_) => "expired".to_owned(),
        Ok(left) if left < SOON => format!("expires in {}d", left.as_secs() / 86_400),
        Ok(_) => "valid".to_owned(),
    }
}

fn object(record: &Record, now: SystemTime) -> serde_json::Value {
    let revoked = record.revoked.as_ref().map(
        |revoked| json!({"at": rfc3339(time::from_unix(revoked.at)), "reason": revoked.reason}),
    );
    json!({
        "name": record.name,
        "for": record.profile,
        "serial": record.serial,
        "alternative_names": record.alt_names,
        "key": record.key,
        "not_before": rfc3339(time::from_unix(record.not_before)),
        "not_after": rfc3339(time::from_unix(record.not_after)),
        "issued_by": record.by.to_string(),
        "valid": record.is_valid(now),
        "revoked": revoked,
    })
}
