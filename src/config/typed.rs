//! The settings a role reads, typed and grouped. Filled once when a configuration is loaded.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::store::Store;
use crate::util::secret::Secret;

/// Keys under `plugin.choria.` that do not belong to the broker's network.
#[derive(Debug, Clone)]
pub struct Choria {
    /// Brokers, each `host:port` or `scheme://host:port`.
    pub middleware_hosts: Vec<String>,
    /// Whether SRV records are asked for.
    pub use_srv: bool,
    /// The domain of SRV records; none means the domain of this host.
    pub srv_domain: Option<String>,
    /// Federations that a client talks through.
    pub federation_collectives: Vec<String>,
    /// The cluster of this federation broker.
    pub federation_cluster: String,
    /// Brokers of the federation.
    pub federation_middleware_hosts: Vec<String>,
    /// Refuse to send requests without a filter.
    pub require_client_filter: bool,
    /// End a discovery when answers stop coming.
    pub windowed_discovery: bool,
    /// The program of the external discovery method.
    pub external_discovery_command: Option<PathBuf>,
    /// The file of the inventory discovery method.
    pub inventory_discovery_source: Option<PathBuf>,
    /// Puppet's certificate folder.
    pub ssl_dir: Option<PathBuf>,
    /// The file a server writes its state to.
    pub status_file_path: Option<PathBuf>,
    /// Time between two writes of it; zero is off.
    pub status_update_interval: Duration,
    /// Publish bare lifecycle events instead of CloudEvents.
    pub legacy_lifecycle_format: bool,
    /// Run the network broker.
    pub broker_network: bool,
    /// Answer those who want certificates.
    pub broker_ca: bool,
    /// The folder of the authority.
    pub ca_dir: PathBuf,
    /// Keep the certificate of this server fresh.
    pub ca_renew: bool,
    /// Time between two questions to the authority.
    pub ca_interval: Duration,
    /// Run the federation broker.
    pub broker_federation: bool,
    /// Data adapters to run.
    pub adapters: Vec<String>,
    /// Where statistics are served.
    pub stats_address: String,
    /// The port for that; 0 is off.
    pub stats_port: u16,
}

impl Choria {
    pub(super) fn from(store: &Store) -> Self {
        let name = |key: &str| format!("plugin.choria.{key}");
        Self {
            middleware_hosts: store.list(&name("middleware_hosts")),
            use_srv: store.flag(&name("use_srv")),
            srv_domain: Some(store.text(&name("srv_domain"))).filter(|domain| !domain.is_empty()),
            federation_collectives: store.list(&name("federation.collectives")),
            federation_cluster: store.text(&name("federation.cluster")),
            federation_middleware_hosts: store.list(&name("federation_middleware_hosts")),
            require_client_filter: store.flag(&name("require_client_filter")),
            windowed_discovery: store.flag(&name("discovery.broadcast.windowed_timeout")),
            external_discovery_command: store.path(&name("discovery.external.command")),
            inventory_discovery_source: store.path(&name("discovery.inventory.source")),
            ssl_dir: store.path(&name("ssldir")),
            status_file_path: store.path(&name("status_file_path")),
            status_update_interval: store.seconds(&name("status_update_interval")),
            legacy_lifecycle_format: store.flag(&name("legacy_lifecycle_format")),
            broker_network: store.flag(&name("broker_network")),
            broker_ca: store.flag(&name("broker_ca")),
            ca_dir: store.path(&name("ca.dir")).unwrap_or_default(),
            ca_renew: store.flag(&name("ca.renew")),
            ca_interval: store.duration(&name("ca.interval")),
            broker_federation: store.flag(&name("broker_federation")),
            adapters: store.list(&name("adapters")),
            stats_address: store.text(&name("stats_address")),
            stats_port: store.port(&name("stats_port")),
        }
    }
}

/// Keys under `plugin.choria.network.`.
#[derive(Debug, Clone)]
pub struct Network {
    /// The address of the listeners; `::` is IPv4 and IPv6.
    pub listen_address: String,
    /// The port for clients and servers; 0 lets the system choose.
    pub client_port: u16,
    /// The `host:port` told to clients.
    pub public_url: Option<String>,
    /// Addresses and networks that may act as clients; empty means everybody.
    pub client_hosts: Vec<String>,
    /// TLS even where it is off elsewhere.
    pub client_tls_force_required: bool,
    /// Let no servers connect.
    pub deny_server_connections: bool,
    /// The file that lists users.
    pub users: Option<PathBuf>,
    /// The user of the system account.
    pub system_user: Option<String>,
    /// The password of that user.
    pub system_password: Option<Secret<String>>,
    /// The password of the provisioner; with it there is provisioning.
    pub provisioning_client_password: Option<Secret<String>>,
    /// Let a provisioner in without a token where issuers are trusted.
    pub provisioner_without_token: bool,
    /// The file of the key that has signed provisioning tokens.
    pub provisioning_signer: Option<PathBuf>,
    /// Key files or hex keys that have signed client tokens.
    pub client_signers: Vec<String>,
    /// Key files or hex keys that have signed server tokens.
    pub server_signers: Vec<String>,
    /// Time a TLS handshake may take.
    pub tls_timeout: Duration,
    /// Threads for TLS handshakes; 0 is one for each core.
    pub handshake_threads: usize,
    /// TLS handshakes that may wait for their turn.
    pub handshake_queue: usize,
    /// Time a TLS handshake may wait for its turn.
    pub handshake_wait: Duration,
    /// End TLS handshakes without a client certificate.
    pub tls_verify: bool,
    /// `no`, `yes`, `auto` or a duration.
    pub tls_handshake_first: String,
    /// Time a connection has to log in.
    pub auth_timeout: Duration,
    /// Time our own connections may take.
    pub connect_timeout: Duration,
    /// Time a slow connection gets.
    pub write_deadline: Duration,
    /// Bytes of the largest message.
    pub max_payload: usize,
    /// Bytes of the arguments of one protocol line.
    pub max_control_line: usize,
    /// Bytes that wait for one connection before it is closed.
    pub max_pending: usize,
    /// Bytes that wait for all connections together before some are closed; 0 for a quarter of the memory.
    pub max_pending_total: usize,
    /// Connections that are admitted.
    pub max_connections: usize,
    /// Subscriptions of one connection.
    pub max_subscriptions: usize,
    /// Time between PINGs to a quiet connection.
    pub ping_interval: Duration,
    /// PINGs without answer after which a connection is stale.
    pub ping_max: u8,
    /// Time from the announcement of a lame duck to the first connection it closes.
    pub lame_duck_grace: Duration,
    /// Time from that announcement to the last connection it closes.
    pub lame_duck_duration: Duration,
    /// Time the broker gets to end.
    pub soft_shutdown_timeout: Duration,
    /// The port for WebSockets; none when it is off.
    pub websocket_port: Option<u16>,
    /// The `host:port` told to clients behind it.
    pub websocket_advertise: Option<String>,
    /// Web sites whose pages may connect there; empty means all.
    pub websocket_origins: Vec<String>,
    /// The other brokers of the cluster.
    pub peers: Vec<String>,
    /// The port for other brokers; 0 is the usual one when there are peers.
    pub peer_port: u16,
    /// User name between brokers.
    pub peer_user: Option<String>,
    /// Password between brokers.
    pub peer_password: Option<Secret<String>>,
    /// Encrypt connections between brokers.
    pub peer_tls: bool,
    /// The `host:port` that other brokers are told to connect to.
    pub peer_advertise: Option<String>,
    /// Tell clients the addresses of all brokers of the cluster.
    pub advertise_peers: bool,
    /// The name of the cluster, told to clients even when there is one broker only.
    pub gateway_name: String,
}

impl Network {
    pub(super) fn from(store: &Store) -> Self {
        let name = |key: &str| format!("plugin.choria.network.{key}");
        let filled = |key: &str| Some(store.text(&name(key))).filter(|text| !text.is_empty());
        Self {
            listen_address: store.text(&name("listen_address")),
            client_port: store.port(&name("client_port")),
            public_url: Some(store.text(&name("public_url"))).filter(|url| !url.is_empty()),
            client_hosts: store.list(&name("client_hosts")),
            client_tls_force_required: store.flag(&name("client_tls_force_required")),
            deny_server_connections: store.flag(&name("deny_server_connections")),
            users: store.path(&name("users")),
            system_user: filled("system.user"),
            system_password: filled("system.password").map(Secret::new),
            provisioning_client_password: filled("provisioning.client_password").map(Secret::new),
            provisioner_without_token: store.flag(&name("provisioning.provisioner_without_token")),
            provisioning_signer: store.path(&name("provisioning.signer_cert")),
            client_signers: store.list(&name("client_signer_cert")),
            server_signers: store.list(&name("server_signer_cert")),
            tls_timeout: store.duration(&name("tls_timeout")),
            handshake_threads: store.size(&name("handshake_threads")),
            handshake_queue: store.size(&name("handshake_queue")),
            handshake_wait: store.duration(&name("handshake_wait")),
            tls_verify: store.flag(&name("tls_verify")),
            tls_handshake_first: store.text(&name("tls_handshake_first")),
            auth_timeout: store.duration(&name("auth_timeout")),
            connect_timeout: store.duration(&name("connect_timeout")),
            write_deadline: store.duration(&name("write_deadline")),
            max_payload: store.size(&name("max_payload")),
            max_control_line: store.size(&name("max_control_line")),
            max_pending: store.size(&name("max_pending")),
            max_pending_total: store.size(&name("max_pending_total")),
            max_connections: store.size(&name("max_connections")),
            max_subscriptions: store.size(&name("max_subscriptions")),
            ping_interval: store.duration(&name("ping_interval")),
            ping_max: u8::try_from(store.count(&name("ping_max"))).unwrap_or(u8::MAX),
            lame_duck_grace: store.duration(&name("lame_duck_grace")),
            lame_duck_duration: store.duration(&name("lame_duck_duration")),
            soft_shutdown_timeout: store.seconds(&name("soft_shutdown_timeout")),
            websocket_port: Some(store.port(&name("websocket_port"))).filter(|port| *port != 0),
            websocket_advertise: Some(store.text(&name("websocket_advertise")))
                .filter(|text| !text.is_empty()),
            websocket_origins: store.list(&name("websocket_origins")),
            peers: store.list(&name("peers")),
            peer_port: store.port(&name("peer_port")),
            peer_user: filled("peer_user"),
            peer_password: filled("peer_password").map(Secret::new),
            peer_tls: store.flag(&name("peer_tls")),
            peer_advertise: filled("peer_advertise"),
            advertise_peers: store.flag(&name("advertise_peers")),
            gateway_name: store.text(&name("gateway_name")),
        }
    }
}

/// Keys of identities and certificates.
#[derive(Debug, Clone)]
pub struct Security {
    /// `puppet`, `file`, `pkcs11`, `certmanager` or `choria`.
    pub provider: String,
    /// The file provider's certificate.
    pub file_certificate: Option<PathBuf>,
    /// The file provider's key.
    pub file_key: Option<PathBuf>,
    /// The file provider's CA.
    pub file_ca: Option<PathBuf>,
    /// The file with lists of revoked certificates.
    pub crl: Option<PathBuf>,
    /// Patterns of certificates that may make requests.
    pub allow_list: Vec<String>,
    /// Patterns of certificates that may speak for others.
    pub privileged_users: Vec<String>,
    /// TLS cipher suites by their Go names; empty means the secure ones.
    pub cipher_suites: Vec<String>,
    /// TLS curves; empty means all.
    pub ecc_curves: Vec<String>,
    /// Accept server certificates without alternative names.
    pub support_legacy_certificates: bool,
}

impl Security {
    pub(super) fn from(store: &Store) -> Self {
        Self {
            provider: store.text("plugin.security.provider"),
            file_certificate: store.path("plugin.security.file.certificate"),
            file_key: store.path("plugin.security.file.key"),
            file_ca: store.path("plugin.security.file.ca"),
            crl: store.path("plugin.security.crl"),
            allow_list: store.list("plugin.choria.security.certname_whitelist"),
            privileged_users: store.list("plugin.choria.security.privileged_users"),
            cipher_suites: store.list("plugin.security.cipher_suites"),
            ecc_curves: store.list("plugin.security.ecc_curves"),
            support_legacy_certificates: store.flag("plugin.security.support_legacy_certificates"),
        }
    }
}

/// Keys of the audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Record every request.
    pub is_on: bool,
    /// The file.
    pub logfile: Option<PathBuf>,
    /// The name or number of the group that owns it; empty for none.
    pub group: String,
    /// Its permissions, as a number in a Go program.
    pub mode: String,
}

impl Audit {
    pub(super) fn from(store: &Store) -> Self {
        Self {
            is_on: store.flag("rpcaudit"),
            logfile: store.path("plugin.rpcaudit.logfile"),
            group: store.text("plugin.rpcaudit.logfile.group"),
            mode: store.text("plugin.rpcaudit.logfile.mode"),
        }
    }
}

/// Keys of authorities that issue certificates.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The host of the Puppet CA.
    pub puppetca_host: String,
    /// Its port.
    pub puppetca_port: u16,
    /// The Kubernetes namespace of certificate requests.
    pub namespace: String,
    /// The issuer that cert-manager asks.
    pub issuer: String,
    /// Replace requests that exist.
    pub replace: bool,
    /// Further names for the certificate.
    pub alt_names: Vec<String>,
    /// The version of the interface of cert-manager.
    pub api_version: String,
    /// Where the Kubernetes interface is.
    pub url: String,
    /// The folder of the service account.
    pub service_account: PathBuf,
}

impl Enrolment {
    pub(super) fn from(store: &Store) -> Self {
        let name = |key: &str| format!("plugin.security.certmanager.{key}");
        Self {
            puppetca_host: store.text("plugin.choria.puppetca_host"),
            puppetca_port: store.port("plugin.choria.puppetca_port"),
            namespace: store.text(&name("namespace")),
            issuer: store.text(&name("issuer")),
            replace: store.flag(&name("replace")),
            alt_names: store.list(&name("alt_names")),
            api_version: store.text(&name("api_version")),
            url: store.text(&name("url")),
            service_account: store.path(&name("service_account")).unwrap_or_default(),
        }
    }
}

/// The login of brokers that want one.
#[derive(Debug, Clone, Default)]
pub struct Nats {
    /// The user name; only used together with a password.
    pub user: Option<String>,
    /// The password.
    pub pass: Option<Secret<String>>,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
}

impl Nats {
    pub(super) fn from(store: &Store) -> Self {
        let text = |key: &str| Some(store.text(key)).filter(|text| !text.is_empty());
        Self {
            user: text("plugin.nats.user"),
            pass: text("plugin.nats.pass").map(Secret::new),
            credentials: store.path("plugin.nats.credentials"),
        }
    }
}
