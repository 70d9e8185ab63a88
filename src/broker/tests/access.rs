//! Users, accounts and permissions.

use super::*;
use crate::broker::Import;
use crate::broker::access::{Access, UserList};

const ALL: &str = r#"{
    "accounts": {"other": {}},
    "users": [
        {"user": "admin", "password": "x"},
        {"user": "stranger", "password": "x", "account": "other"},
        {"user": "node", "password": "x", "permissions": {
            "publish": {"deny": ["*.broadcast.>"]},
            "subscribe": {"deny": ["*.reply.>", "secret", "jobs prod.*"]}}},
        {"user": "service", "password": "x", "permissions": {
            "subscribe": {"allow": ["q", "free.>"]},
            "allow_responses": {"max": 2, "expires": "1m"}}},
        {"token": "t0ken", "permissions": {"publish": {"allow": ["only"]}}}
    ]}"#;

fn access(json: &str) -> Access {
    let users: UserList = serde_json::from_str(json).expect("list");
    Access { users, ..Access::default() }
}

fn broker() -> Broker {
    let import = |from: &str, to: &str| Import {
        from: from.to_owned(),
        to: to.to_owned(),
        subject: "choria.lifecycle.>".to_owned(),
    };
    let settings = settings();
    let accounts = ["choria", "system", "other"].map(str::to_owned).to_vec();
    start(Settings {
        accounts,
        imports: vec![import("other", "choria")],
        access: access(ALL),
        ..settings
    })
}

fn login(broker: &Broker, user: &str) -> Peer {
    Peer::with(broker, &format!("\"headers\":true,\"user\":\"{user}\",\"pass\":\"x\""))
}

fn refused(broker: &Broker, more: &str) {
    let (mut peer, info) = Peer::raw(broker);
    assert!(info.auth_required);
    peer.send(&format!("CONNECT {{\"verbose\":false,{more}}}\r\nPING\r\n"));
    peer.expect_end("-ERR 'Authorization Violation'\r\n");
}

#[test]
fn who_comes_in() {
    let broker = broker();
    refused(&broker, "\"user\":\"admin\",\"pass\":\"wrong\"");
    refused(&broker, "\"user\":\"admin\"");
    refused(&broker, "\"user\":\"nobody\",\"pass\":\"x\"");
    refused(&broker, "\"auth_token\":\"other\"");
    refused(&broker, "\"name\":\"just that\"");
    login(&broker, "admin").sync();
    let mut peer = Peer::with(&broker, "\"auth_token\":\"t0ken\"");
    peer.send("PUB only 0\r\n\r\nPUB other 0\r\n\r\nPING\r\n");
    peer.expect("-ERR 'Permissions Violation for Publish to \"other\"'\r\nPONG\r\n");
    // A second CONNECT is a new login.
    peer.send("CONNECT {\"verbose\":false,\"user\":\"admin\",\"pass\":\"x\"}\r\n");
    peer.send("PUB other 0\r\n\r\nPING\r\n");
    peer.expect("PONG\r\n");
    peer.send("CONNECT {\"verbose\":false,\"user\":\"admin\",\"pass\":\"y\"}\r\n");
    peer.expect_end("-ERR 'Authorization Violation'\r\n");
    assert_eq!(broker.statistics().refused, 6);
}

#[test]
fn nobody_logs_in_by_token_again_and_again() {
    let broker = broker();
    let again = "CONNECT {\"verbose\":false,\"auth_token\":\"t0ken\"}\r\n";
    let mut peer = Peer::with(&broker, "\"auth_token\":\"t0ken\"");
    peer.send(&again.repeat(9));
    peer.sync();
    peer.send(again);
    peer.expect_end("-ERR 'Authorization Violation'\r\n");
}

#[test]
fn accounts_are_apart() {
    let broker = broker();
    let (mut admin, mut stranger) = (login(&broker, "admin"), login(&broker, "stranger"));
    stranger.send("SUB > 1\r\nSUB a q 2\r\n");
    stranger.sync();
    admin.send("SUB > 1\r\n");
    admin.sync();
    admin.send("PUB a 1\r\nx\r\n");
    admin.expect("MSG a 1 1\r\nx\r\n");
    stranger.expect_silence();
    stranger.send("PUB b 1\r\ny\r\n");
    stranger.expect("MSG b 1 1\r\ny\r\n");
    admin.expect_silence();
}

#[test]
fn what_may_be_published_and_subscribed_to() {
    let broker = broker();
    let mut admin = login(&broker, "admin");
    let mut node = login(&broker, "node");
    admin.send("SUB x.broadcast.> 1\r\n");
    admin.sync();
    node.send("PUB x.broadcast.agent 2 \r\nno\r\n");
    node.expect("-ERR 'Permissions Violation for Publish to \"x.broadcast.agent\"'\r\n");
    admin.expect_silence();
    node.send("SUB x.reply.1 1\r\nSUB x.reply.> q 2\r\nSUB secret 3\r\nSUB jobs prod.a 4\r\n");
    for text in [
        "Subscription to \"x.reply.1\"",
        "Subscription to \"x.reply.>\" using queue \"q\"",
        "Subscription to \"secret\"",
        "Subscription to \"jobs\" using queue \"prod.a\"",
    ] {
        node.expect(&format!("-ERR 'Permissions Violation for {text}'\r\n"));
    }
    admin.send("PUB x.reply.1 0\r\n\r\nPUB secret 0\r\n\r\n");
    admin.sync();
    node.expect_silence();
    // Verbose clients get the error alone.
    let mut verbose = Peer::raw(&broker).0;
    verbose
        .send("CONNECT {\"pedantic\":false,\"user\":\"node\",\"pass\":\"x\"}\r\nSUB secret 1\r\n");
    verbose.send("PUB a.broadcast.b 0\r\n\r\nPUB a 0\r\n\r\n");
    verbose.expect(
        "+OK\r\n-ERR 'Permissions Violation for Subscription to \"secret\"'\r\n\
         -ERR 'Permissions Violation for Publish to \"a.broadcast.b\"'\r\n+OK\r\n",
    );
}

#[test]
fn a_broad_subscription_does_not_get_what_is_denied() {
    let broker = broker();
    let mut admin = login(&broker, "admin");
    let mut node = login(&broker, "node");
    node.send("SUB > 1\r\nSUB * prod.a 2\r\nSUB x.*.1 3\r\n");
    node.sync();
    // Twice, so that the second look-up is one that was kept.
    for _ in 0..2 {
        admin.send("PUB x.reply.1 0\r\n\r\nPUB secret 0\r\n\r\nHPUB x.reply.2 0 0\r\n\r\nPUB jobs 0\r\n\r\n");
        admin.sync();
        node.expect("MSG jobs 1 0\r\n\r\n");
        node.expect_silence();
    }
    // Nobody got it, so the requester is told.
    let mut asking = Peer::with(
        &broker,
        "\"headers\":true,\"no_responders\":true,\"user\":\"admin\",\"pass\":\"x\"",
    );
    asking.send("SUB in 1\r\nPUB secret in 0\r\n\r\n");
    asking.expect("HMSG in 1 38 38\r\nNATS/1.0 503\r\nNats-Subject: secret\r\n\r\n\r\n");
}

#[test]
fn requests_may_be_answered() {
    let broker = broker();
    let mut admin = login(&broker, "admin");
    let mut service = login(&broker, "service");
    service.send("SUB q 1\r\nSUB free.> w 2\r\nSUB other 3\r\n");
    service.expect("-ERR 'Permissions Violation for Subscription to \"other\"'\r\n");
    admin.send("SUB r.* 1\r\nPUB q r.1 0\r\n\r\nPUB free.a r.2 0\r\n\r\n");
    service.expect("MSG q 1 r.1 0\r\n\r\nMSG free.a 2 r.2 0\r\n\r\n");
    service.send(
        "PUB r.3 0\r\n\r\nPUB r.1 0\r\n\r\nPUB r.1 0\r\n\r\nPUB r.1 0\r\n\r\nPUB r.2 0\r\n\r\n",
    );
    service.expect("-ERR 'Permissions Violation for Publish to \"r.3\"'\r\n");
    service.expect("-ERR 'Permissions Violation for Publish to \"r.1\"'\r\n");
    service.sync();
    admin.expect("MSG r.1 1 0\r\n\r\nMSG r.1 1 0\r\n\r\nMSG r.2 1 0\r\n\r\n");
    // What is reserved stays so.
    admin.send("PUB q $NRG.x 0\r\n\r\n");
    service.expect("MSG q 1 $NRG.x 0\r\n\r\n");
    service.send("PUB $NRG.x 0\r\n\r\n");
    service.expect("-ERR 'Permissions Violation for Publish to \"$NRG.x\"'\r\n");
}

#[test]
fn some_messages_cross_accounts() {
    let broker = broker();
    let mut stranger = login(&broker, "stranger");
    let subscribe = |subjects: &str| {
        let mut admin = login(&broker, "admin");
        admin.send(subjects);
        admin.sync();
        admin
    };
    let mut all = subscribe("SUB > 1\r\n");
    let mut some = subscribe("SUB choria.*.event.> g 7\r\nSUB choria.machine.> 8\r\n");
    let mut ending = subscribe("SUB choria.lifecycle.> 5\r\nUNSUB 5 2\r\n");
    stranger.send("PUB choria.lifecycle.event.x 1\r\na\r\nPUB choria.machine.x 1\r\nb\r\n");
    stranger.send("PUB choria.lifecycle.other 1\r\nc\r\nPUB choria.lifecycle.third 1\r\nd\r\n");
    stranger.sync();
    for (subject, text) in [("event.x", "a"), ("other", "c"), ("third", "d")] {
        all.expect(&format!("MSG choria.lifecycle.{subject} 1 1\r\n{text}\r\n"));
    }
    some.expect("MSG choria.lifecycle.event.x 7 1\r\na\r\n");
    ending
        .expect("MSG choria.lifecycle.event.x 5 1\r\na\r\nMSG choria.lifecycle.other 5 1\r\nc\r\n");
    [&mut all, &mut some, &mut ending].into_iter().for_each(Peer::expect_silence);
    // Nothing goes the other way, and what ended is gone from both.
    stranger.send("SUB > 1\r\n");
    stranger.sync();
    all.send("PUB choria.lifecycle.event.y 1\r\nz\r\n");
    all.expect("MSG choria.lifecycle.event.y 1 1\r\nz\r\n");
    stranger.expect_silence();
    drop((all, some, ending));
    eventually("one subscription is left", || broker.statistics().subscriptions == 1);
}

#[test]
fn rules_change_under_live_connections() {
    let broker = broker();
    let mut admin = login(&broker, "admin");
    let mut node = login(&broker, "node");
    let mut token = Peer::with(&broker, "\"auth_token\":\"t0ken\"");
    node.send("SUB > 1\r\nSUB a 2\r\nSUB b 3\r\nUNSUB 3 3\r\nSUB a.* q 4\r\n");
    node.sync();
    admin.send("PUB b 0\r\n\r\n");
    node.expect("MSG b 3 0\r\n\r\nMSG b 1 0\r\n\r\n");
    let changed = r#"{"users": [
        {"user": "admin", "password": "x"},
        {"user": "node", "password": "x", "permissions": {
            "publish": {"allow": ["n"]},
            "subscribe": {"deny": ["a", "b.*"]}}}]}"#;
    broker.reload_access(&access(changed)).expect("is right");
    token.expect_end("-ERR 'Authorization Violation'\r\n");
    node.expect("-ERR 'Permissions Violation for Subscription to \"a\"'\r\n");
    admin.send("PUB a 0\r\n\r\nPUB b.c 0\r\n\r\nPUB x.reply.y 0\r\n\r\n");
    node.expect("MSG x.reply.y 1 0\r\n\r\n");
    node.send("PUB m 0\r\n\r\n");
    node.expect("-ERR 'Permissions Violation for Publish to \"m\"'\r\n");
    // What was delivered before counts.
    admin.send("PUB b 0\r\n\r\nPUB b 0\r\n\r\nPUB b 0\r\n\r\n");
    let (own, all) = ("MSG b 3 0\r\n\r\n", "MSG b 1 0\r\n\r\n");
    node.expect(&[own, all, own, all, all].concat());
    refused(&broker, "\"auth_token\":\"t0ken\"");
    let unknown = r#"{"users": [{"user": "a", "password": "b", "account": "nowhere"}]}"#;
    assert!(broker.reload_access(&access(unknown)).is_err());
    admin.sync();
}
