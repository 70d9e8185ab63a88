//! Chains of clients that were verified before. When a network has been away, all of its nodes come back at once with the
//! certificates they had, and the verification of a chain is a fifth of the work of a handshake.
//!
//! What is remembered is that this very chain, byte by byte, was found good for a client by the authorities and revocation
//! lists that are in force now, and for how long no date in any of them changes that. Everybody has to prove anew that
//! the key is theirs. Whatever is not remembered, or not for the present moment, is verified as if there were no memory;
//! refusals are never remembered. Other authorities come with other settings of TLS, and so with an empty memory.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::crypto::hash::sha256;
use crate::security::Authority;
use crate::security::revocation::Lists;

/// Chains that are remembered before the older half of them is forgotten: more than one broker has connections.
const CHAINS_MAX: usize = 65_536;

/// A verifier that verifies each chain once, as long as nothing changes.
pub(super) struct Remembered<V: ?Sized> {
    authority: Arc<Authority>,
    memory: Mutex<Memory>,
    inner: Arc<V>,
}

/// Hash of all certificates of a chain.
type Fingerprint = [u8; 32];

/// Seconds since 1970 between which dates change nothing.
type Span = RangeInclusive<u64>;

/// The chains that were found good.
struct Memory {
    chains_max: usize,
    /// The lists of revoked certificates that were asked about all of them.
    lists: Option<Arc<Lists>>,
    young: HashMap<Fingerprint, Span>,
    old: HashMap<Fingerprint, Span>,
}

impl Memory {
    fn new(chains_max: usize) -> Memory {
        Memory { chains_max, lists: None, young: HashMap::new(), old: HashMap::new() }
    }

    /// Forgets everything when other lists are in force.
    fn heed(&mut self, lists: Option<&Arc<Lists>>) {
        let is_same = match (&self.lists, lists) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        if !is_same {
            // The lists are kept, so that no others can be in their place.
            *self = Memory { lists: lists.cloned(), ..Memory::new(self.chains_max) };
        }
    }

    fn holds(&self, chain: &Fingerprint, now: UnixTime) -> bool {
        let span = self.young.get(chain).or_else(|| self.old.get(chain));
        span.is_some_and(|span| span.contains(&now.as_secs()))
    }

    fn add(&mut self, chain: Fingerprint, span: Span) {
        if self.young.len() >= self.chains_max / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(chain, span);
    }
}

impl<V: ?Sized> Remembered<V> {
    /// A memory before a verifier that believes this authority.
    pub(super) fn new(inner: Arc<V>, authority: Arc<Authority>) -> Remembered<V> {
        Remembered { authority, memory: Mutex::new(Memory::new(CHAINS_MAX)), inner }
    }

    fn with_memory<T>(&self, lists: Option<&Arc<Lists>>, work: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.heed(lists);
        work(&mut memory)
    }
}

impl<V: fmt::Debug + ?Sized> fmt::Debug for Remembered<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// The hash of the certificates and where each of them ends.
fn fingerprint(end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Fingerprint {
    let chain = || std::iter::once(end_entity).chain(others);
    let mut bytes = Vec::with_capacity(chain().map(|der| der.len() + 8).sum());
    for der in chain() {
        bytes.extend_from_slice(&(der.len() as u64).to_be_bytes());
        bytes.extend_from_slice(der);
    }
    sha256(&bytes)
}

impl<V: ClientCertVerifier + ?Sized> ClientCertVerifier for Remembered<V> {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Asked first: what is verified now is verified with these lists or with newer ones, and then forgotten again.
        let lists = self.authority.revocation_lists();
        let chain = fingerprint(end_entity, intermediates);
        if self.with_memory(lists.as_ref(), |memory| memory.holds(&chain, now)) {
            return Ok(ClientCertVerified::assertion());
        }
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let ders = std::iter::once(end_entity).chain(intermediates);
        if let Some(span) = self.authority.span(ders, lists.as_deref(), now) {
            self.with_memory(lists.as_ref(), |memory| memory.add(chain, span));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use rustls::RootCertStore;
    use rustls::crypto::ring::default_provider;
    use rustls::server::WebPkiClientVerifier;
    use rustls_pki_types::pem::PemObject;

    use super::*;
    use crate::crypto::crl::{self, Entry, Reason};
    use crate::crypto::issue::{Authority as Issuer, Issued, KeyKind, LeafRequest};
    use crate::crypto::x509::Certificate;
    use crate::security::testkit::{Folder, NOW_SECS, at, now};
    use crate::security::tls::dated::Dated;

    const DAY: u64 = 86_400;

    /// Counts how often it is asked.
    #[derive(Debug)]
    struct Counting {
        inner: Dated<dyn ClientCertVerifier>,
        asked: AtomicUsize,
    }

    impl ClientCertVerifier for Counting {
        fn root_hint_subjects(&self) -> &[DistinguishedName] {
            self.inner.root_hint_subjects()
        }

        fn verify_client_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            now: UnixTime,
        ) -> Result<ClientCertVerified, Error> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.inner.verify_client_cert(end_entity, intermediates, now)
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.inner.supported_verify_schemes()
        }
    }

    fn remembering(authority: Authority) -> Remembered<Counting> {
        let mut roots = RootCertStore::empty();
        authority.certificates().for_each(|der| roots.add(der).unwrap());
        let inner = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(default_provider()),
        );
        let authority = Arc::new(authority);
        let inner = Dated { inner: inner.build().unwrap(), authority: authority.clone() };
        Remembered::new(Arc::new(Counting { inner, asked: AtomicUsize::new(0) }), authority)
    }

    fn trusting(issuer: &Issuer) -> Authority {
        Authority::from_pem(issuer.ca_pem().as_bytes()).unwrap()
    }

    /// A certificate that is valid for a day.
    fn issue(from: &Issuer, name: &str) -> Vec<CertificateDer<'static>> {
        let mut request = LeafRequest::new(name, now(), Duration::from_secs(DAY));
        request.key = KeyKind::P256;
        chain_of(&from.issue(&request).unwrap())
    }

    fn chain_of(issued: &Issued) -> Vec<CertificateDer<'static>> {
        let pem = issued.certificate_pem.as_bytes();
        CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect()
    }

    impl Remembered<Counting> {
        /// Whether the chain is good so many seconds from now, and whether that had to be verified.
        fn ask(&self, chain: &[CertificateDer<'_>], seconds: i64) -> (bool, bool) {
            let before = self.inner.asked.load(Ordering::Relaxed);
            let now = Duration::from_secs(NOW_SECS.strict_add_signed(seconds));
            let verdict =
                self.verify_client_cert(&chain[0], &chain[1..], UnixTime::since_unix_epoch(now));
            (verdict.is_ok(), self.inner.asked.load(Ordering::Relaxed) > before)
        }
    }

    const NEW: (bool, bool) = (true, true);
    const KNOWN: (bool, bool) = (true, false);
    const REFUSED: (bool, bool) = (false, true);

    #[test]
    fn a_chain_is_verified_once_and_another_one_for_itself() {
        let issuer = Issuer::new_p256("CA", now()).unwrap();
        let verifier = remembering(trusting(&issuer));
        let ann = issue(&issuer, "ann");
        let again = issue(&issuer, "ann");
        let longer = [&ann[..], &again[..]].concat();
        for chain in [&ann, &again, &longer] {
            assert_eq!([verifier.ask(chain, 0), verifier.ask(chain, 1)], [NEW, KNOWN]);
        }
        let mut forged = ann[0].to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let forged = [CertificateDer::from(forged)];
        let stranger = issue(&Issuer::new_p256("CA", now()).unwrap(), "ann");
        for chain in [&forged[..], &stranger[..]] {
            assert_eq!([verifier.ask(chain, 0), verifier.ask(chain, 0)], [REFUSED, REFUSED]);
        }
        // Where one certificate ends and the next one begins is a part of what is remembered.
        let parts = |at: usize| {
            let whole = [&longer[0][..], &longer[1][..]].concat();
            [&whole[..at], &whole[at..]].map(|part| CertificateDer::from(part.to_vec()))
        };
        let (one, other) = (parts(ann[0].len()), parts(ann[0].len() + 1));
        assert_ne!(fingerprint(&one[0], &one[1..]), fingerprint(&other[0], &other[1..]));
    }

    #[test]
    fn dates_count_at_every_time() {
        let ten_years = 10 * 365 * DAY;
        let old = Issuer::new_p256("Old CA", at(NOW_SECS - ten_years + DAY / 2)).unwrap();
        let new = Issuer::new_p256("New CA", now()).unwrap();
        for (issuer, end) in [(&new, DAY as i64), (&old, DAY as i64 / 2)] {
            let verifier = remembering(trusting(issuer));
            let ann = issue(issuer, "ann");
            for (seconds, expected) in [
                (0, NEW),
                (end, KNOWN),
                (end + 1, REFUSED),
                (end + 1, REFUSED),
                (-3_600, KNOWN),
                (-3_601, REFUSED),
                (end, KNOWN),
            ] {
                assert_eq!(verifier.ask(&ann, seconds), expected, "{seconds} of {end}");
            }
        }
        // An authority that ends makes the others be asked again.
        let both = format!("{}{}", old.ca_pem(), new.ca_pem());
        let verifier = remembering(Authority::from_pem(both.as_bytes()).unwrap());
        let ann = issue(&new, "ann");
        let half = DAY as i64 / 2;
        let expected = [(0, NEW), (half, KNOWN), (half + 1, NEW), (DAY as i64, KNOWN)];
        for (seconds, expected) in expected {
            assert_eq!(verifier.ask(&ann, seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn other_lists_of_revoked_certificates_make_it_forget() {
        let issuer = Issuer::new_p256("CA", now()).unwrap();
        let (ann, bob) = (issue(&issuer, "ann"), issue(&issuer, "bob"));
        let folder = Folder::new();
        let list = |revoked: &[&CertificateDer<'_>], number: u64, life: u64| {
            let serial = |der: &&CertificateDer<'_>| {
                let serial = Certificate::from_der(der).unwrap().serial().to_vec();
                Entry { serial, since: now(), reason: Reason::KeyCompromise }
            };
            let entries: Vec<_> = revoked.iter().map(serial).collect();
            let text =
                crl::sign(&issuer, &entries, number, now(), Duration::from_secs(life)).unwrap();
            folder.write("new", &text);
            std::fs::rename(folder.path("new"), folder.path("crl.pem")).unwrap();
        };
        list(&[], 1, 100);
        let mut authority = trusting(&issuer).with_revocation(&folder.path("crl.pem")).unwrap();
        authority.look_always();
        let verifier = remembering(authority);
        for (seconds, expected) in [(0, NEW), (99, KNOWN), (100, REFUSED), (50, KNOWN)] {
            assert_eq!(verifier.ask(&ann, seconds), expected, "{seconds}");
        }
        assert_eq!([verifier.ask(&bob, 0), verifier.ask(&bob, 0)], [NEW, KNOWN]);
        list(&[&ann[0]], 2, DAY);
        assert_eq!([verifier.ask(&ann, 0), verifier.ask(&ann, 0)], [REFUSED, REFUSED]);
        assert_eq!([verifier.ask(&bob, 0), verifier.ask(&bob, 0)], [NEW, KNOWN]);
        // A file that is of no use changes nothing.
        std::fs::remove_file(folder.path("crl.pem")).unwrap();
        assert_eq!([verifier.ask(&ann, 0), verifier.ask(&bob, 0)], [REFUSED, KNOWN]);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut memory = Memory::new(8);
        let time = UnixTime::since_unix_epoch(Duration::from_secs(5));
        for number in 0..100 {
            memory.add([number; 32], 5..=5);
            let known = (0..=number).filter(|known| memory.holds(&[*known; 32], time));
            let known: Vec<_> = known.collect();
            assert!(known.len() <= 8 && known.len() > usize::from(number).min(4), "{known:?}");
            assert_eq!(known.last(), Some(&number));
        }
    }
}
