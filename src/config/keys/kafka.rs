//! Keys of data adapters that write to Kafka or Kinesis.

use std::time::Duration;

use super::{Key, Kind, key};
use Kind::{Boolean, Choice, CommaList, Path, Text};

/// An attempt must end before an adapter has waited for minutes.
const TEN_MINUTES: Kind = Kind::Duration(Some(Duration::from_secs(600)));
const DAY: Kind = Kind::Duration(Some(Duration::from_secs(86_400)));
/// How long a message waits for others.
const MINUTE: Kind = Kind::Duration(Some(Duration::from_secs(60)));
const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;

pub(super) const KEYS: &[Key] = &[
    key(
        "plugin.choria.adapter.*.kafka.servers",
        CommaList,
        "",
        "host:port of Kafka brokers to ask first; they tell of the others",
    ),
    key(
        "plugin.choria.adapter.*.kafka.topic",
        Text,
        "",
        "The topic, a template; the name of the adapter when not set",
    ),
    key(
        "plugin.choria.adapter.*.kafka.key",
        Text,
        "{sender}",
        "The key of a message, a template; it chooses the partition as in Java. Without a key partitions take turns",
    ),
    key(
        "plugin.choria.adapter.*.kafka.partition",
        Text,
        "",
        "The number of the partition, a template, instead of the choice by key",
    ),
    key(
        "plugin.choria.adapter.*.kafka.headers",
        CommaList,
        "requestid={request_id}",
        "Headers of a message: name=template, and more between commas",
    ),
    key(
        "plugin.choria.adapter.*.kafka.compression",
        Choice(&["none", "gzip", "snappy"]),
        "none",
        "How messages are compressed",
    ),
    key(
        "plugin.choria.adapter.*.kafka.create_topics",
        Boolean,
        "false",
        "Whether Kafka may create topics that do not exist",
    ),
    key("plugin.choria.adapter.*.kafka.client_id", Text, "choria", "What Kafka calls this client"),
    key(
        "plugin.choria.adapter.*.kafka.tls",
        Boolean,
        "true",
        "TLS to Kafka; without it everything is sent in clear",
    ),
    key(
        "plugin.choria.adapter.*.kafka.ca",
        Path,
        "",
        "Certificates of the authorities of Kafka, PEM; those of the system when not set",
    ),
    key(
        "plugin.choria.adapter.*.kafka.certificate",
        Path,
        "",
        "Certificate to show to Kafka, PEM; none when not set",
    ),
    key("plugin.choria.adapter.*.kafka.private_key", Path, "", "Its private key, PEM"),
    key(
        "plugin.choria.adapter.*.kafka.sasl",
        Choice(&["none", "plain", "scram-sha-256", "scram-sha-512"]),
        "none",
        "How to log in to Kafka; plain needs TLS",
    ),
    key("plugin.choria.adapter.*.kafka.user", Text, "", "The user of the login"),
    key(
        "plugin.choria.adapter.*.kafka.password_file",
        Path,
        "",
        "A file with nothing but the password of that user",
    ),
    key(
        "plugin.choria.adapter.*.kafka.timeout",
        TEN_MINUTES,
        "10s",
        "Time for one delivery, from connecting to the last confirmation",
    ),
    key(
        "plugin.choria.adapter.*.kafka.refresh",
        DAY,
        "5m",
        "How old news of topics and leaders may be",
    ),
    key(
        "plugin.choria.adapter.*.kafka.batch_records",
        Kind::Integer(1, 100_000),
        "5000",
        "Messages delivered at once, to all partitions together",
    ),
    key(
        "plugin.choria.adapter.*.kafka.batch_bytes",
        Kind::Integer(KIB, 64 * MIB),
        "4194304",
        "Bytes delivered at once, to all partitions together",
    ),
    key(
        "plugin.choria.adapter.*.kafka.batch_age",
        MINUTE,
        "10ms",
        "How long a message waits for others",
    ),
    key(
        "plugin.choria.adapter.*.kafka.partition_bytes",
        Kind::Integer(KIB, 16 * MIB),
        "900000",
        "Bytes of one batch of a partition before compression; Kafka takes 1 MiB unless told otherwise",
    ),
    key("plugin.choria.adapter.*.kinesis.region", Text, "", "The AWS region, such as eu-west-1"),
    key(
        "plugin.choria.adapter.*.kinesis.stream",
        Text,
        "",
        "Name or ARN of the Kinesis stream; the name of the adapter when not set",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.endpoint",
        Text,
        "",
        "Address of Kinesis, scheme and host; that of AWS in the region when not set",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.insecure",
        Boolean,
        "false",
        "Allow an endpoint in clear (http) on this machine, for tests",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.ca",
        Path,
        "",
        "Certificates of the authorities of the endpoint, PEM; those of the system when not set",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.partition_key",
        Text,
        "{sender}",
        "What chooses the shard of a record, a template; the id of the message where it is empty",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.credentials",
        Choice(&["environment", "file", "container", "instance"]),
        "environment",
        "Where AWS keys come from: AWS_ variables, a file, the service of a container or of an EC2 machine",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.credentials_file",
        Path,
        "",
        "The file with AWS keys, for credentials = file; AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials when not set",
    ),
    key("plugin.choria.adapter.*.kinesis.profile", Text, "default", "The section of that file"),
    key(
        "plugin.choria.adapter.*.kinesis.timeout",
        TEN_MINUTES,
        "10s",
        "Time for one request, from connecting to the last byte of the answer",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.batch_records",
        Kind::Integer(1, 10_000),
        "500",
        "Records of one request; AWS takes 500",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.batch_bytes",
        Kind::Integer(KIB, 64 * MIB),
        "4500000",
        "Bytes of the records of one request; AWS takes 5 MiB with their keys",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.batch_age",
        MINUTE,
        "100ms",
        "How long a record waits for others",
    ),
    key(
        "plugin.choria.adapter.*.kinesis.record_bytes",
        Kind::Integer(KIB, 64 * MIB),
        "1048576",
        "Most bytes of a record and its key; AWS takes 1 MiB",
    ),
];
