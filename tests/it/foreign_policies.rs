//! Rego policies that somebody else wrote, evaluated by a process of their own: whatever they do, it ends, takes no more
//! than it may and leaves the process that asked as it was.

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use choria::policy::{Authorizer, Kind, Question, Settings};
use choria::protocol::filter::Filter;
use choria::tokens::ClientClaims;
use serde_json::{Value, json};

use super::support::program;

const HEAD: &str = "package io.choria.aaasvc\n\ndefault allow = false\n\n";

/// Who evaluates policies.
fn authorizer(program: impl Into<PathBuf>) -> Authorizer {
    let evaluator = Some(program.into());
    Authorizer::new(Settings { kind: Kind::Token, evaluator, ..Settings::action_policy("/") })
}

/// What the policy in a token says.
fn ask(authorizer: &Authorizer, policy: &str, data: &Value) -> (bool, String) {
    let claims = ClientClaims {
        caller: "up=ann".to_owned(),
        opa_policy: policy.to_owned(),
        ..ClientClaims::default()
    };
    let mut filter = Filter::default();
    filter.add_class("apache");
    let decision = authorizer.decide(&Question {
        caller: "up=ann",
        agent: "service",
        action: "restart",
        data,
        facts: None,
        classes: None,
        agents: &[],
        collective: "choria",
        sender: "shell",
        ttl_secs: 60,
        time: SystemTime::now(),
        filter: &filter,
        claims: Some(&claims),
    });
    (decision.allow, decision.reason.to_string())
}

fn own() -> Authorizer {
    authorizer(program())
}

#[test]
fn honest_policies_decide_as_ever() {
    let authorizer = own();
    let large = json!({ "service": "httpd", "more": "x".repeat(300_000) });
    for (rule, allow) in [
        ("allow if input.data.service == \"httpd\"\n", true),
        ("allow if input.claims.callerid == \"up=bob\"\n", false),
        ("allow if requires_class_filter(\"apache\")\n", true),
        ("allow if requires_filter()\n", true),
        ("allow if requires_class_filter(\"nginx\")\n", false),
        ("allow if time.clock([time.now_ns(), \"UTC\"])[0] >= 0\n", true),
        ("allow if time.clock([time.now_ns(), \"Europe/Malta\"])[0] >= 24\n", false),
    ] {
        assert_eq!(ask(&authorizer, &format!("{HEAD}{rule}"), &large).0, allow, "{rule}");
    }
    let (allow, reason) = ask(&authorizer, &format!("{HEAD}allow if {{\n"), &large);
    assert!(!allow && reason.ends_with("\"opa_policy of the token\""), "{reason}");
}

#[test]
fn hostile_policies_harm_nobody() {
    let authorizer = own();
    let long = "x".repeat(900);
    let mut doubling = format!("{HEAD}a0 := \"{long}\"\n");
    for index in 0..40 {
        doubling.push_str(&format!("a{} := concat(\"\", [a{index}, a{index}])\n", index + 1));
    }
    doubling.push_str("allow if a40 != \"\"\n");
    // One call that would make 90 GB.
    let at_once = format!(
        "{HEAD}s := concat(\"\", [\"{long}\" | some i in numbers.range(1, 1000)])\n\
         allow if concat(\"\", [s | some i in numbers.range(1, 100000)]) != \"\"\n"
    );
    let replaced = format!(
        "{HEAD}s := concat(\"\", [\"{long}\" | some i in numbers.range(1, 1000)])\n\
         allow if replace(replace(s, \"x\", s), \"x\", s) != \"\"\n"
    );
    let padded = format!("{HEAD}allow if sprintf(\"%999999999999d\", [1]) != \"\"\n");
    let slow = format!(
        "{HEAD}allow if count([1 | some a in numbers.range(1, 9000); some b in numbers.range(1, 9000); a == b + 1]) > 0\n"
    );
    let mut deep = HEAD.to_owned();
    for index in 0..1_900 {
        deep.push_str(&format!("a{index} if a{}\n", index + 1));
    }
    deep.push_str("a1900 if true\nallow if a0\n");
    let large_numbers = format!(
        "{HEAD}a0 := 99999999999999999999\n{}allow if a30 > 0\n",
        (0..30).map(|i| format!("a{} := a{i} * a{i}\n", i + 1)).collect::<String>()
    );
    let started = Instant::now();
    // Whether memory or time ends first is up to how busy the host is.
    for (name, policy, expected) in [
        ("doubling", doubling, Some("takes too ")),
        ("at once", at_once, Some("takes too ")),
        ("replaced", replaced, Some("takes too ")),
        ("padded", padded, None),
        ("slow", slow, Some("takes too long")),
        ("deep", deep, None),
        ("large numbers", large_numbers, None),
    ] {
        let (allow, reason) = ask(&authorizer, &policy, &json!({}));
        println!("{name}: {allow} {reason}");
        // How deep an interpreter may go is its business.
        assert!(!allow || name == "deep", "{name}: {reason}");
        if let Some(expected) = expected {
            assert!(reason.contains(expected), "{name}: {reason}");
        }
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    let (allow, reason) = ask(&authorizer, &format!("{HEAD}allow if true\n"), &json!({}));
    assert!(allow, "{reason}");
}

#[test]
fn who_cannot_evaluate_denies() {
    for (program, part) in [
        ("/nonexistent/choria", "the process that evaluates it failed: No such file"),
        // Ends well and says nothing.
        ("/bin/true", "the process that evaluates it failed: exit status: 0"),
        ("/bin/false", "the process that evaluates it failed: exit status: 1"),
    ] {
        let (allow, reason) =
            ask(&authorizer(program), &format!("{HEAD}allow if true\n"), &json!({}));
        assert!(!allow && reason.contains(part), "{program}: {reason}");
    }
}
