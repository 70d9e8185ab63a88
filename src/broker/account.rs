//! Accounts: separate spaces of subjects. A message never leaves the account it was published in.

use std::sync::Arc;

use super::interest::{Interest, Sub};

/// One space of subjects.
#[derive(Debug)]
pub(super) struct Account {
    /// Its name on routes, in INFO and in reports.
    pub name: String,
    /// Its place among the accounts of the broker.
    pub index: u32,
    /// Who wants which subject in it.
    pub interest: Interest,
}

/// The accounts of a broker. They do not change while it runs.
#[derive(Debug)]
pub(super) struct Accounts {
    /// Never empty.
    list: Vec<Arc<Account>>,
}

impl Accounts {
    /// Accounts of these names; the first is the one that connections are in unless something else is said.
    pub fn new(names: &[String]) -> Accounts {
        let usual = [String::from("choria")];
        let names = if names.is_empty() { &usual } else { names };
        let account = |(index, name): (usize, &String)| {
            let index = index as u32;
            Arc::new(Account { name: name.clone(), index, interest: Interest::new(index) })
        };
        Accounts { list: names.iter().enumerate().map(account).collect() }
    }

    /// The account of everybody who is in no other.
    pub fn usual(&self) -> &Arc<Account> {
        // The list is never empty.
        &self.list[0]
    }

    /// The account of a name.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<Account>> {
        self.list.iter().find(|account| account.name.as_bytes() == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.list.iter()
    }

    /// Subscriptions in all accounts.
    pub fn subscriptions(&self) -> usize {
        self.list.iter().map(|account| account.interest.count()).sum()
    }

    /// Removes subscriptions, each from its account; those that are gone already do no harm.
    pub fn unsubscribe<'s>(&self, subs: impl Iterator<Item = &'s Arc<Sub>>) {
        let mut subs = subs.peekable();
        while let Some(first) = subs.peek() {
            let index = first.account;
            let same = std::iter::from_fn(|| subs.next_if(|sub| sub.account == index));
            match self.list.get(index as usize) {
                Some(account) => account.interest.unsubscribe(same),
                // Subscriptions are made by accounts of this list only.
                None => same.for_each(drop),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::interest::Wanted;
    use crate::broker::link::tests::loose_link;

    #[test]
    fn accounts_do_not_see_each_other() {
        let accounts = Accounts::new(&["a".to_owned(), "b".to_owned()]);
        let link = loose_link();
        let wanted = Wanted { subject: b"x", queue: None, sid: b"1" };
        let subs: Vec<_> = [b"a", b"b", b"a"]
            .iter()
            .map(|name| accounts.find(*name).expect("exists").interest.subscribe(&link, wanted))
            .collect();
        assert!(accounts.find(b"c").is_none());
        let heard = || accounts.iter().map(|a| a.interest.find(b"x").len()).collect::<Vec<_>>();
        assert_eq!((heard(), accounts.subscriptions()), (vec![2, 1], 3));
        accounts.unsubscribe(subs.iter().take(2));
        assert_eq!(heard(), [1, 0]);
        accounts.unsubscribe(subs.iter());
        assert_eq!(accounts.subscriptions(), 0);
    }

    #[test]
    fn there_is_always_one() {
        assert_eq!(Accounts::new(&[]).usual().name, "choria");
    }
}
