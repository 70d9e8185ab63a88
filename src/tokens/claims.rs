//! What tokens say. Names and types of the claims are those of the JSON text; what is not known is skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Denied, ORGANIZATION_DEFAULT};
use crate::crypto::ed25519::PublicKey;
use crate::crypto::ksuid::Ksuid;
use crate::util::secret::Secret;
use crate::util::time;

mod form;

pub(super) use form::object;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A person or program that sends requests.
    Client,
    /// A node.
    Server,
    /// A node that wants to become one.
    Provisioning,
}

impl Purpose {
    /// The text of the `purpose` claim.
    pub fn claim(self) -> &'static str {
        match self {
            Self::Client => "choria_client_id",
            Self::Server => "choria_server",
            Self::Provisioning => "choria_provisioning",
        }
    }

    fn of(common: &Common) -> Option<Self> {
        match common.purpose.as_str() {
            "choria_client_id" => Some(Self::Client),
            "choria_server" => Some(Self::Server),
            "choria_provisioning" => Some(Self::Provisioning),
            // Tokens of old versions have their purpose in the subject.
            "" if common.subject == "choria_provisioning" => Some(Self::Provisioning),
            _ => None,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Provisioning => "provisioning",
        })
    }
}

/// The claims of all tokens. Times are seconds since 1970; what is absent is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Common {
    /// What the token is for, as text.
    #[serde(deserialize_with = "form::null_is_default")]
    pub purpose: String,
    /// Signatures that lead to the organization; see the chain of trust in the protocol.
    #[serde(rename = "tcs", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trust_chain: String,
    /// The public key of the holder, hexadecimal.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "String::is_empty")]
    pub public_key: String,
    /// When the token of the issuer ends.
    #[serde(rename = "issexp", with = "form::date", skip_serializing_if = "Option::is_none")]
    pub issuer_expires: Option<i64>,
    /// Who made it: free text, or a key behind `I-`, or an id and a key behind `C-`.
    #[serde(rename = "iss", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// The purpose once more, on provisioning tokens only.
    #[serde(rename = "sub", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// When it ends.
    #[serde(rename = "exp", with = "form::date", skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// From when on it may be used.
    #[serde(rename = "nbf", with = "form::date", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// When it was made.
    #[serde(rename = "iat", with = "form::date", skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<i64>,
    /// Its identifier, a [`Ksuid`] in all tokens that Choria makes.
    #[serde(rename = "jti", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
}

impl Common {
    /// Claims of a token that is made at the time of `id` and ends after `validity`.
    pub fn new(purpose: Purpose, id: Ksuid, issuer: &str, validity: Duration) -> Self {
        let secs = i64::try_from(validity.as_secs()).unwrap_or(i64::MAX);
        let made = id.unix_secs();
        Self {
            purpose: purpose.claim().to_owned(),
            issuer: issuer.to_owned(),
            expires: Some(made.saturating_add(secs)),
            not_before: Some(made),
            issued_at: Some(made),
            id: id.to_string(),
            ..Self::default()
        }
    }

    /// The key that the holder signs with: connections, requests and replies are verified with it.
    ///
    /// # Errors
    /// [`Denied::NoPublicKey`] and [`Denied::BadPublicKey`].
    pub fn holder_key(&self) -> Result<PublicKey, Denied> {
        if self.public_key.is_empty() {
            return Err(Denied::NoPublicKey);
        }
        PublicKey::from_hex(&self.public_key).map_err(|_| Denied::BadPublicKey)
    }

    /// The earlier one of its own end and that of its issuer; nothing when it has neither.
    pub fn effective_expiry(&self) -> Option<i64> {
        match (self.expires, self.issuer_expires) {
            (Some(own), Some(issuer)) => Some(own.min(issuer)),
            (own, issuer) => own.or(issuer),
        }
    }

    /// Whether it may no longer be used to connect. A token without an end has ended.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.effective_expiry().is_none_or(|end| now >= time::from_unix(end))
    }
}

/// Permissions of a client. All are off unless the token says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientPermissions {
    /// All of the Streams API.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub streams_admin: bool,
    /// Use of Streams, but no management of them.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub streams_user: bool,
    /// Lifecycle and autonomous agent events.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub events_viewer: bool,
    /// Leader elections.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub election_user: bool,
    /// The system account of the broker, with its user and password.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub system_user: bool,
    /// Governors; needs a permission for Streams as well.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub governor: bool,
    /// All subjects, and the system account.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub org_admin: bool,
    /// RPC requests.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub fleet_management: bool,
    /// RPC requests that an authentication delegator has signed, and no others.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub signed_fleet_management: bool,
    /// A long validity, accepted by the AAA service.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub service: bool,
    /// May sign requests of others.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub authentication_delegator: bool,
    /// May connect to the provisioning account.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub provisioner: bool,
}

/// A token of purpose [`Purpose::Client`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientClaims {
    /// The caller id, `kind=name`.
    #[serde(rename = "callerid", deserialize_with = "form::null_is_default")]
    pub caller: String,
    /// Agents and actions it may use: `*`, `agent.*`, `agent.action`.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// The organization.
    #[serde(rename = "ou", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// Free properties for policies.
    #[serde(
        deserialize_with = "form::null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub user_properties: BTreeMap<String, String>,
    /// The text of a Rego policy.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "String::is_empty")]
    pub opa_policy: String,
    /// What it may do.
    #[serde(deserialize_with = "form::permissions", skip_serializing_if = "form::no_client")]
    pub permissions: ClientPermissions,
    /// More subjects it may publish to.
    #[serde(rename = "pub_subjects", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// More subjects it may subscribe to.
    #[serde(rename = "sub_subjects", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// The claims of all tokens.
    #[serde(flatten)]
    pub common: Common,
}

/// Permissions of a server. All are off unless the token says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerPermissions {
    /// Submission of messages.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub submission: bool,
    /// Use of Streams.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub streams: bool,
    /// Governors; needs `streams` as well.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub governor: bool,
    /// May host service agents.
    #[serde(deserialize_with = "form::null_is_default", skip_serializing_if = "form::is_off")]
    pub service_host: bool,
}

/// A token of purpose [`Purpose::Server`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerClaims {
    /// The name of the node.
    #[serde(deserialize_with = "form::null_is_default")]
    pub identity: String,
    /// The collectives it is in.
    #[serde(deserialize_with = "form::null_is_default")]
    pub collectives: Vec<String>,
    /// What it may do.
    #[serde(deserialize_with = "form::permissions", skip_serializing_if = "form::no_server")]
    pub permissions: ServerPermissions,
    /// The organization.
    #[serde(rename = "ou", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// More subjects it may publish to.
    #[serde(rename = "pub_subjects", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// The claims of all tokens.
    #[serde(flatten)]
    pub common: Common,
}

/// A token of purpose [`Purpose::Provisioning`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProvisioningClaims {
    /// The token of the provisioning agent.
    #[serde(rename = "cht", with = "form::secret")]
    pub token: Secret<String>,
    /// Connections must be secure.
    #[serde(rename = "chs", deserialize_with = "form::null_is_default")]
    pub secure: bool,
    /// Brokers, separated by commas.
    #[serde(rename = "chu", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub urls: String,
    /// The domain of the SRV records that name the brokers.
    #[serde(rename = "chsrv", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub srv_domain: String,
    /// Nodes without configuration are provisioned.
    #[serde(rename = "chpd", deserialize_with = "form::null_is_default")]
    pub by_default: bool,
    /// A file with data for registration.
    #[serde(rename = "chrd", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub registration_file: String,
    /// A file with facts.
    #[serde(rename = "chf", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub facts_file: String,
    /// User at the broker.
    #[serde(rename = "chusr", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Password at the broker.
    #[serde(rename = "chpwd", with = "form::secret", skip_serializing_if = "form::no_secret")]
    pub password: Secret<String>,
    /// What else a site needs.
    pub extensions: Option<Map<String, Value>>,
    /// The organization.
    #[serde(rename = "ou", deserialize_with = "form::null_is_default")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub organization: String,
    /// Provisioning uses protocol v2.
    #[serde(
        rename = "v2",
        deserialize_with = "form::null_is_default",
        skip_serializing_if = "form::is_off"
    )]
    pub protocol_v2: bool,
    /// Upgrades over the air are allowed.
    #[serde(
        rename = "update",
        deserialize_with = "form::null_is_default",
        skip_serializing_if = "form::is_off"
    )]
    pub allow_update: bool,
    /// The claims of all tokens.
    #[serde(flatten)]
    pub common: Common,
}

/// The claims of a token, by its purpose.
#[derive(Debug, Clone, PartialEq)]
pub enum Claims {
    /// Of a client.
    Client(Box<ClientClaims>),
    /// Of a server.
    Server(Box<ServerClaims>),
    /// For provisioning.
    Provisioning(Box<ProvisioningClaims>),
    /// Of a purpose that is not known.
    Other(Box<Common>),
}

impl Claims {
    /// Reads the claims of the purpose they name. Claims that occur twice are refused.
    pub(super) fn read(payload: &[u8]) -> Result<Self, serde_json::Error> {
        fn boxed<T: DeserializeOwned>(payload: &[u8]) -> Result<Box<T>, serde_json::Error> {
            object(payload).map(Box::new)
        }
        let common: Box<Common> = boxed(payload)?;
        Ok(match Purpose::of(&common) {
            Some(Purpose::Client) => Self::Client(boxed(payload)?),
            Some(Purpose::Server) => Self::Server(boxed(payload)?),
            Some(Purpose::Provisioning) => {
                let mut claims: Box<ProvisioningClaims> = boxed(payload)?;
                if claims.organization.is_empty() {
                    ORGANIZATION_DEFAULT.clone_into(&mut claims.organization);
                }
                Self::Provisioning(claims)
            }
            None => Self::Other(common),
        })
    }

    /// What the token is for.
    pub fn purpose(&self) -> Option<Purpose> {
        match self {
            Self::Client(_) => Some(Purpose::Client),
            Self::Server(_) => Some(Purpose::Server),
            Self::Provisioning(_) => Some(Purpose::Provisioning),
            Self::Other(_) => None,
        }
    }

    /// The claims of all tokens.
    pub fn common(&self) -> &Common {
        match self {
            Self::Client(claims) => &claims.common,
            Self::Server(claims) => &claims.common,
            Self::Provisioning(claims) => &claims.common,
            Self::Other(common) => common,
        }
    }

    /// The organization; empty when the token names none.
    pub fn organization(&self) -> &str {
        match self {
            Self::Client(claims) => &claims.organization,
            Self::Server(claims) => &claims.organization,
            Self::Provisioning(claims) => &claims.organization,
            Self::Other(_) => "",
        }
    }
}
