//! The answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Library;

/// Messages and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages from the connection, or from all of a group of them.
    pub in_messages: u64,
    /// Bytes of their headers and payloads.
    pub in_bytes: u64,
    /// Messages to it.
    pub out_messages: u64,
    /// Bytes to it.
    pub out_bytes: u64,
}

impl Traffic {
    /// What came on top of an earlier amount.
    pub fn since(self, before: Traffic) -> Traffic {
        Traffic {
            in_messages: self.in_messages.wrapping_sub(before.in_messages),
            in_bytes: self.in_bytes.wrapping_sub(before.in_bytes),
            out_messages: self.out_messages.wrapping_sub(before.out_messages),
            out_bytes: self.out_bytes.wrapping_sub(before.out_bytes),
        }
    }

    /// Adds another amount.
    pub fn add(&mut self, more: Traffic) {
        self.in_messages += more.in_messages;
        self.in_bytes += more.in_bytes;
        self.out_messages += more.out_messages;
        self.out_bytes += more.out_bytes;
    }
}

/// One connection, open or closed.
#[derive(Debug, Clone)]
pub struct ConnectionReport {
    /// Its number, unique since the broker started.
    pub cid: u64,
    /// `nats` or `websocket`.
    pub transport: &'static str,
    /// Where it comes from.
    pub address: SocketAddr,
    /// When it was accepted.
    pub opened: SystemTime,
    /// When something came from it.
    pub active: SystemTime,
    /// When it ended, and the words nats-server has for the reason.
    pub closed: Option<(SystemTime, &'static str)>,
    /// Time from a PING to its PONG, once one was measured.
    pub rtt: Option<Duration>,
    /// Bytes that wait for it.
    pub pending_bytes: u64,
    /// What it sent and got.
    pub traffic: Traffic,
    /// Subscriptions; of a closed one those it had at its end.
    pub subscriptions: usize,
    /// The name it gave itself.
    pub name: Box<str>,
    /// The client library.
    pub library: Arc<Library>,
    /// Who it proved to be.
    pub user: Box<str>,
    /// Index of its account, for [`super::Observer::account_name`].
    pub account: u32,
    /// Version and cipher suite of TLS.
    pub tls: Option<(&'static str, &'static str)>,
    /// The certificate it showed, if asked for.
    pub certificate: Option<Box<CertificateReport>>,
    /// Its subscriptions, if asked for.
    pub listed: Vec<SubscriptionReport>,
}

/// A certificate that a peer showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateReport {
    /// Its subject, or what is known of it.
    pub subject: String,
    /// SHA-256 of its public key, in hex.
    pub spki_sha256: String,
    /// SHA-256 of all of it, in hex.
    pub cert_sha256: String,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionReport {
    /// Index of its account, for [`super::Observer::account_name`].
    pub account: u32,
    /// What it is for.
    pub subject: String,
    /// Its group; empty without one.
    pub queue: String,
    /// The client's name for it.
    pub sid: String,
    /// Messages delivered.
    pub delivered: u64,
    /// Messages after which it ends; 0 for never.
    pub max: u64,
    /// Number of its connection.
    pub cid: u64,
}

/// One account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountReport {
    /// Its name.
    pub name: String,
    /// Connections in it.
    pub connections: usize,
    /// Subscriptions in it.
    pub subscriptions: usize,
    /// What went through it: `in_` from its connections, `out_` to them.
    pub traffic: Traffic,
    /// Connections of it that were closed because they did not keep up.
    pub slow_consumers: u64,
}

/// What is known about look-ups of subjects.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Lookups {
    /// Results that are kept.
    pub kept: u64,
    /// Receivers in all of them.
    pub receivers: u64,
    /// Receivers of the one with the most.
    pub receivers_max: u64,
    /// Subscriptions added since the start.
    pub inserts: u64,
    /// Subscriptions removed since the start.
    pub removes: u64,
    /// Look-ups that found no kept result.
    pub misses: u64,
}
