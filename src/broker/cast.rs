//! One message for very many receivers, sent by several event loops at once.
//!
//! The loop that read the message asks the others for help and begins. Whoever has time takes the next few receivers,
//! until none are left; then the first one waits for those that others are still sending to. It does not go on before
//! that, so that nothing it sends later can overtake the message.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::home::lock;
use super::interest::{Matches, Sub};
use super::letter::Letter;
use super::link::Link;
use super::stage::Stage;

/// Receivers from which it is worth waking others.
pub(super) const TOGETHER_MIN: usize = 512;
/// Receivers for each loop that helps.
pub(super) const RECEIVERS_FOR_HELPER: usize = 256;
/// Receivers taken at once: as many as one loop may have to wait for.
const SHARE: usize = 16;

/// The message, and how far it has come.
#[derive(Debug)]
pub(super) struct Cast {
    matches: Arc<Matches>,
    tail: Box<[u8]>,
    body_bytes: u64,
    /// The publisher, when it does not want its own messages.
    besides: Option<Arc<Link>>,
    /// The first receiver that nobody has taken.
    next: AtomicUsize,
    team: Mutex<Team>,
    changed: Condvar,
}

/// Those who send it.
#[derive(Debug, Default)]
struct Team {
    helpers: usize,
    /// Nobody may begin to help any more.
    is_over: bool,
    done: Done,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Receivers it was sent to.
    pub sent: u64,
    /// Places of those that must be handled in another way.
    pub left: Vec<usize>,
}

impl Cast {
    /// A message without headers, to everybody who wants its subject. `body_bytes` of the tail are payload.
    pub fn new(
        matches: Arc<Matches>,
        tail: &[u8],
        body_bytes: u64,
        besides: Option<&Arc<Link>>,
    ) -> Cast {
        Cast {
            matches,
            tail: tail.into(),
            body_bytes,
            besides: besides.cloned(),
            next: AtomicUsize::new(0),
            team: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Sends it to a part of the receivers, for a loop that was asked.
    pub fn help(&self, stage: &mut Stage, letter: &mut Letter) {
        {
            let mut team = lock(&self.team);
            if team.is_over {
                return;
            }
            team.helpers += 1;
        }
        // Also if this loop fails: the one that asked waits.
        let mut helper = Helper { cast: self, done: Done::default() };
        self.work(stage, letter, &mut helper.done);
    }

    /// Sends it, and waits for those who help. Nothing may be staged for any of the receivers.
    pub fn lead(&self, stage: &mut Stage, letter: &mut Letter) -> Done {
        let mut done = Done::default();
        self.work(stage, letter, &mut done);
        let mut team = lock(&self.team);
        team.is_over = true;
        let team = self.changed.wait_while(team, |team| team.helpers > 0);
        let mut team = team.unwrap_or_else(PoisonError::into_inner);
        done.sent += team.done.sent;
        done.left.append(&mut team.done.left);
        done
    }

    fn work(&self, stage: &mut Stage, letter: &mut Letter, done: &mut Done) {
        let subs = &self.matches.plain;
        letter.lay_out(self.matches.head.bytes(), &self.tail, self.body_bytes);
        loop {
            let from = self.next.fetch_add(SHARE, Ordering::Relaxed).min(subs.len());
            let share = from..subs.len().min(from + SHARE);
            if share.is_empty() {
                break;
            }
            for (place, sub) in share.clone().zip(subs.get(share).unwrap_or_default()) {
                if self.besides.as_ref().is_some_and(|link| Arc::ptr_eq(link, &sub.link)) {
                    continue;
                }
                match self.send(sub, stage, letter) {
                    true => done.sent += 1,
                    false => done.left.push(place),
                }
            }
        }
        letter.clear();
    }

    fn send(&self, sub: &Arc<Sub>, stage: &mut Stage, letter: &mut Letter) -> bool {
        let is_usual = sub.limit() == 0;
        if !is_usual || !letter.address(sub.sid_word().bytes(), self.matches.head.bytes()) {
            return false;
        }
        sub.count(1);
        stage.send_now(&sub.link, letter);
        true
    }
}

/// A loop that helps.
struct Helper<'c> {
    cast: &'c Cast,
    done: Done,
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        let mut team = lock(&self.cast.team);
        team.helpers -= 1;
        team.done.sent += self.done.sent;
        team.done.left.append(&mut self.done.left);
        self.cast.changed.notify_one();
    }
}
