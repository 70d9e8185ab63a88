//! Interest across a cluster: what other brokers want, and telling them what is wanted here.
//!
//! What is wanted here changes under the write lock of the tables, and the lines about it are put into the queues of the
//! routes under the same hold. So the order on every route is the order of the changes, and a message that a client sends
//! after its SUB comes after the line about that. The lock of a link is taken while the tables are locked, never the
//! other way round.

use std::sync::{Arc, PoisonError};

use super::{Interest, Members, Node, REMOVED_AT_ONCE, Sub, Tables};
use crate::broker::groups::Remote;
use crate::broker::link::Link;
use crate::nats::codec::encode::{route_interest, route_no_interest};
use crate::nats::subject::has_wildcard;

/// Bytes of a snapshot that are queued at once.
const SNAPSHOT_BYTES: usize = 256 * 1024;

/// What another broker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) struct Elsewhere<'e> {
    pub subject: &'e [u8],
    pub queue: Option<&'e [u8]>,
}

impl Interest {
    /// A broker has plain subscriptions of a valid subject, or so many members of one of its queue groups.
    pub fn add_remote(&self, route: &Arc<Link>, wanted: Elsewhere<'_>, weight: u32) {
        let is_wild = has_wildcard(wanted.subject);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let tables = &mut *tables;
        let members = match is_wild {
            true => tables.wild.members(wanted.subject, self.seed),
            false => tables.exact.entry(wanted.subject.into()).or_default(),
        };
        let name = wanted.queue.map(|name| members.queue_name(name).unwrap_or_else(|| name.into()));
        let others = members.others.get_or_insert_default();
        let is_new = match name {
            Some(name) => {
                others.groups.group(&name).set_remote(Remote { route: route.clone(), weight })
            }
            None if others.routes.iter().any(|have| Arc::ptr_eq(have, route)) => false,
            None => {
                others.routes.push(route.clone());
                true
            }
        };
        if is_new {
            self.changed(wanted.subject, is_wild);
        }
    }

    /// A broker does not want these any more. Others get their turn between portions.
    pub fn drop_remote<'e>(&self, route: &Arc<Link>, dropped: impl Iterator<Item = Elsewhere<'e>>) {
        let mut dropped = dropped.peekable();
        while dropped.peek().is_some() {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            for unwanted in dropped.by_ref().take(REMOVED_AT_ONCE) {
                self.drop_one(&mut tables, route, unwanted);
            }
        }
    }

    fn drop_one(&self, tables: &mut Tables, route: &Arc<Link>, unwanted: Elsewhere<'_>) {
        let mut found = false;
        let is_wild = tables.remove_from(unwanted.subject, &mut |members| {
            found = members.change_others(|others| match unwanted.queue {
                Some(name) => others.groups.remove_remote(name, route),
                None => {
                    let before = others.routes.len();
                    others.routes.retain(|have| !Arc::ptr_eq(have, route));
                    others.routes.len() != before
                }
            });
        });
        if found {
            self.changed(unwanted.subject, is_wild);
        }
    }

    /// Tells a route everything that is wanted here, and from now on every change.
    pub fn tell(&self, route: &Arc<Link>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        let mut add = |members: &Members| {
            self.describe(members, &mut lines);
            if lines.len() >= SNAPSHOT_BYTES {
                route.append(&std::mem::take(&mut lines));
            }
        };
        tables.exact.values().for_each(&mut add);
        tables.wild.visit(&mut add);
        route.append(&lines);
        tables.told.push(route.clone());
    }

    /// Tells a route nothing more.
    pub fn stop_telling(&self, route: &Arc<Link>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.told.retain(|have| !Arc::ptr_eq(have, route));
    }

    fn describe(&self, members: &Members, lines: &mut Vec<u8>) {
        if let Some(sub) = members.plain.first() {
            route_interest(lines, &self.name, &sub.subject, None);
        }
        for group in members.others.iter().flat_map(|others| others.groups.iter()) {
            if let Some(sub) = group.members.first() {
                let queue = (&*group.name, weight(group.members.len()));
                route_interest(lines, &self.name, &sub.subject, Some(queue));
            }
        }
    }

    /// Tells routes that there is one more like `sub`; now there are `count`.
    pub(super) fn tell_more(&self, told: &[Arc<Link>], sub: &Sub, count: usize) {
        if sub.queue().is_none() && count > 1 {
            return;
        }
        let mut line = Vec::new();
        let queue = sub.queue().map(|name| (&**name, weight(count)));
        route_interest(&mut line, &self.name, &sub.subject, queue);
        told.iter().for_each(|route| route.append(&line));
    }

    /// Tells routes that there is one less like `sub`; now there are `count`.
    pub(super) fn tell_less(&self, told: &[Arc<Link>], sub: &Sub, count: usize) {
        if told.is_empty() || (sub.queue().is_none() && count > 0) {
            return;
        }
        let mut line = Vec::new();
        match sub.queue() {
            Some(name) if count > 0 => {
                let queue = Some((&**name, weight(count)));
                route_interest(&mut line, &self.name, &sub.subject, queue);
            }
            queue => {
                let queue = queue.map(|name| &**name);
                route_no_interest(&mut line, &self.name, &sub.subject, queue);
            }
        }
        told.iter().for_each(|route| route.append(&line));
    }
}

fn weight(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Node {
    /// Shows all members below and in this node.
    fn visit(&self, work: &mut impl FnMut(&Members)) {
        if let Some(ends) = &self.ends {
            work(&ends.tail);
            work(&ends.here);
        }
        self.star.iter().for_each(|node| node.visit(work));
        match &self.children {
            super::Children::None => {}
            super::Children::One(child) => child.1.visit(work),
            super::Children::Many(table) => table.nodes.values().for_each(|node| node.visit(work)),
        }
    }
}

#[cfg(test)]
mod tests;
