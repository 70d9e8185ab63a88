//! The organization of a demo with tokens: it makes the tokens, and everybody believes them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::broker::access::{Access, Certificates, TokenAccess, TokenTrust};
use crate::cli::exit::Failure;
use crate::crypto::ed25519::KeyPair;
use crate::crypto::ksuid::Ksuid;
use crate::tokens::{self, ClientClaims, ORGANIZATION_DEFAULT, ServerClaims, SigningKey, Trust};

/// The collective of a network with tokens.
pub const COLLECTIVE: &str = "choria";

/// A key that makes tokens.
pub struct Organization {
    key: SigningKey,
    life: Duration,
}

/// A new token and the seed of its key, both as files hold them.
pub struct Made {
    pub token: String,
    pub seed: String,
}

impl Organization {
    /// An organization with a new key, whose tokens are valid for so long.
    pub fn new(life: Duration) -> Self {
        Self { key: SigningKey::Ed25519(KeyPair::generate()), life }
    }

    /// Its public key as configurations hold it.
    pub fn public_key(&self) -> String {
        self.key.public().to_string()
    }

    /// Trust in its tokens.
    pub fn trust(&self) -> Trust {
        Trust::issuers(BTreeMap::from([(ORGANIZATION_DEFAULT.to_owned(), self.key.public())]))
    }

    /// A broker that admits its tokens and nothing else.
    pub fn access(&self) -> Access {
        Access {
            certificates: Certificates::Refused,
            tokens: TokenAccess { trust: TokenTrust::Issuers(self.trust()), ..Default::default() },
            ..Access::default()
        }
    }

    /// A token of a client that may call every action.
    pub fn client(&self, caller: &str) -> Result<Made, Failure> {
        let (pair, id) = (KeyPair::generate(), Ksuid::new(SystemTime::now()));
        let mut claims = ClientClaims::new(caller, Some(pair.public_key()), id, self.life);
        claims.agents = vec!["*".to_owned()];
        claims.permissions.fleet_management = true;
        self.sign(&claims, &pair)
    }

    /// A token of a server.
    pub fn server(&self, identity: &str) -> Result<Made, Failure> {
        let (pair, id) = (KeyPair::generate(), Ksuid::new(SystemTime::now()));
        let mut claims = ServerClaims::new(identity, pair.public_key(), id, self.life);
        claims.collectives = vec![COLLECTIVE.to_owned()];
        self.sign(&claims, &pair)
    }

    fn sign(&self, claims: &impl serde::Serialize, pair: &KeyPair) -> Result<Made, Failure> {
        let token = tokens::sign(claims, &self.key)
            .map_err(|error| Failure::new(format!("cannot make a token: {error}")))?;
        Ok(Made { token, seed: pair.seed_hex() })
    }
}
