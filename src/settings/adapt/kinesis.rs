//! Keys of adapters that write to Kinesis: `kinesis.*`.

use std::net::IpAddr;
use std::path::PathBuf;

use super::Wanted;
use super::outside;
use crate::adapt::sinks::kinesis::{
    CONTAINER_ENDPOINT, INSTANCE_ENDPOINT, Keys, KinesisSink, Settings, Source, Stream,
};
use crate::adapt::{BatchLimits, Sink, Template};
use crate::config::{BadSetting, Environment, Section};
use crate::settings::Problem;
use crate::util::secret::Secret;

/// Kinesis Data Streams.
pub(super) fn kinesis(wanted: &Wanted<'_>) -> Result<Box<dyn Sink>, Problem> {
    let section = wanted.section.below("kinesis.");
    let region = region(&section)?;
    let (endpoint, is_clear) = endpoint(&section, &region)?;
    Ok(Box::new(KinesisSink::new(Settings {
        region,
        endpoint,
        stream: stream(wanted, &section)?,
        key: key(&section)?,
        credentials: credentials(&section, wanted.around.env)?,
        tls: outside::tls(wanted, &section, None)?,
        is_clear,
        batch: BatchLimits {
            records_max: section.size("batch_records"),
            bytes_max: section.size("batch_bytes"),
            age_max: section.duration("batch_age"),
        },
        record_bytes_max: section.size("record_bytes"),
        timeout: outside::timeout(&section)?,
    })))
}

fn region(section: &Section<'_>) -> Result<String, BadSetting> {
    let region = section
        .text("region")
        .ok_or_else(|| section.missing("region", "it is a part of every signature"))?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.bytes().all(is_word) {
        return Err(section.refuse("region", format!("= {region} is no region such as eu-west-1")));
    }
    Ok(region)
}

/// The endpoint without a path, and whether it is in clear.
fn endpoint(section: &Section<'_>, region: &str) -> Result<(String, bool), BadSetting> {
    let Some(text) = section.text("endpoint") else {
        return Ok((Settings::endpoint_of(region), false));
    };
    let refuse = |reason: &str| section.refuse("endpoint", format!("= {text}: {reason}"));
    let url = text.trim_end_matches('/');
    let (scheme, host) = url.split_once("://").ok_or_else(|| refuse("write https://host"))?;
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err(refuse("write scheme and host, without a path"));
    }
    match scheme {
        "https" => Ok((url.to_owned(), false)),
        "http" if !section.flag("insecure") => {
            Err(refuse("is in clear: use https, or set kinesis.insecure for a test"))
        }
        "http" if !is_loopback(host) => {
            Err(refuse("an endpoint in clear has to be on this machine"))
        }
        "http" => Ok((url.to_owned(), true)),
        _ => Err(refuse("write https://host")),
    }
}

/// Whether `host:port` is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn stream(wanted: &Wanted<'_>, section: &Section<'_>) -> Result<Stream, BadSetting> {
    let text = section.text("stream").unwrap_or_else(|| wanted.name.to_owned());
    if text.starts_with("arn:") {
        return Ok(Stream::Arn(text));
    }
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.len() > 128 || !text.bytes().all(is_good) {
        let reason = "is no name of a stream: letters, digits, full stops, - and _, at most 128";
        return Err(section.refuse("stream", format!("= {text} {reason}")));
    }
    Ok(Stream::Name(text))
}

fn key(section: &Section<'_>) -> Result<Template, BadSetting> {
    let text = section.text("partition_key").unwrap_or_default();
    Template::parse(&text)
        .map_err(|error| section.refuse("partition_key", format!("= {text}: {error}")))
}

fn credentials(section: &Section<'_>, env: &Environment) -> Result<Source, BadSetting> {
    let variable = |name: &str| env.var(name).map(str::to_owned);
    let need = |name: &str| {
        let reason = format!("needs the environment variable {name}");
        variable(name).ok_or_else(|| section.refuse("credentials", reason))
    };
    Ok(match section.text("credentials").as_deref() {
        Some("file") => Source::File {
            path: credentials_file(section, env)?,
            profile: section.text("profile").unwrap_or_default(),
        },
        Some("instance") => Source::Instance {
            endpoint: variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").map_or_else(
                || INSTANCE_ENDPOINT.to_owned(),
                |url| url.trim_end_matches('/').to_owned(),
            ),
        },
        Some("container") => Source::Service {
            url: match variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
                Some(path) => format!("{CONTAINER_ENDPOINT}{path}"),
                None => need("AWS_CONTAINER_CREDENTIALS_FULL_URI")?,
            },
            token_file: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from),
            token: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
        },
        _ => Source::Fixed(Keys {
            id: need("AWS_ACCESS_KEY_ID")?,
            secret: Secret::new(need("AWS_SECRET_ACCESS_KEY")?),
            token: variable("AWS_SESSION_TOKEN").map(Secret::new),
        }),
    })
}

fn credentials_file(section: &Section<'_>, env: &Environment) -> Result<PathBuf, BadSetting> {
    let text = section.text("credentials_file").map(PathBuf::from);
    text.or_else(|| env.var("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from))
        .or_else(|| env.home().map(|home| home.join(".aws/credentials")))
        .ok_or_else(|| section.missing("credentials_file", "there is no HOME to look in either"))
}
