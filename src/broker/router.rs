//! From one published message to its receivers. One router for each event loop.

mod routes;

use std::sync::Arc;
use std::time::Instant;

use super::account::{Account, Accounts};
use super::cast::{Cast, RECEIVERS_FOR_HELPER, TOGETHER_MIN};
use super::home::{Home, Mail};
use super::interest::{Interest, Matches, Stamp, Sub};
use super::letter::Letter;
use super::link::Link;
use super::monitor::Lookups;
use super::permissions::Memo;
use super::run::Spare;
use super::stage::{Stage, Tail, WIDE};
use crate::nats::codec::{Publish, encode};
use routes::{Source, Targets};

/// Results that are kept.
const CACHE_SLOTS: usize = 1024;
/// Subscriptions in all kept results.
const CACHE_SUBS_MAX: usize = 300_000;
/// Bytes from which several receivers share a message instead of getting copies.
const SHARE_BYTES_MIN: usize = 4096;

/// What one event loop needs to route.
#[derive(Debug)]
pub(super) struct Router {
    pub accounts: Arc<Accounts>,
    pub stage: Stage,
    letter: Letter,
    /// The other event loops.
    others: Vec<Arc<Home>>,
    pub(super) spare: Spare,
    /// One for each account.
    caches: Vec<Cache>,
    /// The last permission that was found.
    pub memo: Memo,
    /// Counted here and made visible at the end of a turn.
    pub tally: Tally,
    with_headers: Vec<u8>,
    without_headers: Vec<u8>,
}

/// What was counted since the last turn.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub in_messages: u64,
    pub in_bytes: u64,
    pub out_messages: u64,
    pub out_bytes: u64,
}

impl Tally {
    /// Counts a message that somebody gets.
    #[inline]
    fn count_out(&mut self, form: &Form<'_>) {
        self.out_messages += 1;
        self.out_bytes += form.body_bytes;
    }
}

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'o> {
    pub link: &'o Arc<Link>,
    pub account: &'o Account,
    /// It wants its own messages.
    pub echo: bool,
    /// It wants to know when nobody hears a request.
    pub no_responders: bool,
    /// Nothing that came with this message follows it.
    pub is_last: bool,
}

impl Origin<'_> {
    /// Whether it does not want messages that a subscription of its own would get.
    #[inline]
    pub fn is_own(&self, sub: &Sub) -> bool {
        !self.echo && Arc::ptr_eq(&sub.link, self.link)
    }
}

/// A message in the forms receivers may need.
struct Message<'m> {
    publish: &'m Publish<'m>,
    matches: &'m Matches,
    /// With headers when the message has some.
    full: Form<'m>,
    /// For receivers that do not take headers; nothing when `full` has none.
    bare: Option<Form<'m>>,
}

/// The tail of a message.
struct Form<'m> {
    bytes: &'m [u8],
    /// How many of them are headers and payload.
    body_bytes: u64,
    shared: Option<Arc<[u8]>>,
}

impl Form<'_> {
    /// With one copy for several receivers when that is worth it.
    #[inline]
    fn shared_if(self, is_shared: bool) -> Self {
        let is_worth_it = is_shared && self.bytes.len() >= SHARE_BYTES_MIN;
        Form { shared: is_worth_it.then(|| self.bytes.into()), ..self }
    }

    #[inline]
    fn tail(&self) -> Tail<'_> {
        match &self.shared {
            Some(piece) => Tail::Shared(piece),
            None => Tail::Copied(self.bytes),
        }
    }
}

impl Router {
    pub fn new(accounts: Arc<Accounts>, home: Arc<Home>, homes: &[Arc<Home>]) -> Router {
        let others = homes.iter().filter(|other| !Arc::ptr_eq(other, &home)).cloned();
        Router {
            others: others.collect(),
            caches: accounts.iter().map(|_| Cache::default()).collect(),
            accounts,
            stage: Stage::new(home),
            letter: Letter::default(),
            spare: Spare::default(),
            memo: Memo::default(),
            tally: Tally::default(),
            with_headers: Vec::new(),
            without_headers: Vec::new(),
        }
    }

    /// Stages a message for everybody who gets it.
    #[inline]
    pub fn publish(&mut self, origin: Origin<'_>, publish: &Publish<'_>) {
        let body_bytes = (publish.headers.len() + publish.payload.len()) as u64;
        self.tally.in_messages += 1;
        self.tally.in_bytes += body_bytes;
        let matches = self.find(origin.account, publish.subject);
        let heard = match publish.tail {
            Some(bytes) if !publish.is_hpub && matches.is_plain() => {
                let form = Form { bytes, body_bytes, shared: None };
                let mut heard = false;
                if let Some(remote) = &matches.remote {
                    heard = self.deliver_elsewhere(remote, &form, &matches);
                }
                self.deliver_plain(origin, form, &matches) || heard
            }
            _ => !matches.is_empty() && self.deliver(origin, Source::Here, publish, &matches),
        };
        if !heard && origin.no_responders && publish.reply.is_some() {
            self.answer_no_responders(origin, publish);
        }
    }

    /// Everybody in an account who gets messages on a subject.
    #[inline]
    pub(super) fn find(&mut self, account: &Account, subject: &[u8]) -> Arc<Matches> {
        // There is a cache for each account of the broker, and no others exist.
        self.caches[account.index as usize].find(&account.interest, subject)
    }

    /// The usual case: no headers, no groups, and bytes that can be sent as they came. True when somebody got it.
    #[inline]
    fn deliver_plain(
        &mut self,
        origin: Origin<'_>,
        form: Form<'_>,
        matches: &Arc<Matches>,
    ) -> bool {
        if matches.plain.len() > WIDE {
            return self.deliver_wide(origin, form, matches);
        }
        let form = form.shared_if(matches.plain.len() > 1);
        let mut heard = false;
        for sub in &matches.plain {
            if self.may_get(origin, sub) {
                self.stage.message(sub, &matches.head, form.tail(), form.body_bytes);
                self.tally.count_out(&form);
                heard = true;
            }
        }
        heard
    }

    /// The same for many receivers: each gets a lone message at once; several messages are staged, but never many of
    /// them for all.
    fn deliver_wide(&mut self, origin: Origin<'_>, form: Form<'_>, matches: &Arc<Matches>) -> bool {
        let head = matches.head.bytes();
        let is_cast = origin.is_last && self.stage.is_cast_next();
        if is_cast && matches.plain.len() >= TOGETHER_MIN && !self.others.is_empty() {
            return self.deliver_together(origin, &form, matches);
        }
        let mut letter = std::mem::take(&mut self.letter);
        let form = form.shared_if(!is_cast);
        if is_cast {
            letter.lay_out(head, form.bytes, form.body_bytes);
        }
        let mut heard = false;
        for sub in &matches.plain {
            if !self.may_get(origin, sub) {
                continue;
            }
            if !is_cast || !self.stage.cast(sub, head, &mut letter) {
                self.stage.message(sub, &matches.head, form.tail(), form.body_bytes);
                self.stage.flush_if_full();
            }
            self.tally.count_out(&form);
            heard = true;
        }
        letter.clear();
        self.letter = letter;
        heard
    }

    /// The same for so many that other event loops are asked to help.
    fn deliver_together(
        &mut self,
        origin: Origin<'_>,
        form: &Form<'_>,
        matches: &Arc<Matches>,
    ) -> bool {
        self.stage.flush_early();
        let besides = (!origin.echo).then_some(origin.link);
        let cast = Arc::new(Cast::new(matches.clone(), form.bytes, form.body_bytes, besides));
        let helpers = matches.plain.len() / RECEIVERS_FOR_HELPER;
        for home in self.others.iter().take(helpers) {
            home.post(Mail::Cast(cast.clone()));
        }
        let done = cast.lead(&mut self.stage, &mut self.letter);
        self.tally.out_messages += done.sent;
        self.tally.out_bytes += done.sent * form.body_bytes;
        let mut heard = done.sent > 0;
        for sub in done.left.iter().filter_map(|place| matches.plain.get(*place)) {
            if self.may_get(origin, sub) {
                self.stage.message(sub, &matches.head, form.tail(), form.body_bytes);
                self.tally.count_out(form);
                self.stage.flush_if_full();
                heard = true;
            }
        }
        heard
    }

    /// Helps another event loop to send a message to many.
    pub fn help(&mut self, cast: &Cast) {
        cast.help(&mut self.stage, &mut self.letter);
    }

    /// Whether a subscription still takes a message of this origin; it counts as taken.
    #[inline]
    fn may_get(&mut self, origin: Origin<'_>, sub: &Arc<Sub>) -> bool {
        !origin.is_own(sub) && (sub.limit() == 0 || self.admit_last(sub))
    }

    /// True when somebody got it.
    fn deliver(
        &mut self,
        origin: Origin<'_>,
        source: Source<'_>,
        publish: &Publish<'_>,
        matches: &Matches,
    ) -> bool {
        let has_headers = !publish.headers.is_empty();
        let mut with_headers = std::mem::take(&mut self.with_headers);
        let mut without_headers = std::mem::take(&mut self.without_headers);
        let is_shared = matches.len() > 1;
        let full = match publish.tail {
            // An HPUB without headers becomes a MSG with one size.
            Some(tail) if has_headers || !publish.is_hpub => tail,
            _ => write_tail(&mut with_headers, publish, has_headers),
        };
        let payload_bytes = publish.payload.len() as u64;
        let body_bytes = publish.headers.len() as u64 + payload_bytes;
        let full = Form { bytes: full, body_bytes, shared: None }.shared_if(is_shared);
        let mut message = Message { publish, matches, full, bare: None };
        if has_headers && matches_headerless(matches) {
            let bytes = write_tail(&mut without_headers, publish, false);
            let bare = Form { bytes, body_bytes: payload_bytes, shared: None };
            message.bare = Some(bare.shared_if(is_shared));
        }
        let mut heard = false;
        for sub in &matches.plain {
            heard |= self.offer(origin, sub, &message);
        }
        let mut targets = Targets::of(source, matches);
        for group in &matches.groups {
            heard |= self.offer_to_group(origin, source, group, &message, &mut targets);
        }
        heard |= self.send_to_routes(targets, &message);
        drop(message);
        self.with_headers = recycled(with_headers);
        self.without_headers = recycled(without_headers);
        heard
    }

    /// One member of a group, beginning at a random one.
    fn offer_to_one(
        &mut self,
        origin: Origin<'_>,
        members: &[Arc<Sub>],
        message: &Message<'_>,
    ) -> bool {
        let start = if members.len() > 1 { fastrand::usize(..members.len()) } else { 0 };
        self.offer_from(origin, members, start, message)
    }

    /// One member, beginning at the one with this number.
    fn offer_from(
        &mut self,
        origin: Origin<'_>,
        members: &[Arc<Sub>],
        start: usize,
        message: &Message<'_>,
    ) -> bool {
        let (before, from) = members.split_at(start);
        from.iter().chain(before).any(|sub| self.offer(origin, sub, message))
    }

    #[inline]
    fn offer(&mut self, origin: Origin<'_>, sub: &Arc<Sub>, message: &Message<'_>) -> bool {
        if !self.may_get(origin, sub) {
            return false;
        }
        if let Some(reply) = message.publish.reply
            && let Some(replies) = sub.terms().and_then(|terms| terms.replies.as_ref())
        {
            replies.note(reply, Instant::now());
        }
        let is_full = message.publish.headers.is_empty() || sub.link.takes_headers();
        let form = match &message.bare {
            Some(bare) if !is_full => bare,
            _ => &message.full,
        };
        let head = match message.publish.headers.is_empty() || !is_full {
            true => &message.matches.head,
            false => &message.matches.head_with_headers,
        };
        self.stage.message(sub, head, form.tail(), form.body_bytes);
        self.tally.count_out(form);
        true
    }

    /// Counts a message of a subscription that ends after some; false when it ended before.
    pub(super) fn admit_last(&mut self, sub: &Arc<Sub>) -> bool {
        self.stage.settle(&sub.link);
        let Some(sub) = &sub.counted() else { return false };
        let max = sub.limit();
        let count = sub.reserve();
        if max == 0 {
            return true;
        }
        if count == max {
            self.accounts.unsubscribe(std::iter::once(sub));
        }
        count <= max
    }

    /// Tells a requester that nobody heard it, if one of its plain subscriptions would get the answer.
    fn answer_no_responders(&mut self, origin: Origin<'_>, publish: &Publish<'_>) {
        let Some(reply) = publish.reply else { return };
        let matches = self.find(origin.account, reply);
        let Some(sub) = matches.plain.iter().find(|sub| Arc::ptr_eq(&sub.link, origin.link)) else {
            return;
        };
        let headers = [b"NATS/1.0 503\r\nNats-Subject: ", publish.subject, b"\r\n\r\n"].concat();
        let mut line = [matches.head_with_headers.bytes(), sub.sid_word().bytes()].concat();
        encode::number(&mut line, headers.len() as u64);
        line.push(b' ');
        encode::number(&mut line, headers.len() as u64);
        line.extend_from_slice(b"\r\n");
        line.extend_from_slice(&headers);
        line.extend_from_slice(b"\r\n");
        self.stage.answer(origin.link, &line);
    }

    /// What is kept of look-ups, and how many there were.
    pub fn lookups(&self) -> Lookups {
        let mut sum = Lookups::default();
        for cache in &self.caches {
            sum.misses += cache.misses;
            for kept in cache.slots.iter().flatten() {
                let receivers = kept.matches.len() as u64;
                sum.kept += 1;
                sum.receivers += receivers;
                sum.receivers_max = sum.receivers_max.max(receivers);
            }
        }
        sum
    }

    /// Forgets what was looked up, so that closed connections are not kept in memory by it.
    pub fn forget(&mut self) {
        for cache in &mut self.caches {
            *cache = Cache { misses: cache.misses, ..Cache::default() };
        }
    }
}

fn matches_headerless(matches: &Matches) -> bool {
    let groups = matches.groups.iter().flat_map(|group| &group.members);
    matches.plain.iter().chain(groups).any(|sub| !sub.link.takes_headers())
}

/// Writes a tail anew, with or without headers.
fn write_tail<'t>(out: &'t mut Vec<u8>, publish: &Publish<'_>, with_headers: bool) -> &'t [u8] {
    out.clear();
    if let Some(reply) = publish.reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    let headers = if with_headers { publish.headers } else { &[] };
    if with_headers {
        encode::number(out, headers.len() as u64);
        out.push(b' ');
    }
    encode::number(out, (headers.len() + publish.payload.len()) as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers);
    out.extend_from_slice(publish.payload);
    out.extend_from_slice(b"\r\n");
    out
}

/// A buffer that is not worth keeping at its size is let go.
fn recycled(buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > 64 * 1024 { Vec::new() } else { buffer }
}

/// Results of look-ups: one slot for each hash, so that unique subjects push out little.
#[derive(Debug, Default)]
struct Cache {
    slots: Vec<Option<Kept>>,
    subs: usize,
    last: Option<Last>,
    /// Look-ups that found nothing here.
    misses: u64,
}

/// The look-up before this one: a publisher often stays with a subject.
#[derive(Debug)]
struct Last {
    hash: u64,
    subject: Vec<u8>,
    stamp: Stamp,
    matches: Arc<Matches>,
}

#[derive(Debug)]
struct Kept {
    hash: u64,
    subject: Box<[u8]>,
    stamp: Stamp,
    matches: Arc<Matches>,
    /// It was used since somebody else wanted its slot.
    is_used: bool,
}

impl Cache {
    #[inline]
    fn find(&mut self, interest: &Interest, subject: &[u8]) -> Arc<Matches> {
        if let Some(last) = &self.last
            && *last.subject == *subject
            && last.stamp == interest.stamp(last.hash)
        {
            return last.matches.clone();
        }
        self.find_other(interest, subject)
    }

    fn find_other(&mut self, interest: &Interest, subject: &[u8]) -> Arc<Matches> {
        let hash = interest.hash(subject);
        let stamp = interest.stamp(hash);
        let matches = self.find_kept(interest, subject, hash, stamp);
        let mut buffer = self.last.take().map(|last| last.subject).unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(subject);
        self.last = Some(Last { hash, subject: buffer, stamp, matches: matches.clone() });
        matches
    }

    fn find_kept(
        &mut self,
        interest: &Interest,
        subject: &[u8],
        hash: u64,
        stamp: Stamp,
    ) -> Arc<Matches> {
        if let Some(Some(kept)) = self.slots.get_mut(slot_of(hash))
            && kept.hash == hash
            && *kept.subject == *subject
            && kept.stamp == stamp
        {
            kept.is_used = true;
            return kept.matches.clone();
        }
        self.misses += 1;
        let matches = Arc::new(interest.find(subject));
        self.keep(Kept {
            hash,
            subject: subject.into(),
            stamp,
            matches: matches.clone(),
            is_used: false,
        });
        matches
    }

    fn keep(&mut self, new: Kept) {
        if new.matches.is_empty() {
            return;
        }
        if self.slots.is_empty() || self.subs > CACHE_SUBS_MAX {
            self.slots = Vec::new();
            self.slots.resize_with(CACHE_SLOTS, || None);
            self.subs = 0;
        }
        let Some(slot) = self.slots.get_mut(slot_of(new.hash)) else { return };
        if let Some(old) = slot {
            if old.is_used && old.hash != new.hash {
                // A second chance for what is used often.
                old.is_used = false;
                return;
            }
            self.subs -= old.matches.len();
        }
        self.subs += new.matches.len();
        *slot = Some(new);
    }
}

fn slot_of(hash: u64) -> usize {
    // Other bits than those that choose the generation.
    (hash >> 32) as usize % CACHE_SLOTS
}
