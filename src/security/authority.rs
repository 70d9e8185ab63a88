//! The trusted authorities, and the verification of certificate chains against them.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::CertificateError;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    ExpirationPolicy, RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::revocation::{Lists, Revocation};
use super::{Denied, chain_fault};
use crate::crypto::x509::Certificate;

/// Certificates a peer may send along with its own.
const CHAIN_MAX: usize = 10;
/// Longer than any date of a certificate is away.
const FOR_EVER: Duration = Duration::from_secs(10_000 * 366 * 86_400);

/// The certificates of one CA file, and what they have revoked when there is a file that says so.
pub struct Authority {
    roots: Vec<Root>,
    revocation: Option<Revocation>,
}

struct Root {
    der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("certificates", &self.roots.len()).finish()
    }
}

/// A peer's certificate, read but not yet verified.
pub(super) struct Presented {
    pub(super) leaf: Certificate,
    /// DER of the leaf and everything sent with it.
    pub(super) chain: Vec<CertificateDer<'static>>,
}

impl Presented {
    /// Reads PEM text: the first certificate is the peer's, the others help to build the chain.
    pub(super) fn from_pem(text: &[u8], caller: &str) -> Result<Self, Denied> {
        let unusable = |reason: String| Denied::Certificate { caller: caller.to_owned(), reason };
        let mut chain = Vec::new();
        for der in CertificateDer::pem_slice_iter(text) {
            chain.push(der.map_err(|error| unusable(error.to_string()))?);
            if chain.len() > CHAIN_MAX {
                return Err(Denied::ChainTooLong { count: chain.len(), limit: CHAIN_MAX });
            }
        }
        let first = chain.first().ok_or_else(|| unusable("it is not PEM".to_owned()))?;
        let leaf = Certificate::from_der(first).map_err(|error| unusable(error.to_string()))?;
        Ok(Presented { leaf, chain })
    }

    /// Common name and DNS names, in this order, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.leaf.common_name().map(str::to_owned).into_iter().collect();
        for name in self.leaf.dns_names() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// A name for log lines.
    pub(super) fn subject(&self) -> String {
        self.names().into_iter().next().unwrap_or_else(|| "without a name".to_owned())
    }
}

impl Authority {
    /// Reads a CA file, which may hold several certificates.
    ///
    /// # Errors
    /// What is wrong: no certificate in it, or one that cannot be an authority. The reference takes
    /// such a file without a word and then verifies nothing.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        let mut roots = Vec::new();
        for der in CertificateDer::pem_slice_iter(text) {
            let der = der.map_err(|error| format!("it is not valid PEM: {error}"))?;
            roots.push(root(der)?);
        }
        if roots.is_empty() {
            return Err("it holds no PEM certificate".to_owned());
        }
        Ok(Authority { roots, revocation: None })
    }

    /// The authority of this certificate, DER.
    ///
    /// # Errors
    /// Why it cannot be an authority.
    pub(super) fn of_certificate(der: &CertificateDer<'_>) -> Result<Self, String> {
        Ok(Authority { roots: vec![root(der.clone().into_owned())?], revocation: None })
    }

    /// Verifies that the first certificate of a PEM text leads to the authority and is valid at `now`, for the use as a
    /// client.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify_pem(&self, text: &[u8], now: SystemTime) -> Result<(), Denied> {
        self.verify(&Presented::from_pem(text, "a certificate")?, now)
    }

    /// From now on no certificate is believed that this file with lists of revoked certificates does not vouch for. The
    /// file is read again whenever it has changed.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn with_revocation(mut self, path: &Path) -> Result<Self, String> {
        self.revocation = Some(Revocation::open(path)?);
        Ok(self)
    }

    /// Looks now whether more was revoked.
    pub fn refresh_revocation(&self) {
        self.revocation.iter().for_each(Revocation::refresh);
    }

    /// Whether a peer is not believed any more because of what was revoked since it was: it has shown these certificates,
    /// its own first.
    pub fn is_revoked(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> bool {
        let (Some(revocation), Some((own, others))) = (&self.revocation, chain.split_first())
        else {
            return false;
        };
        let lists = revocation.lists();
        let is_named =
            |der: &CertificateDer<'_>| Certificate::from_der(der).is_ok_and(|it| lists.name(&it));
        if is_named(own) {
            return true;
        }
        // What came along need not lead to an authority; there may be another way to one.
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(since);
        let usages = [webpki::KeyUsage::client_auth(), webpki::KeyUsage::server_auth()];
        others.iter().any(is_named)
            && usages.into_iter().all(|it| self.verify_chain(own, others, now, it).is_err())
    }

    /// The lists of revoked certificates that are in force, if anybody looks at such lists.
    pub(super) fn revocation_lists(&self) -> Option<Arc<Lists>> {
        self.revocation.as_ref().map(Revocation::lists)
    }

    /// Seconds since 1970 between which no date makes a difference for a chain that was found good at `now`: neither
    /// those of its certificates and of the authorities that are valid now, nor those of these lists. Nothing when there
    /// is no such time.
    pub(super) fn span<'c>(
        &self,
        chain: impl IntoIterator<Item = &'c CertificateDer<'c>>,
        lists: Option<&Lists>,
        now: UnixTime,
    ) -> Option<RangeInclusive<u64>> {
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let (mut from, mut until) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + FOR_EVER);
        for der in chain {
            let read = Certificate::from_der(der).ok()?;
            (from, until) = (from.max(read.not_before()), until.min(read.not_after()));
        }
        for root in self.roots_at(time) {
            (from, until) = (from.max(root.not_before), until.min(root.not_after));
        }
        if let Some(end) = lists.and_then(Lists::first_end) {
            until = until.min(end - Duration::from_secs(1));
        }
        let span = seconds(from)?..=seconds(until)?;
        span.contains(&now.as_secs()).then_some(span)
    }

    #[cfg(test)]
    pub(super) fn look_always(&mut self) {
        self.revocation.iter_mut().for_each(Revocation::look_always);
    }

    /// The certificates, for TLS.
    pub(super) fn certificates(&self) -> impl Iterator<Item = CertificateDer<'static>> + '_ {
        self.roots.iter().map(|root| root.der.clone())
    }

    /// Verifies PEM certificates, the first of which has to be good for a client of this name: its common name or a DNS name.
    ///
    /// # Errors
    /// Why they are refused.
    pub fn verify_client(&self, pem: &[u8], name: &str, now: SystemTime) -> Result<(), Denied> {
        let presented = Presented::from_pem(pem, name)?;
        self.verify(&presented, now)?;
        let proven = presented.names();
        if proven.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(Denied::CallerMismatch { claimed: name.to_owned(), proven })
    }

    /// Verifies that the chain leads to an authority, that every certificate is valid at `now`, and
    /// that the first one may be used as a client.
    pub(super) fn verify(&self, presented: &Presented, now: SystemTime) -> Result<(), Denied> {
        self.verify_for(presented, webpki::KeyUsage::client_auth(), now)
    }

    /// The same for another use than that of a client.
    pub(super) fn verify_for(
        &self,
        presented: &Presented,
        usage: webpki::KeyUsage,
        now: SystemTime,
    ) -> Result<(), Denied> {
        let subject = || presented.subject();
        let leaf = &presented.leaf;
        // webpki names whatever certificate failed first; the peer's own dates are clearer.
        if now > leaf.not_after() {
            return Err(Denied::Expired { subject: subject(), not_after: leaf.not_after() });
        }
        if now < leaf.not_before() {
            return Err(Denied::NotYetValid { subject: subject(), not_before: leaf.not_before() });
        }
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(since);
        self.verify_chain(&presented.chain[0], &presented.chain[1..], time, usage).map_err(
            |reason| {
                let lists = self.revocation.as_ref().map(Revocation::lists);
                chain_fault::explain(presented, &reason, lists.as_deref(), now)
            },
        )
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: webpki::KeyUsage,
    ) -> Result<(), webpki::Error> {
        let anchors = self.anchors_at(SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let lists = self.revocation.as_ref().map(Revocation::lists);
        let lists = lists.as_ref().map(|lists| lists.checked());
        let revocation = match &lists {
            None => None,
            Some(lists) => Some(
                RevocationOptionsBuilder::new(lists)
                    .map_err(|_| webpki::Error::UnknownRevocationStatus)?
                    .with_depth(RevocationCheckDepth::Chain)
                    .with_status_policy(UnknownStatusPolicy::Deny)
                    .with_expiration_policy(ExpirationPolicy::Enforce)
                    .build(),
            ),
        };
        webpki::EndEntityCert::try_from(end_entity)?
            .verify_for_usage(algorithms, &anchors, intermediates, now, usage, revocation, None)
            .map(|_| ())
    }

    /// The authorities that are valid at `now`. webpki takes an anchor as valid for ever; Go does not.
    fn anchors_at(&self, now: SystemTime) -> Vec<TrustAnchor<'_>> {
        self.roots_at(now).map(|root| root.anchor.clone()).collect()
    }

    fn roots_at(&self, now: SystemTime) -> impl Iterator<Item = &Root> {
        self.roots.iter().filter(move |root| root.not_before <= now && now <= root.not_after)
    }

    /// Whether a chain that leads to one of the authorities leads to one that is valid at `now`, and nothing in it was
    /// revoked.
    pub(super) fn check_validity(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: webpki::KeyUsage,
    ) -> Result<(), CertificateError> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let is_dated = self.roots_at(time).count() == self.roots.len();
        if is_dated && self.revocation.is_none() {
            return Ok(());
        }
        self.verify_chain(end_entity, intermediates, now, usage).map_err(|error| match error {
            webpki::Error::CertRevoked => CertificateError::Revoked,
            webpki::Error::CrlExpired { .. } => CertificateError::ExpiredRevocationList,
            _ if is_dated => CertificateError::UnknownRevocationStatus,
            _ => CertificateError::Expired,
        })
    }
}

fn root(der: CertificateDer<'static>) -> Result<Root, String> {
    let read = Certificate::from_der(&der).map_err(|error| error.to_string())?;
    let name = read.common_name().unwrap_or("without a name").to_owned();
    let anchor = webpki::anchor_from_trusted_cert(&der)
        .map_err(|error| format!("certificate {name} cannot be an authority: {error}"))?
        .to_owned();
    Ok(Root { anchor, not_before: read.not_before(), not_after: read.not_after(), der })
}
