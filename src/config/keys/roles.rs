//! Which role looks at which key, for the manual page of each.

use super::Key;
use crate::config::Role;

const ALL: &[Role] = &[Role::Broker, Role::Server, Role::Client];
const BROKER: &[Role] = &[Role::Broker];
const SERVER: &[Role] = &[Role::Server];
const CLIENT: &[Role] = &[Role::Client];
const DAEMONS: &[Role] = &[Role::Broker, Role::Server];
const NODES: &[Role] = &[Role::Server, Role::Client];

/// Beginnings of keys and who looks at them; the first that fits counts, and everybody looks at the rest.
const RULES: &[(&str, &[Role])] = &[
    ("plugin.choria.network.connect_timeout", ALL),
    ("plugin.choria.network.", BROKER),
    ("plugin.choria.adapter", BROKER),
    ("plugin.choria.broker_", BROKER),
    ("plugin.choria.stats_", BROKER),
    ("plugin.choria.federation.cluster", BROKER),
    ("plugin.choria.federation.collectives", CLIENT),
    ("plugin.choria.federation_middleware_hosts", &[Role::Broker, Role::Client]),
    ("plugin.choria.ca.dir", BROKER),
    ("plugin.choria.log_format", DAEMONS),
    ("plugin.choria.ca.", SERVER),
    ("plugin.choria.registration.", SERVER),
    ("plugin.choria.legacy_lifecycle_format", SERVER),
    ("plugin.choria.status_", SERVER),
    ("plugin.choria.prometheus_textfile_directory", SERVER),
    ("plugin.choria.server.", SERVER),
    ("plugin.choria.agent_provider.", SERVER),
    ("plugin.choria.machine.", SERVER),
    ("plugin.choria.services.registry.store", SERVER),
    ("plugin.choria.services.registry.cache", CLIENT),
    ("plugin.choria.submission.", SERVER),
    ("plugin.choria.executor.", SERVER),
    ("plugin.choria.require_client_filter", CLIENT),
    ("plugin.choria.discovery.", CLIENT),
    ("plugin.choria.puppetserver_", CLIENT),
    ("plugin.choria.puppetdb_", CLIENT),
    ("plugin.choria.security.privileged_users", DAEMONS),
    ("plugin.choria.security.revoked_tokens", DAEMONS),
    ("plugin.choria.security.server.", SERVER),
    ("plugin.choria.security.request_signer.", CLIENT),
    ("plugin.security.server_anon_tls", SERVER),
    ("plugin.security.client_anon_tls", CLIENT),
    ("plugin.security.choria.sign_replies", SERVER),
    ("plugin.security.choria.signed_caller_is_holder", SERVER),
    ("plugin.nats.", NODES),
    ("plugin.login.", CLIENT),
    ("plugin.scout.", SERVER),
    ("plugin.machines.", SERVER),
    ("plugin.rpcaudit.", SERVER),
    ("plugin.actionpolicy.", SERVER),
    ("plugin.regopolicy.", SERVER),
    ("plugin.yaml", SERVER),
    ("classesfile", SERVER),
    ("registration", SERVER),
    ("registerinterval", SERVER),
    ("rpcaudit", SERVER),
    ("rpcauth", SERVER),
    ("soft_shutdown_timeout", SERVER),
    ("rpclimitmethod", CLIENT),
    ("discovery_timeout", CLIENT),
    ("default_discovery_", CLIENT),
    ("color", CLIENT),
    ("libdir", NODES),
    ("ttl", NODES),
];

/// Who looks at a key.
pub fn roles(key: &Key) -> &'static [Role] {
    let rule = RULES.iter().find(|(beginning, _)| key.name.starts_with(beginning));
    rule.map_or(ALL, |(_, roles)| roles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_rule_is_about_a_known_key() {
        for (beginning, _) in RULES {
            let is_first = |key: &Key| {
                let rule = RULES.iter().find(|(other, _)| key.name.starts_with(other));
                rule.is_some_and(|(other, _)| other == beginning)
            };
            assert!(keys::all().any(is_first), "{beginning}");
        }
    }

    #[test]
    fn keys_of_each_role() {
        let of = |name: &str| roles(keys::find(name).expect("known"));
        assert_eq!(of("identity"), ALL);
        assert_eq!(of("plugin.choria.network.client_port"), BROKER);
        assert_eq!(of("plugin.choria.adapter.x.kafka.topic"), BROKER);
        assert_eq!(of("rpcauthorization"), SERVER);
        assert_eq!(of("plugin.rpcaudit.logfile"), SERVER);
        assert_eq!(of("rpclimitmethod"), CLIENT);
    }
}
