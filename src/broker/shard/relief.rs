//! What is done when too much waits for all receivers together.

use super::Shard;
use crate::broker::home::Mail;
use crate::broker::link::Failure;
use crate::broker::listeners::Kind;

impl Shard {
    /// Asks all loops to make room, if there is none.
    pub(super) fn relieve_when_over(&mut self) {
        if self.cx.home.waiting.take_over() {
            self.cx.shared.homes.iter().for_each(|home| home.post(Mail::Relieve));
        }
    }

    /// Gives up those receivers for which most waits. Other brokers are left alone: a lost route costs everybody behind
    /// it, and what waits for it is bounded by itself.
    pub(super) fn relieve(&mut self) {
        let waiting = &self.cx.home.waiting;
        if waiting.too_long().is_none() {
            return;
        }
        let clients = self.connections.values().filter(|it| it.endpoint.peer.kind != Kind::Route);
        let mut links: Vec<_> = clients
            .map(|connection| (connection.endpoint.link.amounts().0, &connection.endpoint.link))
            .filter(|(bytes, _)| *bytes > 0)
            .collect();
        links.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, link) in links {
            match waiting.too_long() {
                Some(too_long) if bytes >= too_long => link.give_up(Failure::PendingBytes),
                _ => break,
            }
        }
        // Those that are left may be the next, if it was not enough.
        waiting.forget_longest();
    }
}
