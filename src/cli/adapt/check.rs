//! `choria adapt --check FILE`: would the adapters work?

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::adapt::{Ingest, Record, Settings};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::config::{Config, Source, Warning};
use crate::nats::client::{Client, Event, Initial, Operation};
use crate::settings::adapt::{Around, adapters};
use crate::settings::{self, Insecure, Problem};

/// How long a broker may take to confirm a subscription.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// How long a sink may take to answer.
const SINK_LIMIT: Duration = Duration::from_secs(30);

/// What was found out about all adapters.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    ok: bool,
    /// What concerns the file.
    problems: Vec<String>,
    adapters: Vec<Finding>,
}

/// What was found out about one adapter.
#[derive(Debug, Default, Serialize)]
struct Finding {
    name: String,
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Trouble>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Sample>,
}

/// One mistake, and what to do about it.
#[derive(Debug, Serialize)]
struct Trouble {
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
}

/// A message as it would arrive.
#[derive(Debug, Serialize)]
struct Sample {
    place: String,
    message_id: String,
    output: Box<RawValue>,
}

/// Looks through a configuration and connects to both sides of every adapter. Writes nothing.
pub async fn check(context: &Context, file: &Path, json: bool) -> Result<Exit, Failure> {
    let env = context.environment();
    let source = Source::Broker { path: file.to_owned() };
    let cwd = std::env::current_dir().unwrap_or_default();
    let mut report = Report {
        file: file.display().to_string(),
        ok: false,
        problems: Vec::new(),
        adapters: Vec::new(),
    };
    match Config::load(&source, &env, &cwd) {
        Err(error) => report.problems.push(error.to_string()),
        Ok((config, warnings)) => {
            let insecure = Insecure::of(context.globals.switches(), &env);
            let around = Around {
                config: &config,
                env: &env,
                insecure,
                security: settings::outgoing(&config, &env, insecure),
                inside: None,
                flush_limit: FLUSH_LIMIT,
            };
            look(&around, &warnings, &mut report).await;
        }
    }
    report.ok = report.problems.is_empty() && report.adapters.iter().all(|adapter| adapter.ok);
    print(&report, json)?;
    Ok(if report.ok { Exit::Success } else { Exit::Failed })
}

async fn look(around: &Around<'_>, warnings: &[Warning], report: &mut Report) {
    let names = &around.config.choria.adapters;
    // An unknown key is a mistake where it is about an adapter.
    let concerns = warnings.iter().filter(|warning| match warning {
        Warning::UnknownKey { key, .. } | Warning::WrongFile { key, .. } => {
            key.starts_with("plugin.choria.adapter")
        }
        Warning::NoSetting { .. } => true,
    });
    report.problems.extend(concerns.map(ToString::to_string));
    if names.is_empty() {
        report.problems.push("there are no adapters: plugin.choria.adapters is not set".to_owned());
    }
    for key in around.config.set_keys() {
        let name =
            key.strip_prefix("plugin.choria.adapter.").and_then(|rest| rest.split('.').next());
        if let Some(name) = name.filter(|name| !names.iter().any(|known| known == name)) {
            let place = around.config.origin(&key);
            report.problems.push(format!(
                "{place}: {key} has no effect: {name} is not in plugin.choria.adapters"
            ));
        }
    }
    for (name, settings) in adapters(around) {
        report.adapters.push(match settings {
            Ok(settings) => look_at(name, settings).await,
            Err(Problem { message, hints }) => {
                let problems = vec![Trouble { text: message, hints }];
                Finding { name, problems, ..Finding::default() }
            }
        });
    }
}

/// Connects to both sides of one adapter.
async fn look_at(name: String, settings: Settings) -> Finding {
    let executor = settings.executor.clone();
    let Settings { ingest, mut sink, .. } = settings;
    let mut finding = Finding { name, ..Finding::default() };
    let work = async {
        match ingest.transformer.sample(&ingest.topic, SystemTime::now()) {
            Ok(record) => {
                match sink.place(&record) {
                    Ok(place) => finding.sample = show(&record, place),
                    Err(reason) => finding.problems.push(Trouble::new(reason)),
                }
                let checked = async {
                    sink.check(&record).await.map_err(|error| Trouble {
                        text: format!("target: {}", error.text),
                        hints: error.hint.into_iter().collect(),
                    })
                };
                let late = async {
                    smol::Timer::after(SINK_LIMIT).await;
                    Err(Trouble::new(format!("target: no answer within {SINK_LIMIT:?}")))
                };
                match smol::future::or(checked, late).await {
                    Ok(found) => finding.target = Some(format!("{}: {found}", sink.describe())),
                    Err(trouble) => finding.problems.push(trouble),
                }
                sink.close().await;
            }
            Err(reason) => finding.problems.push(Trouble::new(reason)),
        }
        match listen(&ingest).await {
            Ok(found) => finding.source = Some(found),
            Err(reason) => finding.problems.push(Trouble::new(format!("source: {reason}"))),
        }
    };
    executor.run(work).await;
    finding.ok = finding.problems.is_empty();
    finding
}

impl Trouble {
    fn new(text: impl Into<String>) -> Trouble {
        Trouble { text: text.into(), hints: Vec::new() }
    }
}

fn show(record: &Record, place: String) -> Option<Sample> {
    let output = String::from_utf8_lossy(&record.body).into_owned();
    let output = RawValue::from_string(output).ok()?;
    Some(Sample { place, message_id: record.id.clone(), output })
}

/// Subscribes for a moment, as nobody's member: no adapter that runs loses a message.
async fn listen(ingest: &Ingest) -> Result<String, String> {
    let mut options = ingest.connection.clone();
    options.initial = Initial::Once;
    let client = Client::connect(options).await.map_err(|error| error.to_string())?;
    let events = client.events();
    let subscription = client.subscribe_with(&ingest.topic, None, 1);
    let subscription = subscription.map_err(|error| error.to_string())?;
    client.flush(FLUSH_LIMIT).await.map_err(|error| error.to_string())?;
    let refused = events.drain().find_map(|event| match event {
        Event::PermissionViolation { operation: Operation::Subscribe, text, .. } => Some(text),
        _ => None,
    });
    let url = client.connected_url().unwrap_or_default();
    drop(subscription);
    client.close().await;
    match refused {
        Some(text) => Err(text),
        None => Ok(format!("connected to {url}, may read {}", ingest.topic)),
    }
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    if json {
        let text = serde_json::to_string_pretty(report);
        writeln!(out, "{}", text.map_err(|error| Failure::new(error.to_string()))?)?;
        return Ok(());
    }
    for problem in &report.problems {
        writeln!(out, "{problem}")?;
    }
    for adapter in &report.adapters {
        let verdict = if adapter.ok { "ok" } else { "would not work" };
        writeln!(out, "adapter {}: {verdict}", adapter.name)?;
        for trouble in &adapter.problems {
            writeln!(out, "  problem  {}", trouble.text)?;
            for hint in &trouble.hints {
                writeln!(out, "  hint     {hint}")?;
            }
        }
        let lines = [("source", &adapter.source), ("target", &adapter.target)];
        for (word, line) in lines {
            if let Some(line) = line {
                writeln!(out, "  {word}   {line}")?;
            }
        }
        if let Some(sample) = &adapter.sample {
            writeln!(out, "  sample   {} (id {})", sample.place, sample.message_id)?;
            writeln!(out, "           {}", sample.output)?;
        }
    }
    Ok(())
}
