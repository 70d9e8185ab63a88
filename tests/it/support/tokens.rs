//! A network of tokens: an organization, and files for those who hold its tokens.

use std::time::{Duration, SystemTime};

use choria::crypto::ed25519::KeyPair;
use choria::crypto::ksuid::Ksuid;
use choria::tokens::{ClientClaims, ServerClaims, SigningKey, sign};

use super::{Broker, Client, Folder, Pki, Server, ServerOptions};

const HOUR: Duration = Duration::from_secs(3600);

/// Who makes tokens. Each holder has a key of its own.
pub struct Organization {
    key: SigningKey,
}

impl Organization {
    pub fn new() -> Organization {
        Organization { key: SigningKey::Ed25519(KeyPair::generate()) }
    }

    /// Its key in configurations.
    pub fn public_key(&self) -> String {
        self.key.public().to_string()
    }

    /// The configuration lines of somebody who believes its tokens.
    pub fn issuer_lines(&self) -> String {
        format!(
            "plugin.security.issuer.names = choria\nplugin.security.issuer.choria.public = {}\n",
            self.public_key()
        )
    }

    /// Writes the token of a client that may make requests, unless `change` says otherwise, and its seed. Gives the
    /// configuration lines of its holder.
    pub fn client_lines(
        &self,
        folder: &Folder,
        caller: &str,
        change: impl FnOnce(&mut ClientClaims),
    ) -> String {
        let pair = KeyPair::generate();
        let id = Ksuid::new(SystemTime::now());
        let mut claims = ClientClaims::new(caller, Some(pair.public_key()), id, HOUR);
        claims.permissions.fleet_management = true;
        change(&mut claims);
        let token = sign(&claims, &self.key).expect("a token");
        holder_lines(folder, caller, &token, &pair)
    }

    /// The same for a server.
    pub fn server_lines(&self, folder: &Folder, identity: &str) -> String {
        let (token, pair) = self.server_token(identity);
        holder_lines(folder, identity, &token, &pair)
    }

    /// A token of a server, and its key.
    pub fn server_token(&self, identity: &str) -> (String, KeyPair) {
        let pair = KeyPair::generate();
        let id = Ksuid::new(SystemTime::now());
        let mut claims = ServerClaims::new(identity, pair.public_key(), id, HOUR);
        claims.collectives = vec!["choria".to_owned(), "mcollective".to_owned()];
        (sign(&claims, &self.key).expect("a token"), pair)
    }

    /// A broker that believes its tokens.
    pub fn broker(&self, folder: &Folder) -> Broker {
        let leaf = Pki::shared().leaf("localhost");
        let lines = format!(
            "plugin.security.provider = choria\nplugin.security.choria.certificate = {}\n\
             plugin.security.choria.key = {}\nplugin.security.choria.ca = {}\n{}",
            leaf.certificate.display(),
            leaf.key.display(),
            Pki::shared().ca.display(),
            self.issuer_lines()
        );
        Broker::start_with(folder, &lines)
    }

    /// A server with a token.
    pub fn server(&self, folder: &Folder, identity: &str, port: u16, facts: &str) -> Server {
        let extra = self.server_lines(folder, identity) + &self.issuer_lines();
        Server::start(folder, identity, port, &ServerOptions { facts, classes: "", extra: &extra })
    }

    /// A client with a token.
    pub fn client(
        &self,
        folder: &Folder,
        port: u16,
        caller: &str,
        change: impl FnOnce(&mut ClientClaims),
    ) -> Client {
        let lines = self.client_lines(folder, caller, change) + &self.issuer_lines();
        Client::with_lines(folder, port, caller, &lines)
    }
}

fn holder_lines(folder: &Folder, name: &str, token: &str, pair: &KeyPair) -> String {
    let token = folder.write(&format!("{name}.jwt"), token);
    let seed = folder.write(&format!("{name}.seed"), &pair.seed_hex());
    format!(
        "plugin.security.provider = choria\nplugin.security.choria.token_file = {}\n\
         plugin.security.choria.seed_file = {}\nplugin.security.choria.ca = {}\n",
        token.display(),
        seed.display(),
        Pki::shared().ca.display()
    )
}
