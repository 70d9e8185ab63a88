//! The HTTP request that opens a WebSocket, RFC 6455 section 4.2, and its answer.

use std::net::IpAddr;

use data_encoding::BASE64;

use crate::crypto::hash::sha1;

/// Bytes of a request; browsers send every cookie they have for a host.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Fields of a request.
const FIELDS_MAX: usize = 100;
/// What the key is joined with, RFC 6455 section 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Decoded bytes of a key.
const KEY_BYTES: usize = 16;
const DEFLATE: &str = "permessage-deflate";

/// A client that may go on with frames.
#[derive(Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// What it is answered.
    pub answer: Vec<u8>,
    /// Length of the request; what follows is frames.
    pub request_bytes: usize,
    /// Messages may be deflated, both ways.
    pub is_deflating: bool,
    /// A web browser, by what it calls itself.
    pub is_browser: bool,
    /// Who the client is according to a proxy. Anybody can claim that: it is for the log only.
    pub forwarded_for: Option<IpAddr>,
}

/// A request that is not answered with an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Why, for the client and the log.
    pub reason: &'static str,
}

impl Refusal {
    const fn new(status: u16, reason: &'static str) -> Refusal {
        Refusal { status, reason }
    }

    /// What the client is told.
    pub fn answer(self) -> Vec<u8> {
        let (phrase, more) = match self.status {
            403 => ("Forbidden", ""),
            404 => ("Not Found", ""),
            405 => ("Method Not Allowed", "Allow: GET\r\n"),
            431 => ("Request Header Fields Too Large", ""),
            _ => ("Bad Request", ""),
        };
        let Refusal { status, reason } = self;
        let length = reason.len() + 1;
        format!(
            "HTTP/1.1 {status} {phrase}\r\nSec-WebSocket-Version: 13\r\n{more}Content-Type: text/plain; \
             charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reason}\n"
        )
        .into_bytes()
    }
}

/// Reads a request; nothing when more of it has to come. `origins` are the web sites whose pages may connect, as
/// `scheme://host[:port]`; none means all of them. Programs that are no browser name no origin.
///
/// # Errors
/// Says why the request is refused.
pub fn read(input: &[u8], origins: &[String]) -> Result<Option<Upgrade>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let request_bytes = match request.parse(input) {
        Ok(httparse::Status::Complete(length)) if length <= REQUEST_BYTES_MAX => length,
        Ok(httparse::Status::Partial) if input.len() < REQUEST_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(431, "the request is too large"));
        }
        Err(_) => return Err(Refusal::new(400, "not an HTTP request")),
    };
    let request = Request { parsed: &request };
    let key = request.check(origins)?;
    let is_deflating = request.offers_deflate();
    Ok(Some(Upgrade {
        answer: answer(key, is_deflating),
        request_bytes,
        is_deflating,
        is_browser: request.first("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/")),
        forwarded_for: request
            .first("x-forwarded-for")
            .and_then(|list| list.split(',').next()?.trim().parse().ok()),
    }))
}

/// The answer that opens the WebSocket.
fn answer(key: &str, is_deflating: bool) -> Vec<u8> {
    let accept = BASE64.encode(&sha1(format!("{key}{KEY_SUFFIX}").as_bytes()));
    let extensions = match is_deflating {
        true => {
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
             client_no_context_takeover\r\n"
        }
        false => "",
    };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
    )
    .into_bytes()
}

struct Request<'r> {
    parsed: &'r httparse::Request<'r, 'r>,
}

impl<'r> Request<'r> {
    /// Checks what RFC 6455 asks for, and returns the key.
    fn check(&self, origins: &[String]) -> Result<&'r str, Refusal> {
        if self.parsed.method != Some("GET") {
            return Err(Refusal::new(405, "the request method has to be GET"));
        }
        if self.parsed.version != Some(1) {
            return Err(Refusal::new(400, "the request has to be HTTP/1.1"));
        }
        let path = self.parsed.path.unwrap_or_default();
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        if path.ends_with("/leafnode") || path.ends_with("/mqtt") {
            return Err(Refusal::new(404, "leaf nodes and MQTT are not served here"));
        }
        if self.first("host").is_none_or(str::is_empty) {
            return Err(Refusal::new(400, "'Host' is missing in the request"));
        }
        if !self.has_word("upgrade", "websocket") {
            return Err(Refusal::new(
                400,
                "this is a WebSocket port: 'Upgrade' has to be websocket",
            ));
        }
        if !self.has_word("connection", "upgrade") {
            return Err(Refusal::new(400, "'Connection' has to be Upgrade"));
        }
        let key = self
            .first("sec-websocket-key")
            .ok_or(Refusal::new(400, "'Sec-WebSocket-Key' is missing in the request"))?;
        let decoded = BASE64.decode(key.as_bytes());
        if !decoded.is_ok_and(|bytes| bytes.len() == KEY_BYTES) {
            return Err(Refusal::new(400, "'Sec-WebSocket-Key' is not 16 bytes in base64"));
        }
        if !self.has_word("sec-websocket-version", "13") {
            return Err(Refusal::new(400, "'Sec-WebSocket-Version' has to be 13"));
        }
        match self.first("origin") {
            Some(origin) if !is_allowed(origin, origins) => {
                Err(Refusal::new(403, "the origin is not allowed"))
            }
            _ => Ok(key),
        }
    }

    /// The text of all fields of a name, which is given in lower case.
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'r str> {
        let fields = self.parsed.headers.iter();
        fields
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .filter_map(|field| std::str::from_utf8(field.value).ok())
            .map(str::trim)
    }

    fn first(&self, name: &'static str) -> Option<&'r str> {
        self.all(name).next()
    }

    /// Whether a word is in the list of a field.
    fn has_word(&self, name: &'static str, word: &str) -> bool {
        self.all(name).flat_map(|list| list.split(',')).any(|have| {
            let have = have.trim();
            have.eq_ignore_ascii_case(word)
        })
    }

    /// Whether messages without context may be deflated. Other parameters of an offer limit what we could do, so that
    /// such an offer is not taken; `client_max_window_bits` only says what the client can do.
    fn offers_deflate(&self) -> bool {
        self.all("sec-websocket-extensions").flat_map(|list| list.split(',')).any(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case(DEFLATE))
                && parts.all(|part| {
                    let name = part.split('=').next().unwrap_or_default().trim();
                    [
                        "server_no_context_takeover",
                        "client_no_context_takeover",
                        "client_max_window_bits",
                    ]
                    .contains(&name)
                })
        })
    }
}

/// Whether pages of a web site may connect.
fn is_allowed(origin: &str, origins: &[String]) -> bool {
    let plain = |origin: &str| {
        let origin = origin.trim_end_matches('/').to_ascii_lowercase();
        let port = match origin.split_once("://") {
            Some(("https", _)) => ":443",
            Some(("http", _)) => ":80",
            _ => "",
        };
        origin.strip_suffix(port).map_or(origin.clone(), str::to_owned)
    };
    origins.is_empty() || origins.iter().any(|allowed| plain(allowed) == plain(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: broker.example:4223\r\nUpgrade: websocket\r\n\
                           Connection: keep-alive, Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                           Sec-WebSocket-Protocol: nats\r\nSec-WebSocket-Version: 13\r\n\r\n";

    /// The request with one piece of text replaced.
    fn with(old: &str, new: &str) -> String {
        assert!(REQUEST.contains(old), "{old}");
        REQUEST.replace(old, new)
    }

    fn more(fields: &str) -> String {
        with("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"))
    }

    /// The example of RFC 6455, section 1.3, cut everywhere.
    #[test]
    fn a_request_is_answered_when_it_is_complete() {
        for length in 0..REQUEST.len() {
            assert_eq!(read(&REQUEST.as_bytes()[..length], &[]), Ok(None), "{length}");
        }
        let input = [REQUEST.as_bytes(), b"\x82\x80"].concat();
        let upgrade = read(&input, &[]).expect("good").expect("complete");
        let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&upgrade.answer), expected);
        assert_eq!(upgrade.request_bytes, REQUEST.len());
        let told = (upgrade.is_deflating, upgrade.is_browser, upgrade.forwarded_for);
        assert_eq!(told, (false, false, None));
    }

    #[test]
    fn requests_that_are_none_are_refused_with_a_reason() {
        let long = format!("Cookie: {}", "x".repeat(REQUEST_BYTES_MAX));
        let many = "A: b\r\n".repeat(FIELDS_MAX) + "A: b";
        let cases = [
            (with("GET", "POST"), 405, "the request method has to be GET"),
            (with("HTTP/1.1", "HTTP/1.0"), 400, "the request has to be HTTP/1.1"),
            (with("/chat", "/leafnode"), 404, "leaf nodes and MQTT are not served here"),
            (with("/chat", "/x/mqtt?a=b"), 404, "leaf nodes and MQTT are not served here"),
            (with("Host: broker.example:4223\r\n", ""), 400, "'Host' is missing in the request"),
            (
                with("Upgrade: websocket\r\n", ""),
                400,
                "this is a WebSocket port: 'Upgrade' has to be websocket",
            ),
            (with("keep-alive, Upgrade", "close"), 400, "'Connection' has to be Upgrade"),
            (
                with("Sec-WebSocket-Key", "X-Key"),
                400,
                "'Sec-WebSocket-Key' is missing in the request",
            ),
            (with("dGhl", "AAAA"), 101, ""),
            (
                with("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
                400,
                "'Sec-WebSocket-Key' is not 16 bytes in base64",
            ),
            (with("Version: 13", "Version: 8"), 400, "'Sec-WebSocket-Version' has to be 13"),
            ("CONNECT {}\r\nPING\r\n".to_owned(), 400, "not an HTTP request"),
            (more(&long), 431, "the request is too large"),
            (more(&many), 431, "the request is too large"),
        ];
        for (text, status, reason) in cases {
            match read(text.as_bytes(), &[]) {
                Err(refusal) => assert_eq!((refusal.status, refusal.reason), (status, reason)),
                got => assert!(status == 101 && got.is_ok_and(|got| got.is_some()), "{text}"),
            }
        }
        let text = String::from_utf8(Refusal::new(405, "no").answer()).expect("text");
        assert!(
            text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n")
                && text.ends_with("\r\n\r\nno\n")
        );
        assert!(text.contains("Content-Length: 3\r\n") && text.contains("Allow: GET\r\n"));
    }

    #[test]
    fn only_named_origins_are_allowed_when_any_is_named() {
        let list = ["https://app.example".to_owned(), "http://lab.example:8080/".to_owned()];
        let cases = [
            ("https://app.example", true),
            ("HTTPS://App.example:443", true),
            ("http://app.example", false),
            ("https://app.example:8443", false),
            ("http://lab.example:8080", true),
            ("https://app.example.evil.example", false),
            ("null", false),
        ];
        for (origin, expected) in cases {
            let text = more(&format!("Origin: {origin}"));
            assert_eq!(read(text.as_bytes(), &list).is_ok(), expected, "{origin}");
            assert!(read(text.as_bytes(), &[]).is_ok(), "{origin}");
        }
        assert!(read(REQUEST.as_bytes(), &list).is_ok());
    }

    #[test]
    fn deflate_is_taken_when_it_is_offered_without_conditions() {
        let cases = [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits", true),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", true),
            ("x-other, permessage-deflate", true),
            ("permessage-deflate; server_max_window_bits=10", false),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
            ("permessage-deflated", false),
        ];
        for (offer, expected) in cases {
            let text = more(&format!("Sec-WebSocket-Extensions: {offer}"));
            let upgrade = read(text.as_bytes(), &[]).expect("good").expect("complete");
            assert_eq!(upgrade.is_deflating, expected, "{offer}");
            let answer = String::from_utf8(upgrade.answer).expect("text");
            assert_eq!(answer.contains("_no_context_takeover"), expected, "{offer}");
        }
    }

    #[test]
    fn proxies_and_browsers_are_noticed() {
        let cases = [
            ("X-Forwarded-For: 192.0.2.7, 10.0.0.1", Some("192.0.2.7")),
            ("X-Forwarded-For: 2001:db8::1", Some("2001:db8::1")),
            ("X-Forwarded-For: nobody", None),
        ];
        for (field, expected) in cases {
            let upgrade = read(more(field).as_bytes(), &[]).expect("good").expect("complete");
            let expected = expected.map(|text| text.parse().expect("address"));
            assert_eq!(upgrade.forwarded_for, expected, "{field}");
        }
        let text = more("User-Agent: Mozilla/5.0 (X11; Linux x86_64)");
        assert!(read(text.as_bytes(), &[]).expect("good").expect("complete").is_browser);
    }
}
