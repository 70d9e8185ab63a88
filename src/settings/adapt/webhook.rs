//! Keys of adapters that post to a webhook: `webhook.*`.

use std::path::PathBuf;

use super::Wanted;
use super::outside::{self, Own};
use crate::adapt::sinks::webhook::{Format, Login, Settings, Signature, WebhookSink};
use crate::adapt::{BatchLimits, Sink};
use crate::config::{BadSetting, Section};
use crate::settings::Problem;

/// A webhook.
pub(super) fn webhook(wanted: &Wanted<'_>) -> Result<Box<dyn Sink>, Problem> {
    let section = wanted.section.below("webhook.");
    let (url, is_clear) = address(&section)?;
    let word = section.text("format").unwrap_or_default();
    let format = Format::WORDS.iter().find(|(known, _)| *known == word);
    let login = login(&section)?;
    if is_clear && login != Login::None {
        let reason = "= true: a login needs TLS, it would be sent in clear";
        return Err(section.refuse("insecure", reason).into());
    }
    Ok(Box::new(WebhookSink::new(Settings {
        url,
        format: format.map_or(Format::Lines, |(_, format)| *format),
        source: format!("io.choria.adapter/{}", wanted.name),
        tls: outside::tls(wanted, &section, own(&section)?)?,
        is_clear,
        login,
        signature: signature(&section),
        batch: BatchLimits {
            records_max: section.size("batch_records"),
            bytes_max: section.size("batch_bytes"),
            age_max: section.duration("batch_age"),
        },
        timeout: outside::timeout(&section)?,
    })))
}

/// The address, and whether it is in clear.
fn address(section: &Section<'_>) -> Result<(String, bool), BadSetting> {
    let why = "it is the https address that is posted to";
    let url = section.text("url").ok_or_else(|| section.missing("url", why))?;
    // What stands behind the host may be a secret.
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let refuse = |reason: &str| section.refuse("url", format!("= {shown}: {reason}"));
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(refuse("write https://host/path"));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse("write https://host/path without blanks"));
    }
    if host.contains('@') {
        let reason = "= an address with a login: use webhook.user and webhook.password_file";
        return Err(section.refuse("url", reason));
    }
    match scheme {
        "https" => Ok((url, false)),
        "http" if section.flag("insecure") => {
            log::warn!("adapt: {} is on, messages are posted in clear", section.key("insecure"));
            Ok((url, true))
        }
        "http" => Err(refuse("is in clear: use https, or set webhook.insecure for a test")),
        _ => Err(refuse("write https://host/path")),
    }
}

fn login(section: &Section<'_>) -> Result<Login, BadSetting> {
    let path = |name: &str| section.text(name).map(PathBuf::from);
    Ok(match (path("bearer_file"), section.text("user"), path("password_file")) {
        (None, None, None) => Login::None,
        (Some(token), None, None) => Login::Bearer(token),
        (None, Some(user), Some(_)) if user.contains(':') => {
            return Err(section.refuse("user", "has a colon in it, which no user has"));
        }
        (None, Some(user), Some(password)) => Login::Basic { user, password },
        (None, Some(_), None) => return Err(section.missing("password_file", "the user needs it")),
        (None, None, Some(_)) => return Err(section.missing("user", "the password needs it")),
        (Some(_), ..) => {
            let reason = "is one login, user and password another: use one of them";
            return Err(section.refuse("bearer_file", reason));
        }
    })
}

fn signature(section: &Section<'_>) -> Option<Signature> {
    let key = section.text("signature_file").map(PathBuf::from)?;
    let header = match section.text("signature_header").as_deref() {
        Some("x-hub-signature-256") => "X-Hub-Signature-256",
        _ => "X-Choria-Signature",
    };
    Some(Signature { header, key })
}

fn own(section: &Section<'_>) -> Result<Option<Own>, BadSetting> {
    let path = |name: &str| section.text(name).map(PathBuf::from);
    match (path("certificate"), path("private_key")) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(Own { certificate, key })),
        (Some(_), None) => Err(section.missing("private_key", "it belongs to the certificate")),
        (None, Some(_)) => Err(section.missing("certificate", "it belongs to the private key")),
    }
}
