//! The subscriptions of one connection, by the client's names for them.

use std::collections::HashMap;
use std::sync::Arc;

use super::interest::Sub;

/// Up to this many are searched one by one, which is quicker and smaller than a table.
const FEW: usize = 32;

/// The subscriptions of one connection.
#[derive(Debug, Default)]
pub(super) struct Subs {
    list: List,
    /// Messages that those which are gone got.
    delivered: u64,
}

/// A small list, or a table for connections with many.
#[derive(Debug)]
enum List {
    Few(Vec<Arc<Sub>>),
    /// Boxed, because it is larger and rare.
    Many(Box<Table>),
}

/// The subscriptions of a connection with many.
#[derive(Debug)]
struct Table {
    by_sid: HashMap<Box<[u8]>, Arc<Sub>>,
    /// Size at which ended ones are looked for.
    sweep_at: usize,
}

impl Default for List {
    fn default() -> Self {
        List::Few(Vec::new())
    }
}

impl Subs {
    pub fn len(&self) -> usize {
        match &self.list {
            List::Few(list) => list.len(),
            List::Many(table) => table.by_sid.len(),
        }
    }

    /// Messages that all of them got.
    pub fn delivered(&self) -> u64 {
        self.delivered + self.iter().map(|sub| sub.delivered()).sum::<u64>()
    }

    /// The subscription of this name, unless it ended.
    pub fn find(&self, sid: &[u8]) -> Option<&Arc<Sub>> {
        let found = match &self.list {
            List::Few(list) => list.iter().find(|sub| sub.sid() == sid && !sub.is_ended()),
            List::Many(table) => table.by_sid.get(sid),
        };
        found.filter(|sub| !sub.is_ended())
    }

    /// Adds a subscription whose name is free.
    pub fn add(&mut self, sub: Arc<Sub>) {
        let is_time = match &self.list {
            List::Few(list) => list.len() >= FEW,
            List::Many(table) => table.by_sid.len() >= table.sweep_at,
        };
        if is_time {
            self.drop_ended();
        }
        match &mut self.list {
            List::Few(list) => {
                list.push(sub);
                if list.len() > FEW {
                    let by_sid = list.drain(..).map(|sub| (sub.sid().into(), sub)).collect();
                    self.list = List::Many(Box::new(Table { by_sid, sweep_at: FEW * 4 }));
                }
            }
            List::Many(table) => {
                let Table { by_sid, sweep_at } = &mut **table;
                if is_time {
                    *sweep_at = (by_sid.len() * 2).max(FEW * 4);
                }
                // One of the same name that ended makes room for it.
                if let Some(old) = by_sid.insert(sub.sid().into(), sub) {
                    self.delivered += old.delivered();
                }
            }
        }
    }

    pub fn remove(&mut self, sid: &[u8]) {
        if let List::Many(table) = &mut self.list {
            self.delivered += table.by_sid.remove(sid).map_or(0, |sub| sub.delivered());
        } else {
            self.retain(|sub| sub.sid() != sid);
        }
    }

    /// Forgets those that ended.
    pub fn drop_ended(&mut self) {
        self.retain(|sub| !sub.is_ended());
    }

    fn retain(&mut self, stays: impl Fn(&Sub) -> bool) {
        let mut delivered = 0;
        let mut check = |sub: &Arc<Sub>| {
            let stays = stays(sub);
            delivered += if stays { 0 } else { sub.delivered() };
            stays
        };
        match &mut self.list {
            List::Few(list) => list.retain(|sub| check(sub)),
            List::Many(table) => table.by_sid.retain(|_, sub| check(sub)),
        }
        self.delivered += delivered;
    }

    pub fn iter(&self) -> Box<dyn Iterator<Item = &Arc<Sub>> + '_> {
        match &self.list {
            List::Few(list) => Box::new(list.iter()),
            List::Many(table) => Box::new(table.by_sid.values()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::interest::{Interest, Wanted};
    use crate::broker::link::tests::loose_link;

    #[test]
    fn few_and_many_behave_alike() {
        let interest = Interest::new(0);
        let link = loose_link();
        let make = |sid: &str| {
            interest.subscribe(&link, Wanted { subject: b"a", queue: None, sid: sid.as_bytes() })
        };
        for count in [5, 500] {
            let mut subs = Subs::default();
            (0..count).for_each(|sid| subs.add(make(&sid.to_string())));
            assert_eq!(subs.len(), count);
            let first = subs.find(b"0").cloned().expect("is there");
            assert!(first.set_limit(1));
            first.count(1);
            assert!(subs.find(b"0").is_none());
            subs.add(make("0"));
            assert!(subs.find(b"0").is_some_and(|sub| !Arc::ptr_eq(sub, &first)));
            subs.remove(b"1");
            assert!(subs.find(b"1").is_none());
            subs.drop_ended();
            assert_eq!((subs.len(), subs.iter().count()), (count - 1, count - 1));
            assert_eq!(subs.delivered(), 1);
        }
    }

    #[test]
    fn ended_ones_do_not_pile_up() {
        let interest = Interest::new(0);
        let link = loose_link();
        let mut subs = Subs::default();
        for sid in 0..10_000 {
            let sid = sid.to_string();
            let sub = interest
                .subscribe(&link, Wanted { subject: b"a", queue: None, sid: sid.as_bytes() });
            sub.set_limit(1);
            sub.count(1);
            subs.add(sub);
            assert!(subs.len() <= FEW * 4);
        }
    }
}
