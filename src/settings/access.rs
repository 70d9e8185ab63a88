//! Who may come in at the broker: from keys, and from the list of users.

use std::path::Path;

use super::Problem;
use crate::broker::access::{
    Access, BadUsers, Certificates, Login, Network, PermissionRules, Provisioning, UserList,
};
use crate::broker::{Import, Settings};
use crate::config::Config;
use crate::util::secret::Secret;

const CHORIA: &str = "choria";
const PROVISIONING: &str = "provisioning";
/// What subscribers in the account of the fleet see of servers that wait for an identity.
const LIFECYCLE: &str = "choria.lifecycle.>";

/// Adds accounts, users and rights to the settings of a broker.
pub(super) fn set_access(
    settings: &mut Settings,
    config: &Config,
    is_tls: bool,
) -> Result<(), Problem> {
    let mut access = Access { certificates: certificates(config, is_tls)?, ..Access::default() };
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
    for name in access.users.accounts.keys() {
        if !settings.accounts.contains(name) {
            settings.accounts.push(name.clone());
        }
    }
    settings.access = access;
    Ok(())
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

/// Addresses tell clients from servers, when they are listed.
fn certificates(config: &Config, is_tls: bool) -> Result<Certificates, Problem> {
    const HOSTS: &str = "plugin.choria.network.client_hosts";
    const DENY: &str = "plugin.choria.network.deny_server_connections";
    let network = &config.network;
    let hosts: Vec<_> = network.client_hosts.iter().filter(|host| !host.is_empty()).collect();
    if hosts.is_empty() {
        if network.deny_server_connections {
            let text = format!(
                "{}: {DENY} has no effect without {HOSTS}: servers cannot be told from clients",
                config.origin(DENY)
            );
            return Err(
                Problem::new(text).hint(format!("list the addresses of clients in {HOSTS}"))
            );
        }
        return Ok(Certificates::Unlimited);
    }
    if !is_tls {
        log::warn!("broker: {HOSTS} has no effect without TLS");
    }
    let clients: Result<Vec<Network>, _> = hosts.iter().map(|host| host.parse()).collect();
    let clients = clients
        .map_err(|error| Problem::new(format!("{}: {HOSTS}: {error}", config.origin(HOSTS))))?;
    let servers = match network.deny_server_connections {
        true => PermissionRules::nothing(),
        false => PermissionRules::servers(),
    };
    Ok(Certificates::ByAddress { clients, servers })
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
