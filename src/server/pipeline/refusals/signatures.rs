//! Requests that were changed on their way, or signed by somebody else, or not at all.

use data_encoding::BASE64;

use super::world::{ALICE, REPLY_TO, wrap};
use super::*;
use crate::protocol::filter::Operator;
use crate::protocol::v1::SecureRequest;

const DOES_NOT_FIT: &str =
    "refused a request of alice.mcollective: the signature does not fit the request";

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = changed_after_signing(world);
    cases.extend(other_signatures(world));
    cases.extend(callers(world));
    cases.extend(dropped(world));
    cases
}

fn unverified(name: &str, secure: &SecureRequest, reason: impl Into<String>) -> Case {
    let claims = Request::decode(Version::V1, secure.message.as_bytes()).unwrap();
    Case::new(name, wrap(secure), Trace::Unverified(Box::new(claims), reason.into()))
}

/// Every field of a request, changed under the signature of the whole.
fn changed_after_signing(world: &World) -> Vec<Case> {
    type Change = fn(&mut Request);
    let changes: &[(&str, Change)] = &[
        ("another id", |r| r.id.replace_range(..1, "!")),
        ("another sender", |r| r.sender = "root.example.net".to_owned()),
        ("another collective", |r| r.collective = "mt_collective".to_owned()),
        ("another agent", |r| r.agent = "rpcutil".to_owned()),
        ("a longer time to live", |r| r.ttl_secs = 3_600),
        ("a later time", |r| r.time += Duration::from_secs(1)),
        ("an identity filter", |r| r.filter.add_identity("node1.example.net")),
        ("a class filter", |r| r.filter.add_class("apache")),
        ("an agent filter", |r| r.filter.add_agent("probe")),
        ("a fact filter", |r| r.filter.add_fact("country", Operator::Equal, "mt")),
        ("another input", |r| {
            let text = String::from_utf8(r.message.clone()).unwrap();
            r.message = text.replace("hello", "goodbye").into_bytes();
        }),
        ("another action", |r| {
            let text = String::from_utf8(r.message.clone()).unwrap();
            r.message = text.replace("\"run\"", "\"stop\"").into_bytes();
        }),
    ];
    let case = |(name, change): &(&str, Change)| {
        let request = world.request();
        let good = world.secure(&request);
        let mut changed = request;
        change(&mut changed);
        let secure = SecureRequest { message: changed.encode().unwrap(), ..good };
        unverified(&format!("signed, then changed: {name}"), &secure, DOES_NOT_FIT)
    };
    changes.iter().map(case).collect()
}

fn other_signatures(world: &World) -> Vec<Case> {
    let good = || world.secure(&world.request());
    let with = |signature: String| SecureRequest { signature, ..good() };
    let not_base64 = "refused a request of alice.mcollective: its signature is not valid base64";
    let spaced = || {
        let secure = good();
        let message = secure.message.replacen(',', ", ", 1);
        SecureRequest { message, ..secure }
    };
    let by_other_key = || {
        let secure = good();
        let signature = world.other_key.sign_pkcs1_sha256(secure.message.as_bytes()).unwrap();
        SecureRequest { signature: BASE64.encode(&signature), ..secure }
    };
    let of_another_request = || with(good().signature);
    let cut_short = || {
        let mut secure = good();
        let bytes = BASE64.decode(secure.signature.as_bytes()).unwrap();
        secure.signature = BASE64.encode(&bytes[..bytes.len() - 1]);
        secure
    };
    let zeros = BASE64.encode(&[0; 256]);
    let unsigned =
        "refused an unsigned request of choria=alice.mcollective: protocol security is on";
    let with_pubcert = |pubcert: &str| SecureRequest { pubcert: pubcert.to_owned(), ..good() };
    vec![
        unverified("the same request in other words", &spaced(), DOES_NOT_FIT),
        unverified("signed with another key", &by_other_key(), DOES_NOT_FIT),
        unverified("the signature of another request", &of_another_request(), DOES_NOT_FIT),
        unverified("a signature that is cut short", &cut_short(), DOES_NOT_FIT),
        unverified("a signature of zeros", &with(zeros), DOES_NOT_FIT),
        unverified("the word insecure as signature", &with("insecure".into()), DOES_NOT_FIT),
        unverified("a signature that is no base64", &with("not base64!".into()), not_base64),
        unverified("unsigned", &with_pubcert("insecure"), unsigned),
        unverified("unsigned registration data", &with_pubcert("insecure registration"), unsigned),
    ]
}

/// Caller ids that are no caller's.
fn callers(world: &World) -> Vec<Case> {
    let ids = [
        ("without kind", ALICE),
        ("without name", "choria="),
        ("with an empty kind", "=alice.mcollective"),
        ("with a kind in capitals", "Choria=alice.mcollective"),
        ("with a blank", "choria=alice.mcollective bob"),
        ("with two equals signs", "choria=alice.mcollective=x"),
        ("with letters of other scripts", "choria=alic\u{435}.mcollective"),
        ("with a line feed", "choria=alice.mcollective\n{\"outcome\":\"allowed\"}"),
        ("with a path", "choria=../alice.mcollective"),
    ];
    let case = |(name, caller): (&str, &str)| {
        let request = Request { caller: caller.to_owned(), ..world.request() };
        let reason = format!(
            "refused caller id {caller:?}: it is not kind=name with letters, digits, '_', '.' and '-'"
        );
        unverified(&format!("a caller {name}"), &world.secure(&request), reason)
    };
    ids.into_iter().map(case).collect()
}

/// What is proven, and not for here and now.
fn dropped(world: &World) -> Vec<Case> {
    let case = |name: &str, change: &dyn Fn(&mut Request), reason: &str| {
        let mut request = world.request();
        change(&mut request);
        let message = world.message(&request);
        Case::new(name, message, Trace::Dropped(Box::new(request), reason.to_owned()))
    };
    let shift = |secs: i64| {
        let distance = Duration::from_secs(secs.unsigned_abs());
        move |r: &mut Request| {
            r.time = if secs < 0 { now() - distance } else { now() + distance };
        }
    };
    let late = "outside its time to live of 60s";
    let guard = "refused a request of choria=alice.mcollective: its time to live is above 21600 \
                 seconds, too long to guard against replay";
    let mut cases = vec![
        case("a minute late", &shift(-60), late),
        case("a day late", &shift(-86_400), late),
        case("a minute early", &shift(60), late),
        case(
            "for another collective",
            &|r| r.collective = "other".into(),
            "not a member of collective \"other\"",
        ),
        case("valid for too long", &|r| r.ttl_secs = 21_601, guard),
        case(
            "for an agent that is not there",
            &|r| r.agent = "absent".into(),
            "no agent \"absent\"",
        ),
        case("for an agent with another case", &|r| r.agent = "Probe".into(), "no agent \"Probe\""),
        case("no word for discovery", &|r| r.agent = "discovery".into(), "not a discovery ping"),
    ];
    for subject in ["", "a b", "a.*", "a.>", "a..b", ".a", "a.", "a\r\nPUB x 0\r\n"] {
        let request = world.request();
        let mut transport =
            Transport::new(Version::V1, world.secure(&request).encode().unwrap(), "shell");
        transport.reply_to = Some(subject.to_owned());
        let reason = format!("replies cannot go to subject {subject:?}");
        let trace = Trace::Dropped(Box::new(request), reason);
        let name = format!("with the reply subject {subject:?}");
        cases.push(Case::new(name, transport.encode(), trace));
    }
    cases.extend(copies(world));
    let full = Arrangement {
        limits: Some(Limits { per_agent: 0, bytes: 1 << 20 }),
        ..Arrangement::default()
    };
    cases.push(case("one too many", &|_| (), "too many requests to agent probe").at(full));
    cases
}

/// The same request twice, as it was and in other envelopes.
fn copies(world: &World) -> Vec<Case> {
    let case = |name: &str, request: Request, copy: Vec<u8>| {
        let first = world.message(&request);
        let reason = format!(
            "refused request {} of choria=alice.mcollective: it was handled before",
            request.id
        );
        Case::new(name, copy, Trace::Dropped(Box::new(request), reason)).after(first)
    };
    let request = world.request();
    let copy = world.message(&request);
    let as_it_was = case("a copy", request, copy);
    let request = world.request();
    let mut transport =
        Transport::new(Version::V1, world.secure(&request).encode().unwrap(), "elsewhere");
    transport.reply_to = Some(format!("{REPLY_TO}.z"));
    transport.append_hop("a", "b", "c");
    let elsewhere = case("a copy with another reply subject", request, transport.encode());
    let request = world.request();
    let mut secure = world.secure(&request);
    secure.signature.insert(4, '\n');
    let broken = case("a copy with a line break in its signature", request, wrap(&secure));
    vec![as_it_was, elsewhere, broken]
}
