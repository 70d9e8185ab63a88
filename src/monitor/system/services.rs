//! Answers requests for reports.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::requests::{ACCOUNT_REPORTS, Filter, SERVER_REPORTS, Wanted, wanted};
use crate::broker::ServerStamp;
use crate::monitor::Monitor;
use crate::monitor::options::{
    AccountStatzOptions, AccountzOptions, BadOption, ConnzOptions, HealthzOptions, SubszOptions,
};
use crate::monitor::wire::{Reader, Received, Wire};

/// Requests that wait for an answer; who sends more is held up by the broker.
const REQUESTS_MAX: usize = 64;

/// What may be asked on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything: the system account.
    All,
    /// Things about the account of this name.
    Account(String),
}

/// The form of most answers.
#[derive(Serialize)]
struct Answer<'a> {
    server: ServerStamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Refusal>,
}

/// Why there is no report.
#[derive(Debug, Serialize)]
struct Refusal {
    code: u16,
    description: String,
}

impl Refusal {
    fn new(code: u16, description: impl Into<String>) -> Refusal {
        Refusal { code, description: description.into() }
    }
}

impl From<BadOption> for Refusal {
    fn from(BadOption(text): BadOption) -> Refusal {
        Refusal::new(500, text)
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Refusal {
        Refusal::new(400, error.to_string())
    }
}

/// Subscribes and answers until the connection ends; says why it did.
pub(super) async fn run(
    monitor: &Arc<Monitor>,
    scope: &Scope,
    wire: &Wire,
    mut reader: Reader,
) -> io::Error {
    for (sid, subject) in (1..).zip(subjects(monitor, scope)) {
        if let Err(error) = wire.subscribe(&subject, sid).await {
            return error;
        }
    }
    let (sender, requests) = flume::bounded(REQUESTS_MAX);
    let answering = async {
        while let Ok(request) = requests.recv_async().await {
            if let Err(error) = answer(monitor, scope, wire, &request).await {
                return error;
            }
        }
        io::ErrorKind::BrokenPipe.into()
    };
    smol::future::or(reader.run(wire, &sender), answering).await
}

fn subjects(monitor: &Monitor, scope: &Scope) -> Vec<String> {
    if *scope != Scope::All {
        return ["ACCOUNT.PING.CONNZ", "ACCOUNT.PING.STATZ", "SERVER.PING.CONNZ"]
            .map(|rest| format!("$SYS.REQ.{rest}"))
            .to_vec();
    }
    let id = monitor.server_id();
    let mut subjects = vec!["$SYS.REQ.SERVER.PING".to_owned()];
    for report in SERVER_REPORTS {
        subjects.push(format!("$SYS.REQ.SERVER.PING.{report}"));
        subjects.push(format!("$SYS.REQ.SERVER.{id}.{report}"));
    }
    subjects.extend(ACCOUNT_REPORTS.iter().map(|report| format!("$SYS.REQ.ACCOUNT.*.{report}")));
    subjects
}

async fn answer(
    monitor: &Monitor,
    scope: &Scope,
    wire: &Wire,
    request: &Received,
) -> io::Result<()> {
    let (Some(reply), Some(asked)) = (&request.reply, wanted(&request.subject)) else {
        return Ok(());
    };
    let filter: Result<Filter, Refusal> = parse(&request.payload);
    if filter.is_ok_and(|filter| !monitor.is_meant(&filter)) {
        return Ok(());
    }
    let mut made = make(monitor, scope, &asked, &request.payload, Fullness::All).await;
    if made.as_ref().is_ok_and(|made| made.as_ref().is_some_and(|made| !made.fits(wire))) {
        made = make(monitor, scope, &asked, &request.payload, Fullness::Short).await;
    }
    let bytes = match made {
        Ok(None) => return Ok(()),
        Ok(Some(made)) if made.fits(wire) => made.bytes,
        Ok(Some(_)) => {
            let text = "the report is larger than a message may be, ask for less with limit";
            refuse(monitor, Refusal::new(500, text))
        }
        Err(refusal) => refuse(monitor, refusal),
    };
    wire.publish(reply, &bytes).await
}

/// A report as it is sent.
struct Made {
    bytes: Vec<u8>,
}

impl Made {
    fn fits(&self, wire: &Wire) -> bool {
        self.bytes.len() <= wire.payload_bytes_max()
    }
}

/// How much a report tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fullness {
    All,
    /// Connections without the lists of their subscriptions.
    Short,
}

fn refuse(monitor: &Monitor, refusal: Refusal) -> Vec<u8> {
    let answer = Answer { server: monitor.observer.stamp(), data: None, error: Some(refusal) };
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// Reads options; nothing means none. Unknown ones are ignored.
fn parse<T: DeserializeOwned + Default>(payload: &[u8]) -> Result<T, Refusal> {
    if payload.is_empty() {
        return Ok(T::default());
    }
    Ok(serde_json::from_slice(payload)?)
}

/// The report that is asked for; nothing when there is nothing to say.
async fn make(
    monitor: &Monitor,
    scope: &Scope,
    asked: &Wanted<'_>,
    payload: &[u8],
    fullness: Fullness,
) -> Result<Option<Made>, Refusal> {
    let data = match (scope, asked) {
        (Scope::Account(account), Wanted::Server("CONNZ"))
        | (Scope::Account(account), Wanted::Account { account: "PING", report: "CONNZ" }) => {
            connz(monitor, Some(account), payload, fullness).await?
        }
        (Scope::Account(account), Wanted::AllAccounts) => {
            return account_statz(monitor, Some(account), payload).await;
        }
        (Scope::Account(_), _) => return Ok(None),
        (Scope::All, Wanted::Server(report)) => {
            return server_report(monitor, report, payload, fullness).await;
        }
        (Scope::All, Wanted::AllAccounts) => {
            return account_statz(monitor, None, payload).await;
        }
        (Scope::All, Wanted::Account { account, report }) => {
            return account_report(monitor, account, report, payload, fullness).await;
        }
    };
    Ok(Some(envelope(monitor, data)?))
}

async fn connz(
    monitor: &Monitor,
    account: Option<&str>,
    payload: &[u8],
    fullness: Fullness,
) -> Result<Box<RawValue>, Refusal> {
    let mut options: ConnzOptions = parse(payload)?;
    if let Some(account) = account {
        options.acc = account.to_owned();
    }
    if fullness == Fullness::Short {
        (options.subscriptions, options.subscriptions_detail) = (false, false);
    }
    raw(&monitor.connz(&options).await?)
}

async fn server_report(
    monitor: &Monitor,
    report: &str,
    payload: &[u8],
    fullness: Fullness,
) -> Result<Option<Made>, Refusal> {
    let data = match report {
        "IDZ" => return plain(&monitor.idz()),
        "STATSZ" => return plain(&monitor.statsz().await),
        "VARZ" => raw(&monitor.varz())?,
        "SUBSZ" => raw(&monitor.subsz(&parse::<SubszOptions>(payload)?).await?)?,
        "CONNZ" => connz(monitor, None, payload, fullness).await?,
        "ROUTEZ" => raw(&monitor.routez())?,
        "GATEWAYZ" => raw(&monitor.gatewayz())?,
        "LEAFZ" => raw(&monitor.leafz())?,
        "ACCOUNTZ" => raw(&monitor.accountz(&parse::<AccountzOptions>(payload)?).await?)?,
        "JSZ" => raw(&monitor.jsz())?,
        "HEALTHZ" => raw(&monitor.healthz(&parse::<HealthzOptions>(payload)?))?,
        report => return Err(Refusal::new(501, format!("this broker has no {report}"))),
    };
    Ok(Some(envelope(monitor, data)?))
}

async fn account_report(
    monitor: &Monitor,
    account: &str,
    report: &str,
    payload: &[u8],
    fullness: Fullness,
) -> Result<Option<Made>, Refusal> {
    let data = match report {
        "SUBSZ" => {
            let mut options: SubszOptions = parse(payload)?;
            (options.subscriptions, options.account) = (true, account.to_owned());
            raw(&monitor.subsz(&options).await?)?
        }
        "CONNZ" => connz(monitor, Some(account), payload, fullness).await?,
        "LEAFZ" => raw(&monitor.leafz())?,
        "JSZ" => raw(&monitor.jsz())?,
        "INFO" => raw(&monitor.account_info(account).await?)?,
        "STATZ" => return account_statz(monitor, Some(account), payload).await,
        "CONNS" => match monitor.account_connections(account).await {
            Some(event) => return plain(&event),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(envelope(monitor, data)?))
}

/// Accounts without connections are not worth an answer unless they are asked for.
async fn account_statz(
    monitor: &Monitor,
    account: Option<&str>,
    payload: &[u8],
) -> Result<Option<Made>, Refusal> {
    let mut options: AccountStatzOptions = parse(payload)?;
    if let Some(account) = account {
        options.accounts = vec![account.to_owned()];
    }
    let report = monitor.account_statz(&options).await;
    if report.is_empty() && !options.include_unused {
        return Ok(None);
    }
    Ok(Some(envelope(monitor, raw(&report)?)?))
}

fn raw(report: &impl Serialize) -> Result<Box<RawValue>, Refusal> {
    serde_json::value::to_raw_value(report).map_err(|error| Refusal::new(500, error.to_string()))
}

fn envelope(monitor: &Monitor, data: Box<RawValue>) -> Result<Made, Refusal> {
    let answer = Answer { server: monitor.observer.stamp(), data: Some(&data), error: None };
    let bytes = serde_json::to_vec(&answer);
    Ok(Made { bytes: bytes.map_err(|error| Refusal::new(500, error.to_string()))? })
}

fn plain(report: &impl Serialize) -> Result<Option<Made>, Refusal> {
    let bytes = serde_json::to_vec(report);
    Ok(Some(Made { bytes: bytes.map_err(|error| Refusal::new(500, error.to_string()))? }))
}
