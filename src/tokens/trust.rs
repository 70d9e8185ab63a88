//! Whose tokens are trusted: issuers by the name of their organization, or a list of signers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::{
    ClientClaims, Common, Denied, Key, ProvisioningClaims, Revoked, ServerClaims, Unverified,
    Verified, verify_client, verify_provisioning, verify_server,
};

/// Who may make tokens, and which tokens are revoked. Trusts nobody unless it is told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    anchors: Anchors,
    revoked: Arc<Revoked>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Anchors {
    /// The organization that a token names chooses the key. There is no other way out.
    Issuers(BTreeMap<String, Key>),
    /// Any of these.
    Signers(Vec<Key>),
}

/// A request that somebody signed for a caller: both tokens, verified with the same key.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegated {
    /// Whose request it is.
    pub caller: Verified<ClientClaims>,
    /// Who signed it; has the permission to.
    pub signer: Verified<ClientClaims>,
}

type Verify<T> = fn(&Unverified, &Key, SystemTime) -> Result<Verified<T>, Denied>;

impl Trust {
    /// Trusts the issuer of each organization for tokens of that organization.
    pub fn issuers(issuers: BTreeMap<String, Key>) -> Self {
        Self { anchors: Anchors::Issuers(issuers), revoked: Arc::default() }
    }

    /// Trusts some signers for all tokens.
    pub fn signers(signers: Vec<Key>) -> Self {
        Self { anchors: Anchors::Signers(signers), revoked: Arc::default() }
    }

    /// The same trust with a list of revoked tokens, which takes the place of the one there was.
    #[must_use]
    pub fn with_revoked(self, revoked: Arc<Revoked>) -> Self {
        Self { revoked, ..self }
    }

    /// Whether nothing at all is trusted.
    pub fn is_empty(&self) -> bool {
        match &self.anchors {
            Anchors::Issuers(issuers) => issuers.is_empty(),
            Anchors::Signers(signers) => signers.is_empty(),
        }
    }

    /// Whether organizations choose the key.
    pub fn is_by_issuer(&self) -> bool {
        matches!(self.anchors, Anchors::Issuers(_))
    }

    /// Verifies a client token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn client(&self, text: &str, now: SystemTime) -> Result<Verified<ClientClaims>, Denied> {
        self.verify(text, now, verify_client, |claims| &claims.common)
    }

    /// Verifies a server token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn server(&self, text: &str, now: SystemTime) -> Result<Verified<ServerClaims>, Denied> {
        self.verify(text, now, verify_server, |claims| &claims.common)
    }

    /// Verifies a provisioning token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn provisioning(
        &self,
        text: &str,
        now: SystemTime,
    ) -> Result<Verified<ProvisioningClaims>, Denied> {
        self.verify(text, now, verify_provisioning, |claims| &claims.common)
    }

    /// Looks again at a token that was verified earlier, maybe by another trust: whether the key that vouched for it is
    /// still the one to do so, and it is not revoked. Times are left to who asks.
    ///
    /// # Errors
    /// Why it is not trusted any more.
    pub fn recheck(&self, organization: &str, anchor: &Key, common: &Common) -> Result<(), Denied> {
        let is_trusted = match &self.anchors {
            Anchors::Issuers(issuers) => {
                let unknown =
                    || Denied::UnknownOrganization { organization: organization.to_owned() };
                issuers.get(organization).ok_or_else(unknown)? == anchor
            }
            Anchors::Signers(signers) if signers.is_empty() => return Err(Denied::NothingTrusted),
            Anchors::Signers(signers) => signers.contains(anchor),
        };
        if !is_trusted {
            return Err(Denied::Signature);
        }
        self.revoked.check(common)
    }

    /// Verifies the tokens of a caller and of who signed for it. The token of the signer chooses the key, and the same
    /// key must vouch for the caller. Which permissions the caller needs is left to who asks.
    ///
    /// # Errors
    /// Why one of them is refused.
    pub fn delegated(
        &self,
        caller: &str,
        signer: &str,
        now: SystemTime,
    ) -> Result<Delegated, Denied> {
        let signer = self.client(signer, now)?;
        if !signer.permissions.authentication_delegator {
            return Err(Denied::NotADelegator);
        }
        let caller = verify_client(&Unverified::parse(caller)?, signer.anchor(), now)?;
        self.revoked.check(&caller.common)?;
        if self.is_by_issuer() && caller.organization != signer.organization {
            let name = |claims: &ClientClaims| claims.organization.clone();
            return Err(Denied::ForeignDelegator { caller: name(&caller), signer: name(&signer) });
        }
        Ok(Delegated { caller, signer })
    }

    fn verify<T>(
        &self,
        text: &str,
        now: SystemTime,
        verify: Verify<T>,
        common: fn(&T) -> &Common,
    ) -> Result<Verified<T>, Denied> {
        let token = Unverified::parse(text)?;
        let verified = match &self.anchors {
            Anchors::Issuers(issuers) => verify(&token, issuer(issuers, &token)?, now),
            Anchors::Signers(signers) => any_signer(signers, &token, now, verify),
        }?;
        self.revoked.check(common(&verified))?;
        Ok(verified)
    }
}

/// The key of the organization that the token names, and of no other.
fn issuer<'i>(issuers: &'i BTreeMap<String, Key>, token: &Unverified) -> Result<&'i Key, Denied> {
    if issuers.is_empty() {
        return Err(Denied::NothingTrusted);
    }
    let organization = token.organization();
    if organization.is_empty() {
        return Err(Denied::NoOrganization);
    }
    let unknown = || Denied::UnknownOrganization { organization: organization.to_owned() };
    issuers.get(organization).ok_or_else(unknown)
}

/// Tries each signer. A refusal for another reason than the key is final: the key was the right one.
fn any_signer<T>(
    signers: &[Key],
    token: &Unverified,
    now: SystemTime,
    verify: Verify<T>,
) -> Result<Verified<T>, Denied> {
    let mut refusals = Vec::new();
    for key in signers {
        match verify(token, key, now) {
            Err(denied @ (Denied::Signature | Denied::Chain(_) | Denied::KeyKind { .. })) => {
                refusals.push(denied);
            }
            result => return result,
        }
    }
    Err(match refusals.len() {
        0 => Denied::NothingTrusted,
        1 => refusals.remove(0),
        tried => Denied::UnknownSigner { tried },
    })
}
