//! The lists of revoked certificates in one file, read again when the file changes.
//!
//! A process that is given such a file believes no certificate that the lists say nothing about: without a list of its
//! issuer, or with one that has expired, a certificate is refused. A file that cannot be read any more leaves those lists
//! in force that were read last, until they expire.

use std::cmp::Ordering;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use webpki::{CertRevocationList, OwnedCertRevocationList};

use crate::crypto::crl::{self, List};
use crate::crypto::x509::Certificate;

/// How often the file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A file with lists.
pub(super) struct Revocation {
    path: PathBuf,
    look_every: Duration,
    state: Mutex<State>,
}

struct State {
    lists: Arc<Lists>,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// What changes when a file is replaced or written.
type Stamp = (u64, u64, i64, i64);

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Lists {
    plain: Vec<List>,
    /// The same for webpki, which verifies their signatures.
    checked: Vec<CertRevocationList<'static>>,
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Revocation {
    /// Reads the file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let (lists, stamp) = load(path)?;
        let state = State { lists: Arc::new(lists), stamp: Some(stamp), looked: Instant::now() };
        let path = path.to_owned();
        Ok(Revocation { path, look_every: LOOK_EVERY, state: Mutex::new(state) })
    }

    /// The lists that are in force.
    pub(super) fn lists(&self) -> Arc<Lists> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= self.look_every {
            state.looked = Instant::now();
            self.look_again(&mut state);
        }
        state.lists.clone()
    }

    /// Looks at the file now, however short the time since the last look is.
    pub(super) fn refresh(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looked = Instant::now();
        self.look_again(&mut state);
    }

    fn look_again(&self, state: &mut State) {
        let stamp = std::fs::metadata(&self.path).ok().map(|data| stamp_of(&data));
        if stamp == state.stamp {
            return;
        }
        // Said once for each change, not for each connection.
        state.stamp = stamp;
        match load(&self.path) {
            Ok((lists, stamp)) => {
                let count: usize = lists.plain.iter().map(|list| list.serials.len()).sum();
                log::info!(
                    "security: revoked certificates file={} count={count}",
                    self.path.display()
                );
                (state.lists, state.stamp) = (Arc::new(lists), Some(stamp));
            }
            Err(reason) => log::error!(
                "security: the revocation list cannot be used, the last one stays in force until it expires \
                 file={} err={reason}",
                self.path.display()
            ),
        }
    }

    #[cfg(test)]
    pub(super) fn look_always(&mut self) {
        self.look_every = Duration::ZERO;
    }
}

impl Lists {
    /// The lists for webpki.
    pub(super) fn checked(&self) -> Vec<&CertRevocationList<'static>> {
        self.checked.iter().collect()
    }

    /// When the first of the lists expires.
    pub(super) fn first_end(&self) -> Option<SystemTime> {
        self.plain.iter().map(|list| list.next_update).min()
    }

    /// Whether a list of its issuer names this certificate. Neither the list nor the certificate are verified.
    pub(super) fn name(&self, certificate: &Certificate) -> bool {
        self.plain.iter().any(|list| {
            list.issuer_der == certificate.issuer_der()
                && list.serials.contains(certificate.serial())
        })
    }

    /// Whether there is a list of who issued this certificate. Neither the list nor the certificate are verified.
    pub(super) fn speak_about(&self, certificate: &Certificate) -> bool {
        self.plain.iter().any(|list| list.issuer_der == certificate.issuer_der())
    }
}

fn load(path: &Path) -> Result<(Lists, Stamp), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let data = file.metadata().map_err(|error| error.to_string())?;
    if !data.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut text = String::new();
    file.by_ref()
        .take(crl::BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > crl::BYTES_MAX {
        return Err(format!("it is larger than {} bytes", crl::BYTES_MAX));
    }
    let mut plain = crl::read(&text)?;
    plain.sort_by(newest_first);
    let checked = plain
        .iter()
        .map(|list| OwnedCertRevocationList::from_der(&list.der).map(CertRevocationList::from))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("a list in it cannot be used: {error}"))?;
    Ok((Lists { plain, checked }, stamp_of(&data)))
}

/// webpki asks the first list of an issuer only, so an old one that still stands in the file must not come first.
fn newest_first(one: &List, other: &List) -> Ordering {
    let newer = |list: &List, than: &List| list.is_newer_than(than);
    let by_age = newer(other, one).cmp(&newer(one, other));
    one.issuer_der.cmp(&other.issuer_der).then(by_age)
}

fn stamp_of(data: &Metadata) -> Stamp {
    (data.ino(), data.size(), data.mtime(), data.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::crl::{Entry, Reason};
    use crate::crypto::issue::{Authority as Issuer, KeyKind};
    use crate::security::authority::{Authority, Presented};
    use crate::security::testkit::{Folder, authority, issue, now};

    const DAY: Duration = Duration::from_secs(86_400);

    fn list(from: &Issuer, revoked: &[&Presented], number: u64, life: Duration) -> String {
        let entry = |presented: &&Presented| Entry {
            serial: presented.leaf.serial().to_vec(),
            since: now(),
            reason: Reason::KeyCompromise,
        };
        let entries: Vec<_> = revoked.iter().map(entry).collect();
        crl::sign(from, &entries, number, now(), life).unwrap()
    }

    fn presented(from: &Issuer, name: &str) -> Presented {
        let issued = issue(from, name, |_| {});
        Presented::from_pem(issued.certificate_pem.as_bytes(), name).unwrap()
    }

    fn verdict(authority: &Authority, whom: &Presented, at: SystemTime) -> String {
        match authority.verify(whom, at) {
            Ok(()) => "believed".to_owned(),
            Err(denied) => denied.to_string(),
        }
    }

    #[test]
    fn what_is_revoked_is_refused_as_soon_as_the_file_says_so() {
        let folder = Folder::new();
        let (ann, bob) = (presented(authority(), "ann"), presented(authority(), "bob"));
        let path = folder.write("crl.pem", &list(authority(), &[], 1, DAY));
        let mut trusted = Authority::from_pem(authority().ca_pem().as_bytes())
            .unwrap()
            .with_revocation(&path)
            .unwrap();
        trusted.look_always();
        assert_eq!(verdict(&trusted, &ann, now()), "believed");
        assert!(!trusted.is_revoked(&ann.chain, now()));
        folder.write("new", &list(authority(), &[&ann], 2, DAY));
        std::fs::rename(folder.path("new"), &path).unwrap();
        assert_eq!(verdict(&trusted, &ann, now()), "refused certificate ann: it was revoked");
        assert_eq!(verdict(&trusted, &bob, now()), "believed");
        assert!(trusted.is_revoked(&ann.chain, now()) && !trusted.is_revoked(&bob.chain, now()));
        // Nobody waits for the next look who asks for one.
        let patient = Authority::from_pem(authority().ca_pem().as_bytes()).unwrap();
        let patient = patient.with_revocation(&path).unwrap();
        folder.write("new", &list(authority(), &[&ann, &bob], 3, DAY));
        std::fs::rename(folder.path("new"), &path).unwrap();
        assert!(!patient.is_revoked(&bob.chain, now()));
        patient.refresh_revocation();
        assert!(patient.is_revoked(&bob.chain, now()));
        folder.write("crl.pem", &list(authority(), &[&ann], 4, DAY));
        assert_eq!(verdict(&trusted, &bob, now()), "believed");
        // A file that is of no use changes nothing.
        folder.write("crl.pem", "nothing");
        assert_eq!(verdict(&trusted, &ann, now()), "refused certificate ann: it was revoked");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(verdict(&trusted, &bob, now()), "believed");
    }

    #[test]
    fn the_newest_list_of_an_issuer_counts_wherever_it_stands() {
        let folder = Folder::new();
        let ann = presented(authority(), "ann");
        let old = list(authority(), &[], 1, DAY);
        let new = list(authority(), &[&ann], 2, DAY);
        let other = list(&Issuer::new_p256("Another CA", now()).unwrap(), &[], 9, DAY);
        for text in [format!("{old}{new}"), format!("{new}{old}"), format!("{old}{other}{new}")] {
            let path = folder.write("crl.pem", &text);
            let trusted = Authority::from_pem(authority().ca_pem().as_bytes()).unwrap();
            let trusted = trusted.with_revocation(&path).unwrap();
            assert_eq!(verdict(&trusted, &ann, now()), "refused certificate ann: it was revoked");
        }
    }

    #[test]
    fn whoever_a_revoked_intermediate_vouched_for_is_revoked_as_well() {
        let folder = Folder::new();
        let below = authority().intermediate("Below", now()).unwrap();
        let other = authority().intermediate("Other", now()).unwrap();
        let chain = |issuers: &[&Issuer]| {
            let mut pem =
                issue(&below, "ann", |request| request.key = KeyKind::P256).certificate_pem;
            issuers.iter().for_each(|issuer| pem.push_str(issuer.ca_pem()));
            Presented::from_pem(pem.as_bytes(), "ann").unwrap()
        };
        let ca = |issuer: &Issuer| Presented::from_pem(issuer.ca_pem().as_bytes(), "CA").unwrap();
        let path = folder.write("crl.pem", "");
        let trusted = |revoked: &[&Presented]| {
            let text =
                format!("{}{}", list(authority(), revoked, 1, DAY), list(&below, &[], 1, DAY));
            std::fs::write(&path, text).unwrap();
            let trusted = Authority::from_pem(authority().ca_pem().as_bytes()).unwrap();
            trusted.with_revocation(&path).unwrap()
        };
        let (whole, more) = (chain(&[&below]), chain(&[&below, &other]));
        assert_eq!(verdict(&trusted(&[]), &whole, now()), "believed");
        assert!(!trusted(&[]).is_revoked(&whole.chain, now()));
        let without = trusted(&[&ca(&below)]);
        assert_eq!(
            verdict(&without, &whole, now()),
            "refused certificate ann: the certificate of Below above it was revoked"
        );
        assert!(without.is_revoked(&whole.chain, now()) && without.is_revoked(&more.chain, now()));
        // One that merely came along vouches for nobody.
        let without = trusted(&[&ca(&other)]);
        assert_eq!(verdict(&without, &more, now()), "believed");
        assert!(!without.is_revoked(&more.chain, now()));
    }

    #[test]
    fn whoever_no_valid_list_vouches_for_is_refused() {
        let folder = Folder::new();
        let ann = presented(authority(), "ann");
        let stranger = Issuer::new_p256("Another CA", now()).unwrap();
        let impostor = Issuer::new_p256("Test CA", now()).unwrap();
        let late = now() + Duration::from_secs(3_601);
        let cases = [
            (list(authority(), &[], 1, DAY), late, "believed"),
            (
                list(authority(), &[], 1, Duration::from_secs(3_600)),
                late,
                "refused certificate ann: the revocation list expired on 2026-11-22T18:03:20Z",
            ),
            (
                list(&stranger, &[], 1, DAY),
                now(),
                "refused certificate ann: there is no revocation list of its issuer Test CA",
            ),
            (
                list(&impostor, &[], 1, DAY),
                now(),
                "refused certificate ann: the revocation list was not signed by its issuer",
            ),
        ];
        for (text, at, expected) in cases {
            let path = folder.write("crl.pem", &text);
            let trusted = Authority::from_pem(authority().ca_pem().as_bytes()).unwrap();
            let trusted = trusted.with_revocation(&path).unwrap();
            assert_eq!(verdict(&trusted, &ann, at), expected);
        }
        for text in ["", "nothing", authority().ca_pem()] {
            let path = folder.write("bad.pem", text);
            let trusted = Authority::from_pem(authority().ca_pem().as_bytes()).unwrap();
            assert!(trusted.with_revocation(&path).is_err(), "{text}");
        }
        let absent = Authority::from_pem(authority().ca_pem().as_bytes()).unwrap();
        assert!(absent.with_revocation(&folder.path("absent")).is_err());
    }
}
