//! Messages to and from other brokers of a cluster.
//!
//! A message goes over one route at most: what came from a route stays here. The sender chooses which queue groups have
//! a receiver here and names them; plain subscriptions get every message.

use std::sync::Arc;

use super::{Form, Message, Origin, Router, write_tail};
use crate::broker::groups::{Group, Remote};
use crate::broker::interest::{Matches, RemoteMatches};
use crate::broker::link::Link;
use crate::broker::stage::{Tail, WIDE};
use crate::nats::codec::{Publish, Queues, encode};

/// Where a message comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'s> {
    /// A client of this broker.
    Here,
    /// Another broker, which chose these queue groups.
    Route(Queues<'s>),
}

/// The routes that one message goes to.
#[derive(Debug)]
pub(super) struct Targets<'m> {
    remote: Option<&'m RemoteMatches>,
    /// All routes with plain subscriptions get it.
    to_plain: bool,
    /// Groups for which somebody behind a route was chosen.
    chosen: Vec<(&'m Arc<Link>, &'m [u8])>,
}

impl<'m> Targets<'m> {
    pub fn of(source: Source<'_>, matches: &'m Matches) -> Targets<'m> {
        let to_plain = matches!(source, Source::Here);
        Targets { remote: matches.remote.as_deref(), to_plain, chosen: Vec::new() }
    }
}

impl Router {
    /// Stages a message of another broker for everybody here who gets it.
    pub fn publish_routed(
        &mut self,
        origin: Origin<'_>,
        publish: &Publish<'_>,
        queues: Queues<'_>,
    ) {
        let body_bytes = (publish.headers.len() + publish.payload.len()) as u64;
        self.tally.in_messages += 1;
        self.tally.in_bytes += body_bytes;
        let matches = self.find(origin.account, publish.subject);
        match publish.tail {
            Some(bytes) if !publish.is_hpub && queues.is_empty() && !matches.notes_replies => {
                let form = Form { bytes, body_bytes, shared: None };
                self.deliver_plain(origin, form, &matches);
            }
            _ if matches.is_empty() => {}
            _ => {
                self.deliver(origin, Source::Route(queues), publish, &matches);
            }
        }
    }

    /// The usual case of a message for other brokers: no headers, no groups, and bytes that can be sent as they came.
    pub(super) fn deliver_elsewhere(
        &mut self,
        remote: &RemoteMatches,
        form: &Form<'_>,
        matches: &Matches,
    ) -> bool {
        for route in &remote.routes {
            self.stage.routed(route, &remote.head, b"", form.tail(), form.body_bytes);
            self.tally.count_out(form);
        }
        if matches.plain.len() > WIDE {
            // They have many to send it to as well, and need not wait for ours.
            self.stage.flush_early();
        }
        !remote.routes.is_empty()
    }

    /// One member of a group, here or behind a route. True when somebody here got it.
    pub(super) fn offer_to_group<'m>(
        &mut self,
        origin: Origin<'_>,
        source: Source<'_>,
        group: &'m Group,
        message: &Message<'_>,
        targets: &mut Targets<'m>,
    ) -> bool {
        match source {
            Source::Here if group.remotes.is_empty() => {
                self.offer_to_one(origin, &group.members, message)
            }
            Source::Here => self.offer_by_weight(origin, group, message, targets),
            Source::Route(queues) if queues.iter().any(|name| *name == *group.name) => {
                let heard = self.offer_to_one(origin, &group.members, message);
                if !heard {
                    // The member that was meant has just left: somebody else of the group may have it.
                    let elsewhere = |remote: &&Remote| !Arc::ptr_eq(&remote.route, origin.link);
                    let other = group.remotes.iter().find(elsewhere);
                    targets.chosen.extend(other.map(|remote| (&remote.route, &*group.name)));
                }
                heard
            }
            Source::Route(_) => false,
        }
    }

    /// One member of a group, each with the same chance wherever it is.
    fn offer_by_weight<'m>(
        &mut self,
        origin: Origin<'_>,
        group: &'m Group,
        message: &Message<'_>,
        targets: &mut Targets<'m>,
    ) -> bool {
        let here = group.members.len() as u64;
        let elsewhere: u64 = group.remotes.iter().map(|remote| u64::from(remote.weight)).sum();
        let mut chosen = fastrand::u64(..here + elsewhere);
        // A number below the number of members fits.
        if chosen < here && self.offer_from(origin, &group.members, chosen as usize, message) {
            return true;
        }
        chosen = if chosen < here { fastrand::u64(..elsewhere) } else { chosen - here };
        for remote in &group.remotes {
            let weight = u64::from(remote.weight);
            if chosen < weight {
                targets.chosen.push((&remote.route, &group.name));
                break;
            }
            chosen -= weight;
        }
        false
    }

    /// Stages a message for other brokers. True when there are any.
    pub(super) fn send_to_routes(&mut self, targets: Targets<'_>, message: &Message<'_>) -> bool {
        let Some(remote) = targets.remote else { return false };
        let mut heard = false;
        if targets.to_plain {
            for route in &remote.routes {
                let queues = names_for(&targets.chosen, route);
                self.send_to_route(route, remote, message, &queues);
                heard = true;
            }
        }
        for (at, (route, _)) in targets.chosen.iter().enumerate() {
            let has = |have: &Arc<Link>| Arc::ptr_eq(have, route);
            let is_done = (targets.to_plain && remote.routes.iter().any(has))
                || targets.chosen.iter().take(at).any(|(earlier, _)| has(earlier));
            if !is_done {
                let queues = names_for(&targets.chosen, route);
                self.send_to_route(route, remote, message, &queues);
                heard = true;
            }
        }
        heard
    }

    fn send_to_route(
        &mut self,
        route: &Arc<Link>,
        remote: &RemoteMatches,
        message: &Message<'_>,
        queues: &[&[u8]],
    ) {
        let has_headers = !message.publish.headers.is_empty();
        let head = if has_headers { &remote.head_with_headers } else { &remote.head };
        let full = &message.full;
        if queues.is_empty() {
            self.stage.routed(route, head, b"", full.tail(), full.body_bytes);
        } else {
            let publish = message.publish;
            let mut words = Vec::new();
            encode::route_queues(&mut words, publish.reply, queues.iter().copied());
            let mut tail = Vec::new();
            let bare = Publish { reply: None, ..publish.clone() };
            let tail = write_tail(&mut tail, &bare, has_headers);
            self.stage.routed(route, head, &words, Tail::Copied(tail), full.body_bytes);
        }
        self.tally.count_out(full);
    }
}

fn names_for<'m>(chosen: &[(&Arc<Link>, &'m [u8])], route: &Arc<Link>) -> Vec<&'m [u8]> {
    let own = chosen.iter().filter(|(have, _)| Arc::ptr_eq(have, route));
    own.map(|(_, name)| *name).collect()
}
