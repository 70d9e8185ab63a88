//! Keeping a certificate and the list of revoked ones fresh, by asking the authority now and then through a connection that
//! is there anyway.
//!
//! The key stays the same: the request for the next certificate is signed with it, which proves whose it is. What comes
//! back is believed only when the authority that is trusted already has signed it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use smol::Timer;

use super::join::{check_certificate, request};
use crate::ca::files;
use crate::ca::wire::{self, Answer, Question};
use crate::crypto::crl;
use crate::crypto::hash::sha256;
use crate::crypto::key::PrivateKey;
use crate::crypto::signed::is_signed_by;
use crate::crypto::x509::Certificate;
use crate::nats::client::{Client, ErrorKind};
use crate::util::time::rfc3339;

/// Time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The first question comes within this time, so that a fleet that starts does not ask at once.
const FIRST_WITHIN: Duration = Duration::from_secs(30);
/// The part of its life after which a certificate is renewed at the earliest...
const DUE_FROM: f64 = 0.65;
/// ...and how much later that may be, by name.
const DUE_SPREAD: f64 = 0.2;

/// What is kept fresh.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The name in the certificate.
    pub name: String,
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificate of the authority.
    pub ca: PathBuf,
    /// The list of revoked certificates; none when nobody looks at one.
    pub crl: Option<PathBuf>,
    /// Time between two questions.
    pub interval: Duration,
}

/// Asks for ever; `renewed` is called when there is another certificate in the file.
pub async fn keep(renewal: Renewal, client: Client, renewed: impl Fn()) {
    let first = FIRST_WITHIN.min(renewal.interval / 4).as_millis() as u64;
    Timer::after(Duration::from_millis(fastrand::u64(..=first))).await;
    loop {
        if renewal.crl.is_some() {
            match fetch_list(&renewal, &client).await {
                Ok(true) => log::info!("ca: there is a new list of revoked certificates"),
                Ok(false) => {}
                Err(reason) => {
                    log::warn!("ca: the list of revoked certificates is not renewed err={reason}")
                }
            }
        }
        match renew_when_due(&renewal, &client, SystemTime::now()).await {
            Ok(Some(expires)) => {
                log::info!("ca: the certificate was renewed until={}", rfc3339(expires));
                renewed();
            }
            Ok(None) => {}
            Err(reason) => log::warn!("ca: the certificate is not renewed err={reason}"),
        }
        Timer::after(renewal.interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
    }
}

/// When a certificate of this name is to be renewed: each name has its own time.
fn due(certificate: &Certificate, name: &str) -> SystemTime {
    let life = certificate.not_after().duration_since(certificate.not_before()).unwrap_or_default();
    let share = f64::from(sha256(name.as_bytes())[0]) / 255.0;
    certificate.not_before() + life.mul_f64(DUE_FROM + DUE_SPREAD * share)
}

/// Gets the next certificate when it is time; tells until when that one is valid.
async fn renew_when_due(
    renewal: &Renewal,
    client: &Client,
    now: SystemTime,
) -> Result<Option<SystemTime>, String> {
    let read = renewal.clone();
    let begun = smol::unblock(move || begin(&read, now)).await?;
    let Some((key, csr, ca)) = begun else { return Ok(None) };
    let question = Question { token: String::new(), csr };
    // A struct of texts always has a JSON form.
    let question = serde_json::to_vec(&question).unwrap_or_default();
    let answer = client.request(wire::RENEW, &question, ANSWER_LIMIT).await;
    let answer = Answer::read(&answer.map_err(|error| error.to_string())?.payload)?;
    // Not the authority that came along: the one that is trusted.
    let answer = Answer { ca, ..answer };
    let expires = check_certificate(&answer, &renewal.name, &key, now)?;
    let path = renewal.certificate.clone();
    smol::unblock(move || files::replace(&path, answer.certificate.as_bytes(), files::PUBLIC))
        .await
        .map_err(|error| error.to_string())?;
    Ok(Some(expires))
}

/// Key, request and trusted authority, when it is time.
fn begin(
    renewal: &Renewal,
    now: SystemTime,
) -> Result<Option<(PrivateKey, String, String)>, String> {
    let certificate = read_certificate(&renewal.certificate)?;
    if now < due(&certificate, &renewal.name) {
        return Ok(None);
    }
    let key = PrivateKey::from_pem(&read(&renewal.key)?).map_err(|error| error.to_string())?;
    let csr = request(&renewal.name, &key).map_err(|error| error.to_string())?;
    Ok(Some((key, csr, read(&renewal.ca)?)))
}

/// Gets the list of revoked certificates; tells whether it is another one.
async fn fetch_list(renewal: &Renewal, client: &Client) -> Result<bool, String> {
    let Some(path) = renewal.crl.clone() else { return Ok(false) };
    let answer = match client.request(wire::CRL, b"{}", ANSWER_LIMIT).await {
        Ok(answer) => answer,
        Err(error) if error.kind() == ErrorKind::NoResponders => {
            return Err("no certificate authority answers".to_owned());
        }
        Err(error) => return Err(error.to_string()),
    };
    let answer = Answer::read(&answer.payload)?;
    let ca = renewal.ca.clone();
    smol::unblock(move || {
        let current = fs::read_to_string(&path).unwrap_or_default();
        if !is_better(&answer.crl, &current, &read(&ca)?, SystemTime::now())? {
            return Ok(false);
        }
        files::replace(&path, answer.crl.as_bytes(), files::PUBLIC)
            .map_err(|error| error.to_string())?;
        Ok(true)
    })
    .await
}

/// Whether a list is to take the place of another one: it is genuine, in force and newer.
pub(super) fn is_better(
    offered: &str,
    current: &str,
    ca: &str,
    now: SystemTime,
) -> Result<bool, String> {
    let offered = crl::read(offered)?;
    let [list] = &offered[..] else { return Err("there is more than one list".to_owned()) };
    let is_genuine = CertificateDer::pem_slice_iter(ca.as_bytes()).flatten().any(|der| {
        Certificate::from_der(&der).is_ok_and(|ca| is_signed_by(&list.der, ca.public_key_der()))
    });
    if !is_genuine {
        return Err("the list is not signed by the trusted authority".to_owned());
    }
    if list.next_update <= now {
        return Err(format!("the list expired on {}", rfc3339(list.next_update)));
    }
    match crl::read(current).as_deref() {
        Ok([have]) if have.issuer_der == list.issuer_der => Ok(list.is_newer_than(have)),
        Ok(_) => Err("the file holds lists of other authorities".to_owned()),
        Err(_) => Ok(true),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn read_certificate(path: &Path) -> Result<Certificate, String> {
    let unusable = |reason: String| format!("cannot use {}: {reason}", path.display());
    let der = CertificateDer::from_pem_slice(read(path)?.as_bytes())
        .map_err(|error| unusable(error.to_string()))?;
    Certificate::from_der(&der).map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::issue::{Authority, KeyKind, LeafRequest};

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_366_993)
    }

    #[test]
    fn each_name_has_its_own_time_within_the_last_third() {
        let authority = Authority::new_p256("Test CA", now()).unwrap();
        let mut request = LeafRequest::new("n", now(), 100 * DAY);
        request.key = KeyKind::P256;
        request.not_before = now();
        let issued = authority.issue(&request).unwrap();
        let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
        let certificate = Certificate::from_der(&der).unwrap();
        let times: Vec<SystemTime> =
            (0..200).map(|number| due(&certificate, &format!("n{number}"))).collect();
        let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
        assert!(first >= now() + 64 * DAY && first <= now() + 67 * DAY, "{first:?}");
        assert!(last >= now() + 83 * DAY && last <= now() + 86 * DAY, "{last:?}");
    }

    #[test]
    fn only_a_newer_list_of_the_trusted_authority_is_taken() {
        let authority = Authority::new_p256("Test CA", now()).unwrap();
        let impostor = Authority::new_p256("Test CA", now()).unwrap();
        let list =
            |from: &Authority, number, life| crl::sign(from, &[], number, now(), life).unwrap();
        let (old, new) = (list(&authority, 1, DAY), list(&authority, 2, DAY));
        let better =
            |offered: &str, current: &str| is_better(offered, current, authority.ca_pem(), now());
        assert_eq!(better(&new, &old), Ok(true));
        assert_eq!(better(&new, ""), Ok(true));
        assert_eq!(better(&old, &new), Ok(false));
        assert_eq!(better(&old, &old), Ok(false));
        let error = |offered: &str| better(offered, &old).unwrap_err();
        assert_eq!(
            error(&list(&impostor, 9, DAY)),
            "the list is not signed by the trusted authority"
        );
        assert!(error(&list(&authority, 9, Duration::ZERO)).starts_with("the list expired on"));
        assert_eq!(error(&format!("{new}{new}")), "there is more than one list");
        assert!(better(&new, &format!("{old}{old}")).is_err());
        assert!(error("").contains("no CRL"));
    }
}
