//! Whose tokens are trusted, and which of them no more.

use std::path::PathBuf;

use crate::config::store::Store;

/// Keys about tokens that every role reads.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The organizations of `plugin.security.issuer.names`, in order.
    pub issuers: Vec<Issuer>,
    /// Hex keys that may sign tokens for the `choria` provider.
    pub trusted_signers: Vec<String>,
    /// The file that lists the tokens that are not accepted any more.
    pub revoked: Option<PathBuf>,
}

/// An organization that issues tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name.
    pub name: String,
    /// Its public key in hexadecimal, if there is one.
    pub public: Option<String>,
}

impl Tokens {
    pub(super) fn from(store: &Store) -> Self {
        let issuer = |name: String| {
            let public = store.text(&Issuer::key(&name));
            Issuer { public: Some(public).filter(|text| !text.is_empty()), name }
        };
        Self {
            issuers: store.list("plugin.security.issuer.names").into_iter().map(issuer).collect(),
            trusted_signers: store.list("plugin.security.choria.trusted_signers"),
            revoked: store.path("plugin.choria.security.revoked_tokens"),
        }
    }
}

impl Issuer {
    /// The configuration key of the public key of an issuer.
    pub fn key(name: &str) -> String {
        format!("plugin.security.issuer.{name}.public")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Environment, Source};

    #[test]
    fn issuers_and_their_keys() {
        let path = std::env::temp_dir().join(format!("choria-issuers-{}.conf", std::process::id()));
        let text = "plugin.security.issuer.names = choria, acme\n\
                    plugin.security.issuer.choria.public = 00ff\n\
                    plugin.choria.network.client_signer_cert = /a.pem, 00ee\n\
                    plugin.choria.security.revoked_tokens = /revoked\n";
        std::fs::write(&path, text).unwrap();
        let source = Source::Broker { path: path.clone() };
        let (config, warnings) =
            Config::load(&source, &Environment::fixed(&[], "b1"), Path::new("/")).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let issuer = |name: &str, public: Option<&str>| Issuer {
            name: name.to_owned(),
            public: public.map(str::to_owned),
        };
        let expected = [issuer("choria", Some("00ff")), issuer("acme", None)];
        assert_eq!(config.tokens.issuers, expected);
        assert_eq!(config.tokens.revoked.as_deref(), Some(Path::new("/revoked")));
        assert_eq!(config.network.client_signers, ["/a.pem", "00ee"]);
        assert!(config.network.server_signers.is_empty());
    }
}
