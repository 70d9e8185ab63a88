use std::time::Instant;

use serde_json::json;

use super::*;
use crate::protocol::filter::{Filter, Operator};

const HEAD: &str = "package io.choria.mcorpc.authpolicy\n\ndefault allow = false\n\n";

fn ask(policy: &str, input: serde_json::Value) -> Result<bool, RegoFault> {
    Rego::parse(policy, FILE_PACKAGE)?.allows(input, None)
}

#[test]
fn policies_decide() {
    for (body, expected) in [
        ("", false),
        ("allow if input.agent == \"service\"", true),
        ("allow if {\n  input.agent = \"service\"\n  input.action == \"status\"\n}", true),
        ("allow if {\n  input.agent = \"service\"\n  input.action == \"restart\"\n}", false),
        ("allow if input.action == \"x\"\nallow if input.action == \"status\"", true),
        ("allow if \"apache\" in input.classes", true),
        ("allow if input.classes[_] == \"nginx\"", false),
        ("allow if input.facts.os.name == \"Debian\"", true),
        ("allow if sort(input.agents) == [\"rpcutil\", \"service\"]", true),
        ("allow if regex.match(`^choria=`, input.callerid)", true),
        ("allow if startswith(input.callerid, \"up=\")", false),
        ("allow if every x in input.agents { x != \"shell\" }", true),
        ("allow if not input.data.force", true),
        ("allow if input.ttl <= 60", true),
        ("allow if input.provision_mode", false),
        ("allow if time.weekday(time.parse_rfc3339_ns(input.time)) == \"Thursday\"", true),
        (
            "allow if time.clock([time.parse_rfc3339_ns(input.time), \"Europe/Malta\"])[0] == 1",
            true,
        ),
        ("allow if time.date(time.parse_rfc3339_ns(input.time)) == [1970, 1, 1]", true),
        ("allow if time.now_ns() > time.parse_rfc3339_ns(input.time)", true),
        ("ours if input.agent == \"service\"\nallow if ours", true),
    ] {
        let input = json!({
            "agent": "service", "action": "status", "callerid": "choria=ann",
            "collective": "mcollective", "data": {"service": "x"}, "ttl": 60,
            "time": "1970-01-01T00:00:00Z", "facts": {"os": {"name": "Debian"}},
            "classes": ["apache"], "agents": ["service", "rpcutil"], "provision_mode": false,
        });
        assert_eq!(ask(&format!("{HEAD}{body}\n"), input), Ok(expected), "{body}");
    }
}

#[test]
fn what_is_no_decision_denies() {
    for (policy, line, part) in [
        ("", None, ""),
        ("package other\nallow = true", None, "not of the package io.choria.mcorpc.authpolicy"),
        ("package io.choria.mcorpc.authpolicy\nallow if {", Some(2), ""),
        ("package io.choria.mcorpc.authpolicy\nallow { true }", Some(2), "`if` keyword"),
        ("package io.choria.mcorpc.authpolicy\nother = true", None, "allow has no value"),
        ("package io.choria.mcorpc.authpolicy\nallow if false", None, "allow has no value"),
        ("package io.choria.mcorpc.authpolicy\nallow = 1", None, "neither true nor false"),
        ("package io.choria.mcorpc.authpolicy\nallow = \"true\"", None, "neither true nor false"),
        (
            "package io.choria.mcorpc.authpolicy\nallow contains \"x\"",
            None,
            "neither true nor false",
        ),
        ("package io.choria.mcorpc.authpolicy\nallow if nosuch(1)", Some(2), "nosuch"),
        (
            "package io.choria.mcorpc.authpolicy\nallow if requires_filter()",
            Some(2),
            "requires_filter",
        ),
        ("package io.choria.mcorpc.authpolicy\nallow if http.send({})", Some(2), "http.send"),
        ("package io.choria.mcorpc.authpolicy\nallow if a\na if b\nb if a", None, "recursion"),
        (
            "package io.choria.mcorpc.authpolicy\nallow = true if input.x\nallow = false if true",
            None,
            "",
        ),
    ] {
        let fault = ask(policy, json!({"x": true})).expect_err(policy);
        assert!(fault.to_string().contains(part), "{policy}: {fault}");
        if line.is_some() {
            assert_eq!(fault.line(), line, "{policy}: {fault}");
        }
    }
}

#[test]
fn functions_about_the_filter() {
    let mut filter = Filter::default();
    let ask = |filter: &Filter, call: &str| {
        let policy = format!("package io.choria.aaasvc\ndefault allow = false\nallow if {call}");
        Rego::parse(&policy, TOKEN_PACKAGE).unwrap().allows(json!({}), Some(filter)).unwrap()
    };
    filter.add_agent("service");
    assert!(!ask(&filter, "requires_filter()"));
    filter.add_class("apache");
    filter.add_identity("n1");
    filter.add_fact("country", Operator::Equal, "mt");
    for (call, expected) in [
        ("requires_filter()", true),
        ("requires_class_filter(\"apache\")", true),
        ("requires_class_filter(\"nginx\")", false),
        ("requires_identity_filter(\"n1\")", true),
        ("requires_identity_filter(\"n\")", false),
        ("requires_fact_filter(\"country=mt\")", true),
        ("requires_fact_filter(\"country!=mt\")", false),
    ] {
        assert_eq!(ask(&filter, call), expected, "{call}");
    }
}

#[test]
fn evaluations_end() {
    let slow = "allow if {\n  count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a == b + 1]) > 0\n}\n";
    let started = Instant::now();
    let fault = ask(&format!("{HEAD}{slow}"), json!({})).unwrap_err();
    // What other tests take of the memory meanwhile counts as well.
    assert!(matches!(fault, RegoFault::TooSlow | RegoFault::TooLarge), "{fault}");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    let mut deep = HEAD.to_owned();
    for index in 0..1_900 {
        deep.push_str(&format!("a{index} if a{}\n", index + 1));
    }
    deep.push_str("a1900 if true\nallow if a0\n");
    // Whatever it says, it must not take the process with it.
    let _ = ask(&deep, json!({}));
    let nested = format!("{HEAD}allow if {}1{}\n", "(".repeat(400), ")".repeat(400));
    assert!(ask(&nested, json!({})).is_err());
    let long = format!("{HEAD}{}", "# x\n".repeat(3_000));
    assert!(ask(&long, json!({})).is_err());
}

#[test]
fn a_number_does_not_ask_for_all_the_memory() {
    for (call, expected) in [
        ("count(numbers.range(1, 100000)) == 100000", true),
        ("numbers.range(3, 1) == [3, 2, 1]", true),
        ("numbers.range(2, 2) == [2]", true),
        ("count(numbers.range(1, input.count)) > 0", false),
        ("count(numbers.range_step(1, input.count, 1)) > 0", false),
        ("bits.lsh(1, 4000000000) > 0", false),
    ] {
        let answer =
            ask(&format!("{HEAD}allow if {call}\n"), json!({"count": 1_000_000_000_000_000_i64}));
        assert_eq!(answer.unwrap_or_default(), expected, "{call}");
    }
}

/// A policy whose rules each make twice of the one before.
fn doubling(rules: usize) -> String {
    let mut policy = format!("{HEAD}a0 := \"{}\"\n", "x".repeat(900));
    for index in 0..rules {
        policy.push_str(&format!("a{} := concat(\"\", [a{index}, a{index}])\n", index + 1));
    }
    format!("{policy}allow if a{rules} != \"\"\n")
}

#[test]
fn evaluations_stay_within_some_memory() {
    assert_eq!(ask(&doubling(10), json!({})), Ok(true));
    let lists =
        "allow if count([numbers.range(j, 90000) | some j in numbers.range(1, 9000)]) > 0\n";
    for policy in [doubling(40), format!("{HEAD}{lists}")] {
        let fault = ask(&policy, json!({})).unwrap_err();
        // On a busy machine the time may be over before the memory is.
        assert!(matches!(fault, RegoFault::TooLarge | RegoFault::TooSlow), "{fault}");
    }
    // The next one has all of it again.
    assert_eq!(ask(&doubling(10), json!({})), Ok(true));
}
