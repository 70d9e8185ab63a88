//! What one other broker wants: kept so that all of it can be taken back when the route is lost.

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::account::{Account, Accounts};
use crate::broker::interest::Elsewhere;
use crate::broker::link::Link;

/// Subjects and queue groups of one route, by account.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// One table for each account; a key is a subject, or a subject and a queue group with a blank between them.
    tables: Vec<HashMap<Box<[u8]>, u32>>,
    count: usize,
    key: Vec<u8>,
}

/// There are more of them than are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl Learned {
    pub fn len(&self) -> usize {
        self.count
    }

    /// The other broker wants something, in this weight.
    pub fn add(
        &mut self,
        route: &Arc<Link>,
        account: &Account,
        wanted: Elsewhere<'_>,
        weight: u32,
        max: usize,
    ) -> Result<(), TooMany> {
        let index = account.index as usize;
        if index >= self.tables.len() {
            self.tables.resize_with(index + 1, HashMap::new);
        }
        write_key(&mut self.key, wanted);
        let table = &mut self.tables[index];
        match table.get_mut(self.key.as_slice()) {
            Some(have) if *have == weight => return Ok(()),
            Some(have) => *have = weight,
            None if self.count >= max => return Err(TooMany),
            None => {
                table.insert(self.key.as_slice().into(), weight);
                self.count += 1;
            }
        }
        account.interest.add_remote(route, wanted, weight);
        Ok(())
    }

    /// The other broker does not want something any more.
    pub fn drop_one(&mut self, route: &Arc<Link>, account: &Account, unwanted: Elsewhere<'_>) {
        write_key(&mut self.key, unwanted);
        let Some(table) = self.tables.get_mut(account.index as usize) else { return };
        if let Some(key) = table.remove_entry(self.key.as_slice()) {
            self.count -= 1;
            drop(key);
            account.interest.drop_remote(route, std::iter::once(unwanted));
        }
    }

    /// Takes everything back.
    pub fn drop_all(&mut self, route: &Arc<Link>, accounts: &Accounts) {
        for (account, table) in accounts.iter().zip(std::mem::take(&mut self.tables)) {
            account.interest.drop_remote(route, table.keys().map(|key| read_key(key)));
        }
        self.count = 0;
    }
}

fn write_key(key: &mut Vec<u8>, wanted: Elsewhere<'_>) {
    key.clear();
    key.extend_from_slice(wanted.subject);
    if let Some(queue) = wanted.queue {
        key.push(b' ');
        key.extend_from_slice(queue);
    }
}

fn read_key(key: &[u8]) -> Elsewhere<'_> {
    match memchr::memchr(b' ', key).map(|at| key.split_at(at)) {
        Some((subject, queue)) => Elsewhere { subject, queue: queue.get(1..) },
        None => Elsewhere { subject: key, queue: None },
    }
}
