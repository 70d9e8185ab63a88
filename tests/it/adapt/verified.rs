//! Signatures that an adapter verifies: whom it believes what.

use std::fs;
use std::path::Path;

use choria::crypto::ed25519::KeyPair;
use choria::protocol::{Request, Transport, Version, v2};
use choria::security::{Kind, Provider, Settings};
use serde_json::Value;

use super::super::support::{
    Broker, DEADLINE, Folder, Leaf, Organization, Pki, Server, ServerOptions,
};
use super::world::{
    self, Running, Streams, TOPIC, adapter, make_stream, registration, until, with_client,
};

/// Registration data of `sender` in the name of `caller`, signed by this certificate.
fn signed(pki: &Pki, leaf: &Leaf, caller: &str, sender: &str) -> Vec<u8> {
    let mut settings = Settings::new(Kind::File, caller);
    settings.certificate = leaf.certificate.clone();
    settings.key = leaf.key.clone();
    settings.ca = pki.ca.clone();
    let provider = Provider::open(settings).expect("opens");
    let now = std::time::SystemTime::now();
    let mut request =
        Request::new("registration", "mcollective", sender, &format!("choria={caller}"), now);
    request.message = b"{}".to_vec();
    provider.encode_request(&request, "dev.null").expect("is signed").encode()
}

/// The same with a character of the signed text changed.
fn damaged(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let middle = message.len() / 2;
    message[middle] = if message[middle] == b'A' { b'B' } else { b'A' };
    message
}

/// Publishes with another client.
fn publish(folder: &Folder, port: u16, messages: &[Vec<u8>]) {
    let lines: String = messages
        .iter()
        .map(|message| format!("{TOPIC} {}\n", data_encoding::BASE64.encode(message)))
        .collect();
    let file = folder.write("publish", &lines).display().to_string();
    let [ca, certificate, key] = &world::tls_files();
    world::reader(&["publish", &world::url(port, true), &file, ca, certificate, key]);
}

#[test]
fn signatures_are_verified_by_request() {
    let folder = Folder::new("adapt_signatures");
    let streams = Streams::start(&folder, "both", true);
    make_stream(streams.port, true);
    let lines = format!(
        "plugin.choria.middleware_hosts = localhost:{}\nplugin.choria.adapters = inv\n\
         plugin.choria.security.certname_whitelist = /.+/\n{}",
        streams.port,
        adapter("inv", streams.port, "ingest.verify = true")
    );
    let adapter = Running::start(&folder, true, &lines);
    let shared = Pki::shared();
    let other = Pki::new("adapt-other");
    let name = "alice.mcollective";
    let good = signed(shared, &shared.leaf(name), name, "n1");
    let foreign = signed(&other, &other.leaf(name), name, "n1");
    let (unsigned, _) = registration(1, b"{}");
    publish(&folder, streams.port, &[foreign, unsigned.encode(), damaged(&good), good]);
    until("all messages", 4, || adapter.received("inv", "input"));
    until("the good one", 1, || adapter.delivered("inv"));
    let said = adapter.process.output();
    assert_eq!(adapter.errors("inv", "input"), 3, "{said}");
}

/// The lines of an adapter that verifies nodes and writes to a file below `folder`.
fn to_file(folder: &Folder) -> String {
    let out = folder.file("out");
    fs::create_dir_all(&out).expect("folder can be made");
    let text = format!(
        "type = file\nfile.dir = {}\ningest.topic = {TOPIC}\ningest.protocol = request\ningest.verify = true\n",
        out.display()
    );
    let keys = text.lines().map(|line| format!("plugin.choria.adapter.inv.{line}\n"));
    format!("plugin.choria.adapters = inv\n{}", keys.collect::<String>())
}

/// Who has sent what was written.
fn senders(folder: &Folder) -> Vec<String> {
    let text = fs::read_to_string(folder.file("out/inv.ndjson")).unwrap_or_default();
    let sender = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("JSON");
        record["sender"].as_str().expect("text").to_owned()
    };
    text.lines().map(sender).collect()
}

/// Keys of a server that registers itself once.
fn registering(data: &Path) -> String {
    format!(
        "registration = file_content\nregistration_splay = no\nregisterinterval = 3000\n\
         plugin.choria.registration.file_content.data = {}\n",
        data.display()
    )
}

#[test]
fn nodes_register_with_their_own_certificates() {
    let folder = Folder::new("adapt_nodes");
    let broker = Broker::start(&folder);
    let (shared, other) = (Pki::shared(), Pki::new("adapt-nodes"));
    let revoked = shared.leaf("gone.example.net");
    let list = folder.write("crl.pem", &shared.revocation_list(&[&revoked]));
    let lines = format!(
        "plugin.choria.middleware_hosts = localhost:{}\nplugin.security.crl = {}\n{}",
        broker.port,
        list.display(),
        to_file(&folder)
    );
    let adapter = Running::start(&folder, true, &lines);
    let data = folder.write("cmdb.json", "{\"rack\": 7}\n");
    let options = ServerOptions { extra: &registering(&data), ..ServerOptions::default() };
    let _server = Server::start(&folder, "n1.example.net", broker.port, &options);
    until("the node", 1, || adapter.delivered("inv"));
    let (name, neighbour) = ("n2.example.net", "n3.example.net");
    let leaf = shared.leaf(name);
    let good = signed(shared, &leaf, name, name);
    let bad = [
        damaged(&good),
        signed(&other, &other.leaf(name), name, name),
        signed(shared, &leaf, neighbour, neighbour),
        signed(shared, &leaf, name, neighbour),
        signed(shared, &revoked, "gone.example.net", "gone.example.net"),
        registration(1, b"{}").0.encode(),
    ];
    // What a person on the list of callers says passes as before.
    let alice = "alice.mcollective";
    let passing = [signed(shared, &shared.leaf(alice), alice, neighbour), good];
    publish(&folder, broker.port, &[&bad[..], &passing].concat());
    until("all messages", 9, || adapter.received("inv", "input"));
    until("those that are good", 3, || adapter.delivered("inv"));
    let said = adapter.process.output();
    assert_eq!(adapter.errors("inv", "input"), 6, "{said}");
    assert_eq!(senders(&folder), ["n1.example.net", neighbour, name]);
}

/// Registration data in the second version of the protocol with this token, signed by this key.
fn signed_v2(token: &str, key: &KeyPair, caller: &str, sender: &str) -> Vec<u8> {
    let now = std::time::SystemTime::now();
    let mut request = Request::new("registration", "mcollective", sender, caller, now);
    request.message = b"{}".to_vec();
    let text = request.in_version(Version::V2).encode().expect("valid");
    let secure = v2::SecureRequest {
        signature: key.sign(text.as_bytes()).to_vec(),
        request: text.into_bytes(),
        caller: token.to_owned(),
        signer: None,
    };
    Transport::new(Version::V2, secure.encode().expect("valid"), sender).encode()
}

#[test]
fn nodes_register_with_their_own_tokens() {
    let folder = Folder::new("adapt_token_nodes");
    let organization = Organization::new();
    let broker = organization.broker(&folder);
    // The adapter has no certificate: its token says what it may read.
    let login = organization.client_lines(&folder, "adapter=inv", |claims| {
        claims.permissions.fleet_management = false;
        claims.subscribe = vec![TOPIC.to_owned()];
    });
    let lines = format!(
        "plugin.choria.middleware_hosts = localhost:{}\n{login}{}{}",
        broker.port,
        organization.issuer_lines(),
        to_file(&folder)
    );
    let adapter = Running::start(&folder, true, &lines);
    let data = folder.write("cmdb.json", "{\"rack\": 8}\n");
    let name = "n1.example.net";
    let extra = organization.server_lines(&folder, name)
        + &organization.issuer_lines()
        + &registering(&data)
        + "collectives = mcollective\n";
    let options = ServerOptions { extra: &extra, ..ServerOptions::default() };
    let _server = Server::start(&folder, name, broker.port, &options);
    until("the node", 1, || adapter.delivered("inv"));
    assert_eq!(adapter.errors("inv", "input"), 0, "{}", adapter.process.output());
    assert_eq!(senders(&folder), [name]);
}

#[test]
fn what_no_token_proves_is_refused() {
    let folder = Folder::new("adapt_token_refusals");
    let broker = Broker::start_plain(&folder);
    let (organization, stranger) = (Organization::new(), Organization::new());
    let lines = format!(
        "plugin.choria.middleware_hosts = localhost:{}\nplugin.security.provider = choria\n{}{}",
        broker.port,
        organization.issuer_lines(),
        to_file(&folder)
    );
    let adapter = Running::start(&folder, false, &lines);
    let (name, neighbour) = ("n2.example.net", "n3.example.net");
    let (token, key) = organization.server_token(name);
    let (foreign, its_key) = stranger.server_token(name);
    let good = signed_v2(&token, &key, name, name);
    let messages = [
        damaged(&good),
        signed_v2(&foreign, &its_key, name, name),
        signed_v2(&token, &its_key, name, name),
        signed_v2(&token, &key, neighbour, neighbour),
        signed_v2(&token, &key, neighbour, name),
        signed_v2(&token, &key, name, neighbour),
        world::registration_v2(1, b"{}").0.encode(),
        good,
    ];
    with_client(broker.port, async |client| {
        for message in &messages {
            client.publish(TOPIC, message).await.expect("is published");
        }
        client.flush(DEADLINE).await.expect("is flushed");
    });
    until("all messages", 8, || adapter.received("inv", "input"));
    until("the good one", 1, || adapter.delivered("inv"));
    let said = adapter.process.output();
    assert_eq!(adapter.errors("inv", "input"), 7, "{said}");
    assert_eq!(senders(&folder), [name]);
}
