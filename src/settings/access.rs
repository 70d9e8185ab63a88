//! Who may come in at the broker: from keys, and from the list of users.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Problem;
use super::tokens::{ISSUERS, issuers, revoked, signer, signers};
use crate::broker::access::{
    Access, BadUsers, Certificates, Enrollment, Login, Network, PermissionRules, Provisioning,
    TokenAccess, TokenTrust, UserList,
};
use crate::broker::{Import, Settings};
use crate::ca::wire;
use crate::config::Config;
use crate::crypto::ed25519::PublicKey;
use crate::tokens::Revoked;
use crate::util::secret::Secret;

const CHORIA: &str = "choria";
const PROVISIONING: &str = "provisioning";
/// What subscribers in the account of the fleet see of servers that wait for an identity.
const LIFECYCLE: &str = "choria.lifecycle.>";

const HOSTS: &str = "plugin.choria.network.client_hosts";
const DENY: &str = "plugin.choria.network.deny_server_connections";
const CLIENT_SIGNERS: &str = "plugin.choria.network.client_signer_cert";
const SERVER_SIGNERS: &str = "plugin.choria.network.server_signer_cert";
const TRUSTED_SIGNERS: &str = "plugin.security.choria.trusted_signers";
const PROVISIONING_SIGNER: &str = "plugin.choria.network.provisioning.signer_cert";
/// With it a certificate is enough to publish and subscribe where issuers decide.
const CA: &str = "plugin.security.choria.ca";

/// Adds accounts, users and rights to the settings of a broker.
pub(super) fn set_access(
    settings: &mut Settings,
    config: &Config,
    is_tls: bool,
) -> Result<(), Problem> {
    let clients = client_hosts(config, is_tls)?;
    let tokens = tokens(config, &clients)?;
    if !is_tls && !matches!(tokens.trust, TokenTrust::Nobody) {
        log::warn!("broker: tokens are not looked at without TLS");
    }
    let certificates = certificates(config, &tokens, clients)?;
    let mut access = Access { certificates, tokens, ..Access::default() };
    if let Some(path) = &config.network.users {
        access.users = users(config, path)?;
    }
    if let Some(name) = &access.users.system_account {
        access.system_account = name.clone();
    }
    settings.accounts = vec![CHORIA.to_owned(), access.system_account.clone()];
    access.system_user = system_user(config);
    if let Some(password) = &config.network.provisioning_client_password {
        settings.accounts.push(PROVISIONING.to_owned());
        settings.imports.push(Import {
            from: PROVISIONING.to_owned(),
            to: CHORIA.to_owned(),
            subject: LIFECYCLE.to_owned(),
        });
        let password = password.clone();
        access.provisioning = Some(Provisioning { account: PROVISIONING.to_owned(), password });
    }
    if config.choria.broker_ca {
        settings.accounts.push(wire::ACCOUNT.to_owned());
        access.enrollment = Some(enrollment(config, is_tls)?);
    }
    for name in access.users.accounts.keys() {
        if !settings.accounts.contains(name) {
            settings.accounts.push(name.clone());
        }
    }
    settings.access = access;
    Ok(())
}

/// Who may come for a certificate: those with a token of the authority.
fn enrollment(config: &Config, is_tls: bool) -> Result<Enrollment, Problem> {
    const KEY: &str = "plugin.choria.broker_ca";
    const VERIFY: &str = "plugin.choria.network.tls_verify";
    let refuse = |why: &str| Problem::new(format!("{}: {KEY}: {why}", config.origin(KEY)));
    if !is_tls {
        return Err(refuse("certificates are not handed out without TLS"));
    }
    if config.network.tls_verify {
        let why = format!("{VERIFY} keeps those out who have no certificate yet");
        return Err(refuse(&why).hint(format!("remove {VERIFY}")));
    }
    let path = config.choria.ca_dir.join("token.pub");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        refuse(&format!("cannot read {}: {error}", path.display()))
            .hint("choria ca init makes an authority; plugin.choria.ca.dir names its folder")
    })?;
    let key = PublicKey::from_hex(text.trim())
        .map_err(|error| refuse(&format!("cannot use {}: {error}", path.display())))?;
    Ok(Enrollment { account: wire::ACCOUNT.to_owned(), key })
}

fn users(config: &Config, path: &Path) -> Result<UserList, Problem> {
    const KEY: &str = "plugin.choria.network.users";
    UserList::read(path).map_err(|error| {
        let is_open = matches!(error, BadUsers::WorldReadable { .. });
        let problem = Problem::new(format!("{}: {KEY}: {error}", config.origin(KEY)));
        match is_open {
            true => problem.hint(format!("chmod 640 {}", path.display())),
            false => problem,
        }
    })
}

fn system_user(config: &Config) -> Option<Login> {
    let user = config.network.system_user.clone()?;
    let password = config.network.system_password.clone().unwrap_or_else(|| {
        log::warn!(
            "broker: plugin.choria.network.system.password is not set: user={user} cannot log in"
        );
        Secret::default()
    });
    Some(Login { user, password })
}

/// Where clients are; empty when that is not said.
fn client_hosts(config: &Config, is_tls: bool) -> Result<Vec<Network>, Problem> {
    let hosts: Result<Vec<Network>, _> =
        config.network.client_hosts.iter().map(|host| host.parse()).collect();
    let hosts = hosts
        .map_err(|error| Problem::new(format!("{}: {HOSTS}: {error}", config.origin(HOSTS))))?;
    if !hosts.is_empty() && !is_tls {
        log::warn!("broker: {HOSTS} has no effect without TLS");
    }
    Ok(hosts)
}

/// Whose tokens let connections in.
fn tokens(config: &Config, clients: &[Network]) -> Result<TokenAccess, Problem> {
    let network = &config.network;
    let revoked = revoked(config)?;
    let signer = |path: &PathBuf| signer(config, PROVISIONING_SIGNER, &path.to_string_lossy());
    Ok(TokenAccess {
        trust: trust(config, &revoked)?,
        mutes_servers: network.deny_server_connections,
        client_hosts: clients.to_vec(),
        provisioning_signer: network.provisioning_signer.as_ref().map(signer).transpose()?,
        provisioner_without_token: network.provisioner_without_token,
        revoked,
    })
}

fn trust(config: &Config, revoked: &Arc<Revoked>) -> Result<TokenTrust, Problem> {
    let network = &config.network;
    let lists = [
        (CLIENT_SIGNERS, &network.client_signers),
        (SERVER_SIGNERS, &network.server_signers),
        (TRUSTED_SIGNERS, &config.tokens.trusted_signers),
    ];
    if let Some(trust) = issuers(config, revoked)? {
        return match lists.iter().find(|(_, list)| !list.is_empty()) {
            None => Ok(TokenTrust::Issuers(trust)),
            Some((key, _)) => {
                let place = config.origin(key);
                Err(Problem::new(format!("{place}: {key} and {ISSUERS} exclude each other"))
                    .hint("issuers sign the tokens of all their clients and servers"))
            }
        };
    }
    if network.client_signers.is_empty() && network.server_signers.is_empty() {
        return Ok(TokenTrust::Nobody);
    }
    Ok(TokenTrust::Signers {
        clients: signers(config, CLIENT_SIGNERS, &network.client_signers, revoked)?,
        servers: signers(config, SERVER_SIGNERS, &network.server_signers, revoked)?,
    })
}

/// What a certificate alone gives. Addresses tell clients from servers, when they are listed; where issuers decide, no
/// certificate makes a client.
fn certificates(
    config: &Config,
    tokens: &TokenAccess,
    clients: Vec<Network>,
) -> Result<Certificates, Problem> {
    let is_muted = config.network.deny_server_connections;
    let servers = match is_muted {
        true => PermissionRules::nothing(),
        false => PermissionRules::servers(),
    };
    if matches!(tokens.trust, TokenTrust::Issuers(_)) {
        let has_ca = config.raw(CA).is_some_and(|ca| !ca.is_empty());
        return Ok(match has_ca {
            _ if !clients.is_empty() => Certificates::Limited(servers),
            true => Certificates::Limited(PermissionRules::publish_subscribe()),
            false => Certificates::Refused,
        });
    }
    let tells_servers =
        matches!(&tokens.trust, TokenTrust::Signers { servers, .. } if !servers.is_empty());
    if clients.is_empty() && is_muted && !tells_servers {
        let text = format!(
            "{}: {DENY} has no effect without {HOSTS}: servers cannot be told from clients",
            config.origin(DENY)
        );
        return Err(Problem::new(text).hint(format!("list the addresses of clients in {HOSTS}")));
    }
    Ok(match clients.is_empty() {
        true => Certificates::Unlimited,
        false => Certificates::ByAddress { clients, servers },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::broker::tests::load;

    fn check(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        set_access(&mut settings, &load("access", text), true).map_err(|p| p.to_string())?;
        Ok(settings)
    }

    #[test]
    fn accounts_and_users_of_the_keys() {
        let settings = check("").expect("nothing is set");
        assert_eq!(settings.accounts, ["choria", "system"]);
        assert_eq!((settings.access, settings.imports.len()), (Access::default(), 0));
        let text = "plugin.choria.network.system.user = admin\n\
                    plugin.choria.network.system.password = s\n\
                    plugin.choria.network.provisioning.client_password = p\n";
        let settings = check(text).expect("is right");
        assert_eq!(settings.accounts, ["choria", "system", "provisioning"]);
        assert_eq!(settings.imports.len(), 1);
        let login = Login { user: "admin".to_owned(), password: Secret::new("s".to_owned()) };
        assert_eq!(settings.access.system_user, Some(login));
        assert!(settings.access.provisioning.is_some());
    }

    #[test]
    fn addresses_of_clients() {
        let hosts = "plugin.choria.network.client_hosts = 192.0.2.0/24, 2001:db8::1\n";
        let deny = "plugin.choria.network.deny_server_connections = yes\n";
        let servers = |text: &str| match check(text).expect("is right").access.certificates {
            Certificates::ByAddress { clients, servers } => (clients.len(), servers),
            other => panic!("{other:?}"),
        };
        assert_eq!(servers(hosts), (2, PermissionRules::servers()));
        assert_eq!(servers(&format!("{hosts}{deny}")), (2, PermissionRules::nothing()));
        let error = check(deny).expect_err("servers cannot be told");
        assert!(error.contains("deny_server_connections has no effect without"), "{error}");
        let error = check("plugin.choria.network.client_hosts = a.example.net\n");
        let error = error.expect_err("a name is no address");
        assert!(error.contains("\"a.example.net\" is neither an address nor a network"), "{error}");
    }

    const KEY: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";

    #[test]
    fn whose_tokens_are_trusted() {
        let issuer = format!(
            "plugin.security.issuer.names = choria\nplugin.security.issuer.choria.public = {KEY}\n"
        );
        let clients = format!("plugin.choria.network.client_signer_cert = {KEY}\n");
        let servers = format!("plugin.choria.network.server_signer_cert = {KEY}\n");
        let access = |text: &str| check(text).expect("is right").access;
        assert_eq!(access("").tokens, TokenAccess::default());
        assert!(matches!(access(&issuer).tokens.trust, TokenTrust::Issuers(_)));
        for (text, has_clients, has_servers) in [
            (&clients, true, false),
            (&servers, false, true),
            (&format!("{clients}{servers}"), true, true),
        ] {
            let TokenTrust::Signers { clients, servers } = access(text).tokens.trust else {
                panic!("{text}")
            };
            assert_eq!((!clients.is_empty(), !servers.is_empty()), (has_clients, has_servers));
        }
        let signer = format!("plugin.choria.network.provisioning.signer_cert = {KEY}\n");
        assert!(access(&signer).tokens.provisioning_signer.is_some());
        for (text, expected) in [
            (
                format!("{issuer}{clients}"),
                "plugin.choria.network.client_signer_cert and plugin.security.issuer.names exclude",
            ),
            (
                format!("{issuer}{servers}"),
                "plugin.choria.network.server_signer_cert and plugin.security.issuer.names exclude",
            ),
            (
                format!("{issuer}plugin.security.choria.trusted_signers = {KEY}\n"),
                "plugin.security.choria.trusted_signers and plugin.security.issuer.names exclude",
            ),
            (
                "plugin.security.issuer.names = acme\n".to_owned(),
                "the issuer acme has no plugin.security.issuer.acme.public",
            ),
            (
                issuer.replace(KEY, "00ff"),
                "plugin.security.issuer.choria.public: neither an RSA public key",
            ),
            (clients.replace(KEY, "/no/such.pem"), "/no/such.pem: No such file"),
            (
                clients.replace(KEY, &[KEY; 65].join(",")),
                "client_signer_cert: 65 keys are more than 64",
            ),
            (
                "plugin.choria.security.revoked_tokens = /no/such\n".to_owned(),
                "revoked_tokens: /no/such: No such file",
            ),
        ] {
            let error = check(&text).expect_err("cannot be");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn certificates_where_issuers_decide() {
        let issuer = format!(
            "plugin.security.issuer.names = choria\nplugin.security.issuer.choria.public = {KEY}\n"
        );
        let hosts = "plugin.choria.network.client_hosts = 192.0.2.0/24\n";
        let ca = "plugin.security.choria.ca = /ca.pem\n";
        let deny = "plugin.choria.network.deny_server_connections = yes\n";
        for (more, expected) in [
            (String::new(), Certificates::Refused),
            (ca.to_owned(), Certificates::Limited(PermissionRules::publish_subscribe())),
            (hosts.to_owned(), Certificates::Limited(PermissionRules::servers())),
            (format!("{hosts}{ca}{deny}"), Certificates::Limited(PermissionRules::nothing())),
            (deny.to_owned(), Certificates::Refused),
        ] {
            let access = check(&format!("{issuer}{more}")).expect("is right").access;
            assert_eq!(access.certificates, expected, "{more}");
            assert_eq!(access.tokens.mutes_servers, more.contains(deny));
            assert_eq!(access.tokens.client_hosts.len(), usize::from(more.contains(hosts)));
        }
        // Servers are told by their tokens.
        let servers = format!("plugin.choria.network.server_signer_cert = {KEY}\n");
        let access = check(&format!("{servers}{deny}")).expect("is right").access;
        assert_eq!(access.certificates, Certificates::Unlimited);
        let clients = format!("plugin.choria.network.client_signer_cert = {KEY}\n");
        assert!(check(&format!("{clients}{deny}")).is_err());
    }

    #[test]
    fn a_list_of_revoked_tokens() {
        let path = std::env::temp_dir().join(format!("choria-revoked-{}", std::process::id()));
        let key = format!("plugin.choria.security.revoked_tokens = {}\n", path.display());
        std::fs::write(
            &path,
            format!("{KEY} # of a lost machine\n\n2YBXZHqCHEdmhp5sdLmoTEW73NQ\n"),
        )
        .unwrap();
        let access = check(&key).expect("is right").access;
        assert_eq!(access.tokens.revoked.len(), 2);
        std::fs::write(&path, "a b\n").unwrap();
        let error = check(&key).expect_err("two words");
        assert!(error.contains("line 1 is neither a token id nor a public key"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn users_of_a_file() {
        let path = std::env::temp_dir().join(format!("choria-list-{}.json", std::process::id()));
        let key = format!("plugin.choria.network.users = {}\n", path.display());
        let json = r#"{"accounts": {"A": {}, "S": {}}, "system_account": "S", "users": [{"token": "t", "account": "A"}]}"#;
        std::fs::write(&path, json).unwrap();
        let mode = |mode| {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&path, permissions).unwrap();
        };
        mode(0o644);
        assert!(check(&key).expect_err("is open").contains("everybody can read it"));
        mode(0o600);
        let settings = check(&key).expect("is right");
        assert_eq!(settings.accounts, ["choria", "S", "A"]);
        assert_eq!(settings.access.users.users.len(), 1);
        std::fs::remove_file(&path).unwrap();
        assert!(check(&key).is_err());
    }
}
