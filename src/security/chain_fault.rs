//! What the verifier of chains says, as an operator reads it: which certificate of the chain is at fault, and why.

use std::time::{Duration, SystemTime};

use super::Denied;
use super::authority::Presented;
use super::revocation::Lists;
use crate::crypto::x509::Certificate;
use crate::protocol::Plain;
use crate::util::time::rfc3339;

/// The refusal of a chain. The verifier does not say which certificate it means; the certificates and lists do.
pub(super) fn explain(
    presented: &Presented,
    error: &webpki::Error,
    lists: Option<&Lists>,
    now: SystemTime,
) -> Denied {
    let subject = presented.subject();
    let issuer = presented.leaf.issuer().unwrap_or("without a name").to_owned();
    let above = above(presented);
    let found = |is_at_fault: &dyn Fn(&Certificate) -> bool| above.iter().find(|c| is_at_fault(c));
    let of_above = |text: String| Denied::Chain { subject: subject.clone(), reason: text };
    match error {
        // A CA of the same name but with another key shows as a bad signature.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            Denied::UnknownIssuer { subject, issuer }
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => Denied::Usage { subject },
        webpki::Error::CertRevoked => {
            let is_named = |c: &Certificate| lists.is_some_and(|lists| lists.name(c));
            match found(&is_named).filter(|_| !is_named(&presented.leaf)) {
                Some(authority) => of_above(format!("{} was revoked", place(authority))),
                None => Denied::Revoked { subject },
            }
        }
        webpki::Error::CrlExpired { next_update, .. } => Denied::RevocationExpired {
            subject,
            next_update: SystemTime::UNIX_EPOCH + Duration::from_secs(next_update.as_secs()),
        },
        webpki::Error::UnknownRevocationStatus => {
            let is_silent = |c: &Certificate| lists.is_some_and(|lists| !lists.speak_about(c));
            match found(&is_silent).filter(|_| !is_silent(&presented.leaf)) {
                Some(authority) => of_above(format!(
                    "there is no revocation list of {}, which issued {}",
                    Plain(authority.issuer().unwrap_or("an authority without a name")),
                    place(authority)
                )),
                None => Denied::RevocationUnknown { subject, issuer },
            }
        }
        webpki::Error::CertExpired { .. } => match found(&|c| now > c.not_after()) {
            Some(authority) => of_above(format!(
                "{} expired on {}",
                place(authority),
                rfc3339(authority.not_after())
            )),
            None => of_above(unclear(error)),
        },
        webpki::Error::CertNotValidYet { .. } => match found(&|c| now < c.not_before()) {
            Some(authority) => of_above(format!(
                "{} is valid from {} on only",
                place(authority),
                rfc3339(authority.not_before())
            )),
            None => of_above(unclear(error)),
        },
        webpki::Error::CaUsedAsEndEntity => {
            of_above("it is the certificate of an authority".to_owned())
        }
        webpki::Error::InvalidCrlSignatureForPublicKey => {
            of_above("the revocation list was not signed by its issuer".to_owned())
        }
        other => of_above(unclear(other)),
    }
}

fn unclear(error: &webpki::Error) -> String {
    format!("its chain is not valid: {error}")
}

/// The certificates that seem to have led to the first one, from below. Names only: nothing about them is verified.
fn above(presented: &Presented) -> Vec<Certificate> {
    let mut others: Vec<Certificate> =
        presented.chain.iter().skip(1).filter_map(|der| Certificate::from_der(der).ok()).collect();
    let mut above: Vec<Certificate> = Vec::new();
    loop {
        let wanted = above.last().unwrap_or(&presented.leaf).issuer();
        let Some(index) = others.iter().position(|c| c.common_name() == wanted) else {
            return above;
        };
        above.push(others.swap_remove(index));
    }
}

fn place(authority: &Certificate) -> String {
    let name = authority.common_name().unwrap_or("without a name");
    format!("the certificate of {} above it", Plain(name))
}
