mod joining;
mod rights;
mod tokens;

use super::*;
use crate::broker::access::{Access, Certificates, PermissionRules, Provisioning, UserList};

const CLIENT: &str = "192.0.2.9";
const ELSEWHERE: &str = "198.51.100.1";
/// When everything happens, in seconds since 1970.
const MADE: i64 = 1_700_000_000;

fn accounts() -> Vec<String> {
    ["choria", "system", "provisioning", "A"].map(str::to_owned).to_vec()
}

fn gate(access: &Access, is_tls: bool) -> Gate {
    Gate::new(access, is_tls, &accounts()).expect("access")
}

/// As a Choria broker is usually configured.
fn choria() -> Access {
    Access {
        system_user: Some(Login { user: "system".into(), password: Secret::new("sys".into()) }),
        provisioning: Some(Provisioning {
            account: "provisioning".into(),
            password: Secret::new("prov".into()),
        }),
        ..Access::default()
    }
}

fn with_users(json: &str) -> Access {
    let users: UserList = serde_json::from_str(json).expect("list");
    Access { users, ..choria() }
}

fn attempt<'a>(tls: TlsState, user: &'a str, password: &'a str) -> Attempt<'a> {
    let address = CLIENT.parse().expect("address");
    Attempt {
        address,
        tls,
        kind: ConnectionType::Standard,
        user,
        password,
        token: "",
        nonce: "",
        signature: "",
        now: crate::util::time::from_unix(MADE + 60),
        now_ms: 1_000,
    }
}

fn shown(result: Result<Entry, Refusal>) -> String {
    match result {
        Err(refusal) => format!("refused: {refusal}"),
        Ok(entry) => {
            let account = &accounts()[entry.account as usize];
            let rights = match &entry.permissions {
                Permissions::Full => "full",
                Permissions::System => "system",
                Permissions::Limited(_) => "limited",
                Permissions::Answering(_) => "answering",
            };
            format!("{account} {rights} {}", entry.via.user().unwrap_or("-"))
        }
    }
}

use TlsState::{Anonymous, Off, Verified};

#[test]
fn secrets_of_an_attempt_are_not_shown() {
    let attempt = Attempt { token: "hidden", ..attempt(TlsState::Off, "ann", "hidden") };
    let text = format!("{attempt:?}");
    assert!(text.contains("ann") && !text.contains("hidden"), "{text}");
}

#[test]
fn the_users_that_choria_has() {
    let gate = gate(&choria(), true);
    for (tls, user, password, expected) in [
        (Off, "", "", "refused: no TLS"),
        (Anonymous, "", "", "refused: no verified certificate"),
        (Verified, "", "", "choria full -"),
        // A name that means nothing here is not looked at.
        (Verified, "ann", "x", "choria full -"),
        (Verified, "system", "sys", "system system system"),
        (Verified, "system", "wrong", "refused: wrong password of the system user"),
        (Verified, "system", "", "refused: wrong password of the system user"),
        (
            Anonymous,
            "system",
            "sys",
            "refused: the system user without a verified certificate or a token",
        ),
        (Off, "system", "sys", "refused: no TLS"),
        (Verified, "provisioner", "prov", "provisioning full provisioner"),
        (Verified, "provisioner", "sys", "refused: wrong password of the provisioner"),
        (Anonymous, "provisioner", "prov", "refused: a provisioner without a verified certificate"),
    ] {
        assert_eq!(shown(gate.admit(&attempt(tls, user, password))), expected, "{tls:?} {user}");
    }
    assert!(!gate.demands_login());
}

#[test]
fn without_such_users_their_names_get_nobody_anywhere() {
    let gate = gate(&Access::default(), true);
    let provisioner = gate.admit(&attempt(Verified, "provisioner", "prov"));
    assert_eq!(shown(provisioner), "refused: provisioning is off");
    assert_eq!(shown(gate.admit(&attempt(Verified, "system", "sys"))), "choria full -");
}

#[test]
fn a_laboratory_admits_everybody_but_gives_nobody_more() {
    let gate = gate(&choria(), false);
    for (user, password, expected) in [
        ("", "", "choria full -"),
        ("ann", "x", "choria full -"),
        ("system", "sys", "refused: the system user without TLS"),
        ("provisioner", "prov", "refused: a provisioner without a verified certificate"),
    ] {
        assert_eq!(shown(gate.admit(&attempt(Off, user, password))), expected, "{user}");
    }
}

#[test]
fn an_empty_password_opens_nothing() {
    let mut access = choria();
    access.system_user = Some(Login { user: "system".into(), password: Secret::default() });
    access.provisioning =
        Some(Provisioning { account: "provisioning".into(), password: Secret::default() });
    let gate = gate(&access, true);
    for user in ["system", "provisioner"] {
        assert!(gate.admit(&attempt(Verified, user, "")).is_err(), "{user}");
    }
}

#[test]
fn tokens_that_nobody_can_check() {
    let signed = |tls| Attempt { token: "a.b.c", ..attempt(tls, "", "") };
    let tls = gate(&choria(), true);
    for state in [Verified, Anonymous] {
        let refused = "refused: the header of the token is not base64url";
        assert_eq!(shown(tls.admit(&signed(state))), refused);
    }
    // Not looked at, as in the reference: there is nothing that could be kept from anybody.
    assert_eq!(shown(gate(&choria(), false).admit(&signed(Off))), "choria full -");
}

#[test]
fn clients_are_where_they_are_listed() {
    let rules = |servers| {
        let clients = ["192.0.2.0/24", "2001:db8::1"].map(|text| text.parse().expect("network"));
        let certificates = Certificates::ByAddress { clients: clients.to_vec(), servers };
        gate(&Access { certificates, ..choria() }, true)
    };
    let gate = rules(PermissionRules::servers());
    for (address, expected) in [
        (CLIENT, "choria full -"),
        ("::ffff:192.0.2.200", "choria full -"),
        ("2001:db8::1", "choria full -"),
        (ELSEWHERE, "choria limited -"),
        ("2001:db8::2", "choria limited -"),
    ] {
        let attempt =
            Attempt { address: address.parse().expect("address"), ..attempt(Verified, "", "") };
        assert_eq!(shown(gate.admit(&attempt)), expected, "{address}");
    }
    let servers = [PermissionRules::servers(), PermissionRules::nothing()].map(|servers| {
        let address = ELSEWHERE.parse().expect("address");
        let attempt = Attempt { address, ..attempt(Verified, "", "") };
        rules(servers).admit(&attempt).expect("admitted").permissions
    });
    let may = |permissions: &Permissions, subject: &str| {
        let subject = subject.as_bytes();
        let mut memo = Default::default();
        let publish = permissions.publish(subject, None, &mut memo).is_ok();
        (publish, permissions.subscribe(subject, None).is_ok())
    };
    for (subject, expected) in [
        ("mcollective.broadcast.agent.rpcutil", (false, true)),
        ("mcollective.broadcast.service.x", (false, true)),
        ("mcollective.node.n1", (false, true)),
        ("choria.federation.x.federation", (false, false)),
        ("choria.federation.x.collective", (true, false)),
        ("choria.lifecycle.event.startup.server", (true, false)),
        ("mcollective.reply.abc.1", (true, false)),
        (">", (true, true)),
    ] {
        assert_eq!(may(&servers[0], subject), expected, "{subject}");
        assert_eq!(may(&servers[1], subject), (false, false), "{subject}");
    }
}

#[test]
fn certificates_may_be_limited() {
    let certificates = Certificates::Limited(PermissionRules::publish_subscribe());
    let gate = gate(&Access { certificates, ..choria() }, true);
    let entry = gate.admit(&attempt(Verified, "", "")).expect("admitted");
    for (subject, expected) in [
        ("mcollective.broadcast.agent.x", false),
        ("mcollective.node.n1", false),
        ("mcollective.reply.x", false),
        ("choria.machine.transition", false),
        ("orders.new", true),
    ] {
        let subject = subject.as_bytes();
        let mut memo = Default::default();
        assert_eq!(entry.permissions.publish(subject, None, &mut memo).is_ok(), expected);
        assert_eq!(entry.permissions.subscribe(subject, None).is_ok(), expected);
    }
}

const LIST: &str = r#"{
    "accounts": {"A": {"default_permissions": {"publish": {"allow": ["a.>"]}}}},
    "users": [
        {"user": "ann", "password": "secret", "account": "A"},
        {"user": "bob", "password": "secret", "permissions": {"allow_responses": {}}},
        {"user": "sam", "password": "secret", "account": "system"},
        {"user": "eve", "password": "secret", "certificate": "optional"},
        {"user": "web", "password": "secret", "connection_types": ["WEBSOCKET"]},
        {"token": "t0ken", "account": "A", "permissions": {}}
    ]}"#;

#[test]
fn users_of_a_list() {
    let access = with_users(LIST);
    for (tls, user, password, expected) in [
        (Verified, "ann", "secret", "A limited ann"),
        (Off, "ann", "secret", "A limited ann"),
        (Anonymous, "ann", "secret", "refused: no verified certificate"),
        (Off, "ann", "wrong", "refused: wrong password"),
        (Off, "ann", "", "refused: wrong password"),
        (Off, "joe", "secret", "refused: unknown user"),
        (Off, "", "", "refused: neither user nor token"),
        (Anonymous, "", "", "refused: neither user nor token"),
        // Servers and clients with certificates go on as before.
        (Verified, "", "", "choria full -"),
        (Verified, "joe", "", "refused: unknown user"),
        (Off, "bob", "secret", "choria answering bob"),
        (Off, "sam", "secret", "system system sam"),
        (Anonymous, "eve", "secret", "choria full eve"),
        (Off, "web", "secret", "refused: the user may not connect this way"),
        (Verified, "system", "sys", "system system system"),
    ] {
        let gate = gate(&access, tls != Off);
        assert_eq!(shown(gate.admit(&attempt(tls, user, password))), expected, "{tls:?} {user}");
        assert!(gate.demands_login());
    }
    let gate = gate(&access, false);
    for (token, expected) in [
        ("t0ken", "A full -"),
        ("other", "refused: unknown token"),
        ("a.b.c", "refused: a signed token without TLS"),
    ] {
        let attempt = Attempt { token, ..attempt(Off, "", "") };
        assert_eq!(shown(gate.admit(&attempt)), expected, "{token}");
    }
}

#[test]
fn connections_without_a_name() {
    let access = |more: &str| {
        with_users(&format!(
            r#"{{"users": [{{"user": "guest", "account": "A", "certificate": "optional"}}],
                 "no_auth_user": "guest"{more}}}"#
        ))
    };
    for (more, tls, expected) in [
        ("", Off, "A full guest"),
        ("", Anonymous, "A full guest"),
        ("", Verified, "choria full -"),
        (r#", "login_required": true"#, Verified, "A full guest"),
    ] {
        let gate = gate(&access(more), tls != Off);
        assert!(!gate.demands_login());
        assert_eq!(shown(gate.admit(&attempt(tls, "", ""))), expected, "{tls:?} {more}");
    }
    let strict =
        with_users(r#"{"users": [{"user": "a", "password": "b"}], "login_required": true}"#);
    let refused = gate(&strict, true).admit(&attempt(Verified, "", ""));
    assert_eq!(shown(refused), "refused: neither user nor token");
}

#[test]
fn access_that_contradicts_itself() {
    for (json, expected) in [
        (
            r#"{"users": [{"user": "a", "password": "b", "account": "B"}]}"#,
            "there is no account \"B\"",
        ),
        (r#"{"accounts": {"B": {}}}"#, "there is no account \"B\""),
        (
            r#"{"users": [{"user": "provisioner", "password": "b"}]}"#,
            "the user name \"provisioner\" has another meaning at this broker",
        ),
        (
            r#"{"users": [{"user": "a", "password": "b", "permissions": {"publish": {"deny": ["x."]}}}]}"#,
            "permissions of user \"a\": \"x.\" is not a subject",
        ),
    ] {
        let result = Gate::new(&with_users(json), false, &accounts());
        assert_eq!(result.map(|_| ()).map_err(|e| e.to_string()), Err(expected.to_owned()));
    }
    let result = Gate::new(&choria(), true, &["choria".to_owned()]);
    assert!(result.is_err(), "there is no account for the system user");
}

#[test]
fn a_live_connection_is_decided_about_again() {
    let old = with_users(LIST);
    let entry = |user, password| gate(&old, true).admit(&attempt(Verified, user, password));
    let again = |access: &Access, user, password| {
        let via = entry(user, password).expect("admitted").via;
        let result = gate(access, true).readmit(&via, &attempt(Verified, "", ""));
        result
            .map_err(|refusal| refusal.to_string())
            .map(|entry| shown(Ok(entry.expect("not internal"))))
    };
    assert_eq!(again(&old, "ann", "secret"), Ok("A limited ann".to_owned()));
    let other = with_users(&LIST.replacen("secret", "changed", 1));
    assert_eq!(again(&other, "ann", "secret"), Err("wrong password".to_owned()));
    assert_eq!(again(&other, "bob", "secret"), Ok("choria answering bob".to_owned()));
    let fewer = with_users(r#"{"users": [{"user": "ann", "password": "secret"}]}"#);
    assert_eq!(again(&fewer, "bob", "secret"), Err("unknown user".to_owned()));
    assert_eq!(again(&fewer, "ann", "secret"), Ok("choria full ann".to_owned()));
    assert_eq!(again(&fewer, "system", "sys"), Ok("system system system".to_owned()));
    assert_eq!(
        again(&Access::default(), "system", "sys"),
        Err("wrong password of the system user".to_owned())
    );
    assert_eq!(
        again(&Access::default(), "provisioner", "prov"),
        Err("wrong password of the provisioner".to_owned())
    );
    assert_eq!(again(&Access::default(), "", ""), Ok("choria full -".to_owned()));
    let internal = gate(&old, true).readmit(&Via::Internal, &attempt(Off, "", ""));
    assert!(matches!(internal, Ok(None)));
}
