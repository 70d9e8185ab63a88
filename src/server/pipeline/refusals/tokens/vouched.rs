//! Tokens and requests that somebody else vouches for: chains of trust and signers.

use data_encoding::HEXLOWER;

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
    // Who was vouched for by an issuer is none: the organization did not sign this one.
    let mut third = may_ask("up=third", OTHER);
    third.common.set_chain_issuer(&good, &key(ISSUER)).unwrap();
    let mut of_third = may_ask(ANN, OWN);
    of_third.common.id = Ksuid::new(now() - Duration::from_secs(10)).to_string();
    of_third.common.issuer = format!("C-{}.{}", third.common.id, key(OTHER).public_key());
    let by_organization = good.trust_chain.clone();
    let by_third = key(OTHER).sign(format!("{}.{by_organization}", of_third.common.id).as_bytes());
    of_third.common.trust_chain = format!("{by_organization}.{}", HEXLOWER.encode(&by_third));
    of_third.common.issuer_expires = good.expires;
    let of_third = tokens::sign(&of_third, &organization(OTHER)).unwrap();
    let revoked_at =
        |entry: String| server(by_issuer().with_revoked(Arc::new(Revoked::parse(&entry).unwrap())));
    let issuer_key = key(ISSUER).public_key().to_string();
    let whole = chained(&good, &|_| ());
    vec![
        with_token(
            "of a chain whose issuer is revoked",
            &whole,
            &format!("up=ann: the token is revoked by {}", good.id),
        )
        .at(revoked_at(good.id.clone())),
        with_token(
            "of a chain whose issuer's key is revoked",
            &whole,
            &format!("up=ann: the token is revoked by {issuer_key}"),
        )
        .at(revoked_at(issuer_key.clone())),
        with_token(
            "of a chain of three",
            &of_third,
            &broken("the organization did not sign the issuer"),
        ),
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
    let acme = {
        let mut claims = may_ask("aaa=login", SIGNER);
        claims.permissions.authentication_delegator = true;
        claims.organization = "acme".to_owned();
        tokens::sign(&claims, &organization(66)).unwrap()
    };
    let both_known = || {
        let keys = [("choria".to_owned(), ORG), ("acme".to_owned(), 66)];
        let keys = keys.into_iter().map(|(name, seed)| (name, organization(seed).public()));
        server(Trust::issuers(keys.collect()))
    };
    let of_acme = tokens::sign(&may_ask(ANN, OWN), &organization(66)).unwrap();
    let revoked_at = |seed: u8| {
        let entry = key(seed).public_key().to_string();
        server(by_issuer().with_revoked(Arc::new(Revoked::parse(&entry).unwrap())))
    };
    let revoked = |seed: u8| format!("{both}the token is revoked by {}", key(seed).public_key());
    let late = token(|c| c.common.expires = c.common.issued_at.map(|at| at + 5));
    let nothing = token(|c| c.permissions.fleet_management = false);
    let forged = tokens::sign(&may_ask(ANN, OWN), &organization(66)).unwrap();
    vec![
        case(
            "of a signer of another organization that is known",
            SIGNER,
            &strict(),
            &acme,
            &format!("{both}the signature of the token does not fit its issuer"),
        )
        .at(both_known()),
        case(
            "of a signer of another organization that made the caller's token",
            SIGNER,
            &of_acme,
            &acme,
            &format!("{both}the signer belongs to \"acme\", the caller to \"choria\""),
        )
        .at(both_known()),
        case("of a signer that is revoked", SIGNER, &strict(), &signer(|_| ()), &revoked(SIGNER))
            .at(revoked_at(SIGNER)),
        case(
            "of a caller that is revoked, signed",
            SIGNER,
            &strict(),
            &signer(|_| ()),
            &revoked(OWN),
        )
        .at(revoked_at(OWN)),
        case(
            "of a signer that is not valid yet",
            SIGNER,
            &strict(),
            &signer(|c| c.common.not_before = c.common.issued_at.map(|at| at + 20)),
            &format!("{both}the token is not valid before 2026-11-22T17:03:21Z"),
        ),
        case(
            "of a signer without a key",
            SIGNER,
            &strict(),
            &signer(|c| c.common.public_key.clear()),
            &format!("{both}the token has no public key"),
        ),
        case(
            "of a signer that is an administrator only",
            SIGNER,
            &strict(),
            &signer(|c| {
                c.permissions.authentication_delegator = false;
                c.permissions.org_admin = true;
            }),
            &format!("{both}the signer may not sign requests of others"),
        ),
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
