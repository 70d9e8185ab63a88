//! What is no message of the protocol: nobody is known, so only the log tells.

use data_encoding::BASE64;

use super::world::{carry, wrap};
use super::*;
use crate::protocol::limits;

type Change = fn(&mut Value);

pub(super) fn cases(world: &World) -> Vec<Case> {
    let good = world.message(&world.request());
    let mut cases = Vec::new();
    for (name, message, reason) in transports(&good) {
        cases.push(Case::new(name, message, Trace::Unreadable(reason)));
    }
    let secure: Value = serde_json::from_slice(&Transport::decode(&good).unwrap().data).unwrap();
    for (name, change, reason) in SECURE {
        let message = carry(changed(&secure, *change).as_bytes());
        cases.push(Case::new(*name, message, Trace::Unreadable((*reason).to_owned())));
    }
    let request: Value = serde_json::from_str(&world.request().encode().unwrap()).unwrap();
    for (name, change, reason) in REQUESTS {
        let text = changed(&request, *change);
        let message = wrap(&world.signed(text, &world.alice.certificate_pem));
        cases.push(Case::new(*name, message, Trace::Unreadable((*reason).to_owned())));
    }
    cases
}

fn changed(good: &Value, change: Change) -> String {
    let mut value = good.clone();
    change(&mut value);
    value.to_string()
}

/// Whole messages: a name, the bytes and the reason.
fn transports(good: &[u8]) -> Vec<(&'static str, Vec<u8>, String)> {
    let json = |reason: &str| format!("cannot read the transport: {reason}");
    let good: Value = serde_json::from_slice(good).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        value.to_string().into_bytes()
    };
    let long = |length: usize| "x".repeat(length + 1);
    let too_large = |field: &str, size: usize, limit: usize| {
        format!("refused the transport: {field} has size {size}, at most {limit} is allowed")
    };
    let hop = json!(["a", "b", "c"]);
    vec![
        ("nothing", Vec::new(), json("EOF while parsing a value at line 1 column 0")),
        ("no JSON", b"ping".to_vec(), json("expected value at line 1 column 1")),
        (
            "a list",
            b"[]".to_vec(),
            json("invalid type: sequence, expected an object at line 1 column 0"),
        ),
        (
            "an unknown protocol",
            with(&|v| v["protocol"] = json!("choria:transport:3")),
            json("unknown protocol \"choria:transport:3\""),
        ),
        ("no base64", with(&|v| v["data"] = json!("?")), json("data is not valid base64")),
        (
            "a long sender in the transport",
            with(&|v| v["headers"]["mc_sender"] = json!(long(limits::NAME_BYTES_MAX))),
            too_large("mc_sender", limits::NAME_BYTES_MAX + 1, limits::NAME_BYTES_MAX),
        ),
        (
            "a long reply subject",
            with(&|v| v["headers"]["reply-to"] = json!(long(limits::SUBJECT_BYTES_MAX))),
            too_large("reply-to", limits::SUBJECT_BYTES_MAX + 1, limits::SUBJECT_BYTES_MAX),
        ),
        (
            "too many hops",
            with(&|v| v["headers"]["seen-by"] = json!(vec![&hop; limits::HOPS_MAX + 1])),
            too_large("seen-by", limits::HOPS_MAX + 1, limits::HOPS_MAX),
        ),
        (
            "a huge message",
            vec![b' '; limits::TRANSPORT_BYTES_MAX + 1],
            too_large("message", limits::TRANSPORT_BYTES_MAX + 1, limits::TRANSPORT_BYTES_MAX),
        ),
        ("data that is no JSON", carry(b"{"), {
            let reason = "EOF while parsing an object at line 1 column 1";
            format!("cannot read the secure request: {reason}")
        }),
    ]
}

/// Changes of the secure request.
const SECURE: &[(&str, Change, &str)] = &[
    (
        "an unknown secure request",
        |v| v["protocol"] = json!("choria:secure:request:2"),
        "cannot read the secure request: unknown protocol \"choria:secure:request:2\"",
    ),
    (
        "an empty message",
        |v| v["message"] = json!(""),
        "refused the secure request: message is empty",
    ),
    (
        "no signature",
        |v| v["signature"] = json!(""),
        "refused the secure request: signature is empty",
    ),
    (
        "no certificates",
        |v| v["pubcert"] = json!(""),
        "refused the secure request: pubcert is empty",
    ),
    (
        "a huge signature",
        |v| v["signature"] = json!(BASE64.encode(&[0; 3 * 1025])),
        "refused the secure request: signature has size 4100, at most 4096 is allowed",
    ),
    (
        "huge certificates",
        |v| v["pubcert"] = json!("x".repeat(65_537)),
        "refused the secure request: pubcert has size 65537, at most 65536 is allowed",
    ),
];

/// Changes of the request itself, under a good signature of alice.
const REQUESTS: &[(&str, Change, &str)] = &[
    (
        "an unknown request",
        |v| v["protocol"] = json!("choria:request:2"),
        "cannot read the request: unknown protocol \"choria:request:2\"",
    ),
    (
        "a request for nothing",
        |v| v["message"] = json!(""),
        "refused the request: message is empty",
    ),
    (
        "a short request id",
        |v| v["envelope"]["requestid"] = json!("abc"),
        "refused the request: requestid has 3 characters, it must have 32",
    ),
    (
        "a long request id",
        |v| v["envelope"]["requestid"] = json!("a".repeat(33)),
        "refused the request: requestid has 33 characters, it must have 32",
    ),
    (
        "no caller",
        |v| v["envelope"]["callerid"] = json!(""),
        "refused the request: callerid is empty",
    ),
    (
        "a long caller",
        |v| v["envelope"]["callerid"] = json!("a".repeat(513)),
        "refused the request: callerid has size 513, at most 512 is allowed",
    ),
    (
        "a long sender",
        |v| v["envelope"]["senderid"] = json!("a".repeat(513)),
        "refused the request: senderid has size 513, at most 512 is allowed",
    ),
    (
        "no collective",
        |v| v["envelope"]["collective"] = json!(""),
        "refused the request: collective is empty",
    ),
    ("no agent", |v| v["envelope"]["agent"] = json!(""), "refused the request: agent is empty"),
    (
        "a short time to live",
        |v| v["envelope"]["ttl"] = json!(29),
        "refused the request: ttl is 29 seconds, it must be at least 30",
    ),
    (
        "an unknown operator",
        |v| {
            v["envelope"]["filter"]["fact"] = json!([{"fact": "a", "operator": "~~", "value": "b"}])
        },
        "cannot read the request: unknown variant `~~`, expected one of `==`, `!=`, `=~`, `<`, `<=`, `>`, `>=` at line 1 column 178",
    ),
];
