use super::*;
use crate::broker::access::{AllowResponses, SubjectRules};

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn subjects(allow: Option<&[&str]>, deny: &[&str]) -> SubjectRules {
    SubjectRules { allow: allow.map(texts), deny: texts(deny) }
}

fn publishing(allow: Option<&[&str]>, deny: &[&str]) -> Permissions {
    let rules = PermissionRules { publish: subjects(allow, deny), ..PermissionRules::default() };
    Permissions::new(&rules).expect("rules")
}

fn subscribing(allow: Option<&[&str]>, deny: &[&str]) -> Permissions {
    let rules = PermissionRules { subscribe: subjects(allow, deny), ..PermissionRules::default() };
    Permissions::new(&rules).expect("rules")
}

fn check_publish(permissions: &Permissions, cases: &[(&str, bool)]) {
    let mut memo = Memo::default();
    for (subject, expected) in cases {
        // What was remembered makes no difference.
        for _ in 0..2 {
            let result = permissions.publish(subject.as_bytes(), None, &mut memo);
            assert_eq!(result.is_ok(), *expected, "{subject:?}");
        }
    }
}

fn check_subscribe(permissions: &Permissions, cases: &[(&str, Option<&str>, bool)]) {
    for (subject, queue, expected) in cases {
        let result = permissions.subscribe(subject.as_bytes(), queue.map(str::as_bytes));
        assert_eq!(result.is_ok(), *expected, "{subject} {queue:?}");
    }
}

/// Subjects of a subscription that are not delivered, and such that are; separated by blanks.
fn check_filter(deny: &[&str], cases: &[(&str, Option<&str>, &str, &str)]) {
    let permissions = subscribing(None, deny);
    let rules = permissions.rules().expect("rules");
    for (subject, queue, denied, delivered) in cases {
        let filter = rules.filter(subject.as_bytes(), queue.map(str::as_bytes));
        let is_denied =
            |subject: &str| filter.as_ref().is_some_and(|list| list.has(subject.as_bytes()));
        assert_eq!(filter.is_some(), !denied.is_empty(), "{subject} {queue:?}");
        denied.split(' ').for_each(|name| assert!(name.is_empty() || is_denied(name), "{name}"));
        delivered.split(' ').for_each(|name| assert!(!is_denied(name), "{subject}: {name}"));
    }
}

#[test]
fn publish_lists() {
    check_publish(&publishing(None, &[]), &[("a", true), ("_GR_.a", false), ("$NRG.a", false)]);
    check_publish(&publishing(Some(&[]), &[]), &[("a", false), ("a.b", false)]);
    check_publish(
        &publishing(Some(&["a.*", "b.>", "c"]), &["a.x", "b.*.secret"]),
        &[
            ("a.b", true),
            ("a.x", false),
            ("a.b.c", false),
            ("b.c.d", true),
            ("b.c.secret", false),
            ("b", false),
            ("c", true),
            ("C", false),
            // Not checked before: a message may go to a subject that only looks like a pattern.
            ("a.*", true),
            ("a.>", true),
            ("b.*.secret", false),
            ("b.>.secret", false),
            ("a.", false),
            ("", false),
        ],
    );
    check_publish(
        &publishing(None, &["*.broadcast.agent.>", "exact"]),
        &[
            ("x.broadcast.agent.y", false),
            ("*.broadcast.agent.>", false),
            ("x.broadcast.agent", true),
            ("exact", false),
            ("exact.not", true),
        ],
    );
}

#[test]
fn system_connections_may_use_what_is_its_own() {
    check_publish(&Permissions::System, &[("$NRG.a", true), ("_GR_.a", false)]);
    check_publish(&Permissions::Full, &[("$NRG.a", false), ("_GR_.a", false), ("$JS.API.X", true)]);
}

#[test]
fn reserved_replies_and_queues() {
    let mut memo = Memo::default();
    let mut publish = |reply: &'static str| {
        let result = Permissions::Full.publish(b"foo", Some(reply.as_bytes()), &mut memo);
        result.map_err(|violation| violation.to_string())
    };
    assert_eq!(publish("_INBOX.1"), Ok(()));
    for reply in ["_R_.a", "$JS.ACK.a", "_GR_.a"] {
        let text = format!("Permissions Violation for Publish with Reply of \"{reply}\"");
        assert_eq!(publish(reply), Err(text));
    }
    check_subscribe(&Permissions::Full, &[("a", Some("_sys_"), false), ("a", Some("sys"), true)]);
}

#[test]
fn a_subscription_has_to_be_a_part_of_what_is_allowed() {
    check_subscribe(
        &subscribing(Some(&["foo.*", "bar", "all.>", "x.*.z"]), &[]),
        &[
            ("foo.bar", None, true),
            ("foo.*", None, true),
            // Taken by nats-server 2.14, although it is more than is allowed.
            ("foo.>", None, false),
            ("foo", None, false),
            ("*.bar", None, false),
            ("bar", None, true),
            ("*", None, false),
            (">", None, false),
            ("all.a", None, true),
            ("all.*.b", None, true),
            ("all.>", None, true),
            ("all", None, false),
            ("x.y.z", None, true),
            ("x.*.z", None, true),
            ("x.>", None, false),
        ],
    );
    check_subscribe(&subscribing(Some(&["foo.bar"]), &[]), &[("foo.*", None, false)]);
    check_subscribe(
        &subscribing(Some(&[">"]), &[]),
        &[(">", None, true), ("a.*", Some("q"), true)],
    );
    check_subscribe(&subscribing(Some(&[]), &[]), &[("a", None, false), (">", None, false)]);
}

#[test]
fn queues_of_allowed_subscriptions() {
    check_subscribe(
        &subscribing(Some(&["foo queue"]), &[]),
        &[("foo", None, false), ("foo", Some("queue"), true), ("foo", Some("other"), false)],
    );
    check_subscribe(
        &subscribing(Some(&["foo", "foo v1", "foo v1.>", "foo *.dev"]), &["> *.prod"]),
        &[
            ("foo", None, true),
            ("foo", Some("v1"), true),
            ("foo", Some("v1.a"), true),
            ("foo", Some("v1.>"), true),
            ("foo", Some("x.dev"), true),
            ("foo", Some("x"), false),
            ("foo", Some("v1.prod"), false),
            ("bar", None, false),
        ],
    );
    check_subscribe(
        &subscribing(Some(&["foo", "bar >"]), &[]),
        &[
            ("foo", Some("anything"), true),
            ("bar", None, false),
            ("bar", Some("anything.at.all"), true),
        ],
    );
}

#[test]
fn denied_subscriptions() {
    check_subscribe(
        &subscribing(None, &["foo", "a.*", "b.>", "q one", "q w.*"]),
        &[
            ("foo", None, false),
            ("foo", Some("x"), false),
            ("*", None, true),
            ("a.*", None, false),
            ("a.b", None, false),
            ("a.>", None, true),
            ("b.>", None, false),
            ("b.*.c", None, false),
            ("b", None, true),
            (">", None, true),
            ("q", None, true),
            ("q", Some("one"), false),
            ("q", Some("w.1"), false),
            ("q", Some("two"), true),
        ],
    );
    // A queue that is not named does not get around what is denied to all.
    check_subscribe(
        &subscribing(None, &["foo", "foo one"]),
        &[("foo", Some("one"), false), ("foo", Some("two"), false), ("foo", None, false)],
    );
}

#[test]
fn what_is_delivered_of_broader_subscriptions() {
    check_filter(
        &["*.reply.>", "choria.lifecycle.>", "x.*.y", "jobs prod.*"],
        &[
            (">", None, "a.reply.b choria.lifecycle.event x.1.y", "a.b jobs"),
            ("choria.>", None, "choria.reply.x choria.lifecycle.x", "choria.machine.x"),
            ("choria.machine.>", None, "", "choria.machine.reply"),
            // Neither is a part of the other.
            ("x.1.*", None, "x.1.y", "x.1.z"),
            ("*", Some("prod.1"), "jobs", "other"),
            ("*", Some("dev"), "", "jobs"),
            ("exact", None, "", "exact"),
        ],
    );
    let full = subscribing(None, &["a", "b"]);
    let rules = full.rules().expect("rules");
    let shared = [b"*", b">"].map(|subject| rules.filter(subject, None).expect("filter"));
    assert!(Arc::ptr_eq(&shared[0], &shared[1]), "connections of a role share their filter");
}

#[test]
fn answers_stand_beside_publish_lists() {
    let answering = |publish| {
        let allow_responses = Some(AllowResponses::default());
        let rules = PermissionRules { publish, allow_responses, ..PermissionRules::default() };
        Permissions::new(&rules).expect("rules")
    };
    check_publish(&answering(subjects(None, &[])), &[("a", false)]);
    check_publish(&answering(subjects(Some(&["a"]), &[])), &[("a", true), ("b", false)]);
}

#[test]
fn rules_that_cannot_be_used() {
    let responses = |max, expires: &str| PermissionRules {
        allow_responses: Some(AllowResponses { max, expires: expires.to_owned() }),
        ..PermissionRules::default()
    };
    for (rules, expected) in [
        (responses(0, "1m"), "allow_responses.max has to be 1 or more, or -1"),
        (
            responses(1, "soon"),
            "allow_responses.expires \"soon\": a number was expected instead of 'soon'",
        ),
        (
            PermissionRules {
                publish: subjects(Some(&["a q"]), &[]),
                ..PermissionRules::default()
            },
            "\"a q\" is not a subject",
        ),
    ] {
        let result = Permissions::new(&rules).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(result, Err(expected.to_owned()));
    }
    assert!(matches!(Permissions::new(&PermissionRules::default()), Ok(Permissions::Full)));
}

#[test]
fn what_one_role_may_is_not_remembered_for_another() {
    let mut memo = Memo::default();
    let [one, other] = [publishing(Some(&["a"]), &[]), publishing(Some(&["b"]), &[])];
    assert!(one.publish(b"a", None, &mut memo).is_ok());
    assert!(other.publish(b"a", None, &mut memo).is_err());
    assert!(one.publish(b"a", None, &mut memo).is_ok());
    assert!(one.publish(b"aa", None, &mut memo).is_err());
}
