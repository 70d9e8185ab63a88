//! Connections that come for their first certificate, with a join token instead of one.
//!
//! They reach the certificate authority and nothing else: one subject to ask on, the answers to their own token, little
//! time, and few of them at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::gate::Gate;
use super::{Attempt, Entry, Refusal, TlsState, Via};
use crate::broker::access::{PermissionRules, SubjectRules};
use crate::broker::permissions::Permissions;
use crate::ca::join::{self, Claims};
use crate::ca::wire;
use crate::crypto::ed25519::PublicKey;
use crate::util::time;

/// Such connections at once.
const SEATS: usize = 64;
/// Time that each has.
const LIFE: Duration = Duration::from_secs(30);
/// Subscriptions of each.
const SUBSCRIPTIONS_MAX: usize = 4;

/// What lets such connections in.
#[derive(Debug)]
pub(super) struct Enrollment {
    account: u32,
    /// Signs join tokens.
    key: PublicKey,
    taken: Arc<AtomicUsize>,
}

/// One such connection.
#[derive(Debug)]
pub(in crate::broker) struct Joining {
    /// Identifier of the token.
    id: Box<str>,
    key: PublicKey,
    expires_ms: u64,
    _seat: Seat,
}

/// Room for one connection, given back when it is gone.
#[derive(Debug)]
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Enrollment {
    pub fn new(account: u32, key: PublicKey) -> Enrollment {
        Enrollment { account, key, taken: Arc::default() }
    }

    /// Shares the seats with another one, whose connections may still be there.
    pub fn count_on(&mut self, before: &Enrollment) {
        self.taken = before.taken.clone();
    }

    fn seat(&self) -> Option<Seat> {
        let has_room = |count: usize| (count < SEATS).then_some(count + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room);
        taken.ok().map(|_| Seat(self.taken.clone()))
    }

    fn entry(&self, joining: Arc<Joining>) -> Result<Entry, Refusal> {
        let only = |subject: String| SubjectRules { allow: Some(vec![subject]), deny: Vec::new() };
        let rules = PermissionRules {
            publish: only(wire::ENROLL.to_owned()),
            subscribe: only(format!("{}.>", wire::replies(&joining.id))),
            allow_responses: None,
        };
        // The identifier is hexadecimal, so these are subjects.
        let permissions = Permissions::new(&rules).map_err(|_| Refusal::NoEnrollment)?;
        Ok(Entry { account: self.account, permissions, via: Via::Joining(joining) })
    }
}

impl Joining {
    /// When the connection ends, in milliseconds of the broker.
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// Subscriptions that it may have.
    pub fn subscriptions_max(&self) -> usize {
        SUBSCRIPTIONS_MAX
    }

    fn new(claims: &Claims, key: PublicKey, seat: Seat, attempt: &Attempt<'_>) -> Joining {
        let left = time::from_unix(claims.expires).duration_since(attempt.now).unwrap_or_default();
        let life = left.min(LIFE).as_millis() as u64;
        let id = claims.id.as_str().into();
        Joining { id, key, expires_ms: attempt.now_ms.saturating_add(life), _seat: seat }
    }
}

impl Gate {
    /// Decides about a connection that says it comes for a certificate.
    pub(super) fn joining(
        &self,
        enrollment: &Enrollment,
        attempt: &Attempt<'_>,
    ) -> Result<Entry, Refusal> {
        if attempt.tls == TlsState::Off {
            return Err(Refusal::NoTls);
        }
        let claims = join::verify(attempt.token, &enrollment.key, attempt.now)
            .map_err(Refusal::JoinToken)?;
        let seat = enrollment.seat().ok_or(Refusal::NoSeat)?;
        let joining = Joining::new(&claims, enrollment.key, seat, attempt);
        enrollment.entry(Arc::new(joining))
    }

    /// Decides again about such a connection, whose token is gone.
    pub(super) fn joining_again(&self, joining: &Arc<Joining>) -> Result<Entry, Refusal> {
        match &self.enrollment {
            Some(enrollment) if enrollment.key == joining.key => enrollment.entry(joining.clone()),
            _ => Err(Refusal::NoEnrollment),
        }
    }
}
