//! What is posted: lines, an array, events (CloudEvents 1.0, JSON format).

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::adapt::Record;
use crate::crypto::hash;
use crate::util::time;

/// What every event says it is.
const EVENT_TYPE: &str = "io.choria.adapter.v1.output";
/// Characters of an id that stands in a header as it is.
const KEY_CHARS_MAX: usize = 255;

/// The form of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One record a line.
    Lines,
    /// An array of records.
    Array,
    /// One event a request.
    CloudEvent,
    /// An array of events.
    CloudEvents,
}

impl Format {
    /// The words for them in configurations.
    pub const WORDS: [(&str, Format); 4] = [
        ("ndjson", Format::Lines),
        ("json", Format::Array),
        ("cloudevent", Format::CloudEvent),
        ("cloudevents", Format::CloudEvents),
    ];

    /// The media type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Lines => "application/x-ndjson",
            Format::Array => "application/json",
            Format::CloudEvent => "application/cloudevents+json",
            Format::CloudEvents => "application/cloudevents-batch+json",
        }
    }

    /// The body of a request with these records.
    pub(super) fn body(self, source: &str, records: &[Record]) -> Vec<u8> {
        let bytes: usize = records.iter().map(Record::weight).sum();
        let mut out = Vec::with_capacity(bytes);
        match self {
            Format::Lines => {
                for record in records {
                    let start = out.len();
                    out.extend_from_slice(&record.body);
                    // In JSON these can only be between its parts.
                    for byte in out.iter_mut().skip(start) {
                        if matches!(byte, b'\n' | b'\r') {
                            *byte = b' ';
                        }
                    }
                    out.push(b'\n');
                }
            }
            Format::Array => array(&mut out, records, |out, record| {
                out.extend_from_slice(&record.body);
            }),
            Format::CloudEvent => records.iter().for_each(|record| event(&mut out, source, record)),
            Format::CloudEvents => {
                array(&mut out, records, |out, record| event(out, source, record));
            }
        }
        out
    }
}

fn array(out: &mut Vec<u8>, records: &[Record], mut write: impl FnMut(&mut Vec<u8>, &Record)) {
    out.push(b'[');
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, record);
    }
    out.push(b']');
}

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a str,
    time: String,
    datacontenttype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

fn event(out: &mut Vec<u8>, source: &str, record: &Record) {
    let data: Option<&RawValue> = serde_json::from_slice(&record.body).ok();
    let event = Event {
        specversion: "1.0",
        id: &record.id,
        source,
        kind: EVENT_TYPE,
        subject: &record.sender,
        time: time::rfc3339_nano(record.time),
        datacontenttype: if data.is_some() {
            "application/json"
        } else {
            "application/octet-stream"
        },
        data_base64: if data.is_some() { None } else { Some(BASE64.encode(&record.body)) },
        data,
    };
    // A struct of texts always has a JSON form, and memory takes what is written.
    let _ = serde_json::to_writer(out, &event);
}

/// What the receiver knows these records by when they come again together.
pub(super) fn key(records: &[Record]) -> String {
    let is_plain = |id: &str| {
        !id.is_empty() && id.len() <= KEY_CHARS_MAX && id.bytes().all(|b| b.is_ascii_graphic())
    };
    let ids: Cow<'_, str> = match records {
        [record] if is_plain(&record.id) => return record.id.clone(),
        [record] => Cow::Borrowed(&record.id),
        _ => {
            let ids: Vec<&str> = records.iter().map(|record| record.id.as_str()).collect();
            Cow::Owned(ids.join("\n"))
        }
    };
    hash::sha256_hex(ids.as_bytes())
}
