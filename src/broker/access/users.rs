//! The list of users: a JSON file that names accounts, and users with their passwords or tokens.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rules::PermissionRules;
use crate::util::secret::Secret;

/// Bytes of the largest file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Others than owner and group may read it.
const WORLD_READABLE: u32 = 0o004;

/// Users that are known by name or token. Unknown fields are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserList {
    /// Accounts beside those the broker always has; naming one of these only sets its defaults.
    pub accounts: BTreeMap<String, AccountEntry>,
    /// The users.
    pub users: Vec<UserEntry>,
    /// Permissions of users that have none of their own, in accounts that have no default either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_permissions: Option<PermissionRules>,
    /// Name of the user that a connection without user name and token is taken for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_auth_user: Option<String>,
    /// Nobody comes in with a certificate alone.
    pub login_required: bool,
    /// Name of the account that the broker speaks about itself in, when it is not the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_account: Option<String>,
}

/// An account: messages stay in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountEntry {
    /// Permissions of its users that have none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_permissions: Option<PermissionRules>,
}

/// One user: either a name and a password, or a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserEntry {
    /// Name in CONNECT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password in CONNECT, in clear.
    #[serde(with = "masked", skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret<String>>,
    /// `auth_token` in CONNECT.
    #[serde(with = "masked", skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret<String>>,
    /// Account the user is in; the first one of the broker when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What the user may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<PermissionRules>,
    /// Ways the user may connect by; any when the list is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection_types: Vec<ConnectionType>,
    /// Whether a broker with TLS wants a verified certificate beside the password.
    pub certificate: CertificateRule,
}

/// A way to connect, by its NATS name. Those that this broker does not offer are never taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionType {
    /// The client port.
    Standard,
    /// A web socket.
    Websocket,
    /// A leaf node.
    Leafnode,
    /// A leaf node over a web socket.
    LeafnodeWs,
    /// MQTT.
    Mqtt,
    /// MQTT over a web socket.
    MqttWs,
    /// Inside the broker's process.
    InProcess,
}

/// Whether a certificate is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateRule {
    /// Nobody comes in by password or token alone.
    #[default]
    Required,
    /// Password or token are enough.
    Optional,
}

mod masked {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    pub fn deserialize<'d, D: Deserializer<'d>>(
        from: D,
    ) -> Result<Option<Secret<String>>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }

    pub fn serialize<S: Serializer>(
        value: &Option<Secret<String>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(Secret::expose).serialize(to)
    }
}

/// Why a list of users cannot be used.
#[derive(Debug)]
pub enum BadUsers {
    /// The file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is larger than a list of users should be.
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It holds passwords, and everybody on the host can read it.
    WorldReadable {
        /// The file.
        path: PathBuf,
    },
    /// It is not JSON of the documented form.
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// What it says cannot be.
    Content(Violations),
}

/// What contradicts itself in a list of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violations {
    /// No user at all: a file that was meant to say more.
    NoUsers,
    /// Neither a name nor a token.
    Nameless {
        /// Place in the list, from 1.
        place: usize,
    },
    /// A token beside a name or a password.
    TwoWays {
        /// Place in the list, from 1.
        place: usize,
    },
    /// A name without a password that is not the user of connections without a name.
    NoPassword {
        /// The user.
        user: String,
    },
    /// An empty password or token.
    EmptySecret {
        /// Place in the list, from 1.
        place: usize,
    },
    /// A password that was hashed for another broker.
    Hashed {
        /// The user.
        user: String,
    },
    /// The same name or token twice.
    Twice {
        /// Place of the second one in the list, from 1.
        place: usize,
    },
    /// An account that is nowhere named.
    UnknownAccount {
        /// Its name.
        account: String,
    },
    /// The name of an account that cannot stand in the protocol.
    BadAccountName {
        /// The name.
        account: String,
    },
    /// `no_auth_user` is not in the list.
    UnknownUser {
        /// Its name.
        user: String,
    },
    /// A name that has a meaning of its own at this broker.
    ReservedUser {
        /// The name.
        user: String,
    },
}

impl UserList {
    /// Reads and checks a file. One that holds passwords or tokens must not be readable by everybody.
    pub fn read(path: &Path) -> Result<UserList, BadUsers> {
        let failed = |source| BadUsers::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(BadUsers::TooLarge { path: path.to_owned() });
        }
        let list: UserList = serde_json::from_slice(&text)
            .map_err(|source| BadUsers::Form { path: path.to_owned(), source })?;
        if metadata.permissions().mode() & WORLD_READABLE != 0 && list.has_secrets() {
            return Err(BadUsers::WorldReadable { path: path.to_owned() });
        }
        if list.is_empty() {
            return Err(BadUsers::Content(Violations::NoUsers));
        }
        list.check().map_err(BadUsers::Content)?;
        Ok(list)
    }

    /// Whether it says anything about who may come in.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    fn has_secrets(&self) -> bool {
        self.users.iter().any(|user| user.password.is_some() || user.token.is_some())
    }

    /// Whether every user can come in by exactly one way. Accounts are checked by who knows the broker's own.
    pub fn check(&self) -> Result<(), Violations> {
        let mut seen = HashSet::new();
        for (index, user) in self.users.iter().enumerate() {
            let place = index + 1;
            self.check_user(user, place)?;
            let is_token = user.token.is_some();
            let key = user.token.as_ref().map(Secret::expose).or(user.user.as_ref());
            if !seen.insert((is_token, key)) {
                return Err(Violations::Twice { place });
            }
        }
        let mut names = self.accounts.keys().chain(&self.system_account);
        if let Some(name) = names.find(|name| !is_account_name(name)) {
            return Err(Violations::BadAccountName { account: name.clone() });
        }
        match &self.no_auth_user {
            Some(name) if !self.users.iter().any(|user| user.user.as_ref() == Some(name)) => {
                Err(Violations::UnknownUser { user: name.clone() })
            }
            _ => Ok(()),
        }
    }

    fn check_user(&self, user: &UserEntry, place: usize) -> Result<(), Violations> {
        let secrets = [&user.password, &user.token];
        if secrets.iter().any(|secret| secret.as_ref().is_some_and(|text| text.expose().is_empty()))
        {
            return Err(Violations::EmptySecret { place });
        }
        let Some(name) = user.user.as_ref().filter(|name| !name.is_empty()) else {
            return match (&user.token, &user.password) {
                (Some(_), None) if user.user.is_none() => Ok(()),
                (Some(_), _) => Err(Violations::TwoWays { place }),
                (None, _) => Err(Violations::Nameless { place }),
            };
        };
        match &user.password {
            _ if user.token.is_some() => Err(Violations::TwoWays { place }),
            None if self.no_auth_user.as_ref() != Some(name) => {
                Err(Violations::NoPassword { user: name.clone() })
            }
            Some(password) if is_hash(password.expose()) => {
                Err(Violations::Hashed { user: name.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a password looks like one that bcrypt has hashed.
fn is_hash(password: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| password.starts_with(prefix))
}

/// Names stand between blanks in the protocol of brokers.
fn is_account_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

impl fmt::Display for BadUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadUsers::Read { path, source } => {
                write!(f, "cannot read {}: {source}", path.display())
            }
            BadUsers::TooLarge { path } => {
                write!(f, "{} is larger than {FILE_BYTES_MAX} bytes", path.display())
            }
            BadUsers::WorldReadable { path } => {
                write!(f, "{} holds passwords and everybody can read it", path.display())
            }
            BadUsers::Form { path, source } => write!(f, "{}: {source}", path.display()),
            BadUsers::Content(violation) => write!(f, "{violation}"),
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violations::NoUsers => f.write_str("the list of users is empty"),
            Violations::Nameless { place } => {
                write!(f, "user {place} has neither a name nor a token")
            }
            Violations::TwoWays { place } => {
                write!(f, "user {place} has a token beside a name or a password")
            }
            Violations::NoPassword { user } => write!(f, "user {user:?} has no password"),
            Violations::EmptySecret { place } => {
                write!(f, "user {place} has an empty password or token")
            }
            Violations::Hashed { user } => {
                write!(f, "user {user:?} has a bcrypt password, which is not supported")
            }
            Violations::Twice { place } => write!(f, "user {place} is in the list already"),
            Violations::UnknownAccount { account } => write!(f, "there is no account {account:?}"),
            Violations::BadAccountName { account } => {
                write!(f, "{account:?} cannot be the name of an account")
            }
            Violations::UnknownUser { user } => {
                write!(f, "no_auth_user {user:?} is not among the users")
            }
            Violations::ReservedUser { user } => {
                write!(f, "the user name {user:?} has another meaning at this broker")
            }
        }
    }
}

impl std::error::Error for BadUsers {}
impl std::error::Error for Violations {}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(json: &str) -> Result<UserList, String> {
        let list: UserList = serde_json::from_str(json).map_err(|error| error.to_string())?;
        list.check().map_err(|violation| violation.to_string())?;
        Ok(list)
    }

    #[test]
    fn a_whole_list() {
        let json = r#"{
            "accounts": {"A": {"default_permissions": {"publish": {"allow": []}}}, "B": {}},
            "users": [
                {"user": "ann", "password": "s3cret", "account": "A",
                 "permissions": {"subscribe": {"allow": ["a.>", "b q.*"], "deny": ["a.b"]},
                                 "allow_responses": {"max": 2, "expires": "1m"}},
                 "connection_types": ["STANDARD", "WEBSOCKET"], "certificate": "optional"},
                {"token": "t0ken"},
                {"user": "guest", "permissions": {"allow_responses": {}}}
            ],
            "default_permissions": {"publish": {"deny": ["x"]}},
            "no_auth_user": "guest"
        }"#;
        let read = list(json).expect("is right");
        assert_eq!(
            read.users[2].permissions.as_ref().unwrap().allow_responses,
            Some(AllowResponses::default())
        );
        assert_eq!(read.users[1].certificate, CertificateRule::Required);
        let again = list(&serde_json::to_string(&read).unwrap());
        assert_eq!(again, Ok(read.clone()));
        let shown = format!("{read:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    }

    use super::super::AllowResponses;

    #[test]
    fn contradictions_are_refused() {
        let cases = [
            (r#"{"users": [{}]}"#, "user 1 has neither a name nor a token"),
            (r#"{"users": [{"password": "x"}]}"#, "user 1 has neither a name nor a token"),
            (r#"{"users": [{"user": "a"}]}"#, "user \"a\" has no password"),
            (
                r#"{"users": [{"user": "a", "token": "t"}]}"#,
                "user 1 has a token beside a name or a password",
            ),
            (r#"{"users": [{"token": ""}]}"#, "user 1 has an empty password or token"),
            (
                r#"{"users": [{"user": "a", "password": ""}]}"#,
                "user 1 has an empty password or token",
            ),
            (
                r#"{"users": [{"user": "a", "password": "$2a$11$abc"}]}"#,
                "user \"a\" has a bcrypt password, which is not supported",
            ),
            (
                r#"{"users": [{"user": "a", "password": "1"}, {"user": "a", "password": "2"}]}"#,
                "user 2 is in the list already",
            ),
            (r#"{"no_auth_user": "a"}"#, "no_auth_user \"a\" is not among the users"),
            (r#"{"accounts": {"a b": {}}}"#, "\"a b\" cannot be the name of an account"),
        ];
        for (json, expected) in cases {
            assert_eq!(list(json), Err(expected.to_owned()), "{json}");
        }
        for json in [
            r#"{"user": []}"#,
            r#"{"users": [{"user": "a", "password": "b", "permission": {}}]}"#,
            r#"{"users": [{"user": "a", "password": "b", "permissions": {"publish": ["x"]}}]}"#,
            r#"{"users": [{"user": "a", "password": "b", "connection_types": ["FAX"]}]}"#,
        ] {
            assert!(list(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_file_with_passwords_is_kept_from_others() {
        let path = std::env::temp_dir().join(format!("choria-users-{}.json", std::process::id()));
        let write = |json: &str, mode: u32| {
            std::fs::write(&path, json).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            UserList::read(&path).map(|list| list.users.len())
        };
        let secret = r#"{"users": [{"token": "t"}]}"#;
        let open = r#"{"users": [{"user": "guest"}], "no_auth_user": "guest"}"#;
        assert!(matches!(write(secret, 0o640), Ok(1)));
        assert!(matches!(write(secret, 0o644), Err(BadUsers::WorldReadable { .. })));
        assert!(matches!(write(open, 0o644), Ok(1)));
        assert!(matches!(write("{", 0o600), Err(BadUsers::Form { .. })));
        assert!(matches!(write("{}", 0o600), Err(BadUsers::Content(Violations::NoUsers))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(UserList::read(&path), Err(BadUsers::Read { .. })));
    }
}
