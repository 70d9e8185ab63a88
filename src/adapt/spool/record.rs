//! A record as it stands in a segment: length, checksum, then the record.
//!
//! ```text
//! u32 length of what follows the checksum   u32 CRC-32C of that
//! i64 seconds   u32 nanoseconds   6 texts, each u16 length and bytes   the body to the end
//! ```
//! All numbers are little endian.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::adapt::Record;
use crate::util::crc::crc32c;

/// Bytes before a record: its length and its checksum.
pub(super) const HEAD_BYTES: usize = 8;
/// A record that says to be longer is none.
pub(super) const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Appends a record.
pub(super) fn encode(out: &mut Vec<u8>, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let (secs, nanos) = split(record.time);
    out.extend_from_slice(&secs.to_le_bytes());
    out.extend_from_slice(&nanos.to_le_bytes());
    for text in texts(record) {
        // Names are bounded by the protocol, far below this.
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(text.as_bytes().get(..usize::from(length)).unwrap_or_default());
    }
    out.extend_from_slice(&record.body);
    let content = out.get(start + HEAD_BYTES..).unwrap_or_default();
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let sum = crc32c(content);
    if let Some(head) = out.get_mut(start..start + HEAD_BYTES) {
        let (first, second) = head.split_at_mut(4);
        first.copy_from_slice(&length.to_le_bytes());
        second.copy_from_slice(&sum.to_le_bytes());
    }
}

/// Bytes that [`encode`] appends.
pub(super) fn encoded_len(record: &Record) -> usize {
    let texts: usize =
        texts(record).iter().map(|text| 2 + text.len().min(usize::from(u16::MAX))).sum();
    HEAD_BYTES + 12 + texts + record.body.len()
}

fn texts(record: &Record) -> [&str; 6] {
    [
        &record.id,
        &record.sender,
        &record.agent,
        &record.collective,
        &record.request_id,
        &record.subject,
    ]
}

/// What stands at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'b> {
    /// The content of a record whose checksum fits, and how many bytes it takes with its head.
    Whole(&'b [u8], usize),
    /// More bytes are needed: so many in all.
    Short(usize),
    /// No record.
    Damaged,
}

/// Looks at the start of `bytes`.
pub(super) fn find(bytes: &[u8]) -> Found<'_> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else {
        return Found::Short(HEAD_BYTES);
    };
    let (length, sum) = head.split_at(4);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
    let length = number(length) as usize;
    if length > RECORD_BYTES_MAX || length == 0 {
        return Found::Damaged;
    }
    match rest.get(..length) {
        None => Found::Short(HEAD_BYTES + length),
        Some(content) if crc32c(content) == number(sum) => {
            Found::Whole(content, HEAD_BYTES + length)
        }
        Some(_) => Found::Damaged,
    }
}

/// Reads the content of a record.
pub(super) fn decode(content: &[u8]) -> Option<Record> {
    let (secs, rest) = content.split_at_checked(8)?;
    let (nanos, mut rest) = rest.split_at_checked(4)?;
    let time =
        join(i64::from_le_bytes(secs.try_into().ok()?), u32::from_le_bytes(nanos.try_into().ok()?));
    let mut text = || {
        let (length, after) = rest.split_at_checked(2)?;
        let length = u16::from_le_bytes(length.try_into().ok()?);
        let (text, after) = after.split_at_checked(usize::from(length))?;
        rest = after;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let (id, sender, agent) = (text()?, text()?, text()?);
    let (collective, request_id, subject) = (text()?, text()?, text()?);
    Some(Record { id, sender, agent, collective, time, request_id, subject, body: rest.into() })
}

fn split(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let secs = -i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (secs, 0),
                nanos => (secs - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

fn join(secs: i64, nanos: u32) -> SystemTime {
    let length = Duration::from_secs(secs.unsigned_abs());
    let base =
        if secs < 0 { UNIX_EPOCH.checked_sub(length) } else { UNIX_EPOCH.checked_add(length) };
    base.and_then(|base| base.checked_add(Duration::from_nanos(u64::from(nanos))))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_both_ways() {
        for time in [
            UNIX_EPOCH,
            UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
            UNIX_EPOCH - Duration::new(5, 1),
            UNIX_EPOCH - Duration::from_secs(5),
        ] {
            let record = Record {
                id: "i".to_owned(),
                sender: "n1".to_owned(),
                agent: String::new(),
                collective: "ü".to_owned(),
                time,
                request_id: "r".repeat(500),
                subject: "a.b".to_owned(),
                body: b"{\"x\":1}".to_vec().into(),
            };
            let mut bytes = b"before".to_vec();
            encode(&mut bytes, &record);
            let bytes = &bytes[6..];
            assert_eq!(bytes.len(), encoded_len(&record));
            let Found::Whole(content, length) = find(bytes) else { panic!("not whole") };
            assert_eq!((decode(content), length), (Some(record), bytes.len()));
            for end in 0..bytes.len() {
                assert!(matches!(find(&bytes[..end]), Found::Short(_)), "{end}");
                assert!(decode(&content[..end.min(40)]).is_none() || end >= 40);
            }
            for at in 0..bytes.len() {
                let mut bad = bytes.to_vec();
                bad[at] ^= 0x10;
                assert!(!matches!(find(&bad), Found::Whole(..)), "{at}");
            }
        }
    }
}
