//! Keys of adapters that write to NATS: `stream.*`.

use super::Wanted;
use crate::adapt::sinks::jetstream::{JetStream, JetStreamSettings};
use crate::adapt::sinks::nats::{Nats, NatsSettings};
use crate::adapt::{Sink, Template};
use crate::config::Section;
use crate::crypto::random;
use crate::nats::client::Options;
use crate::nats::subject;
use crate::net::servers::{self, ServerList};
use crate::settings::{Problem, connection};

/// Streams, with acknowledgement unless that is switched off.
pub(super) fn streams(wanted: &Wanted<'_>) -> Result<Box<dyn Sink>, Problem> {
    let section = wanted.section.below("stream.");
    if !section.flag("acknowledge") {
        return nats(wanted);
    }
    let (connection, servers) = target(wanted, &section)?;
    let stream = section.text("name");
    if let Some(name) = &stream
        && !name.bytes().all(|byte| byte.is_ascii_graphic() && !b".*>/\\".contains(&byte))
    {
        return Err(section.refuse("name", format!("= {name} is no name of a stream")).into());
    }
    Ok(Box::new(JetStream::new(JetStreamSettings {
        connection,
        servers,
        subject: topic(wanted, &section)?,
        stream,
        in_flight_max: section.size("in_flight"),
        timeout: section.duration("timeout"),
    })))
}

/// NATS without acknowledgement.
pub(super) fn nats(wanted: &Wanted<'_>) -> Result<Box<dyn Sink>, Problem> {
    let section = wanted.section.below("stream.");
    let (connection, servers) = target(wanted, &section)?;
    Ok(Box::new(Nats::new(NatsSettings {
        connection,
        servers,
        subject: topic(wanted, &section)?,
        timeout: section.duration("timeout"),
    })))
}

/// The subject that is written to.
fn topic(wanted: &Wanted<'_>, section: &Section<'_>) -> Result<Template, Problem> {
    let text = section.text("topic").unwrap_or_else(|| wanted.name.to_owned());
    let refuse = |reason: String| section.refuse("topic", format!("= {text}: {reason}"));
    let template = Template::parse(&text).map_err(|error| refuse(error.to_string()))?;
    match template.constant() {
        Some(subject) if !subject::valid_publish(subject.as_bytes()) => {
            Err(refuse("it is no subject that can be published on".to_owned()).into())
        }
        _ => Ok(template),
    }
}

/// The connection to the target, and its name.
fn target(wanted: &Wanted<'_>, section: &Section<'_>) -> Result<(Options, String), Problem> {
    let around = wanted.around;
    let mut options =
        connection(around.config, around.env, &wanted.security, wanted.executor.clone())?;
    let unique = random::request_id();
    options.name = format!("{}_0-{unique}", wanted.name);
    let hosts = section.list("servers");
    if hosts.is_empty() {
        log::info!(
            "adapt: {} is not set, the usual brokers are written to",
            section.key("servers")
        );
        return Ok((options, "(usual brokers)".to_owned()));
    }
    let servers = servers::parse_hosts(&hosts)
        .map_err(|error| section.refuse("servers", format!("= {}: {error}", hosts.join(", "))))?;
    options.servers = ServerList::fixed(servers);
    if !section.flag("tls") && options.tls.take().is_some() {
        log::warn!("adapt: TLS is off: {} is written to in clear", hosts.join(", "));
        // A token is for brokers, and those look at it over TLS only.
        options.credentials = None;
    }
    if let Some(user) = section.text("user") {
        options.user = Some(user);
        options.password = section.secret("password");
        options.credentials = None;
    }
    Ok((options, hosts.join(",")))
}
