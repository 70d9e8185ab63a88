//! The settings of data adapters. Each kind of sink reads its own keys in a file of its own.

mod file;
#[cfg(feature = "kafka")]
mod kafka;
mod kinesis;
mod outside;
mod stream;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use smol::Executor;

use super::{Insecure, Problem, connection};
use crate::adapt::{
    DropRule, Form, Ingest, QueueLimits, Settings, Sink, SpoolSettings, Transformer,
};
use crate::config::{BadSetting, Config, Environment, Section};
use crate::nats::client::{Inside, Options};
use crate::nats::subject;
use crate::net::servers::{Server, ServerList};
use crate::security::{Kind, Provider};

/// Words for the kinds of sinks, as they stand in `type`.
pub const KINDS: &[&str] =
    &["choria_streams", "jetstream", "nats", "kafka", "kinesis", "webhook", "file"];
/// Bytes in memory of one adapter, whatever the number of its messages.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What adapters are made from, besides their own keys.
pub struct Around<'c> {
    /// The whole configuration.
    pub config: &'c Config,
    /// The environment of the process.
    pub env: &'c Environment,
    /// What is switched off.
    pub insecure: Insecure,
    /// Certificates of this process, or what is wrong with them.
    pub security: Result<Arc<Provider>, Problem>,
    /// Reads from the broker of this process, which has this name, instead of the configured ones.
    pub inside: Option<(Inside, Server)>,
    /// How long an adapter delivers after it was told to end.
    pub flush_limit: Duration,
}

/// What the sink of one adapter is made from.
pub struct Wanted<'c> {
    /// Name of the adapter.
    pub name: &'c str,
    /// Its keys: `plugin.choria.adapter.<name>.`.
    pub section: Section<'c>,
    /// What is around it.
    pub around: &'c Around<'c>,
    /// The identity of this process: certificates and tokens.
    pub security: Arc<Provider>,
    /// Runs the tasks of its connections.
    pub executor: Arc<Executor<'static>>,
}

impl From<BadSetting> for Problem {
    fn from(bad: BadSetting) -> Problem {
        Problem::new(bad.to_string())
    }
}

/// Names of the adapters that are to run, each with its settings or with what is wrong with them.
pub fn adapters(around: &Around<'_>) -> Vec<(String, Result<Settings, Problem>)> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut made: Vec<(String, Result<Settings, Problem>)> = Vec::new();
    for name in &around.config.choria.adapters {
        let is_double = made.iter().any(|(other, _)| other == name);
        let settings = match &around.security {
            _ if is_double => Err(Problem::new(format!("the adapter {name} is listed twice"))),
            Err(problem) => Err(problem.clone()),
            Ok(security) => adapter(around, name, security),
        };
        let settings = settings.and_then(|settings| alone(around, settings, &mut folders));
        made.push((name.clone(), settings));
    }
    made
}

/// No two adapters share a folder.
fn alone(
    around: &Around<'_>,
    settings: Settings,
    folders: &mut Vec<PathBuf>,
) -> Result<Settings, Problem> {
    let Some(spool) = &settings.spool else { return Ok(settings) };
    if folders.contains(&spool.folder) {
        let section = section(around.config, &settings.name);
        return Err(section.refuse("spool.dir", "is the folder of another adapter").into());
    }
    folders.push(spool.folder.clone());
    Ok(settings)
}

fn section<'c>(config: &'c Config, name: &str) -> Section<'c> {
    config.section(&format!("plugin.choria.adapter.{name}."))
}

/// The settings of one adapter.
fn adapter(around: &Around<'_>, name: &str, security: &Arc<Provider>) -> Result<Settings, Problem> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.chars().all(is_word) {
        // It is a part of keys, of a queue group and of labels.
        let text = format!("{name:?} cannot be the name of an adapter");
        return Err(Problem::new(text).hint("use letters, digits, - and _"));
    }
    let section = section(around.config, name);
    let executor = Arc::new(Executor::new());
    let wanted = Wanted {
        name,
        section: section.clone(),
        around,
        security: security.clone(),
        executor: executor.clone(),
    };
    let sink = sink(&wanted)?;
    let ingest = ingest(&wanted)?;
    let retries = section.count("retries");
    Ok(Settings {
        name: name.to_owned(),
        identity: around.config.identity.clone(),
        ingest,
        queue: QueueLimits { records_max: section.size("queue_len"), bytes_max: QUEUE_BYTES_MAX },
        spool: spool(&section),
        sink,
        attempts_max: (retries > 0).then(|| u32::try_from(retries).unwrap_or(u32::MAX)),
        flush_limit: around.flush_limit,
        executor,
    })
}

/// The sink that the type of an adapter asks for.
///
/// # Errors
/// When there is no such type, or its keys cannot be used.
pub fn sink(wanted: &Wanted<'_>) -> Result<Box<dyn Sink>, Problem> {
    let section = &wanted.section;
    let kinds = KINDS.join(", ");
    let Some(kind) = section.text("type") else {
        return Err(section.missing("type", format!("it has to be one of {kinds}")).into());
    };
    match kind.as_str() {
        "choria_streams" | "jetstream" => stream::streams(wanted),
        "nats" => stream::nats(wanted),
        #[cfg(feature = "kafka")]
        "kafka" => kafka::kafka(wanted),
        #[cfg(not(feature = "kafka"))]
        "kafka" => {
            let reason = "= kafka: this program was built without the feature kafka";
            Err(section.refuse("type", reason).into())
        }
        "kinesis" => kinesis::kinesis(wanted),
        "file" => file::file(wanted),
        "webhook" => webhook::webhook(wanted),
        "nats_stream" => {
            let reason = "= nats_stream: that server is gone, use jetstream";
            Err(section.refuse("type", reason).into())
        }
        other => Err(section.refuse("type", format!("= {other} has to be one of {kinds}")).into()),
    }
}

fn ingest(wanted: &Wanted<'_>) -> Result<Ingest, Problem> {
    let (section, around) = (&wanted.section, wanted.around);
    let Some(topic) = section.text("ingest.topic") else {
        let why =
            "it is the subject that is read, such as mcollective.broadcast.agent.registration";
        return Err(section.missing("ingest.topic", why).into());
    };
    if !subject::valid_subscribe(topic.as_bytes()) {
        return Err(section.refuse("ingest.topic", format!("= {topic} is no subject")).into());
    }
    let word = section.text("ingest.protocol").unwrap_or_default();
    let form = Form::WORDS.iter().find(|(known, _)| *known == word);
    let form = form.map_or(Form::Reply, |(_, form)| *form);
    let is_verified = section.flag("ingest.verify");
    if is_verified && !matches!(form, Form::Request | Form::Reply) {
        let reason =
            format!("= true is not possible with ingest.protocol = {word}, which nobody signs");
        return Err(section.refuse("ingest.verify", reason).into());
    }
    if is_verified && around.insecure.no_protocol_security {
        return Err(section.refuse("ingest.verify", "= true: protocol security is off").into());
    }
    if is_verified {
        check_verifier(section, &wanted.security, form)?;
    }
    let verifier = is_verified.then(|| wanted.security.clone());
    let transformer = Transformer::new(form, &around.config.identity, verifier);
    let executor = wanted.executor.clone();
    let connection = match &around.inside {
        Some((inside, name)) => {
            let servers = ServerList::fixed(vec![name.clone()]);
            Options { inside: Some(inside.clone()), ..Options::new(servers, executor) }
        }
        None => connection(around.config, around.env, &wanted.security, executor)?,
    };
    Ok(Ingest { topic, transformer, connection })
}

/// Without anybody to vouch for them, every message would be refused, or its signature believed.
fn check_verifier(
    section: &Section<'_>,
    security: &Provider,
    form: Form,
) -> Result<(), BadSetting> {
    let settings = security.settings();
    let reason = match settings.kind {
        Kind::Choria if settings.trust.is_none() => {
            "= true: it is not configured whose tokens are believed, set plugin.security.issuer.names and the key of each issuer, or plugin.security.choria.trusted_signers"
        }
        Kind::Choria => return Ok(()),
        // Replies of the first version hold a checksum only.
        _ if form == Form::Request && security.authority().is_none() => {
            "= true: there is no CA certificate to verify requests with"
        }
        _ => return Ok(()),
    };
    Err(section.refuse("ingest.verify", reason))
}

fn spool(section: &Section<'_>) -> Option<SpoolSettings> {
    let folder = section.text("spool.dir")?;
    let rule = match section.text("spool.drop").as_deref() {
        Some("oldest") => DropRule::Oldest,
        _ => DropRule::Newest,
    };
    let bytes_max = section.count("spool.max_bytes");
    Some(SpoolSettings { folder: PathBuf::from(folder), bytes_max, rule })
}

#[cfg(test)]
mod tests;
