//! Who wants which subject. Shared by all event loops.
//!
//! Subjects without wildcards, nearly all of a fleet's, are found in one hash table; the others in a trie of tokens.
//! Event loops keep what they looked up and compare a [`Stamp`] before they use it again. A change of a plain subject
//! spoils only the results of 1/256 of all subjects, so that a fleet that connects does not empty every cache.

mod remote;

pub(super) use remote::Elsewhere;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::groups::{Group, Groups, add_member, remove_member};
use super::hash::Seed;
use super::link::Link;
use super::terms::Terms;
use super::word::Word;
use crate::nats::subject::{has_wildcard, tokens};

const GENERATIONS: usize = 256;
/// Subscriptions removed under one hold of the lock.
const REMOVED_AT_ONCE: usize = 1024;
/// Room for the start of a MSG; nearly all subjects of a fleet fit.
const HEAD_BYTES: usize = 62;

/// One subscription of one connection.
#[derive(Debug)]
pub(super) struct Sub {
    pub link: Arc<Link>,
    pub subject: Arc<[u8]>,
    /// What most have not.
    more: Option<Box<More>>,
    /// The client's name and a blank, as it stands in MSG.
    sid: Word<14>,
    /// Messages delivered so far.
    delivered: AtomicU64,
    /// Messages after which it ends; 0 for never.
    max: AtomicU64,
    /// Place among the members of its subject; changes under the write lock only.
    pub(super) place: AtomicU32,
    /// The account it belongs to.
    pub account: u32,
}

/// What few subscriptions have.
#[derive(Debug)]
struct More {
    queue: Option<Arc<[u8]>>,
    /// What holds beside the subject.
    terms: Option<Arc<Terms>>,
}

impl More {
    fn of(queue: Option<Arc<[u8]>>, terms: Option<Arc<Terms>>) -> Option<Box<More>> {
        let is_needed = queue.is_some() || terms.is_some();
        is_needed.then(|| Box::new(More { queue, terms }))
    }
}

impl Sub {
    /// Its queue group.
    pub fn queue(&self) -> Option<&Arc<[u8]>> {
        self.more.as_ref()?.queue.as_ref()
    }

    /// The client's name with a blank behind it.
    #[inline]
    pub fn sid_word(&self) -> &Word<14> {
        &self.sid
    }

    /// The client's name.
    pub fn sid(&self) -> &[u8] {
        let word = self.sid.bytes();
        &word[..word.len() - 1]
    }

    /// The same subscription on other terms.
    fn on(&self, terms: Option<Arc<Terms>>) -> Sub {
        Sub {
            link: self.link.clone(),
            subject: self.subject.clone(),
            more: More::of(self.queue().cloned(), terms),
            sid: Word::of(&[self.sid.bytes()]),
            delivered: AtomicU64::new(self.delivered.load(Ordering::Relaxed)),
            max: AtomicU64::new(self.max.load(Ordering::Relaxed)),
            place: AtomicU32::new(0),
            account: self.account,
        }
    }

    /// What holds for it beside its subject.
    #[inline]
    pub fn terms(&self) -> Option<&Terms> {
        self.more.as_ref()?.terms.as_deref()
    }

    /// The subscriptions in other accounts that stand for this one.
    pub fn shadows(&self) -> &[Arc<Sub>] {
        self.terms().and_then(|terms| terms.shadows.get()).map_or(&[], |shadows| shadows)
    }

    /// The subscription that messages for this one are counted at; nothing when it is gone.
    pub fn counted(self: &Arc<Sub>) -> Option<Arc<Sub>> {
        match self.terms().and_then(|terms| terms.original.as_ref()) {
            Some(original) => original.upgrade(),
            None => Some(self.clone()),
        }
    }

    /// Messages after which it ends; 0 for never.
    #[inline]
    pub fn limit(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Counts messages that were delivered.
    pub fn count(&self, messages: u64) {
        self.delivered.fetch_add(messages, Ordering::Relaxed);
    }

    /// Counts one message before it is delivered; returns how many there are with it.
    pub fn reserve(&self) -> u64 {
        self.delivered.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Messages delivered so far.
    pub fn delivered(&self) -> u64 {
        let delivered = self.delivered.load(Ordering::Relaxed);
        // Those over the limit are counted and not sent.
        if self.limit() == 0 { delivered } else { delivered.min(self.limit()) }
    }

    /// Sets the limit; false when it was reached already.
    pub fn set_limit(&self, max: u64) -> bool {
        self.max.store(max, Ordering::Relaxed);
        max > self.delivered.load(Ordering::Relaxed)
    }

    /// Whether its limit was reached.
    pub fn is_ended(&self) -> bool {
        let max = self.limit();
        max != 0 && self.delivered.load(Ordering::Relaxed) >= max
    }
}

/// The subscriptions of one subject.
#[derive(Debug, Default)]
struct Members {
    plain: Vec<Arc<Sub>>,
    /// Few subjects have anything else, so that it is worth an allocation of its own.
    others: Option<Box<Others>>,
}

/// Who else wants a subject.
#[derive(Debug, Default)]
struct Others {
    groups: Groups,
    /// Other brokers of the cluster.
    routes: Vec<Arc<Link>>,
}

impl Members {
    fn queue_name(&self, name: &[u8]) -> Option<Arc<[u8]>> {
        self.others.as_ref()?.groups.known_name(name)
    }

    fn insert(&mut self, sub: Arc<Sub>) {
        match sub.queue().cloned() {
            None => add_member(&mut self.plain, sub),
            Some(name) => {
                add_member(self.others.get_or_insert_default().groups.members(&name), sub);
            }
        }
    }

    fn remove(&mut self, sub: &Arc<Sub>) -> bool {
        match sub.queue() {
            None => remove_member(&mut self.plain, sub),
            Some(name) => self.change_others(|others| others.groups.remove(name, sub)),
        }
    }

    /// Removes something from the others; false when there are none.
    fn change_others(&mut self, work: impl FnOnce(&mut Others) -> bool) -> bool {
        let Some(others) = &mut self.others else { return false };
        let found = work(others);
        if others.groups.is_empty() && others.routes.is_empty() {
            self.others = None;
        }
        found
    }

    /// Subscriptions here of the same queue group, or plain ones.
    fn count(&self, queue: Option<&[u8]>) -> usize {
        let Some(name) = queue else { return self.plain.len() };
        let group = self.others.as_ref().and_then(|others| others.groups.find(name));
        group.map_or(0, |group| group.members.len())
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.others.is_none()
    }

    fn collect(&self, found: &mut Found<'_>) {
        found.plain.reserve(self.plain.len());
        for sub in &self.plain {
            if found.may_get(sub) {
                found.plain.push(sub.clone());
            }
        }
        let Some(others) = &self.others else { return };
        for group in others.groups.iter() {
            let members: Vec<_> =
                group.members.iter().filter(|sub| found.may_get(sub)).cloned().collect();
            if members.is_empty() && group.remotes.is_empty() {
                continue;
            }
            found.is_remote |= !group.remotes.is_empty();
            let into = found.groups.group(&group.name);
            into.members.extend(members);
            group.remotes.iter().for_each(|remote| into.add_remote(remote));
        }
        for route in &others.routes {
            if !found.routes.iter().any(|have| Arc::ptr_eq(have, route)) {
                found.routes.push(route.clone());
            }
        }
    }
}

/// One token of subjects with wildcards. Most have one child or none, and most are not the end of a subject.
#[derive(Debug, Default)]
struct Node {
    children: Children,
    star: Option<Box<Node>>,
    ends: Option<Box<Ends>>,
}

/// The nodes below a node that are not wildcards.
#[derive(Debug, Default)]
enum Children {
    #[default]
    None,
    One(Box<(Box<[u8]>, Node)>),
    Many(Box<Table>),
}

/// Boxed, because it is much larger than what most nodes need.
#[derive(Debug)]
struct Table {
    nodes: HashMap<Box<[u8]>, Node, Seed>,
}

/// Subscriptions that end at a token.
#[derive(Debug, Default)]
struct Ends {
    /// In `>` behind it.
    tail: Members,
    /// With it.
    here: Members,
}

impl Children {
    fn find(&self, token: &[u8]) -> Option<&Node> {
        match self {
            Children::None => None,
            Children::One(child) => (*child.0 == *token).then_some(&child.1),
            Children::Many(table) => table.nodes.get(token),
        }
    }

    fn find_mut(&mut self, token: &[u8]) -> Option<&mut Node> {
        match self {
            Children::None => None,
            Children::One(child) => (*child.0 == *token).then_some(&mut child.1),
            Children::Many(table) => table.nodes.get_mut(token),
        }
    }

    fn add(&mut self, token: &[u8], seed: Seed) {
        *self = match std::mem::take(self) {
            Children::None => Children::One(Box::new((token.into(), Node::default()))),
            Children::One(child) => {
                let mut nodes = HashMap::with_hasher(seed);
                nodes.insert(child.0, child.1);
                nodes.insert(token.into(), Node::default());
                Children::Many(Box::new(Table { nodes }))
            }
            Children::Many(mut table) => {
                table.nodes.insert(token.into(), Node::default());
                Children::Many(table)
            }
        };
    }

    fn remove(&mut self, token: &[u8]) {
        match self {
            Children::Many(table) if table.nodes.len() > 1 => drop(table.nodes.remove(token)),
            _ => *self = Children::None,
        }
    }
}

impl Node {
    fn members(&mut self, pattern: &[u8], seed: Seed) -> &mut Members {
        let mut node = self;
        for token in tokens(pattern) {
            node = match token {
                b">" => return &mut node.ends.get_or_insert_default().tail,
                b"*" => node.star.get_or_insert_default(),
                _ => node.child(token, seed),
            };
        }
        &mut node.ends.get_or_insert_default().here
    }

    fn child(&mut self, token: &[u8], seed: Seed) -> &mut Node {
        if self.children.find(token).is_none() {
            self.children.add(token, seed);
        }
        // Proven by the lines above.
        self.children.find_mut(token).expect("the child was added")
    }

    /// Removes something of a pattern with `work`, and then the nodes nobody needs any more; true when this node is one
    /// of them.
    fn remove(&mut self, pattern: Option<&[u8]>, work: &mut dyn FnMut(&mut Members)) -> bool {
        match pattern.map(split_token) {
            None => self.ends.iter_mut().for_each(|ends| work(&mut ends.here)),
            Some((b">", _)) => self.ends.iter_mut().for_each(|ends| work(&mut ends.tail)),
            Some((b"*", rest)) => {
                if self.star.as_mut().is_some_and(|node| node.remove(rest, work)) {
                    self.star = None;
                }
            }
            Some((token, rest)) => {
                let child = self.children.find_mut(token);
                if child.is_some_and(|node| node.remove(rest, work)) {
                    self.children.remove(token);
                }
            }
        }
        if self.ends.as_ref().is_some_and(|ends| ends.here.is_empty() && ends.tail.is_empty()) {
            self.ends = None;
        }
        self.is_empty()
    }

    fn is_empty(&self) -> bool {
        matches!(self.children, Children::None) && self.star.is_none() && self.ends.is_none()
    }

    /// Collects what matches the rest of a subject. Goes as deep as the subject has tokens.
    fn collect(&self, subject: Option<&[u8]>, found: &mut Found<'_>) {
        let Some(subject) = subject else {
            self.ends.iter().for_each(|ends| ends.here.collect(found));
            return;
        };
        self.ends.iter().for_each(|ends| ends.tail.collect(found));
        let (token, rest) = split_token(subject);
        if let Some(node) = &self.star {
            node.collect(rest, found);
        }
        if let Some(node) = self.children.find(token) {
            node.collect(rest, found);
        }
    }
}

fn split_token(subject: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'.', subject) {
        Some(dot) => (&subject[..dot], Some(&subject[dot + 1..])),
        None => (subject, None),
    }
}

/// The receivers of a subject while they are collected.
#[derive(Debug)]
struct Found<'f> {
    subject: &'f [u8],
    plain: Vec<Arc<Sub>>,
    groups: Groups,
    notes_replies: bool,
    routes: Vec<Arc<Link>>,
    /// A group has members behind a route.
    is_remote: bool,
}

impl Found<'_> {
    fn of(subject: &[u8]) -> Found<'_> {
        Found {
            subject,
            plain: Vec::new(),
            groups: Groups::default(),
            notes_replies: false,
            routes: Vec::new(),
            is_remote: false,
        }
    }

    /// Whether messages on the subject are not kept from a subscription.
    #[inline]
    fn may_get(&mut self, sub: &Sub) -> bool {
        let Some(terms) = sub.terms() else { return true };
        self.notes_replies |= terms.replies.is_some();
        !terms.denies(self.subject)
    }
}

/// The receivers of a subject.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// `MSG <subject> `, for receivers of messages without headers.
    pub head: Word<HEAD_BYTES>,
    /// `HMSG <subject> `.
    pub head_with_headers: Word<HEAD_BYTES>,
    /// Each of them gets the message.
    pub plain: Vec<Arc<Sub>>,
    /// One of each group gets it. A group has members of all matching subjects.
    pub groups: Vec<Group>,
    /// Some of them are told who may be answered.
    pub notes_replies: bool,
    /// Other brokers that get it, or may get it for a group.
    pub remote: Option<Box<RemoteMatches>>,
}

/// The receivers of a subject behind routes.
#[derive(Debug)]
pub(super) struct RemoteMatches {
    /// `RMSG <account> <subject> `.
    pub head: Vec<u8>,
    /// `HMSG <account> <subject> `.
    pub head_with_headers: Vec<u8>,
    /// Each of them gets the message.
    pub routes: Vec<Arc<Link>>,
}

impl Matches {
    /// Number of subscriptions and of other brokers.
    pub fn len(&self) -> usize {
        let group = |group: &Group| group.members.len() + group.remotes.len();
        self.plain.len()
            + self.groups.iter().map(group).sum::<usize>()
            + self.remote.as_ref().map_or(0, |remote| remote.routes.len())
    }

    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty() && self.remote.is_none()
    }

    /// Whether everybody gets every message as it came.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.groups.is_empty() && !self.notes_replies
    }
}

/// The state of interest when something was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    exact: u64,
    wild: u64,
}

/// What a connection asks for with SUB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'w> {
    pub subject: &'w [u8],
    pub queue: Option<&'w [u8]>,
    pub sid: &'w [u8],
}

/// All subscriptions of one account.
#[derive(Debug)]
pub(super) struct Interest {
    /// Index of the account.
    account: u32,
    /// Name of the account on routes.
    name: Box<[u8]>,
    seed: Seed,
    tables: RwLock<Tables>,
    exact_generations: Box<[AtomicU64]>,
    wild_generation: AtomicU64,
}

#[derive(Debug)]
struct Tables {
    exact: HashMap<Arc<[u8]>, Members, Seed>,
    wild: Node,
    count: usize,
    inserts: u64,
    /// Routes that are told what is wanted here.
    told: Vec<Arc<Link>>,
}

impl Interest {
    /// No interest in an account with this index and this name.
    pub fn of_account(account: u32, name: &str) -> Interest {
        Interest { name: name.as_bytes().into(), ..Interest::new(account) }
    }

    pub fn new(account: u32) -> Interest {
        let seed = Seed::random();
        let wild = Node::default();
        let exact = HashMap::with_hasher(seed);
        Interest {
            account,
            name: Box::default(),
            seed,
            tables: RwLock::new(Tables { exact, wild, count: 0, inserts: 0, told: Vec::new() }),
            exact_generations: (0..GENERATIONS).map(|_| AtomicU64::new(0)).collect(),
            wild_generation: AtomicU64::new(0),
        }
    }

    /// Number of subscriptions.
    pub fn count(&self) -> usize {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Subscriptions that were ever added, and those of them that are gone.
    pub fn changes(&self) -> (u64, u64) {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        (tables.inserts, tables.inserts - tables.count as u64)
    }

    /// The hash that stamps and caches go by.
    #[inline]
    pub fn hash(&self, subject: &[u8]) -> u64 {
        self.seed.of(subject)
    }

    /// The state of interest in subjects with this hash.
    #[inline]
    pub fn stamp(&self, hash: u64) -> Stamp {
        Stamp {
            exact: self.exact_generation(hash).load(Ordering::Acquire),
            wild: self.wild_generation.load(Ordering::Acquire),
        }
    }

    #[inline]
    fn exact_generation(&self, hash: u64) -> &AtomicU64 {
        // The table has GENERATIONS entries.
        &self.exact_generations[hash as usize % GENERATIONS]
    }

    /// Adds a subscription of a valid subject.
    #[cfg(test)]
    pub fn subscribe(&self, link: &Arc<Link>, wanted: Wanted<'_>) -> Arc<Sub> {
        self.subscribe_on(link, wanted, None)
    }

    /// Adds a subscription for which more holds than its subject says.
    pub fn subscribe_on(
        &self,
        link: &Arc<Link>,
        wanted: Wanted<'_>,
        terms: Option<Arc<Terms>>,
    ) -> Arc<Sub> {
        let is_wild = has_wildcard(wanted.subject);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let tables = &mut *tables;
        let known = tables.exact.get_key_value(wanted.subject).map(|(subject, _)| subject.clone());
        let subject = known.unwrap_or_else(|| wanted.subject.into());
        let members = if is_wild {
            tables.wild.members(wanted.subject, self.seed)
        } else {
            tables.exact.entry(subject.clone()).or_default()
        };
        let queue =
            wanted.queue.map(|name| members.queue_name(name).unwrap_or_else(|| name.into()));
        // What stands for another one is counted there.
        let is_shadow = terms.as_ref().is_some_and(|terms| terms.is_shadow());
        let sub = Arc::new(Sub {
            link: link.clone(),
            subject,
            more: More::of(queue, terms),
            sid: Word::of(&[wanted.sid, b" "]),
            delivered: AtomicU64::new(0),
            max: AtomicU64::new(if is_shadow { u64::MAX } else { 0 }),
            place: AtomicU32::new(0),
            account: self.account,
        });
        members.insert(sub.clone());
        if !tables.told.is_empty() {
            let count = members.count(wanted.queue);
            self.tell_more(&tables.told, &sub, count);
        }
        tables.count += 1;
        tables.inserts += 1;
        self.changed(&sub.subject, is_wild);
        sub
    }

    /// Puts a subscription under other terms: a new one takes its place, without a gap. Nothing when it is gone already.
    pub fn replace(&self, old: &Arc<Sub>, terms: Option<Arc<Terms>>) -> Option<Arc<Sub>> {
        let is_wild = has_wildcard(&old.subject);
        let new = Arc::new(old.on(terms));
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let tables = &mut *tables;
        let members = match is_wild {
            true => tables.wild.members(&old.subject, self.seed),
            false => tables.exact.get_mut(&old.subject)?,
        };
        if !members.remove(old) {
            if is_wild {
                // Removes the nodes that looking for it has made.
                tables.wild.remove(Some(&old.subject), &mut |_| {});
            }
            return None;
        }
        members.insert(new.clone());
        self.changed(&old.subject, is_wild);
        Some(new)
    }

    /// Removes subscriptions; those that are gone already do no harm. Others get their turn between portions.
    pub fn unsubscribe<'s>(&self, subs: impl Iterator<Item = &'s Arc<Sub>>) {
        let mut subs = subs.peekable();
        while subs.peek().is_some() {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            subs.by_ref().take(REMOVED_AT_ONCE).for_each(|sub| self.remove(&mut tables, sub));
        }
    }

    fn remove(&self, tables: &mut Tables, sub: &Arc<Sub>) {
        let mut left = None;
        let is_wild = tables.remove_from(&sub.subject, &mut |members| {
            if members.remove(sub) {
                left = Some(members.count(sub.queue().map(|name| &**name)));
            }
        });
        if let Some(count) = left {
            tables.count -= 1;
            self.changed(&sub.subject, is_wild);
            self.tell_less(&tables.told, sub, count);
        }
    }

    /// Spoils what was looked up; called with the write lock held.
    fn changed(&self, subject: &[u8], is_wild: bool) {
        let generation =
            if is_wild { &self.wild_generation } else { self.exact_generation(self.hash(subject)) };
        generation.fetch_add(1, Ordering::Release);
    }

    /// Everybody who gets a message on `subject`.
    pub fn find(&self, subject: &[u8]) -> Matches {
        let mut matches =
            Matches { head: Word::of(&[b"MSG ", subject, b" "]), ..Matches::default() };
        matches.head_with_headers = Word::of(&[b"HMSG ", subject, b" "]);
        if tokens(subject).any(<[u8]>::is_empty) {
            return matches;
        }
        let mut found = Found::of(subject);
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(members) = tables.exact.get(subject) {
            members.collect(&mut found);
        }
        tables.wild.collect(Some(subject), &mut found);
        drop(tables);
        matches.notes_replies = found.notes_replies;
        matches.plain = found.plain;
        matches.groups = found.groups.into_list();
        if found.is_remote || !found.routes.is_empty() {
            matches.remote = Some(Box::new(RemoteMatches {
                head: [b"RMSG ", &*self.name, b" ", subject, b" "].concat(),
                head_with_headers: [b"HMSG ", &*self.name, b" ", subject, b" "].concat(),
                routes: found.routes,
            }));
        }
        matches
    }
}

impl Tables {
    /// Removes something of a subject with `work`; true when the subject has wildcards.
    fn remove_from(&mut self, subject: &[u8], work: &mut dyn FnMut(&mut Members)) -> bool {
        let is_wild = has_wildcard(subject);
        if is_wild {
            self.wild.remove(Some(subject), work);
        } else if let Some(members) = self.exact.get_mut(subject) {
            work(members);
            if members.is_empty() {
                self.exact.remove(subject);
            }
        }
        is_wild
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::link::tests::loose_link;
    use crate::nats::subject::matches;

    fn subscribe(
        interest: &Interest,
        link: &Arc<Link>,
        subject: &str,
        queue: Option<&str>,
    ) -> Arc<Sub> {
        let wanted =
            Wanted { subject: subject.as_bytes(), queue: queue.map(str::as_bytes), sid: b"1" };
        interest.subscribe(link, wanted)
    }

    #[test]
    fn receivers_of_a_subject() {
        let interest = Interest::new(0);
        let link = loose_link();
        let patterns = ["a.b", "a.*", "a.>", ">", "*", "a.b.c", "*.b", "a.*.c", "a*"];
        let subs: Vec<_> = patterns.iter().map(|p| subscribe(&interest, &link, p, None)).collect();
        let found = |subject: &str| {
            let matches = interest.find(subject.as_bytes());
            let mut names: Vec<_> = matches
                .plain
                .iter()
                .map(|sub| String::from_utf8_lossy(&sub.subject).into_owned())
                .collect();
            names.sort_unstable();
            names.join(" ")
        };
        for (subject, expected) in [
            ("a.b", "*.b > a.* a.> a.b"),
            ("a", "* >"),
            ("a.b.c", "> a.*.c a.> a.b.c"),
            ("a.*", "> a.* a.>"),
            ("a*", "* > a*"),
            ("x.y.z", ">"),
            ("a..b", ""),
            ("a.", ""),
        ] {
            assert_eq!(found(subject), expected, "{subject}");
        }
        assert_eq!(interest.count(), patterns.len());
        interest.unsubscribe(subs.iter());
        interest.unsubscribe(subs.iter());
        assert_eq!((found("a.b"), interest.count()), (String::new(), 0));
        let tables = interest.tables.read().expect("lock");
        assert!(tables.exact.is_empty() && tables.wild.is_empty());
    }

    #[test]
    fn many_groups_of_one_subject_cost_no_more_than_many_subjects() {
        const GROUPS: usize = 20_000;
        let interest = Interest::new(0);
        let link = loose_link();
        let started = std::time::Instant::now();
        for subject in ["foo", "*"] {
            let subscribe_to =
                |queue: usize| subscribe(&interest, &link, subject, Some(&queue.to_string()));
            let subs: Vec<_> = (0..GROUPS).map(subscribe_to).collect();
            assert_eq!(interest.find(b"foo").groups.len(), GROUPS);
            interest.unsubscribe(subs.iter().skip(1));
            let left = interest.find(b"foo").groups;
            assert_eq!((left.len(), left[0].members.len()), (1, 1));
            assert!(Arc::ptr_eq(&left[0].members[0], &subs[0]));
            interest.unsubscribe(subs.iter());
        }
        assert!(interest.find(b"foo").is_empty());
        // Searched one by one it takes minutes.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn subjects_as_deep_as_a_control_line_allows() {
        let interest = Interest::new(0);
        let link = loose_link();
        for token in ["a", "*"] {
            let subject = vec![token; 2040].join(".");
            let tail = format!("{subject}.>");
            let subs = [&subject, &tail].map(|subject| subscribe(&interest, &link, subject, None));
            let published = vec!["a"; 2041].join(".");
            assert_eq!(interest.find(published.as_bytes()).plain.len(), 1, "{token}");
            assert_eq!(interest.find(&published.as_bytes()[2..]).plain.len(), 1, "{token}");
            interest.unsubscribe(subs.iter().take(1));
            interest.unsubscribe(subs.iter());
        }
        let subject = vec!["*"; 2040].join(".");
        subscribe(&interest, &link, &subject, None);
        // Dropping it all is as deep.
        drop(interest);
    }

    #[test]
    fn a_group_spans_subjects() {
        let interest = Interest::new(0);
        let link = loose_link();
        subscribe(&interest, &link, "foo", Some("q"));
        let wild = subscribe(&interest, &link, "*", Some("q"));
        subscribe(&interest, &link, "foo", Some("other"));
        let matches = interest.find(b"foo");
        let mut sizes: Vec<_> = matches.groups.iter().map(|group| group.members.len()).collect();
        sizes.sort_unstable();
        assert_eq!((sizes, matches.plain.len(), matches.len()), (vec![1, 2], 0, 3));
        interest.unsubscribe([wild].iter());
        assert_eq!(interest.find(b"foo").len(), 2);
    }

    #[test]
    fn stamps_change_with_what_they_stand_for() {
        let interest = Interest::new(0);
        let link = loose_link();
        let hash = interest.hash(b"foo");
        let before = interest.stamp(hash);
        let exact = subscribe(&interest, &link, "foo", None);
        let between = interest.stamp(hash);
        assert_ne!(before, between);
        interest.unsubscribe([exact].iter());
        assert_ne!(between, interest.stamp(hash));
        let between = interest.stamp(hash);
        subscribe(&interest, &link, "bar.*", None);
        assert_ne!(between, interest.stamp(hash));
    }

    #[test]
    fn wildcards_come_and_go_in_any_order() {
        let interest = Interest::new(0);
        let link = loose_link();
        let mut random = fastrand::Rng::with_seed(3);
        let mut subs: Vec<Arc<Sub>> = Vec::new();
        let token = |random: &mut fastrand::Rng| ["a", "b", "c", "*"][random.usize(..4)];
        for _ in 0..3000 {
            if subs.is_empty() || random.usize(..5) < 3 && subs.len() < 60 {
                let mut subject: Vec<_> =
                    (0..random.usize(1..4)).map(|_| token(&mut random)).collect();
                subject.extend(random.bool().then_some(">"));
                subs.push(subscribe(&interest, &link, &subject.join("."), None));
            } else {
                let sub = subs.swap_remove(random.usize(..subs.len()));
                interest.unsubscribe([sub].iter());
            }
            let subject: Vec<_> = (0..random.usize(1..5)).map(|_| token(&mut random)).collect();
            let subject = subject.join(".");
            let expected =
                subs.iter().filter(|sub| matches(&sub.subject, subject.as_bytes())).count();
            assert_eq!(interest.find(subject.as_bytes()).plain.len(), expected, "{subject}");
        }
        interest.unsubscribe(subs.iter());
        let tables = interest.tables.read().expect("lock");
        assert!(tables.exact.is_empty() && tables.wild.is_empty());
    }

    #[test]
    fn removal_keeps_the_places_of_the_others() {
        let interest = Interest::new(0);
        let link = loose_link();
        let mut subs: Vec<_> = (0..50).map(|_| subscribe(&interest, &link, "s", None)).collect();
        let mut random = fastrand::Rng::with_seed(7);
        while !subs.is_empty() {
            let sub = subs.swap_remove(random.usize(..subs.len()));
            interest.unsubscribe([sub].iter());
            assert_eq!(interest.find(b"s").plain.len(), subs.len());
        }
    }

    #[test]
    fn sids_of_any_length() {
        let interest = Interest::new(0);
        let link = loose_link();
        for sid in ["1", "1234567890123", "12345678901234", "123456789012345678901234567890"] {
            let wanted = Wanted { subject: b"a", queue: None, sid: sid.as_bytes() };
            let sub = interest.subscribe(&link, wanted);
            assert_eq!(sub.sid(), sid.as_bytes());
            assert_eq!(sub.sid_word().bytes(), format!("{sid} ").as_bytes());
        }
    }
}
