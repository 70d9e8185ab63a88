use super::*;
use crate::protocol::{Version, subject};

const CLUSTER: &str = "mcollective";

fn captured(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/wire/v1");
    std::fs::read(format!("{folder}/{name}.json")).unwrap()
}

fn replies() -> String {
    subject::federation_collective(CLUSTER)
}

fn federated(version: Version) -> Transport {
    let mut transport = Transport::new(version, b"{\"signed\":1}".to_vec(), "shell.example.net");
    transport.reply_to = Some("mcollective.reply.0f.1".to_owned());
    transport.append_hop("nats://f:1", "shell.example.net", "nats://f:1");
    transport.federation = Some(Federation {
        request_id: "a1".to_owned(),
        reply_to: String::new(),
        targets: vec!["mcollective.node.n1".to_owned(), "mcollective.node.n2".to_owned()],
    });
    transport
}

/// The bytes that a captured message becomes.
fn passed(name: &str, is_request: bool, hop: &[&str; 3]) -> (Vec<u8>, Vec<String>) {
    let mut transport = ingest(&captured(name)).unwrap();
    let onward =
        if is_request { request(&mut transport, &replies()) } else { reply(&mut transport) };
    transport.append_hop(hop[0], hop[1], hop[2]);
    (transport.encode(), onward.unwrap().targets)
}

#[test]
fn captured_messages_become_what_the_reference_made_of_them() {
    let last_hop = |name: &str| -> [String; 3] {
        Transport::decode(&captured(name)).unwrap().hops.pop().unwrap()
    };
    for (before, after, is_request, target) in [
        ("federated.request", "federated_collective.request", true, "mcollective.node."),
        ("federated_collective.reply", "federated.reply", false, "mcollective.reply."),
        (
            "federated_ping.request",
            "federated_ping_collective.request",
            true,
            "mcollective.broadcast.agent.discovery",
        ),
        ("federated_ping_collective.reply", "federated_ping.reply", false, "mcollective.reply."),
    ] {
        let hop = last_hop(after);
        let (bytes, targets) = passed(before, is_request, &[&hop[0], &hop[1], &hop[2]]);
        assert_eq!(String::from_utf8(bytes), String::from_utf8(captured(after)), "{before}");
        assert!(!targets.is_empty() && targets.iter().all(|to| to.starts_with(target)), "{before}");
    }
}

#[test]
fn a_round_trip_in_both_versions_leaves_an_ordinary_reply() {
    for version in [Version::V1, Version::V2] {
        let mut there = ingest(&federated(version).encode()).unwrap();
        let onward = request(&mut there, &replies()).unwrap();
        assert_eq!(onward.targets, ["mcollective.node.n1", "mcollective.node.n2"]);
        assert_eq!(onward.refused, []);
        assert_eq!(there.reply_to.as_deref(), Some("choria.federation.mcollective.collective"));
        let federation = there.federation.clone().unwrap();
        assert_eq!((federation.request_id.as_str(), federation.targets.len()), ("a1", 0));
        assert_eq!(federation.reply_to, "mcollective.reply.0f.1");
        there.append_hop("nats://f:1", "fed", "nats://c:1");
        assert_eq!(there.data, b"{\"signed\":1}");

        // What a server makes of it.
        let mut back = Transport::new(version, b"answer".to_vec(), "n1");
        back.federation = there.federation.clone();
        back.hops = there.hops.clone();
        back.append_hop("nats://c:1", "n1", "nats://c:1");
        let mut back = ingest(&back.encode()).unwrap();
        let onward = reply(&mut back).unwrap();
        assert_eq!(onward.targets, ["mcollective.reply.0f.1"]);
        assert_eq!((back.federation.as_ref(), back.reply_to.as_ref()), (None, None));
        back.append_hop("nats://c:1", "fed", "nats://f:1");
        let back = Transport::decode(&back.encode()).unwrap();
        assert_eq!((back.hops.len(), back.data.as_slice()), (4, &b"answer"[..]));
    }
}

#[test]
fn what_is_dropped() {
    fn drop_of(change: impl Fn(&mut Transport), is_request: bool) -> Dropped {
        let mut transport = federated(Version::V1);
        change(&mut transport);
        let read = ingest(&transport.encode());
        let passed = read.and_then(|mut transport| match is_request {
            true => request(&mut transport, "choria.federation.x.collective"),
            false => reply(&mut transport),
        });
        passed.expect_err("it is dropped")
    }
    fn headers(transport: &mut Transport) -> &mut Federation {
        transport.federation.as_mut().unwrap()
    }
    assert!(matches!(ingest(b"{"), Err(Dropped::Unreadable(_))));
    assert!(matches!(ingest(b""), Err(Dropped::Unreadable(_))));
    assert_eq!(drop_of(|t| t.federation = None, true), Dropped::NotFederated);
    assert_eq!(drop_of(|t| t.federation = None, false), Dropped::NotFederated);
    // Present and empty is federated, and goes nowhere.
    let empty = |t: &mut Transport| t.federation = Some(Federation::default());
    assert_eq!(drop_of(empty, true), Dropped::NoTargets);
    assert_eq!(drop_of(empty, false), Dropped::NoReply);
    assert_eq!(drop_of(|t| t.reply_to = None, true), Dropped::NoReply);
    let looped = "choria.federation.mcollective.federation";
    assert_eq!(
        drop_of(|t| t.reply_to = Some(looped.to_owned()), true),
        Dropped::Reply(looped.to_owned())
    );
    assert_eq!(
        drop_of(|t| looped.clone_into(&mut headers(t).reply_to), false),
        Dropped::Reply(looped.to_owned())
    );
}

#[test]
fn one_bad_target_does_not_stop_the_others() {
    let mut transport = federated(Version::V2);
    let targets = &mut transport.federation.as_mut().unwrap().targets;
    targets.insert(1, "mcollective.node.>".to_owned());
    targets.push("choria.federation.other.federation".to_owned());
    let onward = request(&mut transport, &replies()).unwrap();
    assert_eq!(onward.targets, ["mcollective.node.n1", "mcollective.node.n2"]);
    assert_eq!(
        onward.refused,
        [
            Dropped::Target("mcollective.node.>".to_owned()),
            Dropped::Target("choria.federation.other.federation".to_owned())
        ]
    );
}

#[test]
fn reasons_have_labels() {
    let all = [
        Dropped::NotFederated,
        Dropped::NoTargets,
        Dropped::NoReply,
        Dropped::Target("a\nb".to_owned()),
        Dropped::Reply(String::new()),
        Dropped::Overflow,
        Dropped::Unsent(String::new()),
        Dropped::Panic,
    ];
    let labels: Vec<_> = all.iter().map(|dropped| Dropped::REASONS[dropped.index()]).collect();
    assert_eq!(labels, &Dropped::REASONS[1..]);
    assert!(!all[3].to_string().contains('\n'), "{}", all[3]);
}
