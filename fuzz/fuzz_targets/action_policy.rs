//! Policies and groups from any bytes: reading, asking and looking for mistakes.
#![no_main]

use std::time::SystemTime;

use choria::policy::Question;
use choria::policy::action::{Groups, Known, Policy, lint, lint_groups};
use choria::protocol::filter::Filter;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let groups = Groups::parse(bytes.get(cut + 1..).unwrap_or_default());
    let policy = Policy::parse(&bytes[..cut]);
    let (data, facts) = (json!({}), json!({"a": "b", "n": 4, "t": true, "o": {"k": "v"}}));
    let (classes, filter) = (["apache".to_owned()], Filter::default());
    let question = Question {
        caller: "choria=ann",
        agent: "service",
        action: "restart",
        data: &data,
        facts: Some(&facts),
        classes: Some(&classes),
        agents: &[],
        collective: "mcollective",
        sender: "shell",
        ttl_secs: 60,
        time: SystemTime::UNIX_EPOCH,
        filter: &filter,
        claims: None,
    };
    let known = policy.decide(&question, Ok(&groups), false);
    let unreadable = policy.decide(&question, Err("groups"), false);
    let blind = Question { facts: None, classes: None, ..question };
    let blind = policy.decide(&blind, Ok(&groups), false);
    // Who knows less is never allowed more, where one line decides: the whole is covered by the oracle in the tests.
    if !policy.faults().is_empty() {
        assert!(!known.allow && !unreadable.allow && !blind.allow);
    }
    for decision in [known, unreadable, blind] {
        assert!(!decision.reason.to_string().contains('\n'));
        assert!(decision.reason.line.is_none_or(|line| line > 0));
    }
    let _ = lint(&policy, Some("service"), &Known { groups: Some(Groups::default()), ..Known::default() });
    let _ = lint_groups(&groups);
});
