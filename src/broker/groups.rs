//! Queue groups by name. A peer chooses how many there are, so none is ever searched for one by one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::interest::Sub;
use super::link::Link;

/// The subscriptions of one queue group.
#[derive(Debug)]
pub(super) struct Group {
    pub name: Arc<[u8]>,
    pub members: Vec<Arc<Sub>>,
    /// Other brokers of the cluster with members of it.
    pub remotes: Vec<Remote>,
}

/// Members of a queue group behind a route.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub route: Arc<Link>,
    /// How many they are.
    pub weight: u32,
}

impl Group {
    /// Counts members behind a route in addition to those that are known there.
    pub fn add_remote(&mut self, remote: &Remote) {
        match self.remotes.iter_mut().find(|have| Arc::ptr_eq(&have.route, &remote.route)) {
            Some(have) => have.weight = have.weight.saturating_add(remote.weight),
            None => self.remotes.push(remote.clone()),
        }
    }

    /// Sets how many members there are behind a route; true when there were others before.
    pub fn set_remote(&mut self, remote: Remote) -> bool {
        match self.remotes.iter_mut().find(|have| Arc::ptr_eq(&have.route, &remote.route)) {
            Some(have) => std::mem::replace(&mut have.weight, remote.weight) != remote.weight,
            None => {
                self.remotes.push(remote);
                true
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.remotes.is_empty()
    }
}

/// Groups with different names.
#[derive(Debug, Default)]
pub(super) struct Groups {
    list: Vec<Group>,
    by_name: HashMap<Arc<[u8]>, usize>,
}

impl Groups {
    /// The name as it is kept here already.
    pub fn known_name(&self, name: &[u8]) -> Option<Arc<[u8]>> {
        self.by_name.get_key_value(name).map(|(name, _)| name.clone())
    }

    /// The members of a group, which is made when there is none.
    pub fn members(&mut self, name: &Arc<[u8]>) -> &mut Vec<Arc<Sub>> {
        &mut self.group(name).members
    }

    /// A group by its name.
    pub fn find(&self, name: &[u8]) -> Option<&Group> {
        self.list.get(*self.by_name.get(name)?)
    }

    /// A group, which is made when there is none.
    pub fn group(&mut self, name: &Arc<[u8]>) -> &mut Group {
        let index = self.by_name.get(name).copied().unwrap_or_else(|| {
            self.by_name.insert(name.clone(), self.list.len());
            let group = Group { name: name.clone(), members: Vec::new(), remotes: Vec::new() };
            self.list.push(group);
            self.list.len() - 1
        });
        // The index and the list change together.
        &mut self.list[index]
    }

    /// Removes a subscription from its group, and the group with its last one; false when it is not there.
    pub fn remove(&mut self, name: &[u8], sub: &Arc<Sub>) -> bool {
        self.change(name, |group| remove_member(&mut group.members, sub))
    }

    /// Removes the members behind a route; false when there are none.
    pub fn remove_remote(&mut self, name: &[u8], route: &Arc<Link>) -> bool {
        self.change(name, |group| {
            let before = group.remotes.len();
            group.remotes.retain(|remote| !Arc::ptr_eq(&remote.route, route));
            group.remotes.len() != before
        })
    }

    /// Removes something from a group, and the group when nothing is left of it; false when there is no such group.
    fn change(&mut self, name: &[u8], work: impl FnOnce(&mut Group) -> bool) -> bool {
        let Some(index) = self.by_name.get(name).copied() else { return false };
        let Some(group) = self.list.get_mut(index) else { return false };
        let found = work(group);
        if group.is_empty() {
            self.by_name.remove(name);
            self.list.swap_remove(index);
            if let Some(moved) = self.list.get(index) {
                self.by_name.insert(moved.name.clone(), index);
            }
        }
        found
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.list.iter()
    }

    pub fn into_list(self) -> Vec<Group> {
        self.list
    }
}

/// Adds a subscription, which remembers its place.
pub(super) fn add_member(list: &mut Vec<Arc<Sub>>, sub: Arc<Sub>) {
    sub.place.store(list.len() as u32, Ordering::Relaxed);
    if list.is_empty() {
        // Most subjects have one subscription.
        list.reserve_exact(1);
    }
    list.push(sub);
}

/// Removes a subscription by its place; false when it is not there.
pub(super) fn remove_member(list: &mut Vec<Arc<Sub>>, sub: &Arc<Sub>) -> bool {
    let place = sub.place.load(Ordering::Relaxed) as usize;
    let found = list.get(place).is_some_and(|have| Arc::ptr_eq(have, sub));
    if found {
        list.swap_remove(place);
        if let Some(moved) = list.get(place) {
            moved.place.store(place as u32, Ordering::Relaxed);
        }
    }
    found
}
