//! What a broker can tell about its connections.

use super::*;
use crate::broker::{
    ConnectionQuery, ConnectionState, Detail, Event, Observer, Order, SubscriptionQuery,
};

fn numbers(observer: &Observer, query: ConnectionQuery) -> (usize, Vec<usize>) {
    let page = smol::block_on(observer.connections(query));
    (page.total, page.entries.iter().map(|entry| entry.subscriptions).collect())
}

fn query(order: Order, offset: usize, limit: usize) -> ConnectionQuery {
    ConnectionQuery { order, offset, limit, ..ConnectionQuery::default() }
}

#[test]
fn connections_of_all_event_loops_in_one_order() {
    let broker = start(settings());
    let observer = broker.observer();
    let mut peers: Vec<Peer> = (0..12).map(|_| Peer::open(&broker)).collect();
    for (count, peer) in peers.iter_mut().enumerate() {
        (0..count).for_each(|sid| peer.send(&format!("SUB n{count}.{sid} {sid}\r\n")));
        peer.sync();
    }
    let all: Vec<usize> = (0..12).collect();
    assert_eq!(numbers(&observer, query(Order::Cid, 0, 100)), (12, all));
    assert_eq!(numbers(&observer, query(Order::Uptime, 1, 3)), (12, vec![10, 9, 8]));
    assert_eq!(numbers(&observer, query(Order::Subscriptions, 2, 2)), (12, vec![9, 8]));
    assert_eq!(numbers(&observer, query(Order::Cid, 11, 5)), (12, vec![11]));
    assert_eq!(numbers(&observer, query(Order::Cid, 50, usize::MAX)), (12, vec![]));
    let with = |account: &str, subject: &str| ConnectionQuery {
        account: Some(account.to_owned()),
        subject: Some(subject.to_owned()),
        ..query(Order::Cid, 0, 100)
    };
    assert_eq!(numbers(&observer, with("choria", "*.5")), (6, vec![6, 7, 8, 9, 10, 11]));
    assert_eq!(numbers(&observer, with("system", "*.5")), (0, vec![]));
    assert_eq!(numbers(&observer, with("nobody", ">")), (0, vec![]));
    let query = SubscriptionQuery {
        subject: Some("n3.1".to_owned()),
        limit: 10,
        ..SubscriptionQuery::default()
    };
    let page = smol::block_on(observer.subscriptions(query));
    assert_eq!((page.total, page.entries[0].sid.as_str()), (1, "1"));
    let query = SubscriptionQuery { offset: 60, limit: 4, ..SubscriptionQuery::default() };
    let page = smol::block_on(observer.subscriptions(query));
    assert_eq!((page.total, page.entries.len()), (66, 4));
    assert!(page.entries.iter().all(|entry| entry.subject.starts_with("n11.")));
}

#[test]
fn traffic_and_ends_are_written_down() {
    let broker = start(settings());
    let observer = broker.observer();
    let events = observer.events().expect("nobody has asked before");
    assert!(observer.events().is_none());
    let mut receiver = Peer::with(&broker, "\"name\":\"r\",\"lang\":\"rust\",\"version\":\"1\"");
    receiver.send("SUB a 1\r\nSUB a 2\r\nUNSUB 2 1\r\n");
    receiver.sync();
    let mut sender = Peer::open(&broker);
    sender.send("PUB a 2\r\nhi\r\nPUB a 3\r\nyou\r\n");
    sender.sync();
    receiver.expect("MSG a 1 2\r\nhi\r\nMSG a 2 2\r\nhi\r\nMSG a 1 3\r\nyou\r\n");
    let detail = Detail { subscriptions: true, certificate: false };
    let query = ConnectionQuery { detail, ..query(Order::MessagesTo, 0, 10) };
    let page = smol::block_on(observer.connections(query));
    let first = &page.entries[0];
    assert_eq!((&*first.name, &*first.library.language), ("r", "rust"));
    assert_eq!((first.traffic.out_messages, first.traffic.in_messages), (3, 0));
    assert_eq!((page.entries[1].traffic.in_messages, page.entries[1].traffic.in_bytes), (2, 5));
    sender.send("NONSENSE\r\n");
    sender.expect_end("-ERR 'Unknown Protocol Operation'\r\n");
    let closed =
        ConnectionQuery { state: ConnectionState::Closed, limit: 10, ..ConnectionQuery::default() };
    eventually("a connection is closed", || {
        smol::block_on(observer.connections(closed.clone())).total == 1
    });
    let page = smol::block_on(observer.connections(closed));
    assert_eq!(page.entries[0].closed.map(|(_, reason)| reason), Some("Parse Error"));
    assert_eq!(page.entries[0].traffic.in_messages, 2);
    let kinds: Vec<_> = events
        .try_iter()
        .map(|event| match event {
            Event::Connected(_) => "connected",
            Event::Disconnected(_) => "disconnected",
            Event::Refused(_) => "refused",
        })
        .collect();
    assert_eq!(kinds, ["connected", "connected", "disconnected"]);
    let accounts = smol::block_on(observer.accounts());
    assert_eq!((accounts[0].connections, accounts[0].traffic.in_messages), (1, 2));
    assert_eq!(accounts[0].traffic.out_messages, 3);
    assert_eq!(observer.lost_events(), 0);
}

#[test]
fn events_that_nobody_takes_harm_nobody() {
    let broker = start(Settings { threads: 1, ..settings() });
    let observer = broker.observer();
    // Nobody takes them.
    let _events = observer.events().expect("nobody has asked before");
    for _ in 0..30 {
        drop(Peer::open(&broker));
    }
    let closed = ConnectionQuery { state: ConnectionState::Closed, ..ConnectionQuery::default() };
    eventually("all are closed", || {
        smol::block_on(observer.connections(closed.clone())).total == 30
    });
    assert_eq!(broker.statistics().connections, 0);
}

#[test]
fn a_round_trip_is_measured_when_somebody_asks() {
    let broker = start(settings());
    let observer = broker.observer();
    let mut peer = Peer::with(&broker, "\"lang\":\"rust\"");
    let mut typing = Peer::open(&broker);
    let ask = || smol::block_on(observer.connections(query(Order::Rtt, 0, 10))).entries;
    assert!(ask().iter().all(|entry| entry.rtt.is_none()));
    peer.expect("PING\r\n");
    peer.send("PONG\r\n");
    peer.sync();
    assert!(ask()[0].rtt.is_some_and(|rtt| rtt < PATIENCE));
    // Whoever types by hand is not bothered.
    typing.expect_silence();
    peer.expect_silence();
}
