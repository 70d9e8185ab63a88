//! Keys of data adapters, for every adapter the same: its engine, what it reads, and streams.

use super::{COUNT, DURATION, Key, Kind, key};
use Kind::{Boolean, Choice, CommaList, Path, Text};

/// A number of things of which there must be one at least.
const SOME: Kind = Kind::Integer(1, 1_000_000_000);

pub(super) const KEYS: &[Key] = &[
    key(
        "plugin.choria.adapter.*.type",
        Text,
        "",
        "Where an adapter puts its data: choria_streams (or jetstream), nats and others, see docs/adapters.md",
    ),
    key("plugin.choria.adapter.*.queue_len", SOME, "1000", "Messages an adapter holds in memory"),
    key(
        "plugin.choria.adapter.*.retries",
        COUNT,
        "0",
        "Attempts after which an adapter gives up a message; 0 is never",
    ),
    key("plugin.choria.adapter.*.ingest.topic", Text, "", "The subject an adapter reads"),
    key(
        "plugin.choria.adapter.*.ingest.protocol",
        Choice(&["request", "reply", "lifecycle", "raw"]),
        "reply",
        "What an adapter reads: request, reply, lifecycle (events) or raw (anything)",
    ),
    key(
        "plugin.choria.adapter.*.ingest.verify",
        Boolean,
        "false",
        "Take only messages that can be verified: of callers as a server does it, and registration data of the nodes themselves",
    ),
    key(
        "plugin.choria.adapter.*.ingest.workers",
        SOME,
        "10",
        "Accepted for compatibility: one connection reads as fast as ten",
    ),
    key(
        "plugin.choria.adapter.*.spool.dir",
        Path,
        "",
        "The folder for messages that wait longer than memory has room for; without it they are dropped",
    ),
    key(
        "plugin.choria.adapter.*.spool.max_bytes",
        Kind::Integer(1024 * 1024, i64::MAX),
        "536870912",
        "Bytes that folder may take",
    ),
    key(
        "plugin.choria.adapter.*.spool.drop",
        Choice(&["oldest", "newest"]),
        "newest",
        "Which messages go when that folder is full: oldest or newest",
    ),
    key(
        "plugin.choria.adapter.*.stream.servers",
        CommaList,
        "",
        "The brokers an adapter writes to; those it reads from when not set",
    ),
    key(
        "plugin.choria.adapter.*.stream.topic",
        Text,
        "",
        "The subject an adapter writes to, a template; the name of the adapter when not set",
    ),
    key(
        "plugin.choria.adapter.*.stream.workers",
        SOME,
        "10",
        "Accepted for compatibility: one connection writes as fast as ten",
    ),
    key(
        "plugin.choria.adapter.*.stream.acknowledge",
        Boolean,
        "true",
        "Wait until a stream has confirmed each message; no publishes as older versions do",
    ),
    key(
        "plugin.choria.adapter.*.stream.name",
        Text,
        "",
        "The stream that has to take the messages; any when not set",
    ),
    key(
        "plugin.choria.adapter.*.stream.in_flight",
        Kind::Integer(1, 10_000),
        "500",
        "Messages that may wait for their confirmation at a time",
    ),
    key(
        "plugin.choria.adapter.*.stream.timeout",
        DURATION,
        "10s",
        "Time without any confirmation after which those that wait are sent again",
    ),
    key(
        "plugin.choria.adapter.*.stream.tls",
        Boolean,
        "true",
        "Encrypt the connection to stream.servers and verify them",
    ),
    key("plugin.choria.adapter.*.stream.user", Text, "", "User name for stream.servers"),
    key("plugin.choria.adapter.*.stream.password", Text, "", "Password of that user").secret(),
];
