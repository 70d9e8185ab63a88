//! Writes the operations of a client, and of a broker on a route.

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
    publish_encoded(out, subject, reply, block.as_deref(), payload);
}

/// The same with a header block that is encoded already.
pub fn publish_encoded(
    out: &mut Vec<u8>,
    subject: &str,
    reply: Option<&str>,
    block: Option<&[u8]>,
    payload: &[u8],
) {
    out.extend_from_slice(if block.is_some() { b"HPUB " } else { b"PUB " });
    out.extend_from_slice(subject.as_bytes());
    out.push(b' ');
    if let Some(reply) = reply {
        out.extend_from_slice(reply.as_bytes());
        out.push(b' ');
    }
    let header_len = block.map_or(0, <[u8]>::len);
    if block.is_some() {
        number(out, header_len as u64);
        out.push(b' ');
    }
    number(out, (header_len + payload.len()) as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(block.unwrap_or_default());
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

/// Appends `RS+`: interest in a subject, or the number of members of one of its queue groups.
pub fn route_interest(
    out: &mut Vec<u8>,
    account: &[u8],
    subject: &[u8],
    queue: Option<(&[u8], u32)>,
) {
    route_line(out, b"RS+ ", account, subject);
    if let Some((name, weight)) = queue {
        out.push(b' ');
        out.extend_from_slice(name);
        out.push(b' ');
        number(out, u64::from(weight));
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `RS-`: no more interest.
pub fn route_no_interest(out: &mut Vec<u8>, account: &[u8], subject: &[u8], queue: Option<&[u8]>) {
    route_line(out, b"RS- ", account, subject);
    if let Some(name) = queue {
        out.push(b' ');
        out.extend_from_slice(name);
    }
    out.extend_from_slice(b"\r\n");
}

fn route_line(out: &mut Vec<u8>, verb: &[u8], account: &[u8], subject: &[u8]) {
    out.extend_from_slice(verb);
    out.extend_from_slice(account);
    out.push(b' ');
    out.extend_from_slice(subject);
}

/// Appends what names queue groups in a message: `+ reply q... ` or `| q... `.
pub fn route_queues<'q>(
    out: &mut Vec<u8>,
    reply: Option<&[u8]>,
    queues: impl Iterator<Item = &'q [u8]>,
) {
    match reply {
        Some(reply) => {
            out.extend_from_slice(b"+ ");
            out.extend_from_slice(reply);
            out.push(b' ');
        }
        None => out.extend_from_slice(b"| "),
    }
    for queue in queues {
        out.extend_from_slice(queue);
        out.push(b' ');
    }
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
