//! What systems outside Choria's network have in common: whom they are vouched for by, time limits, files with passwords.

#[cfg(feature = "kafka")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::Wanted;
use crate::config::{BadSetting, Section};
use crate::security::{Kind, Settings, tls};
use crate::settings::{Problem, provider, security};

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Longest file with a password.
#[cfg(feature = "kafka")]
const PASSWORD_BYTES_MAX: u64 = 4096;

/// A certificate that is shown.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// TLS to another system: the key `ca`, or the authorities of this machine, vouch for it.
pub(super) fn tls(
    wanted: &Wanted<'_>,
    section: &Section<'_>,
    own: Option<Own>,
) -> Result<Arc<ClientConfig>, Problem> {
    let failed =
        |error: &dyn std::fmt::Display| section.refuse("ca", format!("cannot be used: {error}"));
    let around = wanted.around;
    // Of the own settings only algorithms are taken: certificates of Choria are none of these systems' business.
    let base = security(around.config, around.env, around.insecure)?;
    if around.insecure.no_verification && own.is_none() {
        return tls::anonymous_client(&base.cipher_suites, &base.ecc_curves)
            .map_err(|error| failed(&error).into());
    }
    let ca = match section.text("ca") {
        Some(ca) => PathBuf::from(ca),
        None => {
            SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(
                || section.missing("ca", "this machine has no list of authorities that it trusts"),
            )?
        }
    };
    let (certificate, key) = match own {
        Some(own) => (own.certificate, own.key),
        None => (PathBuf::new(), PathBuf::new()),
    };
    let settings = Settings {
        kind: Kind::Choria,
        certificate,
        key,
        ca,
        crl: PathBuf::new(),
        token: None,
        trust: None,
        anonymous_tls: false,
        tls: true,
        verify_tls: !around.insecure.no_verification,
        support_legacy_certificates: false,
        ..base
    };
    provider(settings)?.client_tls().map_err(|error| failed(&error).into())
}

/// The key `timeout`, which must not be zero.
pub(super) fn timeout(section: &Section<'_>) -> Result<Duration, BadSetting> {
    match section.duration("timeout") {
        Duration::ZERO => Err(section.refuse("timeout", "= 0 leaves no time for anything")),
        length => Ok(length),
    }
}

/// The password in the file that a key names, without what ends its line.
#[cfg(feature = "kafka")]
pub(super) fn password(section: &Section<'_>, name: &str) -> Result<String, BadSetting> {
    let path =
        section.text(name).ok_or_else(|| section.missing(name, "a login needs a password"))?;
    let refuse = |reason: String| section.refuse(name, format!("= {path}: {reason}"));
    let size = Path::new(&path).metadata().map_err(|error| refuse(error.to_string()))?.len();
    if size > PASSWORD_BYTES_MAX {
        return Err(refuse(format!(
            "it has {size} bytes, a password has at most {PASSWORD_BYTES_MAX}"
        )));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(refuse("it is empty".to_owned())),
        password => Ok(password.to_owned()),
    }
}
