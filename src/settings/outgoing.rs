//! What the connections of roles beside the router prove themselves with: federation brokers and data adapters.

use std::path::Path;
use std::sync::Arc;

use super::{Insecure, Problem, opened, provider, security};
use crate::config::{Config, Environment};
use crate::security::{Holder, Provider, TokenFiles, TokenKeys};
use crate::tokens::{Purpose, Unverified};

/// The security of a process that reads the file of a broker and connects to others. Brokers need no token; who connects
/// where tokens are wanted has one.
///
/// # Errors
/// When files cannot be used, or there is nothing that a broker would let this process in for.
pub fn outgoing(
    config: &Config,
    env: &Environment,
    insecure: Insecure,
) -> Result<Arc<Provider>, Problem> {
    if config.security.provider != "choria" {
        return opened(config, env, insecure);
    }
    let mut settings = security(config, env, insecure)?;
    let is_nameless = settings.certificate.as_os_str().is_empty()
        && (config.nats.user.is_none() || config.nats.pass.is_none());
    if config.logins.token.is_some() {
        settings.token = Some(TokenFiles {
            token: config.logins.token.clone().unwrap_or_default(),
            seed: config.logins.seed.clone().unwrap_or_default(),
            keys: TokenKeys::Provider,
            holder: holder(config.logins.token.as_deref()),
        });
    } else if settings.tls && is_nameless {
        return Err(Problem::new(
            "security is not set up: there is neither a certificate nor a token to connect with",
        )
        .hint("for a broker without issuers set plugin.security.choria.certificate and plugin.security.choria.key")
        .hint("for one with issuers set plugin.security.choria.token_file and plugin.security.choria.seed_file; the token has to grant the subjects"));
    }
    provider(settings)
}

/// It may have the token of a client, whose subjects fit, or of a server, as the reference wants it of federation brokers.
fn holder(file: Option<&Path>) -> Holder {
    // What cannot be read here is complained about where the token is used.
    let text = file.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    match Unverified::parse(text.trim()).map(|token| token.claims().purpose()) {
        Ok(Some(Purpose::Server)) => Holder::Server,
        _ => Holder::Client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn said(name: &str, text: &str, insecure: Insecure) -> String {
        let env = Environment::fixed(&[], "a1.example.net");
        let file = format!("choria-outgoing-{name}-{}.conf", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, format!("plugin.security.provider = choria\n{text}")).unwrap();
        let source = Source::Broker { path: path.clone() };
        let (config, _) = Config::load(&source, &env, Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        let made = outgoing(&config, &env, insecure);
        made.err().map(|problem| problem.to_string()).unwrap_or_default()
    }

    #[test]
    fn there_has_to_be_something_to_be_let_in_for() {
        let secure = Insecure::default();
        let missing = "there is neither a certificate nor a token to connect with";
        let absent = |what: &str| format!("the {what} /nosuch does not exist");
        for (name, text, expected) in [
            ("nothing", "", missing.to_owned()),
            ("half", "plugin.nats.user = ann\n", missing.to_owned()),
            ("password", "plugin.nats.user = ann\nplugin.nats.pass = secret\n", String::new()),
            ("token", "plugin.security.choria.token_file = /nosuch\n", absent("token")),
            (
                "certificate",
                "plugin.security.choria.certificate = /nosuch\n",
                absent("certificate"),
            ),
        ] {
            let said = said(name, text, secure);
            assert!(said.contains(&expected) && said.is_empty() == expected.is_empty(), "{said}");
        }
        assert_eq!(said("clear", "", Insecure { no_tls: true, ..secure }), "");
    }
}
