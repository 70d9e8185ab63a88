//! What an idle connection takes in memory. There are tens of thousands of them.

use std::mem::size_of;

use crate::broker::connection::Connection;
use crate::broker::endpoint::Peer;
use crate::broker::interest::Sub;
use crate::broker::link::Link;

/// Subscriptions of a server of a fleet.
const SUBSCRIPTIONS: usize = 8;
/// The counters of an `Arc`.
const COUNTERS: usize = 16;

/// What the allocators take for an object of this size, to within some bytes.
fn allocated(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16)
}

#[test]
fn an_idle_connection_is_small() {
    let parts = [
        ("connection", allocated(size_of::<Connection>()), 304),
        ("peer", allocated(size_of::<Peer>()), 144),
        ("link", allocated(COUNTERS + size_of::<Link>()), 128),
        ("subscription", allocated(COUNTERS + size_of::<Sub>()), 96),
    ];
    for (part, bytes, bytes_max) in parts {
        assert!(bytes <= bytes_max, "{part} takes {bytes} bytes");
    }
    let total: usize = parts.iter().map(|(_, bytes, _)| bytes).sum();
    let total = total + (SUBSCRIPTIONS - 1) * allocated(COUNTERS + size_of::<Sub>());
    assert!(total <= 1350, "together {total} bytes");
}
