//! Accounts: separate spaces of subjects. A message never leaves the account it was published in.

use std::sync::Arc;

use super::interest::{Interest, Sub, Wanted};
use super::link::Link;
use super::settings::Import;
use super::terms::Terms;
use crate::nats::subject::intersection;

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
    imports: Vec<Shared>,
}

/// Messages of one account that subscribers of another one get as well.
#[derive(Debug)]
struct Shared {
    from: u32,
    to: u32,
    subject: Vec<u8>,
}

impl Accounts {
    /// Accounts of these names; the first is the one that connections are in unless something else is said.
    pub fn new(names: &[String], imports: &[Import]) -> Accounts {
        let usual = [String::from("choria")];
        let names = if names.is_empty() { &usual } else { names };
        let account = |(index, name): (usize, &String)| {
            let index = index as u32;
            Arc::new(Account {
                name: name.clone(),
                index,
                interest: Interest::of_account(index, name),
            })
        };
        let index = |name: &String| names.iter().position(|known| known == name);
        let shared = |import: &Import| {
            let (from, to) = (index(&import.from)? as u32, index(&import.to)? as u32);
            Some(Shared { from, to, subject: import.subject.clone().into_bytes() })
        };
        let imports = imports.iter().filter_map(shared).collect();
        Accounts { list: names.iter().enumerate().map(account).collect(), imports }
    }

    /// Adds a subscription of a valid subject to an account, and what stands for it in other accounts.
    pub fn subscribe(
        &self,
        account: &Account,
        link: &Arc<Link>,
        wanted: Wanted<'_>,
        terms: Option<Terms>,
    ) -> Arc<Sub> {
        let imports = self.imports_of(account.index, wanted.subject);
        if imports.is_empty() {
            return account.interest.subscribe_on(link, wanted, terms.map(Arc::new));
        }
        let terms = Arc::new(terms.unwrap_or_default());
        let sub = account.interest.subscribe_on(link, wanted, Some(terms.clone()));
        self.cast_shadows(&sub, &terms, &imports);
        sub
    }

    /// Puts a subscription under other terms; nothing when it is gone already.
    pub fn replace(&self, old: &Arc<Sub>, terms: Option<Terms>) -> Option<Arc<Sub>> {
        let account = self.at(old.account);
        let imports = self.imports_of(old.account, &old.subject);
        if imports.is_empty() {
            return account.interest.replace(old, terms.map(Arc::new));
        }
        let terms = Arc::new(terms.unwrap_or_default());
        let new = account.interest.replace(old, Some(terms.clone()))?;
        self.cast_shadows(&new, &terms, &imports);
        self.unsubscribe(old.shadows().iter());
        Some(new)
    }

    /// The subjects of other accounts that a subscription gets, with these accounts.
    fn imports_of(&self, account: u32, subject: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let own = self.imports.iter().filter(|import| import.to == account);
        own.filter_map(|import| Some((import.from, intersection(&import.subject, subject)?)))
            .collect()
    }

    fn cast_shadows(&self, sub: &Arc<Sub>, terms: &Terms, imports: &[(u32, Vec<u8>)]) {
        let shadow = |(from, subject): &(u32, Vec<u8>)| {
            let wanted = Wanted { subject, queue: sub.queue().map(|name| &**name), sid: sub.sid() };
            let terms = Arc::new(terms.for_shadow(sub));
            self.at(*from).interest.subscribe_on(&sub.link, wanted, Some(terms))
        };
        // They were empty until now.
        let _ = terms.shadows.set(imports.iter().map(shadow).collect());
    }

    /// The account of everybody who is in no other.
    pub fn usual(&self) -> &Arc<Account> {
        // The list is never empty.
        &self.list[0]
    }

    /// The account with an index.
    pub fn at(&self, index: u32) -> &Arc<Account> {
        // Indexes come from this list.
        self.list.get(index as usize).unwrap_or(self.usual())
    }

    /// The names of the accounts, in order.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|account| account.name.clone()).collect()
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
        let with_shadows = |sub: &'s Arc<Sub>| std::iter::once(sub).chain(sub.shadows());
        let mut subs = subs.flat_map(with_shadows).peekable();
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
    use crate::broker::link::tests::loose_link;

    #[test]
    fn accounts_do_not_see_each_other() {
        let accounts = Accounts::new(&["a".to_owned(), "b".to_owned()], &[]);
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
        assert_eq!(Accounts::new(&[], &[]).usual().name, "choria");
    }
}
