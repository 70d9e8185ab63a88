//! The file of groups: names for lists of callers.

use std::collections::HashMap;
use std::collections::HashSet;

use super::fault::{Unread, UnreadLine};
use super::parse::{is_comment, lines};
use super::{GROUPS_MAX, plain};

/// The groups of a node. Members are exact caller ids; a group in a group is not a thing.
#[derive(Debug, Default)]
pub struct Groups {
    members: HashMap<String, HashSet<String>>,
    faults: Vec<UnreadLine>,
}

impl Groups {
    /// Reads lines `name member member…`. Of two lines with one name the later counts.
    pub fn parse(bytes: &[u8]) -> Groups {
        let mut groups = Groups::default();
        for (line, text) in lines(bytes) {
            let text = match text {
                Ok(text) if is_comment(text) => continue,
                Ok(text) => text,
                Err(why) => {
                    groups.faults.push(UnreadLine { line, text: String::new(), why });
                    continue;
                }
            };
            if let Err(why) = groups.add(text) {
                groups.faults.push(UnreadLine { line, text: plain(text), why });
            }
        }
        groups
    }

    fn add(&mut self, text: &str) -> Result<(), Unread> {
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        if text.starts_with(char::is_whitespace) {
            return Err(Unread::Indented);
        }
        if !is_name(name) {
            return Err(Unread::GroupName);
        }
        let members: HashSet<String> = words.map(str::to_owned).collect();
        if members.is_empty() {
            return Err(Unread::NoMembers);
        }
        if self.members.len() >= GROUPS_MAX && !self.members.contains_key(name) {
            return Err(Unread::TooManyGroups);
        }
        self.members.insert(name.to_owned(), members);
        Ok(())
    }

    /// Whether a caller is a member; nothing when there is no such group.
    pub fn has(&self, group: &str, caller: &str) -> Option<bool> {
        self.members.get(group).map(|members| members.contains(caller))
    }

    /// Lines that cannot be read.
    pub fn faults(&self) -> &[UnreadLine] {
        &self.faults
    }

    /// The names of all groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }
}

fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    !text.is_empty() && text.bytes().all(fits)
}
