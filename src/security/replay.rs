//! Remembers handled requests, so that a copy of one is refused for as long as it would be valid.
//!
//! Only requests that were verified get here, so whoever fills the memory is an authenticated caller.
//! Each certificate may use a part of it only: one that has used up its part is refused until its
//! older requests expire, while others go on. When all memory is used, everything is refused: what
//! cannot be remembered could be replayed. The reference has no such guard.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use super::Verified;
use super::denied::{Denied, ReplayLimit};
use crate::crypto::hash;
use crate::protocol::Plain;

/// Requests remembered by default; about 10 MiB when full.
const ENTRIES_MAX: usize = 65_536;
/// One certificate may use this part of the entries.
const SHARES: usize = 4;
/// Longest time to live that is accepted: the reference's clients stop at 5 hours.
const TTL_MAX: Duration = Duration::from_secs(6 * 3_600);

/// How long a request is remembered after its end: others may have been looked at with an earlier time because they waited,
/// and clocks are set back by moments.
const GRACE_SECS: u64 = 10;

type Digest = [u8; 16];

/// The memory of handled requests.
#[derive(Debug)]
pub struct ReplayCache {
    entries_max: usize,
    entries: HashMap<Digest, ()>,
    /// Entries by the second in which they end, with the certificate they count for.
    by_end: BTreeMap<u64, Vec<(Digest, Digest)>>,
    /// How many entries each certificate has.
    used: HashMap<Digest, usize>,
    refused: u64,
    unguarded: u64,
    last_warning: Option<SystemTime>,
}

impl Default for ReplayCache {
    fn default() -> Self {
        Self::new(ENTRIES_MAX)
    }
}

impl ReplayCache {
    /// A memory of at most `entries_max` requests.
    pub fn new(entries_max: usize) -> Self {
        ReplayCache {
            entries_max,
            entries: HashMap::new(),
            by_end: BTreeMap::new(),
            used: HashMap::new(),
            refused: 0,
            unguarded: 0,
            last_warning: None,
        }
    }

    /// Remembers a request that is about to be handled. Call it after the check of the time to live
    /// and before anything acts on the request.
    ///
    /// # Errors
    /// [`Denied::Replayed`] when the same caller, id and signature was admitted before,
    /// [`Denied::ReplayUnguarded`] when there is no room to remember it.
    pub fn admit(&mut self, verified: &Verified, now: SystemTime) -> Result<(), Denied> {
        self.forget(now);
        let request = &verified.request;
        let caller = || request.caller.clone();
        let key = digest(&[request.caller.as_bytes(), request.id.as_bytes(), &verified.signature]);
        if self.entries.contains_key(&key) {
            self.refused += 1;
            let (from, id) = (Plain(&request.caller), Plain(&request.id));
            log::warn!("replay: refused a copy caller={from} request={id}");
            return Err(Denied::Replayed { caller: caller(), id: request.id.clone() });
        }
        let owner = digest(&[&verified.fingerprint]);
        if let Some(reason) = self.limit_met(&owner, request.ttl_secs) {
            self.unguarded += 1;
            self.warn(&request.caller, reason, now);
            return Err(Denied::ReplayUnguarded { caller: caller(), reason });
        }
        let end = request.time.checked_add(Duration::from_secs(request.ttl_secs)).unwrap_or(now);
        self.entries.insert(key, ());
        self.by_end.entry(second(end)).or_default().push((key, owner));
        *self.used.entry(owner).or_default() += 1;
        Ok(())
    }

    /// Requests remembered now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Copies refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Requests refused since the start because they could not be remembered.
    pub fn unguarded(&self) -> u64 {
        self.unguarded
    }

    fn limit_met(&self, owner: &Digest, ttl_secs: u64) -> Option<ReplayLimit> {
        let share = (self.entries_max / SHARES).max(1);
        if ttl_secs > TTL_MAX.as_secs() {
            return Some(ReplayLimit::Ttl { limit_secs: TTL_MAX.as_secs() });
        }
        if self.used.get(owner).is_some_and(|used| *used >= share) {
            return Some(ReplayLimit::Caller { limit: share });
        }
        (self.entries.len() >= self.entries_max)
            .then_some(ReplayLimit::Total { limit: self.entries_max })
    }

    /// Drops what the check of the time to live refuses from now on.
    fn forget(&mut self, now: SystemTime) {
        // An end inside the current second may still lie ahead.
        let live = self.by_end.split_off(&second(now).saturating_sub(GRACE_SECS));
        for (key, owner) in std::mem::replace(&mut self.by_end, live).into_values().flatten() {
            self.entries.remove(&key);
            if let Some(used) = self.used.get_mut(&owner) {
                *used -= 1;
                if *used == 0 {
                    self.used.remove(&owner);
                }
            }
        }
    }

    /// One line a minute at most: the caller decides how often this happens.
    fn warn(&mut self, caller: &str, reason: ReplayLimit, now: SystemTime) {
        const PAUSE: Duration = Duration::from_secs(60);
        let quiet = self
            .last_warning
            .is_some_and(|last| now.duration_since(last).is_ok_and(|passed| passed < PAUSE));
        if !quiet {
            self.last_warning = Some(now);
            let (caller, total) = (Plain(caller), self.unguarded);
            log::warn!("replay: refused caller={caller} reason={reason} total={total}");
        }
    }
}

/// Whole seconds since 1970; earlier times count as zero.
fn second(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A hash of the parts with their lengths, so that no two lists of parts read the same.
fn digest(parts: &[&[u8]]) -> Digest {
    let mut text = Vec::new();
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_le_bytes());
        text.extend_from_slice(part);
    }
    let mut out = [0; 16];
    out.copy_from_slice(&hash::sha256(&text)[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Request;

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn request(caller: &str, id: u32, time: u64) -> Verified {
        let mut request = Request::new("rpcutil", "mcollective", "shell", caller, at(time));
        request.id = format!("{id:032}");
        Verified {
            request,
            privileged: false,
            signature: vec![1, 2, 3],
            fingerprint: hash::sha256(caller.as_bytes()),
            certificate_pem: String::new(),
            token: None,
        }
    }

    #[test]
    fn copies_are_refused_while_they_would_be_valid() {
        let mut cache = ReplayCache::default();
        let first = request("choria=a", 1, 1_000);
        assert_eq!(cache.admit(&first, at(1_000)), Ok(()));
        for now in [1_000, 1_059, 1_060] {
            assert!(matches!(cache.admit(&first, at(now)), Err(Denied::Replayed { .. })), "{now}");
        }
        // At 1060 the time to live refuses it anyway; from 1071 on nothing is kept.
        assert_eq!(cache.admit(&request("choria=b", 1, 1_071), at(1_071)), Ok(()));
        assert_eq!((cache.len(), cache.refused()), (1, 3));
    }

    #[test]
    fn a_copy_that_waited_or_a_clock_set_back_a_little_changes_nothing() {
        let mut cache = ReplayCache::default();
        let first = request("choria=a", 1, 1_000);
        assert_eq!(cache.admit(&first, at(1_000)), Ok(()));
        assert_eq!(cache.admit(&request("choria=b", 1, 1_065), at(1_065)), Ok(()));
        assert!(matches!(cache.admit(&first, at(1_059)), Err(Denied::Replayed { .. })));
    }

    #[test]
    fn a_request_from_a_fast_clock_is_remembered_until_it_ends() {
        let mut cache = ReplayCache::default();
        let ahead = request("choria=a", 1, 1_050);
        assert_eq!(cache.admit(&ahead, at(1_000)), Ok(()));
        assert!(cache.admit(&ahead, at(1_109)).is_err());
        cache.forget(at(1_121));
        assert!(cache.is_empty());
    }

    #[test]
    fn caller_id_and_signature_all_count() {
        let mut cache = ReplayCache::default();
        let base = request("choria=a", 1, 1_000);
        let mut signature = base.clone();
        signature.signature = vec![9];
        for verified in
            [&base, &signature, &request("choria=a", 2, 1_000), &request("choria=b", 1, 1_000)]
        {
            assert_eq!(cache.admit(verified, at(1_000)), Ok(()));
        }
        assert_eq!(cache.len(), 4);
    }

    #[test]
    fn a_flood_costs_its_own_caller_only() {
        let mut cache = ReplayCache::new(8);
        for id in 0..2 {
            assert_eq!(cache.admit(&request("choria=flood", id, 1_000), at(1_000)), Ok(()));
        }
        let refused = cache.admit(&request("choria=flood", 9, 1_000), at(1_000));
        let limit = ReplayLimit::Caller { limit: 2 };
        assert!(matches!(refused, Err(Denied::ReplayUnguarded { reason, .. }) if reason == limit));
        assert_eq!(cache.admit(&request("choria=other", 1, 1_000), at(1_000)), Ok(()));
        // Another caller id with the same certificate does not help.
        let mut disguised = request("choria=c", 1, 1_000);
        disguised.fingerprint = hash::sha256(b"choria=flood");
        assert!(cache.admit(&disguised, at(1_000)).is_err());
        // What was admitted stays guarded, and time frees the share again.
        assert!(matches!(
            cache.admit(&request("choria=flood", 0, 1_000), at(1_030)),
            Err(Denied::Replayed { .. })
        ));
        assert_eq!(cache.admit(&request("choria=flood", 9, 1_071), at(1_071)), Ok(()));
        assert_eq!((cache.len(), cache.unguarded()), (1, 2));
    }

    #[test]
    fn memory_stays_bounded_and_full_means_refused() {
        let mut cache = ReplayCache::new(8);
        let mut admitted = 0;
        for id in 0..100 {
            let caller = format!("choria=c{id}");
            admitted += usize::from(cache.admit(&request(&caller, id, 1_000), at(1_000)).is_ok());
        }
        assert_eq!((admitted, cache.len(), cache.used.len()), (8, 8, 8));
        let refused = cache.admit(&request("choria=x", 1, 1_000), at(1_000));
        let limit = ReplayLimit::Total { limit: 8 };
        assert!(matches!(refused, Err(Denied::ReplayUnguarded { reason, .. }) if reason == limit));
        cache.forget(at(2_000));
        assert!(cache.used.is_empty() && cache.by_end.is_empty());
    }

    #[test]
    fn endless_requests_are_refused() {
        let mut cache = ReplayCache::default();
        let mut endless = request("choria=a", 1, 1_000);
        endless.request.ttl_secs = u64::MAX;
        assert!(matches!(
            cache.admit(&endless, at(1_000)),
            Err(Denied::ReplayUnguarded { reason: ReplayLimit::Ttl { .. }, .. })
        ));
        assert!(cache.is_empty());
    }
}
