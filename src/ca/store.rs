//! The folder of an authority, and what is done with it.
//!
//! | File | Contents | Permissions |
//! |---|---|---|
//! | `ca.pem` | certificate of the authority | 644 |
//! | `ca.key` | its private key | 600 |
//! | `token.seed` | Ed25519 seed that join tokens are signed with | 600 |
//! | `token.pub` | the key that these are verified with | 644 |
//! | `journal.jsonl` | what was issued and revoked | 600 |
//! | `certs/SERIAL.pem` | issued certificates | 644 |
//! | `crl.pem` | the list of revoked certificates | 644 |
//!
//! A lock on `lock` keeps several processes apart: a command may revoke while the service issues.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use rustix::fs::{FlockOperation, flock};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::journal::{self, By, Line, Record, State};
use super::{Error, Profile, Refused, files, join, names};
use crate::crypto::crl::{self, Entry, Reason};
use crate::crypto::ed25519::{KeyPair, PublicKey};
use crate::crypto::issue::{Authority, KeyKind, LeafRequest};
use crate::crypto::x509::Certificate;
use crate::crypto::{hash, key};
use crate::tokens::SigningKey;
use crate::util::time::{self, rfc3339};

/// How long a certificate is valid when nothing else is said.
pub const LIFE: Duration = Duration::from_secs(365 * 86_400);
/// How long a list of revoked certificates is valid. Whoever gets no other in this time trusts nobody any more.
const CRL_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// Revoked certificates stand in the list for so long after their end, for clocks that are late.
const CRL_TAIL: Duration = Duration::from_secs(86_400);
/// Bytes of a journal.
const JOURNAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of another file of the folder.
const FILE_BYTES_MAX: u64 = crl::BYTES_MAX;
/// Permissions of the folder.
const FOLDER_MODE: u32 = 0o755;

const CA: &str = "ca.pem";
const KEY: &str = "ca.key";
const SEED: &str = "token.seed";
const TOKEN_KEY: &str = "token.pub";
const JOURNAL: &str = "journal.jsonl";
const CERTS: &str = "certs";
const CRL: &str = "crl.pem";
const LOCK: &str = "lock";

/// An authority with its folder.
pub struct Ca {
    folder: PathBuf,
    authority: Authority,
    certificate: Certificate,
    fingerprint: String,
    token_key: SigningKey,
    token_public: PublicKey,
    loaded: Mutex<Loaded>,
}

/// What was read of the journal.
#[derive(Default)]
struct Loaded {
    state: State,
    bytes: u64,
}

/// A certificate that is wanted.
#[derive(Debug, Clone)]
pub struct Order {
    /// Common name, and first alternative name.
    pub name: String,
    /// What it is for.
    pub profile: Profile,
    /// Further names.
    pub alt_names: Vec<String>,
    /// Addresses that may be connected to.
    pub ip_addresses: Vec<IpAddr>,
    /// The key as SubjectPublicKeyInfo, DER. Whoever asks has proven to have it.
    pub public_key_info: Vec<u8>,
    /// How long it is valid; never longer than the authority.
    pub life: Duration,
    /// The name may be one that may speak for everybody.
    pub may_be_privileged: bool,
    /// Another certificate of this name is revoked.
    pub replaces: bool,
    /// Why.
    pub by: By,
}

/// What becomes of a name that is in a valid certificate for another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Both certificates have it.
    Shares,
    /// The other certificate is revoked.
    Replaces,
    /// There is no new certificate.
    Refused,
}

impl Order {
    /// Everything that the certificate would be for, each once.
    fn names(&self) -> BTreeSet<String> {
        let addresses = self.ip_addresses.iter().map(ToString::to_string);
        let names = std::iter::once(&self.name).chain(&self.alt_names).cloned();
        names.chain(addresses).collect()
    }

    /// What may be done about a name that `holder` has. Whose first name it is has it for himself. As a further name it
    /// may be in several certificates, those of the brokers of a cluster for instance, but only somebody with access to
    /// the folder can make that so; who renews keeps what is his.
    fn claim(&self, name: &str, holder: &Record) -> Claim {
        let is_first = name.eq_ignore_ascii_case(&self.name);
        let is_theirs = name.eq_ignore_ascii_case(&holder.name);
        match (&self.by, is_first, is_theirs) {
            (_, true, true) | (By::Sign, false, true) if self.replaces => Claim::Replaces,
            (_, _, true) => Claim::Refused,
            (By::Renewal(_), _, false) | (By::Sign, false, false) => Claim::Shares,
            (By::Sign, true, false) | (By::Token(_), _, false) => Claim::Refused,
        }
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Ca {
    /// Makes an authority in a folder that has none.
    ///
    /// # Errors
    /// Why it cannot be made; what was there stays untouched.
    pub fn init(folder: &Path, name: &str, now: SystemTime) -> Result<Ca, Error> {
        let file = |name: &str| folder.join(name);
        files::make_folder(folder, FOLDER_MODE).map_err(|source| unusable(folder, source))?;
        let lock = lock(folder)?;
        if [CA, KEY].iter().any(|name| file(name).exists()) || has_contents(&file(JOURNAL)) {
            return Err(Error::Exists(folder.to_owned()));
        }
        files::make_folder(&file(CERTS), FOLDER_MODE)
            .map_err(|source| unusable(&file(CERTS), source))?;
        let authority = Authority::root(name, KeyKind::P256, now)?;
        let tokens = KeyPair::generate();
        let seed = tokens.seed_hex();
        let public = tokens.public_key().to_string();
        for (name, contents, mode) in [
            (SEED, seed.as_str(), files::SECRET),
            (TOKEN_KEY, public.as_str(), files::PUBLIC),
            (JOURNAL, "", files::SECRET),
        ] {
            // Those of an attempt that did not come to the key were never of use.
            let path = file(name);
            files::replace(&path, contents.as_bytes(), mode)
                .map_err(|source| unusable(&path, source))?;
        }
        for (name, contents, mode) in
            [(KEY, authority.key_pem(), files::SECRET), (CA, authority.ca_pem(), files::PUBLIC)]
        {
            let path = file(name);
            files::create_new(&path, contents.as_bytes(), mode)
                .map_err(|source| unusable(&path, source))?;
        }
        drop(lock);
        let ca = Ca::open(folder)?;
        ca.refresh_crl(now)?;
        Ok(ca)
    }

    /// Opens the folder of an authority.
    ///
    /// # Errors
    /// Why it cannot be used; also when others can read its keys.
    pub fn open(folder: &Path) -> Result<Ca, Error> {
        if !folder.join(CA).exists() && !folder.join(KEY).exists() {
            return Err(Error::Absent(folder.to_owned()));
        }
        let mode = mode_of(folder)?;
        if mode & 0o022 != 0 {
            return Err(Error::Open { path: folder.to_owned(), mode });
        }
        let authority = Authority::from_pem(&read(&folder.join(CA))?, &secret(&folder.join(KEY))?)?;
        let damaged =
            |name: &str, reason: String| Error::Damaged { path: folder.join(name), reason };
        let der = CertificateDer::from_pem_slice(authority.ca_pem().as_bytes())
            .map_err(|error| damaged(CA, error.to_string()))?;
        let certificate =
            Certificate::from_der(&der).map_err(|error| damaged(CA, error.to_string()))?;
        let seed = secret(&folder.join(SEED))?;
        let pair = KeyPair::from_seed_hex(seed.trim())
            .map_err(|error| damaged(SEED, error.to_string()))?;
        let token_public = pair.public_key();
        let ca = Ca {
            folder: folder.to_owned(),
            fingerprint: hash::sha256_hex(&der),
            authority,
            certificate,
            token_key: SigningKey::Ed25519(pair),
            token_public,
            loaded: Mutex::default(),
        };
        ca.turn()?;
        Ok(ca)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate of the authority, PEM.
    pub fn ca_pem(&self) -> &str {
        self.authority.ca_pem()
    }

    /// The certificate of the authority.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// SHA-256 of the certificate of the authority, hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The key that join tokens are verified with.
    pub fn token_key(&self) -> PublicKey {
        self.token_public
    }

    /// The file with the list of revoked certificates.
    pub fn crl_file(&self) -> PathBuf {
        self.folder.join(CRL)
    }

    /// The list of revoked certificates, PEM.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn crl(&self) -> Result<String, Error> {
        read(&self.crl_file())
    }

    /// Everything that was issued, by end of validity.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let turn = self.turn()?;
        let mut records: Vec<Record> = turn.loaded.state.records().cloned().collect();
        records.sort_by(|a, b| (a.not_after, &a.name).cmp(&(b.not_after, &b.name)));
        Ok(records)
    }

    /// The certificate with this serial number, PEM.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn issued_pem(&self, serial: &str) -> Result<String, Error> {
        read(&self.folder.join(CERTS).join(format!("{serial}.pem")))
    }

    /// Issues a certificate; gives it as PEM.
    ///
    /// # Errors
    /// Why not.
    pub fn issue(&self, order: &Order, now: SystemTime) -> Result<String, Error> {
        let mut turn = self.turn()?;
        turn.issue(order, now)
    }

    /// Revokes the certificate with this serial number, or all of this name that are valid, and makes a new list. Gives
    /// those that were revoked.
    ///
    /// # Errors
    /// Why not; also when there is nothing to revoke.
    pub fn revoke(
        &self,
        which: &str,
        reason: Reason,
        now: SystemTime,
    ) -> Result<Vec<Record>, Error> {
        let mut turn = self.turn()?;
        let state = &turn.loaded.state;
        let found: Vec<Record> = match state.find(&which.to_ascii_lowercase()) {
            Some(record) => vec![record.clone()],
            None => state.of_name(which).cloned().collect(),
        };
        if found.is_empty() {
            return Err(Refused::Unknown(which.to_owned()).into());
        }
        let valid: Vec<Record> = found.into_iter().filter(|it| it.revoked.is_none()).collect();
        if valid.is_empty() {
            // The attempt that revoked it may have failed to write the list.
            turn.write_missing(now)?;
            return Err(Refused::Revoked(which.to_owned()).into());
        }
        for record in &valid {
            turn.revoke(record, reason, now)?;
        }
        turn.write_crl(now)?;
        Ok(valid)
    }

    /// Makes a new list of revoked certificates when the one there is names too few: what was revoked is on record before
    /// the list is written, which may fail.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn complete_crl(&self, now: SystemTime) -> Result<(), Error> {
        self.turn()?.write_missing(now)
    }

    /// Makes a new list of revoked certificates, so that it lasts.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn refresh_crl(&self, now: SystemTime) -> Result<(), Error> {
        self.turn()?.write_crl(now)
    }

    /// Makes a join token.
    ///
    /// # Errors
    /// Why not.
    pub fn token(&self, claims: &join::Claims, now: SystemTime) -> Result<String, Error> {
        let text = crate::tokens::sign(claims, &self.token_key).map_err(|error| {
            Error::Damaged { path: self.folder.join(SEED), reason: error.to_string() }
        })?;
        let mut turn = self.turn()?;
        turn.append(Line::Token {
            at: rfc3339(now),
            id: claims.id.clone(),
            profile: claims.profile,
            names: claims.names.clone(),
            uses: claims.uses,
            expires: rfc3339(time::from_unix(claims.expires)),
        })?;
        Ok(text)
    }

    /// Has the folder to itself, and knows everything that other processes did.
    pub(super) fn turn(&self) -> Result<Turn<'_>, Error> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turn = Turn { ca: self, loaded, _lock: lock(&self.folder)? };
        turn.catch_up()?;
        Ok(turn)
    }
}

/// One change of the folder, alone with it.
pub(super) struct Turn<'c> {
    ca: &'c Ca,
    loaded: MutexGuard<'c, Loaded>,
    /// Released when the turn ends.
    _lock: File,
}

impl Turn<'_> {
    /// What the journal says.
    pub fn state(&self) -> &State {
        &self.loaded.state
    }

    /// Reads what was added since the last turn.
    fn catch_up(&mut self) -> Result<(), Error> {
        let path = self.ca.folder.join(JOURNAL);
        let mut added = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            if file.metadata()?.len() > JOURNAL_BYTES_MAX {
                return Err(io::Error::other("it is too large"));
            }
            file.seek(io::SeekFrom::Start(self.loaded.bytes))?;
            file.read_to_end(&mut added)
        });
        read.map_err(|source| unusable(&path, source))?;
        let (lines, bytes) =
            journal::read(&added).map_err(|reason| Error::Damaged { path, reason })?;
        lines.into_iter().for_each(|line| self.loaded.state.apply(line));
        self.loaded.bytes += bytes as u64;
        Ok(())
    }

    /// Writes a line; what it says holds when this returns.
    fn append(&mut self, line: Line) -> Result<(), Error> {
        let path = self.ca.folder.join(JOURNAL);
        let mut text = serde_json::to_vec(&line)
            .map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() })?;
        text.push(b'\n');
        let written = OpenOptions::new().write(true).open(&path).and_then(|mut file| {
            // A line without end was never acknowledged.
            file.set_len(self.loaded.bytes)?;
            file.seek(io::SeekFrom::End(0))?;
            file.write_all(&text)?;
            file.sync_data()
        });
        written.map_err(|source| unusable(&path, source))?;
        self.loaded.bytes += text.len() as u64;
        self.loaded.state.apply(line);
        Ok(())
    }

    /// Issues a certificate; gives it as PEM.
    pub fn issue(&mut self, order: &Order, now: SystemTime) -> Result<String, Error> {
        for name in std::iter::once(&order.name).chain(&order.alt_names) {
            names::check(name, order.profile, order.may_be_privileged)?;
        }
        let kind = key::kind_of(&order.public_key_info)
            .map_err(|error| Refused::Request(error.to_string()))?;
        let key_sha256 = hash::sha256_hex(&order.public_key_info);
        self.make_room(order, &key_sha256, now)?;
        let mut dns_names = vec![order.name.clone()];
        dns_names.extend(order.alt_names.iter().filter(|name| **name != order.name).cloned());
        let mut request = LeafRequest::new(&order.name, now, order.life);
        request.not_after = request.not_after.min(self.ca.certificate.not_after());
        request.dns_names = dns_names;
        request.ip_addresses.clone_from(&order.ip_addresses);
        request.server_auth = order.profile.is_server_auth();
        let mut pem = self.ca.authority.certify_public_key(&request, &order.public_key_info)?;
        let (serial, not_before, not_after) = facts(&pem)
            .ok_or_else(|| Refused::Request("the certificate cannot be read back".to_owned()))?;
        if order.profile == Profile::Broker {
            // Nodes without a certificate know its fingerprint only.
            pem.push_str(self.ca.ca_pem());
        }
        let path = self.ca.folder.join(CERTS).join(format!("{serial}.pem"));
        files::create_new(&path, pem.as_bytes(), files::PUBLIC)
            .map_err(|source| unusable(&path, source))?;
        let addresses = order.ip_addresses.iter().map(ToString::to_string);
        let record = Record {
            serial,
            name: order.name.clone(),
            profile: order.profile,
            alt_names: order.alt_names.iter().cloned().chain(addresses).collect(),
            key: kind.to_string(),
            key_sha256,
            not_before,
            not_after,
            by: order.by.clone(),
            revoked: None,
        };
        log::info!(
            "ca: issued name={} profile={} serial={} by={:?} until={}",
            record.name,
            record.profile,
            record.serial,
            record.by.to_string(),
            rfc3339(time::from_unix(not_after))
        );
        self.append(Line::Issued { at: rfc3339(now), record })?;
        Ok(pem)
    }

    /// A name belongs to one key at a time.
    fn make_room(&mut self, order: &Order, key: &str, now: SystemTime) -> Result<(), Error> {
        let mut replaced: BTreeMap<String, Record> = BTreeMap::new();
        for name in order.names() {
            let holders = self.loaded.state.holders(&name);
            for record in holders.filter(|it| it.is_valid(now) && it.key_sha256 != key) {
                match order.claim(&name, record) {
                    Claim::Shares => {}
                    Claim::Replaces => {
                        replaced.insert(record.serial.clone(), record.clone());
                    }
                    Claim::Refused => {
                        let not_after = time::from_unix(record.not_after);
                        return Err(Refused::Taken { name, not_after }.into());
                    }
                }
            }
        }
        if replaced.is_empty() {
            return Ok(());
        }
        for record in replaced.values() {
            self.revoke(record, Reason::Superseded, now)?;
        }
        self.write_crl(now)
    }

    fn revoke(&mut self, record: &Record, reason: Reason, now: SystemTime) -> Result<(), Error> {
        log::info!("ca: revoked name={} serial={} reason={reason}", record.name, record.serial);
        self.append(Line::Revoked {
            at: rfc3339(now),
            serial: record.serial.clone(),
            name: record.name.clone(),
            reason: reason.to_string(),
        })
    }

    /// What stands in the list.
    fn entries(&self, now: SystemTime) -> Vec<Entry> {
        let recent = time::unix_secs(now - CRL_TAIL);
        let revoked = self.loaded.state.records().filter(|record| record.not_after >= recent);
        revoked.filter_map(entry).collect()
    }

    fn write_missing(&self, now: SystemTime) -> Result<(), Error> {
        let list = self.ca.crl().ok().and_then(|text| crl::read(&text).ok()?.pop());
        let is_whole = list.is_some_and(|list| {
            self.entries(now).iter().all(|entry| list.serials.contains(&entry.serial))
        });
        if is_whole { Ok(()) } else { self.write_crl(now) }
    }

    fn write_crl(&self, now: SystemTime) -> Result<(), Error> {
        let path = self.ca.crl_file();
        let entries = self.entries(now);
        // Numbers must grow, also when the clock goes back.
        let last = read(&path).ok().and_then(|text| crl::read(&text).ok()?.pop());
        let last = last.map_or(0, |list| {
            list.number.iter().fold(0_u64, |sum, digit| (sum << 8) | u64::from(*digit))
        });
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let number = (last + 1).max(since.as_millis() as u64);
        let text = crl::sign(&self.ca.authority, &entries, number, now, CRL_LIFE)?;
        files::replace(&path, text.as_bytes(), files::PUBLIC)
            .map_err(|source| unusable(&path, source))
    }
}

fn entry(record: &Record) -> Option<Entry> {
    let revoked = record.revoked.as_ref()?;
    let serial = HEXLOWER.decode(record.serial.as_bytes()).ok()?;
    let reason = Reason::of(&revoked.reason).unwrap_or(Reason::Unspecified);
    Some(Entry { serial, since: time::from_unix(revoked.at), reason })
}

/// Serial number and dates of a certificate that was just made.
fn facts(pem: &str) -> Option<(String, i64, i64)> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let read = Certificate::from_der(&der).ok()?;
    let (from, to) = (time::unix_secs(read.not_before()), time::unix_secs(read.not_after()));
    Some((HEXLOWER.encode(read.serial()), from, to))
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(files::SECRET)
        .open(&path)
        .and_then(|file| {
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        });
    file.map_err(|source| unusable(&path, source))
}

fn has_contents(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.len() > 0)
}

fn unusable(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}

fn mode_of(path: &Path) -> Result<u32, Error> {
    let data = fs::metadata(path).map_err(|source| unusable(path, source))?;
    Ok(data.permissions().mode() & 0o7777)
}

/// The contents of a file that only its owner may read.
fn secret(path: &Path) -> Result<String, Error> {
    let mode = mode_of(path)?;
    match mode & 0o077 {
        0 => read(path),
        _ => Err(Error::Open { path: path.to_owned(), mode }),
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|source| unusable(path, source))?;
    Ok(text)
}
