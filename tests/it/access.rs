//! Who comes in at the broker, and what certificates, addresses, passwords and permissions allow.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::support::{Broker, Folder, Leaf, Pki, Raw};

/// Where clients are in these tests; everything else is a server.
const CLIENT: u8 = 2;
const SERVER: u8 = 3;
const CLIENT_HOSTS: &str = "plugin.choria.network.client_hosts = 127.0.0.2\n";

fn leaf(name: &str) -> Leaf {
    Pki::shared().leaf(name)
}

/// A client and a server that is not one.
fn pair(broker: &Broker) -> (Raw, Raw) {
    let client = Raw::open(broker.port, CLIENT, &leaf("alice.mcollective"), "");
    (client, Raw::open(broker.port, SERVER, &leaf("n1.example.net"), ""))
}

fn refused(broker: &mut Broker, leaf: Option<&Leaf>, fields: &str, reason: &str) {
    let mut peer = Raw::connect(broker.port, CLIENT, leaf);
    peer.log_in(fields);
    peer.expect_end("-ERR 'Authorization Violation'\r\n");
    broker.process.wait_for_line(&format!("authorization violation: {reason}"));
}

#[test]
fn servers_answer_requests_and_make_none() {
    let folder = Folder::new("client_hosts");
    let broker = Broker::start_with(&folder, CLIENT_HOSTS);
    let (mut client, mut server) = pair(&broker);
    server.send("SUB mcollective.broadcast.agent.rpcutil 1\r\nSUB mcollective.node.n1 2\r\n");
    server.sync();
    client.send("SUB mcollective.reply.abc.> 1\r\n");
    client.send("PUB mcollective.broadcast.agent.rpcutil mcollective.reply.abc.1 2\r\nhi\r\n");
    server.expect("MSG mcollective.broadcast.agent.rpcutil 1 mcollective.reply.abc.1 2\r\nhi\r\n");
    server.send("PUB mcollective.reply.abc.1 2\r\nyo\r\n");
    client.expect("MSG mcollective.reply.abc.1 1 2\r\nyo\r\n");
    client.send("SUB > 2\r\n");
    client.sync();
    for subject in [
        "x.broadcast.agent.y",
        "x.broadcast.service.y",
        "mcollective.node.n2",
        "choria.federation.f.federation",
    ] {
        server.send(&format!("PUB {subject} 0\r\n\r\n"));
        server.expect(&format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n"));
    }
    client.expect_silence();
}

#[test]
fn servers_do_not_read_what_others_are_answered() {
    let folder = Folder::new("server_reads");
    let broker = Broker::start_with(&folder, CLIENT_HOSTS);
    let (mut client, mut server) = pair(&broker);
    for subject in ["mcollective.reply.>", "*.reply.*", "choria.lifecycle.>", "choria.federation.a"]
    {
        server.send(&format!("SUB {subject} 1\r\n"));
        let text = format!("Permissions Violation for Subscription to \"{subject}\"");
        server.expect(&format!("-ERR '{text}'\r\n"));
    }
    // Broader ones are accepted, and get only what is left.
    server.send("SUB > 1\r\nSUB *.reply.> q 2\r\nSUB *.*.secret 3\r\n");
    server.expect(
        "-ERR 'Permissions Violation for Subscription to \"*.reply.>\" using queue \"q\"'\r\n",
    );
    server.sync();
    client.send("PUB x.reply.secret 1\r\na\r\nPUB choria.lifecycle.event 1\r\nb\r\n");
    client.send("PUB x.other.secret 1\r\nc\r\n");
    client.sync();
    server
        .expect_any_order(&["MSG x.other.secret 1 1\r\nc\r\n", "MSG x.other.secret 3 1\r\nc\r\n"]);
    server.expect_silence();
}

#[test]
fn servers_can_be_muted() {
    let folder = Folder::new("deny_servers");
    let deny = "plugin.choria.network.deny_server_connections = true\n";
    let broker = Broker::start_with(&folder, &format!("{CLIENT_HOSTS}{deny}"));
    let (mut client, mut server) = pair(&broker);
    server.send("SUB a 1\r\nPUB a 0\r\n\r\nSUB > 2\r\n");
    server.expect("-ERR 'Permissions Violation for Subscription to \"a\"'\r\n");
    server.expect("-ERR 'Permissions Violation for Publish to \"a\"'\r\n");
    server.expect("-ERR 'Permissions Violation for Subscription to \">\"'\r\n");
    client.send("SUB a 1\r\nPUB a 0\r\n\r\n");
    client.expect("MSG a 1 0\r\n\r\n");
}

#[test]
fn the_system_user_and_the_provisioner_have_accounts_of_their_own() {
    let folder = Folder::new("accounts");
    let keys = "plugin.choria.network.system.user = sysadmin\n\
                plugin.choria.network.system.password = sysSecret\n\
                plugin.choria.network.provisioning.client_password = provSecret\n";
    let mut broker = Broker::start_with(&folder, keys);
    let alice = leaf("alice.mcollective");
    let system = r#""user":"sysadmin","pass":"sysSecret""#;
    let provisioner = r#""user":"provisioner","pass":"provSecret""#;
    refused(&mut broker, None, "", "no verified certificate");
    refused(&mut broker, None, system, "the system user without a verified certificate");
    refused(&mut broker, None, provisioner, "a provisioner without a verified certificate");
    let wrong = r#""user":"sysadmin","pass":"provSecret""#;
    refused(&mut broker, Some(&alice), wrong, "wrong password of the system user");
    let wrong = r#""user":"provisioner","pass":"""#;
    refused(&mut broker, Some(&alice), wrong, "wrong password of the provisioner");
    let token = r#""auth_token":"eyJh.eyJi.c2ln""#;
    refused(&mut broker, Some(&alice), token, "the header of the token cannot be read at column 3");
    let log = broker.process.output();
    assert!(!log.contains("sysSecret") && !log.contains("provSecret"), "{log}");

    let mut peers = ["", system, provisioner].map(|fields| {
        let mut peer = Raw::open(broker.port, CLIENT, &alice, fields);
        peer.send("SUB test.> 1\r\nSUB choria.lifecycle.> 2\r\n");
        peer.sync();
        peer
    });
    for index in 0..peers.len() {
        peers[index].send("PUB test.x 1\r\nx\r\n");
        peers[index].expect("MSG test.x 1 1\r\nx\r\n");
        peers.iter_mut().for_each(Raw::expect_silence);
    }
    // Only what happens to servers without an identity is seen from outside.
    peers[2].send("PUB choria.lifecycle.event.startup 1\r\nl\r\n");
    peers[2].expect("MSG choria.lifecycle.event.startup 2 1\r\nl\r\n");
    peers[0].expect("MSG choria.lifecycle.event.startup 2 1\r\nl\r\n");
    peers.iter_mut().for_each(Raw::expect_silence);
    peers[0].send("PUB choria.lifecycle.event.shutdown 1\r\nl\r\n");
    peers[0].expect("MSG choria.lifecycle.event.shutdown 2 1\r\nl\r\n");
    peers.iter_mut().for_each(Raw::expect_silence);
}

/// Writes a list of users that only the owner can read.
fn write_users(path: &Path, json: &str) {
    fs::write(path, json).expect("file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("mode");
}

#[test]
fn users_of_a_file() {
    let folder = Folder::new("users");
    let path = folder.file("users.json");
    write_users(
        &path,
        r#"{"accounts": {"orders": {}},
            "users": [
              {"user": "shop", "password": "s1", "account": "orders", "certificate": "optional",
               "permissions": {"publish": {"allow": ["new.>"]}}},
              {"user": "clerk", "password": "s2", "account": "orders"}]}"#,
    );
    let key = format!("plugin.choria.network.users = {}\n", path.display());
    let mut broker = Broker::start_with(&folder, &key);
    let alice = leaf("alice.mcollective");
    let clerk = r#""user":"clerk","pass":"s2""#;
    refused(&mut broker, None, clerk, "no verified certificate");
    refused(&mut broker, Some(&alice), r#""user":"clerk","pass":"s1""#, "wrong password");
    refused(&mut broker, Some(&alice), r#""user":"nobody","pass":"s1""#, "unknown user");
    let mut shop = Raw::connect(broker.port, CLIENT, None);
    shop.log_in(r#""user":"shop","pass":"s1""#);
    shop.expect("PONG\r\n");
    let mut clerk = Raw::open(broker.port, CLIENT, &alice, clerk);
    let mut fleet = Raw::open(broker.port, CLIENT, &alice, "");
    [&mut clerk, &mut fleet].into_iter().for_each(|peer| {
        peer.send("SUB > 1\r\n");
        peer.sync();
    });
    shop.send("PUB new.1 0\r\n\r\nPUB old.1 0\r\n\r\n");
    shop.expect("-ERR 'Permissions Violation for Publish to \"old.1\"'\r\n");
    clerk.expect("MSG new.1 1 0\r\n\r\n");
    fleet.expect_silence();
}
