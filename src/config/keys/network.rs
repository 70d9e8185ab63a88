//! Keys of the network broker and of connections: `plugin.choria.network.`.

use std::time::Duration;

use super::{DURATION, Key, Kind, PORT, REPLICAS, SECONDS, key};
use Kind::{Boolean, CommaList, Path, Text};

const MINUTE: Kind = Kind::Duration(Some(Duration::from_secs(60)));
/// Intervals of minutes in practice; an hour is more than anybody needs.
const HOUR: Kind = Kind::Duration(Some(Duration::from_secs(3600)));
const TWO_MINUTES: Kind = Kind::Duration(Some(Duration::from_secs(120)));

const MIB: i64 = 1024 * 1024;

pub(super) const KEYS: &[Key] = &[
    key(
        "plugin.choria.network.listen_address",
        Text,
        "::",
        "The address of every listener; :: is IPv4 and IPv6",
    ),
    key(
        "plugin.choria.network.client_port",
        PORT,
        "4222",
        "The port for clients and servers; 0 lets the system choose",
    ),
    key("plugin.choria.network.public_url", Text, "", "The host:port told to clients"),
    key(
        "plugin.choria.network.client_hosts",
        CommaList,
        "",
        "Addresses or networks of clients; others with a certificate are servers",
    ),
    key(
        "plugin.choria.network.client_tls_force_required",
        Boolean,
        "false",
        "TLS for clients even where it is off elsewhere",
    ),
    key(
        "plugin.choria.network.client_signer_cert",
        CommaList,
        "",
        "Key files or hex keys that have signed client tokens",
    ),
    key(
        "plugin.choria.network.server_signer_cert",
        CommaList,
        "",
        "Key files or hex keys that have signed server tokens",
    ),
    key(
        "plugin.choria.network.deny_server_connections",
        Boolean,
        "false",
        "Let servers, which connect from outside client_hosts, do nothing",
    ),
    key("plugin.choria.network.tls_timeout", MINUTE, "2s", "Time a TLS handshake may take"),
    key(
        "plugin.choria.network.tls_verify",
        Boolean,
        "false",
        "End TLS handshakes without a client certificate, and tell clients that one is needed",
    ),
    key(
        "plugin.choria.network.tls_handshake_first",
        Text,
        "no",
        "Send INFO after the TLS handshake: no, yes, auto for when it begins within 50ms, or another time",
    ),
    key(
        "plugin.choria.network.handshake_threads",
        Kind::Integer(0, 1024),
        "0",
        "Threads for TLS handshakes; 0 is one for each core",
    ),
    key(
        "plugin.choria.network.handshake_queue",
        Kind::Integer(1, 1_000_000),
        "8192",
        "TLS handshakes that may wait for their turn before no more connections are accepted for a while",
    ),
    key(
        "plugin.choria.network.handshake_wait",
        HOUR,
        "20s",
        "Time a TLS handshake may wait for its turn; tls_timeout does not run meanwhile",
    ),
    key("plugin.choria.network.auth_timeout", MINUTE, "2s", "Time a connection has to log in"),
    key(
        "plugin.choria.network.connect_timeout",
        TWO_MINUTES,
        "2s",
        "Time our own connections may take",
    ),
    key(
        "plugin.choria.network.write_deadline",
        DURATION,
        "10s",
        "Time a slow connection gets before it is closed",
    ),
    key(
        "plugin.choria.network.max_payload",
        Kind::Integer(1, 64 * MIB),
        "1048576",
        "Bytes of the largest message, headers and payload together",
    ),
    key(
        "plugin.choria.network.max_control_line",
        Kind::Integer(64, MIB),
        "4096",
        "Bytes of the arguments of one protocol line; CONNECT always gets 32768",
    ),
    key(
        "plugin.choria.network.max_pending",
        Kind::Integer(64 * 1024, 16 * 1024 * MIB),
        "67108864",
        "Bytes that wait for one connection before it is closed as a slow consumer",
    ),
    key(
        "plugin.choria.network.max_connections",
        Kind::Integer(1, 10_000_000),
        "50000",
        "Connections that are admitted",
    ),
    key(
        "plugin.choria.network.max_subscriptions",
        Kind::Integer(1, 100_000_000),
        "1000000",
        "Subscriptions of one connection",
    ),
    key(
        "plugin.choria.network.ping_interval",
        HOUR,
        "2m",
        "Time between PINGs to a quiet connection, from 10ms",
    ),
    key(
        "plugin.choria.network.ping_max",
        Kind::Integer(1, 100),
        "2",
        "PINGs without answer after which a connection is closed as stale",
    ),
    key(
        "plugin.choria.network.lame_duck_grace",
        HOUR,
        "10s",
        "Time between the announcement of a lame duck and the first connection it closes",
    ),
    key(
        "plugin.choria.network.lame_duck_duration",
        HOUR,
        "2m",
        "Time from that announcement to the last connection it closes",
    ),
    key(
        "plugin.choria.network.soft_shutdown_timeout",
        SECONDS,
        "60",
        "Seconds the broker gets to end after a signal",
    ),
    key("plugin.choria.network.pprof_port", PORT, "0", "Accepted and without effect"),
    key("plugin.choria.network.peers", CommaList, "", "The other brokers of the cluster"),
    key(
        "plugin.choria.network.peer_port",
        PORT,
        "0",
        "The port for other brokers; 5222 when there are peers",
    ),
    key("plugin.choria.network.peer_user", Text, "", "User name between brokers"),
    key("plugin.choria.network.peer_password", Text, "", "Password between brokers").secret(),
    key("plugin.choria.network.gateway_name", Text, "CHORIA", "The name of the cluster"),
    key("plugin.choria.network.gateway_port", PORT, "0", "The port for other clusters; 0 is off"),
    key("plugin.choria.network.gateway_remotes", CommaList, "", "The names of the other clusters"),
    key(
        "plugin.choria.network.gateway_remote.*.urls",
        CommaList,
        "",
        "The brokers of another cluster",
    ),
    key(
        "plugin.choria.network.gateway_remote.*.tls.cert",
        Path,
        "",
        "The certificate shown to another cluster",
    ),
    key("plugin.choria.network.gateway_remote.*.tls.key", Path, "", "The key of that certificate"),
    key("plugin.choria.network.gateway_remote.*.tls.ca", Path, "", "The CA of another cluster"),
    key(
        "plugin.choria.network.gateway_remote.*.tls.verify",
        Boolean,
        "yes",
        "Check the certificate of another cluster",
    ),
    key(
        "plugin.choria.network.gateway_remote.*.tls.disable",
        Boolean,
        "no",
        "No TLS to another cluster",
    ),
    key("plugin.choria.network.leafnode_port", PORT, "0", "The port for leaf nodes; 0 is off"),
    key(
        "plugin.choria.network.leafnode_remotes",
        CommaList,
        "",
        "The names of the brokers this one is a leaf of",
    ),
    key("plugin.choria.network.leafnode_remote.*.url", CommaList, "", "Where the upper broker is"),
    key(
        "plugin.choria.network.leafnode_remote.*.account",
        Text,
        "choria",
        "The local account it is joined with",
    ),
    key(
        "plugin.choria.network.leafnode_remote.*.credentials",
        Path,
        "",
        "Credentials file for the upper broker",
    ),
    key(
        "plugin.choria.network.leafnode_remote.*.tls.cert",
        Path,
        "",
        "The certificate shown to the upper broker",
    ),
    key("plugin.choria.network.leafnode_remote.*.tls.key", Path, "", "The key of that certificate"),
    key("plugin.choria.network.leafnode_remote.*.tls.ca", Path, "", "The CA of the upper broker"),
    key(
        "plugin.choria.network.leafnode_remote.*.tls.verify",
        Boolean,
        "yes",
        "Check the certificate of the upper broker",
    ),
    key(
        "plugin.choria.network.leafnode_remote.*.tls.disable",
        Boolean,
        "no",
        "No TLS to the upper broker",
    ),
    key("plugin.choria.network.websocket_port", PORT, "0", "The port for web sockets; 0 is off"),
    key(
        "plugin.choria.network.websocket_advertise",
        Text,
        "",
        "The host:port told to web socket clients",
    ),
    key(
        "plugin.choria.network.websocket_origins",
        CommaList,
        "",
        "Web sites whose pages may connect to the web socket port, each scheme://host[:port]; empty is all",
    ),
    key(
        "plugin.choria.network.users",
        Path,
        "",
        "JSON file of users with their passwords or tokens, accounts and permissions",
    ),
    key("plugin.choria.network.mapping.names", CommaList, "", "The names of the subject mappings"),
    key("plugin.choria.network.mapping.*.source", Text, "", "The subject that is mapped"),
    key("plugin.choria.network.mapping.*.destination", Text, "", "The subject it becomes"),
    key("plugin.choria.network.system.user", Text, "", "User name of the system account"),
    key("plugin.choria.network.system.password", Text, "", "Password of the system account")
        .secret(),
    key(
        "plugin.choria.network.provisioning.client_password",
        Text,
        "",
        "Password of the provisioner; turns provisioning on",
    )
    .secret(),
    key(
        "plugin.choria.network.provisioning.provisioner_without_token",
        Boolean,
        "false",
        "Let a provisioner in without a token",
    ),
    key(
        "plugin.choria.network.provisioning.signer_cert",
        Path,
        "",
        "The key that has signed provisioning tokens",
    ),
    key(
        "plugin.choria.network.stream.store",
        Path,
        "",
        "The folder of the streams; turns streams on",
    ),
    key(
        "plugin.choria.network.stream.manage_streams",
        Boolean,
        "true",
        "Create the streams that Choria uses",
    ),
    key(
        "plugin.choria.network.stream.event_retention",
        DURATION,
        "24h",
        "How long lifecycle events are kept",
    ),
    key(
        "plugin.choria.network.stream.event_replicas",
        REPLICAS,
        "-1",
        "Copies of the lifecycle events",
    ),
    key(
        "plugin.choria.network.stream.machine_retention",
        DURATION,
        "24h",
        "How long events of autonomous agents are kept",
    ),
    key(
        "plugin.choria.network.stream.machine_replicas",
        REPLICAS,
        "-1",
        "Copies of the events of autonomous agents",
    ),
    key(
        "plugin.choria.network.stream.advisory_retention",
        DURATION,
        "168h",
        "How long stream advisories are kept",
    ),
    key(
        "plugin.choria.network.stream.advisory_replicas",
        REPLICAS,
        "-1",
        "Copies of the stream advisories",
    ),
    key(
        "plugin.choria.network.stream.executor_retention",
        DURATION,
        "24h",
        "How long events of background jobs are kept",
    ),
    key(
        "plugin.choria.network.stream.executor_replicas",
        REPLICAS,
        "-1",
        "Copies of the events of background jobs",
    ),
    key(
        "plugin.choria.network.stream.leader_election_ttl",
        DURATION,
        "1m",
        "How long a leader is one without a sign of life",
    ),
    key(
        "plugin.choria.network.stream.leader_election_replicas",
        REPLICAS,
        "-1",
        "Copies of the leader election bucket",
    ),
];
