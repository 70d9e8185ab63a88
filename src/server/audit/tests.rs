use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;
use crate::server::testing::TempDir;

fn request(message: &str) -> Request {
    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut request = Request::new("rpcutil", "mcollective", "shell", "choria=alice", time);
    request.id = "0123456789abcdef0123456789abcdef".to_owned();
    request.message = message.as_bytes().to_vec();
    request
}

fn at(message: &str, outcome: Outcome, reason: &str) -> String {
    let now = UNIX_EPOCH + Duration::new(1_704_164_645, 70_000);
    String::from_utf8(line(&request(message), outcome, reason, now)).unwrap()
}

fn parse(line: &str) -> Value {
    assert!(line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_line_is_that_of_the_reference_with_outcome_and_reason() {
    let body = "{\"data\": {\"z\":1, \"a\" : [1.50,\"<&> \\\"b\\\" \u{2028}\"],\n \"e\":1e3},\"action\":\"ping\"}";
    let expected = concat!(
        r#"{"timestamp":"2024-01-02T03:04:05.000070+0000","#,
        r#""request_id":"0123456789abcdef0123456789abcdef","request_time":1700000000,"#,
        r#""caller":"choria=alice","sender":"shell","agent":"rpcutil","action":"ping","#,
        r#""data":{"z":1,"a":[1.50,"\u003c\u0026\u003e \"b\" \u2028"],"e":1e3},"#,
        r#""outcome":"allowed","reason":"a rule"}"#,
        "\n"
    );
    assert_eq!(at(body, Outcome::Allowed, "a rule"), expected);
}

#[test]
fn the_reference_writes_the_same_bytes() {
    // What go-choria 0.30.2 wrote about this request, without the brace at its end.
    let theirs = concat!(
        r#"{"timestamp":"2026-11-23T00:56:11.231742+0000","#,
        r#""request_id":"c90cb794633645e5b60eaf60bc194d62","request_time":1795395371,"#,
        r#""caller":"choria=alice.mcollective","sender":"sh\u003cell","agent":"rpcutil","#,
        r#""action":"get_fact","data":{"fact":"os.\u003ca\u003e\u0026ü","b":1.50,"a":[1e3,"\u2028\n"]}"#,
    );
    let body = r#"{"agent":"rpcutil","action":"get_fact","data": {"fact" : "os.<a>&ü", "b":1.50, "a":[1e3, "\u2028\n"]}}"#;
    let mut request = request(body);
    request.id = "c90cb794633645e5b60eaf60bc194d62".to_owned();
    request.caller = "choria=alice.mcollective".to_owned();
    request.sender = "sh<ell".to_owned();
    request.time = UNIX_EPOCH + Duration::from_secs(1_795_395_371);
    let now = UNIX_EPOCH + Duration::new(1_795_395_371, 231_742_000);
    let ours = String::from_utf8(line(&request, Outcome::Allowed, "", now)).unwrap();
    assert_eq!(ours, format!("{theirs},\"outcome\":\"allowed\",\"reason\":\"\"}}\n"));
}

#[test]
fn every_request_gives_one_line_of_json() {
    for (body, action, data) in [
        ("", "", json!({})),
        ("no json", "", json!({})),
        ("{\"action\":\"x\"}", "x", json!({})),
        ("{\"action\":\"x\",\"data\":null}", "x", json!({})),
        ("{\"action\":\"x\",\"data\":\"text\"}", "x", json!("text")),
        ("{\"action\":\"a\\nb\\u001b[31m\\u0085\",\"data\":[]}", "a\nb\u{1b}[31m\u{85}", json!([])),
        ("{\"action\":\"x\",\"data\":{\"\\\\\":\"\\\\\\\"\"}}", "x", json!({"\\": "\\\""})),
    ] {
        let line = at(body, Outcome::Allowed, "it\nis \u{2029}so\u{9b}");
        assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
        let line = parse(&line);
        assert_eq!((&line["action"], &line["data"]), (&json!(action), &data), "{body}");
        assert_eq!(line["reason"], json!("it\nis \u{2029}so\u{9b}"));
    }
}

#[test]
fn what_is_not_allowed_is_kept_within_bounds() {
    let body = |size: usize| format!(r#"{{"action":"x","data":{{"a":"{}"}}}}"#, "y".repeat(size));
    let data = |size: usize, outcome| parse(&at(&body(size), outcome, ""))["data"].to_string();
    assert_eq!(data(100_000, Outcome::Allowed).len(), 100_008);
    for outcome in [Outcome::Denied, Outcome::Refused] {
        assert_eq!(data(10, outcome), r#"{"a":"yyyyyyyyyy"}"#);
        assert_eq!(data(100_000, outcome), r#"{"omitted_bytes":100008}"#);
    }
    assert_eq!(data(10, Outcome::Unverified), "{}");
    let long = format!(r#"{{"action":"{}"}}"#, "ü".repeat(5_000));
    let action = |outcome| parse(&at(&long, outcome, &long))["action"].as_str().unwrap().len();
    assert_eq!(action(Outcome::Refused), 2 * TEXT_CHARS_MAX);
    assert_eq!(action(Outcome::Unverified), 2 * CLAIM_CHARS_MAX);
    assert!(at(&long, Outcome::Unverified, &long).len() < 2_000);
}

#[test]
fn what_anybody_can_send_does_not_fill_the_disk() {
    let folder = TempDir::new();
    let path = folder.path().join("audit.log");
    let place = Place { path: path.clone(), mode: 0o600, group: None };
    let audit = Audit::new(AuditFile::open(place).unwrap());
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    for _ in 0..500 {
        audit.unverified("forged", || Some(request("{}"))).unwrap();
    }
    assert_eq!(lines(), 100);
    for _ in 0..500 {
        audit.refused_copy(&request("{}"), "replayed").unwrap();
    }
    assert_eq!(lines(), 200);
    // Those who are proven are on record always.
    for _ in 0..500 {
        audit.allowed(&request("{}"), "").unwrap();
        audit.refused(&request("{}"), Outcome::Denied, "").unwrap();
    }
    assert_eq!(lines(), 1_200);
    // What says nothing of itself leaves no line.
    let other = Audit::new(
        AuditFile::open(Place { path: path.clone(), mode: 0o600, group: None }).unwrap(),
    );
    other.unverified("nobody", || None).unwrap();
    assert_eq!(lines(), 1_200);
}
