//! Keys of data adapters that write to files, or post to a webhook.

use std::time::Duration;

use super::{COUNT, Key, Kind, key};
use Kind::{Boolean, Choice, Integer, Path, Text};

/// An attempt must end before an adapter has waited for minutes.
const TEN_MINUTES: Kind = Kind::Duration(Some(Duration::from_secs(600)));
const YEAR: Kind = Kind::Duration(Some(Duration::from_secs(31_536_000)));
/// How long a message waits for others.
const MINUTE: Kind = Kind::Duration(Some(Duration::from_secs(60)));
const MIB: i64 = 1024 * 1024;

pub(super) const KEYS: &[Key] = &[
    key(
        "plugin.choria.adapter.*.file.dir",
        Path,
        "",
        "The folder that an adapter writes below; it has to exist",
    ),
    key(
        "plugin.choria.adapter.*.file.path",
        Text,
        "",
        "The file below that folder, a template; the name of the adapter with .ndjson when not set",
    ),
    key(
        "plugin.choria.adapter.*.file.max_bytes",
        COUNT,
        "104857600",
        "Bytes after which a file is rotated; 0 is never",
    ),
    key(
        "plugin.choria.adapter.*.file.max_age",
        YEAR,
        "24h",
        "Age after which a file is rotated when more is written; 0 is never",
    ),
    key(
        "plugin.choria.adapter.*.file.keep",
        Integer(0, 100_000),
        "10",
        "Rotated files that are kept of each; 0 keeps all",
    ),
    key("plugin.choria.adapter.*.file.mode", Text, "0640", "The mode of files, in octal"),
    key(
        "plugin.choria.adapter.*.file.sync",
        Choice(&["batch", "close", "never"]),
        "batch",
        "When lines are on disk: before they count as delivered, before a file is closed or rotated, or whenever",
    ),
    key(
        "plugin.choria.adapter.*.file.open_files",
        Integer(1, 10_000),
        "64",
        "Files that are open at a time",
    ),
    key(
        "plugin.choria.adapter.*.file.max_files",
        Integer(1, 10_000_000),
        "10000",
        "Files written to in a day; records for any more go to overflow.ndjson",
    ),
    key(
        "plugin.choria.adapter.*.file.batch_records",
        Integer(1, 100_000),
        "1000",
        "Messages that are written at once",
    ),
    key(
        "plugin.choria.adapter.*.file.batch_bytes",
        Integer(1, 64 * MIB),
        "4194304",
        "Bytes that are written at once",
    ),
    key(
        "plugin.choria.adapter.*.file.batch_age",
        MINUTE,
        "100ms",
        "How long a message waits for others",
    ),
    key("plugin.choria.adapter.*.file.timeout", TEN_MINUTES, "10s", "How long a write may take"),
    key("plugin.choria.adapter.*.webhook.url", Text, "", "The https address that is posted to"),
    key(
        "plugin.choria.adapter.*.webhook.format",
        Choice(&["ndjson", "json", "cloudevent", "cloudevents"]),
        "ndjson",
        "What is posted: lines, an array, one event a request, an array of events",
    ),
    key(
        "plugin.choria.adapter.*.webhook.ca",
        Path,
        "",
        "The authorities that vouch for the service; those of the machine when not set",
    ),
    key(
        "plugin.choria.adapter.*.webhook.certificate",
        Path,
        "",
        "A certificate to show the service",
    ),
    key("plugin.choria.adapter.*.webhook.private_key", Path, "", "The key of that certificate"),
    key(
        "plugin.choria.adapter.*.webhook.bearer_file",
        Path,
        "",
        "A file with the token to log in with",
    ),
    key("plugin.choria.adapter.*.webhook.user", Text, "", "The user to log in as"),
    key(
        "plugin.choria.adapter.*.webhook.password_file",
        Path,
        "",
        "A file with the password of that user",
    ),
    key(
        "plugin.choria.adapter.*.webhook.signature_file",
        Path,
        "",
        "A file with the key of a signature (HMAC-SHA256) over what is posted",
    ),
    key(
        "plugin.choria.adapter.*.webhook.signature_header",
        Choice(&["x-choria-signature", "x-hub-signature-256"]),
        "x-choria-signature",
        "The header of that signature",
    ),
    key(
        "plugin.choria.adapter.*.webhook.insecure",
        Boolean,
        "false",
        "Allow an http address: everything is sent in clear",
    ),
    key(
        "plugin.choria.adapter.*.webhook.batch_records",
        Integer(1, 10_000),
        "500",
        "Messages that are posted at once",
    ),
    key(
        "plugin.choria.adapter.*.webhook.batch_bytes",
        Integer(1, 64 * MIB),
        "1048576",
        "Bytes that are posted at once",
    ),
    key(
        "plugin.choria.adapter.*.webhook.batch_age",
        MINUTE,
        "1s",
        "How long a message waits for others",
    ),
    key(
        "plugin.choria.adapter.*.webhook.timeout",
        TEN_MINUTES,
        "10s",
        "How long a request may take",
    ),
];
