//! Tokens at the broker: who comes in with one, what it may do, and what happens when it ends or is revoked.

use std::fs;
use std::time::{Duration, SystemTime};

use choria::crypto::ed25519::KeyPair;
use choria::crypto::hash::md5_hex;
use choria::crypto::ksuid::Ksuid;
use choria::tokens::{ClientClaims, ProvisioningClaims, ServerClaims, SigningKey, sign};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use super::support::{Broker, Folder, Leaf, Pki, Raw, wait_for};

const HOUR: Duration = Duration::from_secs(3600);
/// Seeds of the organization, of a stranger, and of the holders of tokens.
const ORG: u8 = 1;
const STRANGER: u8 = 2;
const ALICE: u8 = 3;
const NODE: u8 = 4;

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed([seed; 32])
}

fn signed<T: Serialize>(claims: &T, seed: u8) -> String {
    sign(claims, &SigningKey::Ed25519(pair(seed))).expect("a token")
}

fn client(set: impl Fn(&mut ClientClaims)) -> String {
    let id = Ksuid::new(SystemTime::now());
    let mut claims = ClientClaims::new("up=alice", Some(pair(ALICE).public_key()), id, HOUR);
    set(&mut claims);
    signed(&claims, ORG)
}

fn fleet() -> String {
    client(|claims| claims.permissions.fleet_management = true)
}

fn node() -> String {
    let id = Ksuid::new(SystemTime::now());
    let mut claims = ServerClaims::new("n1.example", pair(NODE).public_key(), id, HOUR);
    claims.collectives = vec!["choria".to_owned()];
    signed(&claims, ORG)
}

fn newcomer() -> String {
    signed(&ProvisioningClaims::new(Ksuid::new(SystemTime::now()), HOUR), ORG)
}

fn issuer(seed: u8) -> String {
    format!(
        "plugin.security.issuer.names = choria\nplugin.security.issuer.choria.public = {}\n",
        pair(seed).public_key()
    )
}

fn leaf() -> Leaf {
    Pki::shared().leaf("alice.mcollective")
}

/// A connection that has sent a token and the signature of a holder.
fn attempt(broker: &Broker, leaf: Option<&Leaf>, token: &str, seed: u8, more: &str) -> Raw {
    let mut peer = Raw::connect(broker.port, 2, leaf);
    let signature = BASE64URL_NOPAD.encode(&pair(seed).sign(peer.nonce().as_bytes()));
    let fields = format!(r#""auth_token":"{token}","jwt":"{token}","sig":"{signature}"{more}"#);
    peer.log_in(&fields);
    peer
}

fn open(broker: &Broker, token: &str, seed: u8, more: &str) -> Raw {
    let mut peer = attempt(broker, None, token, seed, more);
    peer.expect("PONG\r\n");
    peer
}

fn refused(broker: &mut Broker, token: &str, seed: u8, more: &str, reason: &str) {
    attempt(broker, None, token, seed, more).expect_end("-ERR 'Authorization Violation'\r\n");
    said(broker, &format!("authorization violation: {reason}"));
}

/// Waits for a text in the log, where quotes stand behind a backslash.
fn said(broker: &mut Broker, text: &str) {
    broker.process.wait_for_line(&text.replace('"', "\\\""));
}

/// Sends SIGHUP and waits until the log says `count` times that it was done.
fn reload(broker: &Broker, count: usize) {
    broker.process.signal("HUP");
    let done = || broker.process.output().matches("broker: reloaded keys=").count() >= count;
    wait_for("a reload", || done().then_some(()));
}

fn rewrite(folder: &Folder, change: impl Fn(&str) -> String) {
    let path = folder.file("broker.conf");
    let text = fs::read_to_string(&path).expect("configuration");
    fs::write(&path, change(&text)).expect("configuration");
}

#[test]
fn a_client_and_a_server_talk_as_far_as_their_tokens_allow() {
    let folder = Folder::new("token_fleet");
    let broker = Broker::start_with(&folder, &issuer(ORG));
    let mut client = open(&broker, &fleet(), ALICE, "");
    let mut server = open(&broker, &node(), NODE, "");
    let inbox = format!("choria.reply.{}", md5_hex(b"up=alice"));
    server.send("SUB choria.broadcast.agent.> 1\r\nSUB choria.node.n1.example 2\r\n");
    server.sync();
    client.send(&format!("SUB {inbox}.> 1\r\n"));
    client.send(&format!("PUB choria.broadcast.agent.rpcutil {inbox}.7 2\r\nhi\r\n"));
    server.expect(&format!("MSG choria.broadcast.agent.rpcutil 1 {inbox}.7 2\r\nhi\r\n"));
    server.send(&format!("PUB {inbox}.7 2\r\nyo\r\n"));
    client.expect(&format!("MSG {inbox}.7 1 2\r\nyo\r\n"));
    for (peer, subjects) in [
        (&mut client, ["choria.reply.>", ">"]),
        (&mut server, ["choria.node.n2.example", "choria.reply.>"]),
    ] {
        for subject in subjects {
            peer.send(&format!("SUB {subject} 9\r\n"));
            let text = format!("Permissions Violation for Subscription to \"{subject}\"");
            peer.expect(&format!("-ERR '{text}'\r\n"));
        }
    }
    server.send("PUB choria.node.n1.example 0\r\n\r\n");
    let text = "Permissions Violation for Publish to \"choria.node.n1.example\"";
    server.expect(&format!("-ERR '{text}'\r\n"));
    let log = broker.process.output();
    assert!(log.contains(r#"account=choria user=\"up=alice\""#), "{log}");
}

#[test]
fn refusals_say_why_and_never_show_the_token() {
    let folder = Folder::new("token_refusals");
    let mut broker = Broker::start_with(&folder, &issuer(ORG));
    let token = fleet();
    let strangers = {
        let id = Ksuid::new(SystemTime::now());
        let key = Some(pair(ALICE).public_key());
        signed(&ClientClaims::new("up=eve", key, id, HOUR), STRANGER)
    };
    let unproven = "\"up=alice\": the signature over the nonce does not fit the token";
    refused(&mut broker, &token, STRANGER, "", unproven);
    let reason = "\"up=eve\": the signature of the token does not fit its issuer";
    refused(&mut broker, &strangers, ALICE, "", reason);
    let other = client(|claims| claims.organization = "acme".to_owned());
    let reason = "\"up=alice\": no issuer is known for the organization \"acme\" of the token";
    refused(&mut broker, &other, ALICE, "", reason);
    refused(&mut broker, "a.b.c", ALICE, "", "the header of the token is not base64url");
    refused(&mut broker, "", ALICE, "", "no verified certificate");
    refused(&mut broker, &newcomer(), ALICE, "", "provisioning is off");
    let mut peer = Raw::connect(broker.port, 2, None);
    peer.log_in(&format!(r#""auth_token":"{token}""#));
    peer.expect_end("-ERR 'Authorization Violation'\r\n");
    said(&mut broker, "\"up=alice\": the nonce is not signed");
    // A certificate is no way in beside issuers, but no hindrance either.
    let mut peer = Raw::connect(broker.port, 2, Some(&leaf()));
    peer.log_in("");
    peer.expect_end("-ERR 'Authorization Violation'\r\n");
    broker.process.wait_for_line("a certificate without a token");
    attempt(&broker, Some(&leaf()), &token, ALICE, "").expect("PONG\r\n");
    let log = broker.process.output();
    for part in token.split('.').chain(strangers.split('.').skip(1)) {
        assert!(!log.contains(part), "{part}");
    }
    assert!(log.contains("level=warning msg=\"broker: closed"), "{log}");
}

#[test]
fn a_connection_ends_with_its_token() {
    let folder = Folder::new("token_end");
    let mut broker = Broker::start_with(&folder, &issuer(ORG));
    let token = client(|claims| {
        claims.common.expires = claims.common.issued_at.map(|made| made + 3);
    });
    let mut long = open(&broker, &fleet(), ALICE, "");
    let mut short = open(&broker, &token, ALICE, "");
    short.expect_end("-ERR 'User Authentication Expired'\r\n");
    broker.process.wait_for_line("reason=its token has expired");
    refused(&mut broker, &token, ALICE, "", "\"up=alice\": the token expired at ");
    long.sync();
}

#[test]
fn a_reload_reaches_live_connections() {
    let folder = Folder::new("token_reload");
    let revoked = folder.write("revoked", "");
    let keys =
        format!("plugin.choria.security.revoked_tokens = {}\n{}", revoked.display(), issuer(ORG));
    let mut broker = Broker::start_with(&folder, &keys);
    let (lost, kept) = (fleet(), client(|_| ()));
    let mut peers = [open(&broker, &lost, ALICE, ""), open(&broker, &kept, ALICE, "")];
    let mut server = open(&broker, &node(), NODE, "");
    let id = {
        let claims = lost.split('.').nth(1).expect("claims");
        let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).expect("base64");
        let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
        claims["jti"].as_str().expect("an id").to_owned()
    };
    fs::write(&revoked, format!("{id} # lost\n")).expect("list");
    reload(&broker, 1);
    peers[0].expect_end("-ERR 'Authorization Violation'\r\n");
    let reason = format!("\"up=alice\": the token is revoked by {id}");
    said(&mut broker, &reason);
    refused(&mut broker, &lost, ALICE, "", &reason);
    peers[1].sync();
    // Servers lose what they had, and get it back.
    server.send("SUB choria.broadcast.agent.> 1\r\n");
    server.sync();
    let deny = "plugin.choria.network.deny_server_connections = true\n";
    rewrite(&folder, |text| format!("{text}{deny}"));
    reload(&broker, 2);
    let text = "Permissions Violation for Subscription to \"choria.broadcast.agent.>\"";
    server.expect(&format!("-ERR '{text}'\r\n"));
    rewrite(&folder, |text| text.replace(deny, ""));
    reload(&broker, 3);
    server.send("SUB choria.broadcast.agent.> 2\r\n");
    server.sync();
    // A list that cannot be read changes nothing.
    fs::write(&revoked, "not a token id\n").expect("list");
    broker.process.signal("HUP");
    broker.process.wait_for_line("line 1 is neither a token id nor a public key");
    server.sync();
    // Another key of the issuer: whoever came with the old one goes.
    fs::write(&revoked, "").expect("list");
    rewrite(&folder, |text| text.replace(&issuer(ORG), &issuer(STRANGER)));
    reload(&broker, 4);
    server.expect_end("-ERR 'Authorization Violation'\r\n");
    peers[1].expect_end("-ERR 'Authorization Violation'\r\n");
}

#[test]
fn the_system_user_and_the_provisioner_by_token() {
    let folder = Folder::new("token_accounts");
    let keys = "plugin.choria.network.system.user = system\n\
                plugin.choria.network.system.password = sysSecret\n\
                plugin.choria.network.provisioning.client_password = provSecret\n";
    let mut broker = Broker::start_with(&folder, &format!("{keys}{}", issuer(ORG)));
    let system = r#","user":"system","pass":"sysSecret""#;
    let provisioner = r#","user":"provisioner","pass":"provSecret""#;
    let reason = "\"up=alice\": the token does not grant system_user or org_admin";
    refused(&mut broker, &fleet(), ALICE, system, reason);
    let reason = "\"up=alice\": the token does not grant provisioner";
    refused(&mut broker, &fleet(), ALICE, provisioner, reason);
    let admin = client(|claims| claims.permissions.system_user = true);
    let wrong = r#","user":"system","pass":"x""#;
    refused(&mut broker, &admin, ALICE, wrong, "wrong password of the system user");
    let mut admin = open(&broker, &admin, ALICE, system);
    // Its own connect may be told before the answer.
    admin.send("SUB $SYS.ACCOUNT.*.CONNECT 1\r\nSUB a 2\r\nPING\r\n");
    admin.expect_within("PONG\r\n");
    let allowed = client(|claims| claims.permissions.provisioner = true);
    let mut provisioner = open(&broker, &allowed, ALICE, provisioner);
    let mut newcomer = attempt(&broker, None, &newcomer(), NODE, "");
    newcomer.expect("PONG\r\n");
    newcomer.send("SUB provisioning.node.n9 1\r\n");
    newcomer.sync();
    provisioner.send("SUB provisioning.> 1\r\nPUB provisioning.node.n9 1\r\nx\r\n");
    provisioner.expect("MSG provisioning.node.n9 1 1\r\nx\r\n");
    newcomer.expect("MSG provisioning.node.n9 1 1\r\nx\r\n");
    newcomer.send("PUB provisioning.node.n8 0\r\n\r\n");
    let text = "Permissions Violation for Publish to \"provisioning.node.n8\"";
    newcomer.expect(&format!("-ERR '{text}'\r\n"));
    // What happens there is seen by those who may view events.
    let viewer = client(|claims| claims.permissions.events_viewer = true);
    let mut viewer = open(&broker, &viewer, ALICE, "");
    viewer.send("SUB choria.lifecycle.event.> 1\r\nSUB choria.machine.transition 2\r\n");
    viewer.sync();
    newcomer.send("PUB choria.lifecycle.event.startup.provision_mode_server 1\r\ny\r\n");
    viewer.expect("MSG choria.lifecycle.event.startup.provision_mode_server 1 1\r\ny\r\n");
    provisioner.expect_silence();
}

#[test]
fn signers_are_keys_and_files() {
    let folder = Folder::new("token_signers");
    let file = folder.write("clients.public", &pair(ORG).public_key().to_string());
    let keys = format!(
        "plugin.choria.network.client_signer_cert = {}, {}\n\
         plugin.choria.network.server_signer_cert = {}\n",
        pair(STRANGER).public_key(),
        file.display(),
        pair(STRANGER).public_key(),
    );
    let mut broker = Broker::start_with(&folder, &keys);
    open(&broker, &fleet(), ALICE, "").sync();
    let reason = "\"n1.example\": the signature of the token does not fit its issuer";
    refused(&mut broker, &node(), NODE, "", reason);
    // Certificates go on beside signers.
    Raw::open(broker.port, 2, &leaf(), "").sync();
}

#[test]
fn a_connection_is_told_when_its_token_ends() {
    let folder = Folder::new("token_info");
    let broker = Broker::start_with(&folder, &issuer(ORG));
    let mut peer = open(&broker, &client(|_| ()), ALICE, "");
    let inbox = format!("choria.reply.{}.1", md5_hex(b"up=alice"));
    peer.send(&format!("SUB {inbox} 1\r\nPUB $SYS.REQ.USER.INFO {inbox} 0\r\n\r\n"));
    let answer = peer.line_with("\"data\"");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["data"]["user"], "up=alice");
    let nanoseconds = answer["data"]["expires"].as_u64().expect("it ends");
    assert!((3500..=3600).contains(&(nanoseconds / 1_000_000_000)), "{nanoseconds}");
    let subjects = &answer["data"]["permissions"]["publish"]["allow"];
    assert_eq!(*subjects, serde_json::json!(["$SYS.REQ.USER.INFO"]));
}
