//! Tokens and requests that somebody else vouches for: chains of trust and signers.

use super::*;

/// Chains of trust that break.
pub(super) fn chains() -> Vec<Case> {
    let issuer = |org: u8| {
        let mut claims = may_ask("up=issuer", ISSUER);
        claims.common.set_organization_issuer(&key(org)).unwrap();
        claims
    };
    let chained = |issuer: &Common, change: &dyn Fn(&mut Common)| {
        let mut claims = may_ask(ANN, OWN);
        claims.common.set_chain_issuer(issuer, &key(ISSUER)).unwrap();
        change(&mut claims.common);
        tokens::sign(&claims, &organization(ISSUER)).unwrap()
    };
    let good = issuer(ORG).common;
    let broken = |what: &str| format!("up=ann: the chain of trust of the token is broken: {what}");
    let case = |name: &str, change: &dyn Fn(&mut Common), what: &str| {
        with_token(name, &chained(&good, change), what)
    };
    let foreign = chained(&issuer(66).common, &|_| ());
    let mut by_wrong_key = may_ask(ANN, OWN);
    by_wrong_key.common.set_chain_issuer(&good, &key(ISSUER)).unwrap();
    let by_wrong_key = tokens::sign(&by_wrong_key, &organization(OTHER)).unwrap();
    let mut short = issuer(ORG);
    short.common.expires = short.common.issued_at.map(|at| at + 5);
    let short = chained(&short.common, &|common| {
        common.expires = common.issued_at.map(|at| at + 3_600);
    });
    vec![
        case(
            "of a chain without signatures",
            &|c| c.trust_chain.clear(),
            &broken("the claim tcs is missing"),
        ),
        case("of a chain without an id", &|c| c.id.clear(), &broken("the claim jti is missing")),
        case(
            "of a chain without an end of its issuer",
            &|c| c.issuer_expires = None,
            &broken("the claim issexp is missing"),
        ),
        case(
            "of a chain with another id",
            &|c| c.id = Ksuid::new(now() - Duration::from_secs(10)).to_string(),
            &broken("the issuer did not sign the token id"),
        ),
        case(
            "of a chain with an id of another time",
            &|c| c.id = Ksuid::new(now()).to_string(),
            &broken("the time in the token id is not the time of issue"),
        ),
        case(
            "of a chain with an id that is none",
            &|c| c.id = "1".to_owned(),
            &broken("the token id is not a KSUID"),
        ),
        case(
            "of a chain with one signature",
            &|c| c.trust_chain = "00ff".to_owned(),
            &broken("the chain signature is not two hexadecimal signatures"),
        ),
        case(
            "of a chain with an issuer that is none",
            &|c| c.issuer = "C-x".to_owned(),
            &broken("the issuer is not an id and a public key"),
        ),
        with_token(
            "of a chain of another organization",
            &foreign,
            &broken("the organization did not sign the issuer"),
        ),
        with_token(
            "of a chain, made by somebody else",
            &by_wrong_key,
            "up=ann: the signature of the token does not fit its issuer",
        ),
        with_token(
            "of a chain whose issuer has ended",
            &short,
            "up=ann: the token or its issuer expired at 2026-11-22T17:03:06Z",
        ),
    ]
}

/// Requests that somebody signed for ann.
pub(super) fn delegations() -> Vec<Case> {
    let signer = |change: fn(&mut ClientClaims)| {
        let mut claims = may_ask("aaa=login", SIGNER);
        claims.permissions.fleet_management = false;
        claims.permissions.authentication_delegator = true;
        change(&mut claims);
        tokens::sign(&claims, &organization(ORG)).unwrap()
    };
    let strict = || {
        token(|c| {
            c.permissions.fleet_management = false;
            c.permissions.signed_fleet_management = true;
        })
    };
    let case = |name: &str, seed: u8, caller: &str, signer: &str, reason: &str| {
        unverified(name, &secure(&request(), seed, caller, Some(signer)), reason)
    };
    let both = "refused a request of up=ann signed by aaa=login: ";
    let powerless = signer(|c| {
        c.permissions.authentication_delegator = false;
        c.permissions.fleet_management = true;
    });
    let ended = signer(|c| c.common.expires = c.common.issued_at.map(|at| at + 5));
    let node = ServerClaims::new("aaa=login", key(SIGNER).public_key(), made_at(), HOUR);
    let node = tokens::sign(&node, &organization(ORG)).unwrap();
    let foreign = tokens::sign(&may_ask("aaa=login", SIGNER), &organization(66)).unwrap();
    let own = token(|c| c.permissions.authentication_delegator = true);
    let late = token(|c| c.common.expires = c.common.issued_at.map(|at| at + 5));
    let nothing = token(|c| c.permissions.fleet_management = false);
    let forged = tokens::sign(&may_ask(ANN, OWN), &organization(66)).unwrap();
    vec![
        case(
            "of a signer that may not",
            SIGNER,
            &strict(),
            &powerless,
            &format!("{both}the signer may not sign requests of others"),
        ),
        case(
            "of a signer that has ended",
            SIGNER,
            &strict(),
            &ended,
            &format!("{both}the token expired at 2026-11-22T17:03:06Z"),
        ),
        case(
            "of a signer that is a server",
            SIGNER,
            &strict(),
            &node,
            &format!("{both}the token is a server token, not a client token"),
        ),
        case(
            "of a signer of another organization's key",
            SIGNER,
            &strict(),
            &foreign,
            &format!("{both}the signature of the token does not fit its issuer"),
        ),
        case(
            "of a signer that is a word",
            SIGNER,
            &strict(),
            "aaa",
            "refused a request of up=ann signed by nobody: the token has 1 parts instead of 3",
        ),
        case(
            "of a good signer, signed by the caller",
            OWN,
            &strict(),
            &signer(|_| ()),
            DOES_NOT_FIT,
        ),
        case(
            "of a good signer, signed by another",
            OTHER,
            &strict(),
            &signer(|_| ()),
            DOES_NOT_FIT,
        ),
        case(
            "of a caller that may nothing, signed",
            SIGNER,
            &nothing,
            &signer(|_| ()),
            "refused a request of up=ann: its token does not allow fleet management",
        ),
        case(
            "of a caller that has ended, signed",
            SIGNER,
            &late,
            &signer(|_| ()),
            &format!("{both}the token expired at 2026-11-22T17:03:06Z"),
        ),
        case(
            "of a caller of another organization's key, signed",
            SIGNER,
            &forged,
            &signer(|_| ()),
            &format!("{both}the signature of the token does not fit its issuer"),
        ),
        case(
            "of a caller that signs for itself with another's key",
            OTHER,
            &own,
            &own,
            DOES_NOT_FIT,
        ),
    ]
}
