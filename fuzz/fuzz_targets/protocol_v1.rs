//! Every envelope of protocol v1 from bytes of a peer. What decodes must encode and decode again to
//! the same value.
#![no_main]

use choria::protocol::event::Event;
use choria::protocol::rpc::{ReplyBody, RequestBody};
use choria::protocol::v1::{SecureReply, SecureRequest};
use choria::protocol::{Reply, Request, Skimmer, Transport, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(transport) = Transport::decode(data) {
        assert_eq!(Transport::decode(&transport.encode()).as_ref(), Ok(&transport));
        envelopes(&transport.data);
    }
    skim(data);
    if let Ok(text) = String::from_utf8(data.to_vec()) {
        let word = || "insecure".to_owned();
        let secure = SecureRequest { message: text, signature: word(), pubcert: word() };
        secure.encode().map_or((), |secure| skim(&Transport::new(Version::V1, secure, "n").encode()));
    }
    skim(&Transport::new(Version::V1, data.to_vec(), "n").encode());
    envelopes(data);
    let _ = RequestBody::decode(data);
    let _ = ReplyBody::decode(data);
    let _ = Event::decode(data);
});

fn envelopes(data: &[u8]) {
    if let Ok(secure) = SecureRequest::decode(data) {
        let text = secure.encode().expect("what was read can be written");
        assert_eq!(SecureRequest::decode(&text).as_ref(), Ok(&secure));
        texts(secure.message.as_bytes());
    }
    if let Ok(secure) = SecureReply::decode(data) {
        assert_eq!(SecureReply::decode(&secure.encode()).as_ref(), Ok(&secure));
        texts(secure.message.as_bytes());
    }
    texts(data);
}

fn texts(text: &[u8]) {
    if let Ok(request) = Request::decode(Version::V1, text) {
        let again = request.encode().expect("what was read can be written");
        assert_eq!(Request::decode(Version::V1, again.as_bytes()).as_ref(), Ok(&request));
        let _ = request.payload();
    }
    if let Ok(reply) = Reply::decode(Version::V1, text) {
        let again = reply.encode().expect("what was read can be written");
        assert_eq!(Reply::decode(Version::V1, again.as_bytes()).as_ref(), Ok(&reply));
    }
}

/// What is skimmed must be what the decoders read.
fn skim(data: &[u8]) {
    let mut skimmer = Skimmer::default();
    let Some(skimmed) = skimmer.request(data) else { return };
    let transport = Transport::decode(data).expect("a transport");
    let secure = SecureRequest::decode(&transport.data).expect("a secure request");
    let request = Request::decode(Version::V1, secure.message.as_bytes()).expect("a request");
    let text = String::from_utf8([b"\"", skimmed.message, b"\""].concat()).expect("UTF-8");
    let message: String = serde_json::from_str(&text).expect("a text");
    assert_eq!(Request { message: message.into_bytes(), ..skimmed.request }, request);
}
