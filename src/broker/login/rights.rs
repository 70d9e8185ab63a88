//! What tokens allow, subject by subject (go-choria `broker/network/choria_auth.go`, set…Permissions).

use crate::broker::access::{PermissionRules, REQUESTS, SubjectRules};
use crate::crypto::hash::{md5_hex, sha256_hex};
use crate::nats::subject::valid_publish;
use crate::tokens::{ClientClaims, ORGANIZATION_DEFAULT, ServerClaims};

/// A claim that becomes a part of subjects, and is not fit to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct BadClaim {
    /// Name of the claim.
    pub claim: &'static str,
    /// Its value.
    pub value: String,
}

/// What is allowed; nothing else is.
#[derive(Default)]
struct Grants {
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl Grants {
    fn publish(&mut self, subjects: &[&str]) {
        self.publish.extend(subjects.iter().map(|subject| (*subject).to_owned()));
    }

    fn subscribe(&mut self, subjects: &[&str]) {
        self.subscribe.extend(subjects.iter().map(|subject| (*subject).to_owned()));
    }

    fn rules(self) -> PermissionRules {
        let only = |allow| SubjectRules { allow: Some(allow), deny: Vec::new() };
        PermissionRules {
            publish: only(self.publish),
            subscribe: only(self.subscribe),
            allow_responses: None,
        }
    }
}

/// What a client may do in the account of the fleet.
pub(super) fn client(claims: &ClientClaims) -> Result<PermissionRules, BadClaim> {
    let granted = &claims.permissions;
    if granted.org_admin {
        return Ok(PermissionRules::default());
    }
    let mut grants = Grants::default();
    let caller = claims.caller.as_bytes();
    grants.publish(&["$SYS.REQ.USER.INFO"]);
    for hash in [md5_hex(caller), sha256_hex(caller)] {
        grants.subscribe(&[&format!("*.reply.{hash}.>")]);
    }
    grants.publish.extend_from_slice(&claims.publish);
    grants.subscribe.extend_from_slice(&claims.subscribe);
    if granted.streams_admin {
        grants.publish(&["$JS.>"]);
        grants.subscribe(&["$JS.EVENT.>"]);
    }
    if granted.streams_user {
        grants.publish(STREAMS_OF_USERS);
        let organization = organization(&claims.organization)?;
        grants.subscribe(&[&format!("{organization}.republish.>")]);
    }
    if granted.events_viewer {
        grants.subscribe(&[
            "choria.lifecycle.event.>",
            "choria.machine.watcher.>",
            "choria.machine.transition",
        ]);
    }
    if granted.election_user {
        grants.publish(&[
            "$JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION",
            "$KV.CHORIA_LEADER_ELECTION.>",
        ]);
    }
    if granted.governor && (granted.streams_user || granted.streams_admin) {
        grants.publish(&["*.governor.*", "choria.lifecycle.event.governor.>"]);
    }
    if granted.fleet_management || granted.signed_fleet_management {
        grants.publish(REQUESTS);
    }
    Ok(grants.rules())
}

/// What a server may do in the account of the fleet.
pub(super) fn server(claims: &ServerClaims) -> Result<PermissionRules, BadClaim> {
    if claims.collectives.is_empty() {
        return Ok(PermissionRules::nothing());
    }
    let granted = &claims.permissions;
    let identity = literal("identity", &claims.identity)?;
    let mut grants = Grants::default();
    grants.publish(&[
        "choria.lifecycle.>",
        "choria.machine.transition",
        "choria.machine.watcher.>",
    ]);
    grants.publish.extend_from_slice(&claims.publish);
    for collective in &claims.collectives {
        let collective = literal("collectives", collective)?;
        grants.publish(&[
            &format!("{collective}.reply.>"),
            &format!("{collective}.broadcast.agent.registration"),
            &format!("choria.federation.{collective}.collective"),
        ]);
        grants.subscribe(&[
            &format!("{collective}.broadcast.agent.>"),
            &format!("{collective}.node.{identity}"),
            &format!("{collective}.reply.{}.>", md5_hex(identity.as_bytes())),
            &format!("{collective}.reply.{}.>", sha256_hex(identity.as_bytes())),
        ]);
        if granted.service_host {
            grants.subscribe(&[&format!("{collective}.broadcast.service.>")]);
        }
        if granted.submission {
            grants.publish(&[&format!("{collective}.submission.in.>")]);
        }
        if granted.governor && granted.streams {
            grants.publish(&[&format!("{collective}.governor.*")]);
        }
    }
    if granted.streams {
        let organization = organization(&claims.organization)?;
        let api = if organization == ORGANIZATION_DEFAULT { "$JS.API" } else { "choria.streams" };
        grants.subscribe(&[&format!("{organization}.republish.>")]);
        grants.publish.extend(STREAMS_OF_SERVERS.iter().map(|subject| format!("{api}.{subject}")));
        grants.publish(&["$JS.ACK.>", "$JS.FC.>"]);
    }
    Ok(grants.rules())
}

/// What a server may do that waits for its identity.
pub(super) fn unprovisioned() -> PermissionRules {
    let mut grants = Grants::default();
    grants.subscribe(&[
        "provisioning.node.>",
        "provisioning.broadcast.agent.discovery",
        "provisioning.broadcast.agent.rpcutil",
        "provisioning.broadcast.agent.choria_util",
        "provisioning.broadcast.agent.choria_provision",
    ]);
    grants.publish(&["choria.lifecycle.>", "provisioning.reply.>", "provisioning.registration.>"]);
    grants.rules()
}

/// The same rights without those to make requests, for clients at addresses where no client should be.
pub(super) fn without_requests(mut rules: PermissionRules) -> PermissionRules {
    rules.publish.deny.extend(REQUESTS.iter().map(|subject| (*subject).to_owned()));
    rules
}

/// A value that is part of a subject as it stands.
fn literal<'c>(claim: &'static str, value: &'c str) -> Result<&'c str, BadClaim> {
    let is_fine =
        valid_publish(value.as_bytes()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    if is_fine { Ok(value) } else { Err(BadClaim { claim, value: value.to_owned() }) }
}

/// The organization as the first part of a subject.
fn organization(claim: &str) -> Result<&str, BadClaim> {
    match literal("ou", claim) {
        _ if claim.is_empty() => Ok(ORGANIZATION_DEFAULT),
        Ok(name) if !name.contains('.') => Ok(name),
        _ => Err(BadClaim { claim: "ou", value: claim.to_owned() }),
    }
}

const STREAMS_OF_USERS: &[&str] = &[
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.STREAM.MSG.DELETE.*",
    "$JS.API.DIRECT.GET.*",
    "$JS.API.DIRECT.GET.*.>",
    "$JS.API.CONSUMER.CREATE.*",
    "$JS.API.CONSUMER.CREATE.*.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.*.*",
    "$JS.API.CONSUMER.DELETE.*.*",
    "$JS.API.CONSUMER.NAMES.*",
    "$JS.API.CONSUMER.LIST.*",
    "$JS.API.CONSUMER.INFO.*.*",
    "$JS.API.CONSUMER.MSG.NEXT.*.*",
    "$JS.ACK.>",
    "$JS.FC.>",
    "$KV.>",
    "$O.>",
];

/// Behind the prefix of the organization.
const STREAMS_OF_SERVERS: &[&str] = &[
    "STREAM.INFO.*",
    "STREAM.MSG.GET.*",
    "STREAM.MSG.DELETE.*",
    "DIRECT.GET.*",
    "DIRECT.GET.*.>",
    "CONSUMER.CREATE.*",
    "CONSUMER.CREATE.*.>",
    "CONSUMER.DURABLE.CREATE.*.*",
    "CONSUMER.INFO.*.*",
    "CONSUMER.MSG.NEXT.*.*",
];
