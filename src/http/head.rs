//! From bytes to a request.

use super::Query;
use super::target;

/// Headers of one request; more is no honest client's.
const HEADERS_MAX: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where, decoded.
    pub path: String,
    /// The parameters.
    pub query: Query,
    /// The connection is to be used again.
    pub(super) keeps_alive: bool,
}

/// The methods that are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Head and body of the answer.
    Get,
    /// Only its head.
    Head,
}

/// Why bytes are no request that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not HTTP, or not a form of it that is understood.
    Malformed,
    /// Neither GET nor HEAD.
    Method,
    /// It has a body.
    Body,
    /// More headers than anybody needs.
    Headers,
}

/// Reads a request off the front of `bytes`: the request and its length, or nothing while its end is missing.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::Headers),
        Err(_) => return Err(Fault::Malformed),
    };
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(Fault::Method),
    };
    let is_new = head.version == Some(1);
    let facts = Facts::of(head.headers)?;
    // HTTP/1.1 asks for exactly one; several are a trick.
    if facts.hosts > 1 || (is_new && facts.hosts == 0) {
        return Err(Fault::Malformed);
    }
    let (path, query) = head.path.and_then(target::split).ok_or(Fault::Malformed)?;
    let keeps_alive = if is_new { !facts.closes } else { facts.keeps };
    Ok(Some((Request { method, path, query, keeps_alive }, length)))
}

/// What the headers say about the connection.
#[derive(Debug, Default)]
struct Facts {
    hosts: usize,
    closes: bool,
    keeps: bool,
}

impl Facts {
    fn of(headers: &[httparse::Header<'_>]) -> Result<Facts, Fault> {
        let mut facts = Facts::default();
        for header in headers {
            let name = header.name;
            let has_length = name.eq_ignore_ascii_case("content-length") && header.value != b"0";
            if has_length || name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(Fault::Body);
            } else if name.eq_ignore_ascii_case("host") {
                facts.hosts += 1;
            } else if name.eq_ignore_ascii_case("connection") {
                for word in header.value.split(|byte| *byte == b',') {
                    facts.closes |= word.trim_ascii().eq_ignore_ascii_case(b"close");
                    facts.keeps |= word.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_what_is_wrong_with_them() {
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX));
        type Expected = Result<Option<(&'static str, bool)>, Fault>;
        let cases: [(&str, Expected); 18] = [
            ("GET /varz?a=1 HTTP/1.1\r\nHost: a\r\n\r\nrest", Ok(Some(("/varz", true)))),
            ("HEAD / HTTP/1.1\r\nhost:a\r\nConnection: x, Close\r\n\r\n", Ok(Some(("/", false)))),
            ("GET / HTTP/1.0\r\n\r\n", Ok(Some(("/", false)))),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Ok(Some(("/", true)))),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Ok(Some(("/", true)))),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Ok(None)),
            ("GE", Ok(None)),
            ("", Ok(None)),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", Err(Fault::Method)),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Err(Fault::Method)),
            ("GET / HTTP/1.1\r\n\r\n", Err(Fault::Malformed)),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Err(Fault::Malformed)),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(Fault::Malformed)),
            ("GET varz HTTP/1.1\r\nHost: a\r\n\r\n", Err(Fault::Malformed)),
            ("CONNECT {}\r\nPING\r\n", Err(Fault::Malformed)),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Err(Fault::Body)),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Fault::Body)),
            (&many, Err(Fault::Headers)),
        ];
        for (text, expected) in cases {
            let found = parse(text.as_bytes()).map(|found| {
                found.map(|(request, length)| {
                    assert!(text[..length].ends_with("\r\n\r\n"), "{text}");
                    (request.path, request.keeps_alive)
                })
            });
            let expected = expected.map(|some| some.map(|(path, keeps)| (path.to_owned(), keeps)));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut random = fastrand::Rng::with_seed(5);
        let text = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: b\r\n\r\n";
        for _ in 0..20_000 {
            let mut bytes = text.to_vec();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..=bytes.len()));
            let _ = parse(&bytes);
        }
    }
}
