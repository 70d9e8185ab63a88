//! Every envelope of protocol v2 from bytes of a peer. What decodes must encode and decode again to
//! the same value.
#![no_main]

use choria::protocol::v2::{SecureReply, SecureRequest};
use choria::protocol::{Reply, Request, Transport, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(transport) = Transport::decode(data) {
        assert_eq!(Transport::decode(&transport.encode()).as_ref(), Ok(&transport));
        envelopes(&transport.data);
    }
    envelopes(data);
});

fn envelopes(data: &[u8]) {
    if let Ok(secure) = SecureRequest::decode(data) {
        let text = secure.encode().expect("what was read can be written");
        assert_eq!(SecureRequest::decode(&text).as_ref(), Ok(&secure));
        texts(&secure.request);
    }
    if let Ok(secure) = SecureReply::decode(data) {
        assert_eq!(SecureReply::decode(&secure.encode()).as_ref(), Ok(&secure));
        texts(&secure.reply);
    }
    texts(data);
}

fn texts(text: &[u8]) {
    if let Ok(request) = Request::decode(Version::V2, text) {
        let again = request.encode().expect("what was read can be written");
        assert_eq!(Request::decode(Version::V2, again.as_bytes()).as_ref(), Ok(&request));
        let _ = request.payload();
    }
    if let Ok(reply) = Reply::decode(Version::V2, text) {
        let again = reply.encode().expect("what was read can be written");
        assert_eq!(Reply::decode(Version::V2, again.as_bytes()).as_ref(), Ok(&reply));
    }
}
