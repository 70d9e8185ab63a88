//! The brokers a client may use: those that were found, and those a broker named.

use std::net::IpAddr;

use crate::net::servers::{Scheme, Server};

/// Most brokers remembered that a broker named.
const NAMED_MAX: usize = 64;

/// A broker and the name its certificate must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) server: Server,
    pub(super) tls_name: String,
}

impl Target {
    pub(super) fn new(server: Server) -> Self {
        Self { tls_name: server.host.clone(), server }
    }
}

/// Known brokers.
#[derive(Debug, Default)]
pub(super) struct Pool {
    found: Vec<Target>,
    named: Vec<Target>,
    current: Option<Target>,
}

impl Pool {
    /// Replaces the brokers that were configured or found by name.
    pub(super) fn set_found(&mut self, servers: Vec<Server>) {
        self.found = servers.into_iter().map(Target::new).collect();
    }

    /// Whether any broker is known.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Takes over what a broker says about its cluster; an empty list says nothing.
    pub(super) fn set_named(&mut self, urls: &[String]) {
        let Some(current) = &self.current else { return };
        if urls.is_empty() {
            return;
        }
        let targets = urls.iter().take(NAMED_MAX).filter_map(|url| named_target(url, current));
        self.named =
            targets.filter(|target| !self.found.iter().any(|have| same(have, target))).collect();
    }

    pub(super) fn set_current(&mut self, target: Option<Target>) {
        self.current = target;
    }

    pub(super) fn current(&self) -> Option<&Target> {
        self.current.as_ref()
    }

    /// The order of one round: the broker that was used last comes last, others named by it after those found.
    pub(super) fn round(&self) -> Vec<Target> {
        let mut named = self.named.clone();
        fastrand::shuffle(&mut named);
        let all = self.found.iter().cloned().chain(named);
        let (last, mut order): (Vec<_>, Vec<_>) = all
            .partition(|target| self.current.as_ref().is_some_and(|current| same(current, target)));
        order.extend(last);
        order
    }
}

fn same(a: &Target, b: &Target) -> bool {
    a.server.host.eq_ignore_ascii_case(&b.server.host) && a.server.port == b.server.port
}

/// A broker known by `host:port` only. A bare address is expected to show the certificate of the broker that named it.
fn named_target(url: &str, current: &Target) -> Option<Target> {
    let mut server: Server = url.parse().ok()?;
    if current.server.scheme == Scheme::Tls {
        server.scheme = Scheme::Tls;
    }
    let mut target = Target::new(server);
    if target.server.host.parse::<IpAddr>().is_ok() {
        target.tls_name = current.tls_name.clone();
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(pool: &Pool) -> Vec<String> {
        pool.round().iter().map(|target| target.server.to_string()).collect()
    }

    #[test]
    fn a_round_ends_with_the_broker_that_was_lost() {
        let mut pool = Pool::default();
        pool.set_found(vec![Server::nats("a", 1), Server::nats("b", 1), Server::nats("c", 1)]);
        assert_eq!(hosts(&pool), ["nats://a:1", "nats://b:1", "nats://c:1"]);
        pool.set_current(Some(Target::new(Server::nats("a", 1))));
        assert_eq!(hosts(&pool), ["nats://b:1", "nats://c:1", "nats://a:1"]);
    }

    #[test]
    fn named_brokers_follow_and_vanish_when_no_longer_named() {
        let mut pool = Pool::default();
        pool.set_found(vec![Server::nats("a", 1)]);
        pool.set_current(Some(Target::new(Server::nats("a", 1))));
        pool.set_named(&["a:1".into(), "10.0.0.1:4".into(), "bad".into(), "[::1]:5".into()]);
        let mut round = pool.round();
        assert_eq!(round.pop().map(|target| target.server.host), Some("a".into()));
        assert_eq!(round.len(), 2);
        assert!(round.iter().all(|target| target.tls_name == "a"));
        pool.set_named(&[]);
        assert_eq!(pool.round().len(), 3);
        pool.set_named(&["b:1".into()]);
        assert_eq!(hosts(&pool), ["nats://b:1", "nats://a:1"]);
    }
}
