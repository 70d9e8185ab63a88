//! The settings about access in the form that decisions need.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::joining::Enrollment;
use super::{Attempt, Entry, PROVISIONER, Refusal, TlsState, Via};
use crate::broker::access::{
    Access, CertificateRule, Certificates, ConnectionType, Login, Network, PermissionRules,
    TokenAccess, UserEntry, Violations,
};
use crate::broker::permissions::{BadRules, Permissions};
use crate::ca::wire;
use crate::crypto::hash::{equal_secrets, sha256};
use crate::util::secret::Secret;

/// Decides about connections.
#[derive(Debug)]
pub(in crate::broker) struct Gate {
    /// Connections are encrypted.
    is_tls: bool,
    pub(super) system_account: Option<u32>,
    pub(super) system_user: Option<Arc<Login>>,
    pub(super) provisioning: Option<(u32, Arc<Secret<String>>)>,
    /// What lets connections in that come for a certificate.
    pub(super) enrollment: Option<Enrollment>,
    /// What holds for tokens that Choria signs.
    pub(super) signed: TokenAccess,
    certificates: ByCertificate,
    users: HashMap<String, Arc<User>>,
    /// By the digest of the token, so that the time of a look-up tells nothing about tokens.
    tokens: HashMap<[u8; 32], Arc<User>>,
    no_auth_user: Option<Arc<User>>,
    /// A certificate alone is not enough.
    login_required: bool,
}

/// A user of the list.
#[derive(Debug)]
pub(in crate::broker) struct User {
    /// Those with a token have none.
    pub name: Option<String>,
    password: Option<Secret<String>>,
    token: Option<Secret<String>>,
    account: u32,
    permissions: Permissions,
    connection_types: Vec<ConnectionType>,
    certificate: CertificateRule,
}

#[derive(Debug)]
enum ByCertificate {
    Nothing,
    Everything,
    ByAddress { clients: Vec<Network>, servers: Permissions },
    Limited(Permissions),
}

/// Access that cannot be given as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadAccess {
    /// The list of users contradicts itself.
    Users(Violations),
    /// Permissions that cannot be used.
    Rules {
        /// Whose they are.
        of: String,
        /// What is wrong.
        source: BadRules,
    },
}

impl fmt::Display for BadAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadAccess::Users(violation) => write!(f, "{violation}"),
            BadAccess::Rules { of, source } => write!(f, "permissions of {of}: {source}"),
        }
    }
}

impl std::error::Error for BadAccess {}

impl From<Violations> for BadAccess {
    fn from(violation: Violations) -> Self {
        BadAccess::Users(violation)
    }
}

/// The names of the accounts, in order.
struct Names<'n>(&'n [String]);

impl Names<'_> {
    fn find(&self, name: &str) -> Result<u32, Violations> {
        let found = self.0.iter().position(|account| account == name);
        let unknown = || Violations::UnknownAccount { account: name.to_owned() };
        found.map(|index| index as u32).ok_or_else(unknown)
    }
}

impl Gate {
    /// Access to a broker with these accounts, of which the first is the usual one.
    pub fn new(access: &Access, is_tls: bool, accounts: &[String]) -> Result<Gate, BadAccess> {
        let names = Names(accounts);
        let system_account = names.find(&access.system_account);
        if access.system_user.is_some() {
            system_account.clone()?;
        }
        let provisioning = match &access.provisioning {
            Some(source) => Some((names.find(&source.account)?, Arc::new(source.password.clone()))),
            None => None,
        };
        let enrollment = match &access.enrollment {
            Some(source) => Some(Enrollment::new(names.find(&source.account)?, source.key)),
            None => None,
        };
        let mut gate = Gate {
            is_tls,
            system_account: system_account.ok(),
            system_user: access.system_user.clone().map(Arc::new),
            provisioning,
            enrollment,
            signed: access.tokens.clone(),
            certificates: ByCertificate::new(&access.certificates)?,
            users: HashMap::new(),
            tokens: HashMap::new(),
            no_auth_user: None,
            login_required: access.users.login_required,
        };
        gate.add_users(access, &names)?;
        Ok(gate)
    }

    /// Goes on counting where another gate was: connections that it has let in are still there.
    pub fn after(mut self, before: &Gate) -> Gate {
        if let (Some(now), Some(before)) = (&mut self.enrollment, &before.enrollment) {
            now.count_on(before);
        }
        self
    }

    fn add_users(&mut self, access: &Access, names: &Names<'_>) -> Result<(), BadAccess> {
        let list = &access.users;
        list.check()?;
        let mut defaults = HashMap::new();
        for (name, entry) in &list.accounts {
            let of = || format!("account {name:?}");
            let rules = entry.default_permissions.as_ref().or(list.default_permissions.as_ref());
            defaults.insert(names.find(name)?, permissions(rules, of)?);
        }
        let general = permissions(list.default_permissions.as_ref(), || "all users".to_owned())?;
        for entry in &list.users {
            let user = self
                .user(entry, names, |account| defaults.get(&account).unwrap_or(&general).clone())?;
            if list.no_auth_user.is_some() && list.no_auth_user == user.name {
                self.no_auth_user = Some(user.clone());
            }
            match (&user.token, &user.name) {
                (Some(token), _) => {
                    self.tokens.insert(sha256(token.expose().as_bytes()), user);
                }
                (None, Some(name)) => drop(self.users.insert(name.clone(), user.clone())),
                // The check of the list does not let it pass.
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn user(
        &self,
        entry: &UserEntry,
        names: &Names<'_>,
        default: impl Fn(u32) -> Permissions,
    ) -> Result<Arc<User>, BadAccess> {
        let is_system = |name: &String| self.system_user.as_ref().is_some_and(|l| l.user == *name);
        let is_provisioner = |name: &String| self.provisioning.is_some() && name == PROVISIONER;
        let is_enrollment = |name: &String| self.enrollment.is_some() && name == wire::USER;
        let is_reserved = |u: &String| is_system(u) || is_provisioner(u) || is_enrollment(u);
        if let Some(user) = entry.user.clone().filter(is_reserved) {
            return Err(Violations::ReservedUser { user }.into());
        }
        let account = entry.account.as_ref().map_or(Ok(0), |name| names.find(name))?;
        let of = || format!("user {:?}", entry.user.as_deref().unwrap_or("with a token"));
        let permissions = match &entry.permissions {
            Some(rules) => permissions(Some(rules), of)?,
            None => default(account),
        };
        let permissions = match permissions {
            Permissions::Full if Some(account) == self.system_account => Permissions::System,
            permissions => permissions,
        };
        Ok(Arc::new(User {
            name: entry.user.clone(),
            password: entry.password.clone(),
            token: entry.token.clone(),
            account,
            permissions,
            connection_types: entry.connection_types.clone(),
            certificate: entry.certificate,
        }))
    }

    /// Whether INFO says that a connection has to log in.
    pub fn demands_login(&self) -> bool {
        (self.has_users() || self.login_required) && self.no_auth_user.is_none()
    }

    fn has_users(&self) -> bool {
        !self.users.is_empty() || !self.tokens.is_empty()
    }

    /// The place of a connection from this process.
    pub fn internal(&self, account: u32) -> Entry {
        let is_system = Some(account) == self.system_account;
        let permissions = if is_system { Permissions::System } else { Permissions::Full };
        Entry { account, permissions, via: Via::Internal }
    }

    /// Decides about a connection.
    pub fn admit(&self, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        if self.is_tls && attempt.tls == TlsState::Off {
            return Err(Refusal::NoTls);
        }
        if attempt.user == PROVISIONER && (self.is_tls || self.provisioning.is_some()) {
            return self.provisioner(attempt);
        }
        if let Some(enrollment) = &self.enrollment
            && attempt.user == wire::USER
        {
            return self.joining(enrollment, attempt);
        }
        match &self.system_user {
            Some(login) if login.user == attempt.user => self.system(login, attempt),
            _ if self.is_by_token(attempt) => self.signed(attempt),
            _ if self.has_users() || self.login_required => self.listed(attempt),
            _ => self.unnamed(attempt),
        }
    }

    /// Decides again about a connection that is in already.
    pub fn readmit(&self, via: &Via, attempt: &Attempt<'_>) -> Result<Option<Entry>, Refusal> {
        let entry = match via {
            Via::Internal => return Ok(None),
            Via::Unnamed => self.admit(attempt),
            Via::System(old) => match &self.system_user {
                Some(login) if login == old => self.in_system(login),
                _ => Err(Refusal::SystemPassword),
            },
            Via::Provisioner(old) => match &self.provisioning {
                Some((account, password)) if password == old => {
                    self.provisioner_without_token(*account, password, attempt)
                }
                _ => Err(Refusal::ProvisionerPassword),
            },
            Via::User(old) => self.known_again(old, attempt),
            Via::Token(pass) => self.token_again(pass, attempt),
            Via::Joining(joining) => self.joining_again(joining),
        };
        entry.map(Some)
    }

    fn known_again(&self, old: &User, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let user = match (&old.token, &old.name) {
            (Some(token), _) => self.tokens.get(&sha256(token.expose().as_bytes())),
            (None, Some(name)) => self.users.get(name),
            (None, None) => None,
        };
        let user = user.ok_or(Refusal::UnknownUser)?;
        if user.password != old.password {
            return Err(Refusal::WrongPassword);
        }
        user.enter(attempt)
    }

    fn provisioner(&self, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let Some((account, password)) = &self.provisioning else {
            return Err(Refusal::NoProvisioning);
        };
        if password.expose().is_empty() || !equal_secrets(password.expose(), attempt.password) {
            return Err(Refusal::ProvisionerPassword);
        }
        if self.has_issuers() && attempt.tls != TlsState::Off && !attempt.token.is_empty() {
            let pass = self.provisioner_token(password, attempt)?;
            return self.entry(Arc::new(pass), attempt);
        }
        self.provisioner_without_token(*account, password, attempt)
    }

    /// Where issuers are known a token takes the place of the certificate, unless the password is enough.
    fn provisioner_without_token(
        &self,
        account: u32,
        password: &Arc<Secret<String>>,
        attempt: &Attempt<'_>,
    ) -> Result<Entry, Refusal> {
        let is_encrypted = attempt.tls != TlsState::Off;
        match self.has_issuers() && is_encrypted {
            true if !self.signed.provisioner_without_token => {
                return Err(Refusal::ProvisionerWithoutToken);
            }
            false if attempt.tls != TlsState::Verified => {
                return Err(Refusal::ProvisionerUnverified);
            }
            _ => {}
        }
        let via = Via::Provisioner(password.clone());
        Ok(Entry { account, permissions: Permissions::Full, via })
    }

    fn system(&self, login: &Arc<Login>, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let pass = match attempt.tls {
            TlsState::Verified => None,
            TlsState::Off => return Err(Refusal::SystemWithoutTls),
            TlsState::Anonymous if attempt.token.is_empty() => {
                return Err(Refusal::SystemUnverified);
            }
            TlsState::Anonymous => Some(self.system_token(login, attempt)?),
        };
        let password = login.password.expose();
        if password.is_empty() || !equal_secrets(password, attempt.password) {
            return Err(Refusal::SystemPassword);
        }
        match pass {
            Some(pass) => self.entry(Arc::new(pass), attempt),
            None => self.in_system(login),
        }
    }

    fn in_system(&self, login: &Arc<Login>) -> Result<Entry, Refusal> {
        // A system user without an account does not pass the start.
        let account = self.system_account.ok_or(Refusal::UnknownUser)?;
        Ok(Entry { account, permissions: Permissions::System, via: Via::System(login.clone()) })
    }

    fn listed(&self, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let user = if !attempt.user.is_empty() {
            let user = self.users.get(attempt.user).ok_or(Refusal::UnknownUser)?;
            if let Some(expected) = &user.password
                && !equal_secrets(expected.expose(), attempt.password)
            {
                return Err(Refusal::WrongPassword);
            }
            user
        } else if !attempt.token.is_empty() {
            match self.tokens.get(&sha256(attempt.token.as_bytes())) {
                Some(user) => user,
                None if is_signed(attempt.token) => return Err(Refusal::TokenWithoutTls),
                None => return Err(Refusal::UnknownToken),
            }
        } else if attempt.tls == TlsState::Verified && !self.login_required {
            return self.unnamed(attempt);
        } else {
            self.no_auth_user.as_ref().ok_or(Refusal::NoLogin)?
        };
        user.enter(attempt)
    }

    /// Whether a connection shows a token that Choria signs, and is decided by it.
    fn is_by_token(&self, attempt: &Attempt<'_>) -> bool {
        if attempt.tls == TlsState::Off || attempt.token.is_empty() {
            return false;
        }
        if !self.has_users() && !self.login_required {
            return true;
        }
        let is_listed = self.tokens.contains_key(&sha256(attempt.token.as_bytes()));
        let is_known = self.takes_tokens() || self.signed.provisioning_signer.is_some();
        is_signed(attempt.token) && !is_listed && (is_known || attempt.user.is_empty())
    }

    /// A connection that says nothing about itself, or nothing that counts here.
    fn unnamed(&self, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let permissions = match attempt.tls {
            // A laboratory: nobody could be told apart.
            TlsState::Off => Permissions::Full,
            TlsState::Anonymous => return Err(Refusal::NoCertificate),
            TlsState::Verified => {
                self.certificates.permissions(attempt.address).ok_or(Refusal::CertificateAlone)?
            }
        };
        Ok(Entry { account: 0, permissions, via: Via::Unnamed })
    }
}

/// Whether a token looks like one that Choria signs: header, claims and signature.
fn is_signed(token: &str) -> bool {
    token.split('.').count() == 3
}

fn permissions(
    rules: Option<&PermissionRules>,
    of: impl Fn() -> String,
) -> Result<Permissions, BadAccess> {
    let Some(rules) = rules else { return Ok(Permissions::Full) };
    Permissions::new(rules).map_err(|source| BadAccess::Rules { of: of(), source })
}

impl User {
    fn enter(self: &Arc<User>, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let types = &self.connection_types;
        if !types.is_empty() && !types.contains(&attempt.kind) {
            return Err(Refusal::ConnectionType);
        }
        if self.certificate == CertificateRule::Required && attempt.tls == TlsState::Anonymous {
            return Err(Refusal::NoCertificate);
        }
        let permissions = self.permissions.for_connection();
        Ok(Entry { account: self.account, permissions, via: Via::User(self.clone()) })
    }
}

impl ByCertificate {
    fn new(source: &Certificates) -> Result<ByCertificate, BadAccess> {
        Ok(match source {
            Certificates::Refused => ByCertificate::Nothing,
            Certificates::Unlimited => ByCertificate::Everything,
            Certificates::ByAddress { clients, servers } => ByCertificate::ByAddress {
                clients: clients.clone(),
                servers: permissions(Some(servers), || "servers".to_owned())?,
            },
            Certificates::Limited(rules) => {
                ByCertificate::Limited(permissions(Some(rules), || "certificates".to_owned())?)
            }
        })
    }

    /// What a certificate gives; nothing when it lets nobody in.
    fn permissions(&self, address: IpAddr) -> Option<Permissions> {
        Some(match self {
            ByCertificate::Nothing => return None,
            ByCertificate::ByAddress { clients, servers }
                if !clients.iter().any(|network| network.contains(address)) =>
            {
                servers.for_connection()
            }
            ByCertificate::Limited(permissions) => permissions.for_connection(),
            ByCertificate::ByAddress { .. } | ByCertificate::Everything => Permissions::Full,
        })
    }
}
