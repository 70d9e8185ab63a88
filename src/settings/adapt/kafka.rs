//! Keys of adapters that write to Kafka: `kafka.*`.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use super::Wanted;
use super::outside::{self, Own};
use crate::adapt::sinks::kafka::{Access, Compression, KafkaSink, Mechanism, Sasl, Settings};
use crate::adapt::{BatchLimits, Sink, Template};
use crate::config::{BadSetting, Section};
use crate::crypto::mac::Hash;
use crate::net::servers::{self, Scheme};
use crate::settings::Problem;
use crate::util::secret::Secret;

/// Kafka.
pub(super) fn kafka(wanted: &Wanted<'_>) -> Result<Box<dyn Sink>, Problem> {
    let section = wanted.section.below("kafka.");
    let tls = tls(wanted, &section)?;
    let sasl = sasl(&section, tls.is_some())?;
    let headers = section.list("headers");
    Ok(Box::new(KafkaSink::new(Settings {
        servers: servers(&section)?,
        access: Access {
            tls,
            sasl,
            client_id: section.text("client_id").unwrap_or_default(),
            timeout: outside::timeout(&section)?,
        },
        topic: topic(wanted, &section)?,
        key: template(&section, "key")?,
        partition: template(&section, "partition")?,
        headers: headers
            .iter()
            .map(|header| self::header(&section, header))
            .collect::<Result<_, _>>()?,
        compression: match section.text("compression").as_deref() {
            Some("gzip") => Compression::Gzip,
            Some("snappy") => Compression::Snappy,
            _ => Compression::None,
        },
        create_topics: section.flag("create_topics"),
        batch: BatchLimits {
            records_max: section.size("batch_records"),
            bytes_max: section.size("batch_bytes"),
            age_max: section.duration("batch_age"),
        },
        batch_bytes_max: section.size("partition_bytes"),
        refresh: section.duration("refresh"),
    })))
}

fn servers(section: &Section<'_>) -> Result<Vec<(String, u16)>, Problem> {
    let hosts = section.list("servers");
    if hosts.is_empty() {
        return Err(section.missing("servers", "write host:port of one broker or more").into());
    }
    let refuse = |reason: &dyn std::fmt::Display| {
        section.refuse("servers", format!("= {}: {reason}", hosts.join(", ")))
    };
    let servers = servers::parse_hosts(&hosts).map_err(|error| refuse(&error))?;
    let has_scheme = hosts.iter().any(|host| host.contains("://"));
    if has_scheme || servers.iter().any(|server| server.scheme != Scheme::Nats) {
        return Err(refuse(&"write host:port without a scheme").into());
    }
    Ok(servers.into_iter().map(|server| (server.host, server.port)).collect())
}

fn template(section: &Section<'_>, name: &str) -> Result<Option<Template>, BadSetting> {
    let Some(text) = section.text(name) else { return Ok(None) };
    let refuse = |error| section.refuse(name, format!("= {text}: {error}"));
    Template::parse(&text).map(Some).map_err(refuse)
}

fn topic(wanted: &Wanted<'_>, section: &Section<'_>) -> Result<Template, BadSetting> {
    let text = section.text("topic").unwrap_or_else(|| wanted.name.to_owned());
    let refuse = |reason: String| section.refuse("topic", format!("= {text}: {reason}"));
    let template = Template::parse(&text).map_err(|error| refuse(error.to_string()))?;
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match template.constant() {
        Some(topic) if !topic.bytes().all(is_good) => {
            Err(refuse("a topic has letters, digits, full stops, - and _".to_owned()))
        }
        _ => Ok(template),
    }
}

fn header(section: &Section<'_>, text: &str) -> Result<(Arc<str>, Template), BadSetting> {
    let refuse =
        |reason: &dyn std::fmt::Display| section.refuse("headers", format!("= {text}: {reason}"));
    let (name, value) = text.split_once('=').ok_or_else(|| refuse(&"a header is name=template"))?;
    let value = Template::parse(value.trim()).map_err(|error| refuse(&error))?;
    match name.trim() {
        "" => Err(refuse(&"a header needs a name")),
        name => Ok((name.into(), value)),
    }
}

fn tls(wanted: &Wanted<'_>, section: &Section<'_>) -> Result<Option<Arc<ClientConfig>>, Problem> {
    if !section.flag("tls") {
        let key = section.key("tls");
        log::warn!("adapt: {key} is off, messages to Kafka are sent in clear");
        return Ok(None);
    }
    let path = |name: &str| section.text(name).map(PathBuf::from);
    let own = match (path("certificate"), path("private_key")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(Own { certificate, key }),
        (Some(_), None) => {
            return Err(section.missing("private_key", "it belongs to the certificate").into());
        }
        (None, Some(_)) => {
            return Err(section.missing("certificate", "it belongs to the private key").into());
        }
    };
    outside::tls(wanted, section, own).map(Some)
}

fn sasl(section: &Section<'_>, has_tls: bool) -> Result<Option<Sasl>, Problem> {
    let mechanism = match section.text("sasl").as_deref() {
        Some("plain") if !has_tls => {
            let reason =
                "= plain needs TLS: the password would be sent in clear, use scram-sha-512";
            return Err(section.refuse("sasl", reason).into());
        }
        Some("plain") => Mechanism::Plain,
        Some("scram-sha-256") => Mechanism::Scram(Hash::Sha256),
        Some("scram-sha-512") => Mechanism::Scram(Hash::Sha512),
        _ => return Ok(None),
    };
    let user =
        section.text("user").ok_or_else(|| section.missing("user", "kafka.sasl needs it"))?;
    let password = outside::password(section, "password_file")?;
    Ok(Some(Sasl { mechanism, user, password: Secret::new(password) }))
}
