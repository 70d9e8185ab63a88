//! The part of the decision that is about signed tokens.

use std::sync::Arc;

use super::gate::Gate;
use super::pass::{Pass, Proven, Role};
use super::refusal::{Fault, Refusal};
use super::rights::{self, BadClaim};
use super::{Attempt, Entry, TlsState, Via, nonce};
use crate::broker::access::{Login, PermissionRules, TokenTrust};
use crate::broker::permissions::Permissions;
use crate::protocol::Plain;
use crate::tokens::{
    Algorithm, Claims, ClientClaims, Common, Denied, Purpose, Trust, Unverified, Verified,
};
use crate::util::secret::Secret;

impl Gate {
    /// Whether connections may log in with tokens, and so are told what to sign.
    pub fn takes_tokens(&self) -> bool {
        !matches!(self.signed.trust, TokenTrust::Nobody)
    }

    /// Organizations are known, and nobody else decides.
    pub(super) fn has_issuers(&self) -> bool {
        matches!(self.signed.trust, TokenTrust::Issuers(_))
    }

    /// Decides about a connection over TLS that shows a signed token.
    pub(super) fn signed(&self, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let token = Unverified::parse(attempt.token).map_err(Denied::from)?;
        let result = match token.purpose() {
            Some(Purpose::Client) => self.client(attempt),
            Some(Purpose::Server) => self.server(attempt),
            Some(Purpose::Provisioning) => self.new_server(attempt, &token),
            None => Err(Fault::Purpose(token.common().purpose.clone()).into()),
        };
        result.map_err(|refusal| refusal.about(holder(&token)))
    }

    fn client(&self, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let claims = self.verified_client(attempt)?;
        let rights = rights(rights::client(&claims))?;
        let pass = Pass::new(&known_client(&claims), Role::Client, rights, attempt);
        self.entry(Arc::new(pass), attempt)
    }

    /// A client token whose holder has signed the nonce.
    fn verified_client(&self, attempt: &Attempt<'_>) -> Result<Verified<ClientClaims>, Refusal> {
        let claims = self.trust(Purpose::Client)?.client(attempt.token, attempt.now)?;
        proven(attempt, &claims.common)?;
        Ok(claims)
    }

    fn server(&self, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let claims = self.trust(Purpose::Server)?.server(attempt.token, attempt.now)?;
        proven(attempt, &claims.common)?;
        let known = Proven {
            name: &claims.identity,
            organization: &claims.organization,
            anchor: claims.anchor(),
            common: &claims.common,
        };
        let rights = rights(rights::server(&claims))?;
        self.entry(Arc::new(Pass::new(&known, Role::Server, rights, attempt)), attempt)
    }

    /// A server that waits for its identity. It has no key yet, so it signs nothing.
    fn new_server(&self, attempt: &Attempt<'_>, token: &Unverified) -> Result<Entry, Refusal> {
        if attempt.tls == TlsState::Verified {
            return Err(Fault::ProvisioningVerified.into());
        }
        if self.provisioning.is_none() {
            return Err(Refusal::NoProvisioning);
        }
        let trust = self.provisioning_trust(token.algorithm())?;
        let claims = trust.provisioning(attempt.token, attempt.now)?;
        // The token is that of many, so nothing vouches for the name.
        let name = Plain(attempt.user).to_string();
        let known = Proven {
            name: &name,
            organization: &claims.organization,
            anchor: claims.anchor(),
            common: &claims.common,
        };
        let rights = rights(Ok(rights::unprovisioned()))?;
        self.entry(Arc::new(Pass::new(&known, Role::Unprovisioned, rights, attempt)), attempt)
    }

    /// Who signs provisioning tokens. Those with an RSA key are of the time before there were issuers.
    fn provisioning_trust(&self, algorithm: Algorithm) -> Result<Trust, Refusal> {
        match (&self.signed.trust, &self.signed.provisioning_signer) {
            (TokenTrust::Issuers(trust), _) if algorithm == Algorithm::EdDsa => Ok(trust.clone()),
            (_, Some(key)) => {
                let trust = Trust::signers(vec![key.clone()]);
                Ok(trust.with_revoked(self.signed.revoked.clone()))
            }
            (_, None) => Err(Fault::NoProvisioningSigner.into()),
        }
    }

    /// The token that the system user needs who has no verified certificate. The password comes after it.
    pub(super) fn system_token(
        &self,
        login: &Arc<Login>,
        attempt: &Attempt<'_>,
    ) -> Result<Pass, Refusal> {
        let claims =
            self.verified_client(attempt).map_err(|refusal| refusal.about(claimed(attempt)))?;
        let known = known_client(&claims);
        if !(claims.permissions.system_user || claims.permissions.org_admin) {
            let lacks = Refusal::from(Fault::Lacks("system_user or org_admin"));
            return Err(lacks.about(Some(known.name.to_owned())));
        }
        Ok(Pass::new(&known, Role::System(login.clone()), Permissions::System, attempt))
    }

    /// The token that the provisioner needs where issuers are known. The password came before it.
    pub(super) fn provisioner_token(
        &self,
        password: &Arc<Secret<String>>,
        attempt: &Attempt<'_>,
    ) -> Result<Pass, Refusal> {
        let claims =
            self.verified_client(attempt).map_err(|refusal| refusal.about(claimed(attempt)))?;
        let known = known_client(&claims);
        if !claims.permissions.provisioner {
            let lacks = Refusal::from(Fault::Lacks("provisioner"));
            return Err(lacks.about(Some(known.name.to_owned())));
        }
        let role = Role::Provisioner(password.clone());
        Ok(Pass::new(&known, role, Permissions::Full, attempt))
    }

    /// Decides again about a connection that came in with a token, whose text is gone.
    pub(super) fn token_again(
        &self,
        pass: &Arc<Pass>,
        attempt: &Attempt<'_>,
    ) -> Result<Entry, Refusal> {
        match &pass.role {
            Role::System(login) if self.system_user.as_ref() != Some(login) => {
                return Err(Refusal::SystemPassword);
            }
            Role::Provisioner(password) => match &self.provisioning {
                Some((_, known)) if known == password => {}
                _ => return Err(Refusal::ProvisionerPassword),
            },
            Role::Unprovisioned if self.provisioning.is_none() => {
                return Err(Refusal::NoProvisioning);
            }
            _ => {}
        }
        let recheck = |trust: &Trust| trust.recheck(&pass.organization, &pass.anchor, &pass.common);
        let result = match &pass.role {
            Role::Unprovisioned => {
                let signer = self.provisioning_trust(Algorithm::Rs256).ok();
                let signers = [self.issuers().cloned(), signer].into_iter().flatten();
                signers.map(|trust| recheck(&trust)).reduce(Result::or)
            }
            Role::Server => Some(recheck(self.trust(Purpose::Server)?)),
            _ => Some(recheck(self.trust(Purpose::Client)?)),
        };
        let result = result.unwrap_or(Err(Denied::NothingTrusted));
        result.map_err(|denied| Refusal::from(denied).about(Some(pass.user().to_owned())))?;
        self.entry(pass.clone(), attempt)
    }

    /// The place that a token gives, under the settings of this broker.
    pub(super) fn entry(&self, pass: Arc<Pass>, attempt: &Attempt<'_>) -> Result<Entry, Refusal> {
        let provisioning = self.provisioning.as_ref().map(|(account, _)| *account);
        let (account, permissions) = match &pass.role {
            Role::Client if !self.is_client_host(attempt) => (Some(0), without_requests(&pass)?),
            Role::Server if self.signed.mutes_servers => {
                (Some(0), rights(Ok(PermissionRules::nothing()))?)
            }
            Role::Client | Role::Server => (Some(0), pass.rights.clone()),
            Role::Unprovisioned | Role::Provisioner(_) => (provisioning, pass.rights.clone()),
            Role::System(_) => (self.system_account, pass.rights.clone()),
        };
        // Who decided that there is such a role has seen the account as well.
        let account = account.ok_or(Refusal::AccountChanged)?;
        Ok(Entry { account, permissions, via: Via::Token(pass) })
    }

    fn is_client_host(&self, attempt: &Attempt<'_>) -> bool {
        let hosts = &self.signed.client_hosts;
        hosts.is_empty() || hosts.iter().any(|network| network.contains(attempt.address))
    }

    fn issuers(&self) -> Option<&Trust> {
        match &self.signed.trust {
            TokenTrust::Issuers(trust) => Some(trust),
            _ => None,
        }
    }

    fn trust(&self, purpose: Purpose) -> Result<&Trust, Refusal> {
        match &self.signed.trust {
            TokenTrust::Nobody => Err(Refusal::NoTrust),
            TokenTrust::Issuers(trust) => Ok(trust),
            TokenTrust::Signers { servers, .. } if purpose == Purpose::Server => Ok(servers),
            TokenTrust::Signers { clients, .. } => Ok(clients),
        }
    }
}

/// Whether the holder of a token is at the other end.
fn proven(attempt: &Attempt<'_>, common: &Common) -> Result<(), Refusal> {
    let key = common.holder_key()?;
    Ok(nonce::verify(attempt.nonce, attempt.signature, &key)?)
}

fn rights(rules: Result<PermissionRules, BadClaim>) -> Result<Permissions, Refusal> {
    let rules = rules.map_err(Fault::Claim)?;
    Ok(Permissions::new(&rules).map_err(Fault::Rules)?)
}

fn without_requests(pass: &Pass) -> Result<Permissions, Refusal> {
    let rules = pass.rights.rules().map(|rules| PermissionRules {
        publish: rules.publish(),
        subscribe: rules.subscribe(),
        allow_responses: None,
    });
    rights(Ok(rights::without_requests(rules.unwrap_or_default())))
}

fn known_client(claims: &Verified<ClientClaims>) -> Proven<'_> {
    Proven {
        name: &claims.caller,
        organization: &claims.organization,
        anchor: claims.anchor(),
        common: &claims.common,
    }
}

/// Who a token that was not verified claims to be of, for the log.
fn holder(token: &Unverified) -> Option<String> {
    match token.claims() {
        Claims::Client(claims) => Some(claims.caller.clone()),
        Claims::Server(claims) => Some(claims.identity.clone()),
        Claims::Provisioning(_) | Claims::Other(_) => None,
    }
}

fn claimed(attempt: &Attempt<'_>) -> Option<String> {
    holder(&Unverified::parse(attempt.token).ok()?)
}
