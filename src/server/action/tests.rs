use serde_json::json;

use super::*;
use crate::server::authorization::Authorization;
use crate::server::judge::DENIED;
use crate::server::registry::Hosted;
use crate::server::testing::{self, Recorder};

/// Sends a payload to an agent, gives back the whole reply body as JSON.
fn ask(agent: &str, payload: &str, authorization: Authorization) -> Option<Value> {
    let node = Arc::new(testing::node(Arc::new(Recorder::default())));
    let registry = testing::registry();
    let Some(Hosted::Rpc(host)) = registry.get(agent) else { panic!("no agent {agent}") };
    let judge = Judge::new(authorization, None, node.clone(), testing::workers());
    let now = std::time::SystemTime::now();
    let mut request = Request::new(agent, "mcollective", "shell", "choria=alice", now);
    request.message = payload.as_bytes().to_vec();
    let request = Arc::new(request);
    let judge = Arc::new(judge);
    let answer = answer(host, &request, None, &node, &judge);
    smol::block_on(answer).map(|body| serde_json::from_slice(&body.encode()).unwrap())
}

/// Calls an action; checks status code, text and data.
fn check(call: (&str, &str, Value), expected: (i64, &str, Value)) {
    let (agent, action, data) = call;
    let (code, text, outputs) = expected;
    let payload = json!({"agent": agent, "action": action, "data": data}).to_string();
    let expected =
        json!({"action": action, "statuscode": code, "statusmsg": text, "data": outputs});
    assert_eq!(ask(agent, &payload, Authorization::Off), Some(expected), "{payload}");
}

#[test]
fn a_body_that_is_no_request_is_answered_without_action() {
    for payload in ["", "pong", "[]", r#"{"action":5}"#, r#"{"action":"ping""#] {
        let reply = ask("rpcutil", payload, Authorization::Off).unwrap();
        let text = reply["statusmsg"].as_str().unwrap();
        let start = "Could not process request: could not parse incoming message as a MCollective SimpleRPC Request: ";
        assert!(text.starts_with(start), "{text}");
        assert_eq!((&reply["statuscode"], &reply["action"]), (&json!(4), &json!("")), "{payload}");
        assert_eq!(reply["data"], json!({}));
    }
}

#[test]
fn an_unknown_action_is_told_before_authorization() {
    let expected = json!({
        "action": "nosuch", "statuscode": 2,
        "statusmsg": "Unknown action nosuch for agent rpcutil", "data": {},
    });
    for authorization in [Authorization::Off, testing::nobody()] {
        let payload = r#"{"agent":"rpcutil","action":"nosuch"}"#;
        assert_eq!(ask("rpcutil", payload, authorization).as_ref(), Some(&expected));
    }
}

#[test]
fn authorization_denies_before_inputs_are_looked_at() {
    let payload = r#"{"agent":"odd","action":"typed","data":{"text":5}}"#;
    let expected = json!({
        "action": "typed", "statuscode": 1,
        "statusmsg": DENIED, "data": {},
    });
    assert_eq!(ask("odd", payload, testing::nobody()), Some(expected));
}

#[test]
fn inputs_are_checked_and_foreign_ones_left_out() {
    let typed = |data: Value| ("odd", "typed", data);
    check(typed(json!({"text": "abc"})), (0, "OK", json!({"seen": {"text": "abc"}})));
    check(
        typed(json!({"text": "a", "count": 3, "flag": null, "process_results": true, "x": [1]})),
        (0, "OK", json!({"seen": {"text": "a", "count": 3}})),
    );
    for (data, code, text) in [
        (json!({}), 3, "input 'text' is required"),
        (json!({"text": null}), 3, "input 'text' is required"),
        (json!({"text": 5}), 4, "validation failed for input 'text': is not a string"),
        (
            json!({"text": "abcde"}),
            4,
            "validation failed for input 'text': is longer than 4 characters",
        ),
        (
            json!({"text": "A;b"}),
            4,
            "validation failed for input 'text': input does not match '^[a-z]+$'",
        ),
        (
            json!({"text": "a", "count": "1"}),
            4,
            "validation failed for input 'count': is not an integer",
        ),
    ] {
        check(typed(data), (code, &format!("Validation failed: {text}"), json!({})));
    }
    let text = "Could not parse request data for odd#typed: the data is not a hash map";
    check(typed(json!([1])), (4, text, json!({})));
    check(("odd", "nothing", json!("no inputs, so nothing to parse")), (0, "OK", json!({})));
}

#[test]
fn results_become_reply_bodies() {
    check(("odd", "nothing", json!({})), (0, "OK", json!({})));
    check(("odd", "fail", json!({})), (1, "it did not work", json!({})));
    check(("odd", "defaults", json!({})), (0, "OK", json!({"given": 1, "missing": 7})));
}

#[test]
fn a_panic_costs_only_its_own_request_and_lateness_is_silent() {
    check(("odd", "panic", json!({})), (5, "odd#panic failed unexpectedly", json!({})));
    assert_eq!(ask("odd", r#"{"action":"sleep"}"#, Authorization::Off), None);
}

#[test]
fn the_envelope_names_the_agent() {
    let reply = ask("rpcutil", r#"{"agent":"other","action":"ping"}"#, Authorization::Off);
    assert_eq!(reply.unwrap()["statuscode"], json!(0));
}
