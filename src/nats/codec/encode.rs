//! Writes the operations of a client.

use super::headers::Headers;

/// Appends `PUB` or, with headers, `HPUB`. The caller has checked subject and reply.
pub fn publish(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    headers: Option<&Headers>,
    payload: &[u8],
) {
    let block = headers.map(Headers::encode);
    out.extend_from_slice(if block.is_some() { b"HPUB " } else { b"PUB " });
    out.extend_from_slice(subject.as_bytes());
    out.push(b' ');
    if let Some(reply) = reply {
        out.extend_from_slice(reply.as_bytes());
        out.push(b' ');
    }
    let header_len = block.as_ref().map_or(0, Vec::len);
    if block.is_some() {
        number(out, header_len as u64);
        out.push(b' ');
    }
    number(out, (header_len + payload.len()) as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(block.as_deref().unwrap_or_default());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends `SUB`.
pub fn subscribe(out: &mut Vec<u8>, subject: &str, queue: Option<&str>, sid: u64) {
    out.extend_from_slice(b"SUB ");
    out.extend_from_slice(subject.as_bytes());
    out.push(b' ');
    if let Some(queue) = queue {
        out.extend_from_slice(queue.as_bytes());
        out.push(b' ');
    }
    number(out, sid);
    out.extend_from_slice(b"\r\n");
}

/// Appends `UNSUB`; with `max` the subscription ends after that many messages, counted from its start.
pub fn unsubscribe(out: &mut Vec<u8>, sid: u64, max: Option<u64>) {
    out.extend_from_slice(b"UNSUB ");
    number(out, sid);
    if let Some(max) = max {
        out.push(b' ');
        number(out, max);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `CONNECT` with a JSON text.
pub fn connect(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(b"CONNECT ");
    out.extend_from_slice(json.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a decimal number.
pub fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        used += 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[digits.len() - used..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations() {
        let mut headers = Headers::new();
        headers.append("A", "b");
        let mut out = Vec::new();
        publish(&mut out, "s", None, None, b"hi");
        publish(&mut out, "s", Some("r"), Some(&headers), b"");
        subscribe(&mut out, "s", Some("q"), 10);
        unsubscribe(&mut out, 10, Some(u64::MAX));
        unsubscribe(&mut out, 0, None);
        connect(&mut out, "{}");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "PUB s 2\r\nhi\r\nHPUB s r 18 18\r\nNATS/1.0\r\nA: b\r\n\r\n\r\nSUB s q 10\r\n\
             UNSUB 10 18446744073709551615\r\nUNSUB 0\r\nCONNECT {}\r\n"
        );
    }
}
