//! What each kind of token may do, as subjects that are allowed and subjects that are not.

use crate::broker::access::PermissionRules;
use crate::broker::login::rights::{self, BadClaim};
use crate::broker::permissions::Permissions;
use crate::tokens::{ClientClaims, ClientPermissions, ServerClaims, ServerPermissions};

/// Caller of the tables, and the two hashes of it.
const CALLER: &str = "up=alice";
const MD5: &str = "9ff94a8781520105e44481be68e5d47f";
const SHA: &str = "e1ad6b0b05c5a18b427127b1919a848fbacc0684487a70c5b19f77371a76b0ab";

fn may_publish(permissions: &Permissions, subject: &str) -> bool {
    permissions.publish(subject.as_bytes(), None, &mut Default::default()).is_ok()
}

fn may_subscribe(permissions: &Permissions, subject: &str) -> bool {
    permissions.subscribe(subject.as_bytes(), None).is_ok()
}

/// One line for each subject: `pub`, `sub`, or with `!` before it what is not allowed. `MD5`, `SHA` are the hashes.
fn check(of: &str, rules: &PermissionRules, table: &[&str]) {
    let permissions = Permissions::new(rules).expect("rules");
    for line in table {
        let (what, subject) = line.split_once(' ').expect("a word and a subject");
        let subject = subject.replace("MD5", MD5).replace("SHA", SHA);
        let (is_allowed, what) = match what.strip_prefix('!') {
            Some(what) => (false, what),
            None => (true, what),
        };
        let got = match what {
            "pub" => may_publish(&permissions, &subject),
            _ => may_subscribe(&permissions, &subject),
        };
        assert_eq!(got, is_allowed, "{of}: {line}");
    }
}

fn client(permissions: ClientPermissions) -> ClientClaims {
    ClientClaims {
        caller: CALLER.to_owned(),
        organization: "choria".to_owned(),
        permissions,
        ..ClientClaims::default()
    }
}

/// What no client may who was not granted it.
const NOBODY: &[&str] = &[
    "pub $SYS.REQ.USER.INFO",
    "sub mcollective.reply.MD5.>",
    "sub mcollective.reply.MD5.17",
    "sub other.reply.SHA.>",
    "!sub mcollective.reply.>",
    "!sub *.reply.>",
    "!sub mcollective.reply.37bdf08389145a56c13096c178802d3b.>",
    "!sub >",
    "!sub mcollective.broadcast.agent.rpcutil",
    "!sub mcollective.node.n1",
    "!sub _INBOX.>",
    "!pub mcollective.reply.MD5.1",
    "!pub choria.lifecycle.event.startup.server",
    "!pub $SYS.REQ.SERVER.PING",
    "!sub $SYS.>",
    "!pub x",
    "!sub x",
];

const REQUESTS: &[&str] = &[
    "pub mcollective.broadcast.agent.rpcutil",
    "pub mcollective.broadcast.service.registry",
    "pub mcollective.node.n1.example.net",
    "pub choria.federation.prod.federation",
];
const STREAMS: &[&str] = &[
    "pub $JS.API.INFO",
    "pub $JS.API.STREAM.NAMES",
    "pub $JS.API.STREAM.INFO.X",
    "pub $JS.API.STREAM.MSG.GET.X",
    "pub $JS.API.STREAM.MSG.DELETE.X",
    "pub $JS.API.DIRECT.GET.X",
    "pub $JS.API.DIRECT.GET.X.a.b",
    "pub $JS.API.CONSUMER.CREATE.X",
    "pub $JS.API.CONSUMER.CREATE.X.y.z",
    "pub $JS.API.CONSUMER.DURABLE.CREATE.X.Y",
    "pub $JS.API.CONSUMER.DELETE.X.Y",
    "pub $JS.API.CONSUMER.NAMES.X",
    "pub $JS.API.CONSUMER.LIST.X",
    "pub $JS.API.CONSUMER.INFO.X.Y",
    "pub $JS.API.CONSUMER.MSG.NEXT.X.Y",
    "pub $JS.ACK.x.y",
    "pub $JS.FC.x",
    "pub $KV.BUCKET.key",
    "pub $O.BUCKET.x",
    "sub choria.republish.x",
];
const ADMIN: &[&str] =
    &["pub $JS.API.STREAM.CREATE.X", "pub $JS.API.STREAM.PURGE.X", "sub $JS.EVENT.ADVISORY.x"];
const EVENTS: &[&str] = &[
    "sub choria.lifecycle.event.>",
    "sub choria.machine.watcher.>",
    "sub choria.machine.transition",
];
const ELECTIONS: &[&str] =
    &["pub $JS.API.STREAM.INFO.KV_CHORIA_LEADER_ELECTION", "pub $KV.CHORIA_LEADER_ELECTION.x"];
const GOVERNORS: &[&str] =
    &["pub mcollective.governor.x", "pub choria.lifecycle.event.governor.enter"];

fn denied(tables: &[&[&str]]) -> Vec<String> {
    tables.concat().iter().map(|line| format!("!{line}")).collect()
}

#[test]
fn each_permission_of_a_client() {
    type Set = fn(&mut ClientPermissions);
    let all = [REQUESTS, STREAMS, ADMIN, EVENTS, ELECTIONS, GOVERNORS];
    let cases: &[(&str, Set, &[&[&str]])] = &[
        ("none", |_| (), &[]),
        ("fleet_management", |p| p.fleet_management = true, &[REQUESTS]),
        ("signed_fleet_management", |p| p.signed_fleet_management = true, &[REQUESTS]),
        ("streams_user", |p| p.streams_user = true, &[STREAMS]),
        ("events_viewer", |p| p.events_viewer = true, &[EVENTS]),
        ("election_user", |p| p.election_user = true, &[ELECTIONS]),
        // Governors are streams: alone the permission is nothing.
        ("governor", |p| p.governor = true, &[]),
        (
            "governor, streams_user",
            |p| (p.governor, p.streams_user) = (true, true),
            &[GOVERNORS, STREAMS],
        ),
        // These say what a token may be used for elsewhere.
        ("system_user", |p| p.system_user = true, &[]),
        ("provisioner", |p| p.provisioner = true, &[]),
        ("service", |p| p.service = true, &[]),
        ("authentication_delegator", |p| p.authentication_delegator = true, &[]),
    ];
    for (name, set, granted) in cases {
        let mut permissions = ClientPermissions::default();
        set(&mut permissions);
        let rules = rights::client(&client(permissions)).expect("claims");
        check(name, &rules, NOBODY);
        check(name, &rules, &granted.concat());
        // Elections are a part of what users of streams may.
        let others: Vec<_> = all
            .into_iter()
            .filter(|table| !granted.contains(table))
            .filter(|table| *table != ELECTIONS || !granted.contains(&STREAMS))
            .collect();
        let denied = denied(&others);
        check(name, &rules, &denied.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn an_administrator_of_streams_may_all_of_them() {
    let permissions = ClientPermissions { streams_admin: true, ..Default::default() };
    let rules = rights::client(&client(permissions)).expect("claims");
    check("streams_admin", &rules, NOBODY);
    check("streams_admin", &rules, ADMIN);
    check(
        "streams_admin",
        &rules,
        &["pub $JS.API.INFO", "!pub $KV.B.k", "!sub choria.republish.x"],
    );
    let permissions = ClientPermissions { governor: true, ..permissions };
    check("governor", &rights::client(&client(permissions)).expect("claims"), GOVERNORS);
}

#[test]
fn an_administrator_of_the_organization_may_everything() {
    let permissions = ClientPermissions { org_admin: true, ..Default::default() };
    let rules = rights::client(&client(permissions)).expect("claims");
    let all = [REQUESTS, STREAMS, ADMIN, EVENTS, ELECTIONS, GOVERNORS].concat();
    check("org_admin", &rules, &all);
    check("org_admin", &rules, &["sub >", "pub x", "sub mcollective.reply.>"]);
}

#[test]
fn subjects_that_a_client_token_adds() {
    let mut claims = client(ClientPermissions::default());
    claims.publish = vec!["orders.new.*".to_owned()];
    claims.subscribe = vec!["orders.>".to_owned(), "jobs worker".to_owned()];
    let rules = rights::client(&claims).expect("claims");
    check("subjects", &rules, NOBODY);
    let table = ["pub orders.new.1", "!pub orders.old", "sub orders.>", "!pub orders.x.y"];
    check("subjects", &rules, &table);
    let permissions = Permissions::new(&rules).expect("rules");
    assert!(permissions.subscribe(b"jobs", Some(b"worker")).is_ok());
    assert!(permissions.subscribe(b"jobs", None).is_err());
    claims.publish = vec!["a..b".to_owned()];
    assert!(Permissions::new(&rights::client(&claims).expect("claims")).is_err());
}

#[test]
fn another_organization_has_its_own_streams() {
    let permissions = ClientPermissions { streams_user: true, ..Default::default() };
    let mut claims = client(permissions);
    claims.organization = "acme".to_owned();
    let rules = rights::client(&claims).expect("claims");
    check("acme", &rules, &["sub acme.republish.x", "!sub choria.republish.x", "pub $JS.API.INFO"]);
    claims.organization = String::new();
    let rules = rights::client(&claims).expect("claims");
    check("none", &rules, &["sub choria.republish.x"]);
}

fn server(permissions: ServerPermissions) -> ServerClaims {
    ServerClaims {
        identity: "n1.example.net".to_owned(),
        collectives: vec!["choria".to_owned(), "eu".to_owned()],
        permissions,
        organization: "choria".to_owned(),
        ..ServerClaims::default()
    }
}

/// What every server may, and what none may who was not granted it.
const SERVERS: &[&str] = &[
    "pub choria.lifecycle.event.startup.server",
    "pub choria.machine.transition",
    "pub choria.machine.watcher.x",
    "pub choria.reply.abc.1",
    "pub eu.reply.abc.1",
    "pub choria.broadcast.agent.registration",
    "pub choria.federation.eu.collective",
    "sub choria.broadcast.agent.rpcutil",
    "sub eu.broadcast.agent.>",
    "sub choria.node.n1.example.net",
    // The MD5 of the identity.
    "sub choria.reply.38e94427598c62d98e1d2121c68a20a4.>",
    "!sub choria.node.n2.example.net",
    "!sub choria.node.>",
    "!sub choria.node.*",
    "!sub choria.reply.>",
    "!sub *.broadcast.agent.>",
    "!sub us.broadcast.agent.rpcutil",
    "!pub us.reply.abc.1",
    "!pub choria.broadcast.agent.rpcutil",
    "!pub choria.node.n2.example.net",
    "!pub choria.node.n1.example.net",
    "!pub choria.federation.eu.federation",
    "!sub choria.lifecycle.>",
    "!sub choria.federation.eu.federation",
    "!sub >",
    "!pub x",
    "!pub $SYS.REQ.USER.INFO",
];
const SERVICES: &[&str] = &["sub choria.broadcast.service.>", "sub eu.broadcast.service.x"];
const SUBMISSION: &[&str] = &["pub choria.submission.in.a.b", "pub eu.submission.in.a"];
const SERVER_STREAMS: &[&str] = &[
    "sub choria.republish.x",
    "pub $JS.API.STREAM.INFO.X",
    "pub $JS.API.STREAM.MSG.GET.X",
    "pub $JS.API.STREAM.MSG.DELETE.X",
    "pub $JS.API.DIRECT.GET.X",
    "pub $JS.API.DIRECT.GET.X.y",
    "pub $JS.API.CONSUMER.CREATE.X",
    "pub $JS.API.CONSUMER.CREATE.X.y",
    "pub $JS.API.CONSUMER.DURABLE.CREATE.X.Y",
    "pub $JS.API.CONSUMER.INFO.X.Y",
    "pub $JS.API.CONSUMER.MSG.NEXT.X.Y",
    "pub $JS.ACK.x",
    "pub $JS.FC.x",
];
const SERVER_GOVERNORS: &[&str] = &["pub choria.governor.x", "pub eu.governor.x"];

#[test]
fn each_permission_of_a_server() {
    type Set = fn(&mut ServerPermissions);
    let all = [SERVICES, SUBMISSION, SERVER_STREAMS, SERVER_GOVERNORS];
    let cases: &[(&str, Set, &[&[&str]])] = &[
        ("none", |_| (), &[]),
        ("service_host", |p| p.service_host = true, &[SERVICES]),
        ("submission", |p| p.submission = true, &[SUBMISSION]),
        ("streams", |p| p.streams = true, &[SERVER_STREAMS]),
        ("governor", |p| p.governor = true, &[]),
        (
            "governor, streams",
            |p| (p.governor, p.streams) = (true, true),
            &[SERVER_STREAMS, SERVER_GOVERNORS],
        ),
    ];
    for (name, set, granted) in cases {
        let mut permissions = ServerPermissions::default();
        set(&mut permissions);
        let rules = rights::server(&server(permissions)).expect("claims");
        check(name, &rules, SERVERS);
        check(name, &rules, &granted.concat());
        let others: Vec<_> = all.into_iter().filter(|table| !granted.contains(table)).collect();
        let denied = denied(&others);
        check(name, &rules, &denied.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn servers_of_other_organizations_reach_streams_by_another_name() {
    let permissions = ServerPermissions { streams: true, ..Default::default() };
    let claims = ServerClaims { organization: "acme".to_owned(), ..server(permissions) };
    let table = [
        "pub choria.streams.STREAM.INFO.X",
        "pub choria.streams.CONSUMER.MSG.NEXT.X.Y",
        "!pub $JS.API.STREAM.INFO.X",
        "sub acme.republish.x",
    ];
    check("acme", &rights::server(&claims).expect("claims"), &table);
}

#[test]
fn a_server_without_collectives_may_nothing() {
    let claims = ServerClaims { collectives: Vec::new(), ..server(Default::default()) };
    let table = ["!pub x", "!sub x", "!sub >", "!pub choria.lifecycle.event.startup"];
    check("none", &rights::server(&claims).expect("claims"), &table);
}

#[test]
fn subjects_that_a_server_token_adds() {
    let claims =
        ServerClaims { publish: vec!["metrics.>".to_owned()], ..server(Default::default()) };
    let table = ["pub metrics.cpu", "!sub metrics.cpu"];
    check("subjects", &rights::server(&claims).expect("claims"), &table);
}

#[test]
fn new_servers_talk_to_the_provisioner_only() {
    let table = [
        "sub provisioning.node.abc",
        "sub provisioning.broadcast.agent.discovery",
        "sub provisioning.broadcast.agent.rpcutil",
        "sub provisioning.broadcast.agent.choria_util",
        "sub provisioning.broadcast.agent.choria_provision",
        "!sub provisioning.broadcast.agent.package",
        "!sub provisioning.broadcast.agent.>",
        "!sub provisioning.reply.>",
        "!sub choria.lifecycle.>",
        "!sub choria.node.abc",
        "pub choria.lifecycle.event.startup.provision_mode_server",
        "pub provisioning.reply.abc.1",
        "pub provisioning.registration.x",
        "!pub provisioning.node.other",
        "!pub provisioning.broadcast.agent.rpcutil",
        "!pub choria.reply.x",
    ];
    check("new", &rights::unprovisioned(), &table);
}

#[test]
fn clients_at_other_addresses_make_no_requests() {
    let permissions =
        ClientPermissions { fleet_management: true, streams_user: true, ..Default::default() };
    let rules = rights::without_requests(rights::client(&client(permissions)).expect("claims"));
    check("elsewhere", &rules, NOBODY);
    check("elsewhere", &rules, STREAMS);
    let denied = denied(&[REQUESTS]);
    check("elsewhere", &rules, &denied.iter().map(String::as_str).collect::<Vec<_>>());
    let everything = rights::without_requests(PermissionRules::default());
    check("org_admin", &everything, &["pub x", "sub >", "!pub choria.node.n1"]);
}

#[test]
fn claims_that_would_widen_a_subject() {
    let bad = |claim, value: &str| Err(BadClaim { claim, value: value.to_owned() });
    for identity in ["*", ">", "n1.>", "*.example.net", "a..b", "a b", "a\tb", "", "é"] {
        let claims = ServerClaims { identity: identity.to_owned(), ..server(Default::default()) };
        assert_eq!(rights::server(&claims), bad("identity", identity));
    }
    for collective in ["*", ">", "", "a b", "a.*"] {
        let collectives = vec![collective.to_owned()];
        let claims = ServerClaims { collectives, ..server(Default::default()) };
        assert_eq!(rights::server(&claims), bad("collectives", collective));
    }
    for organization in ["*", ">", "a.b", "a b"] {
        let permissions = ClientPermissions { streams_user: true, ..Default::default() };
        let mut claims = client(permissions);
        claims.organization = organization.to_owned();
        assert_eq!(rights::client(&claims), bad("ou", organization));
    }
}
