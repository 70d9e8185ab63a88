//! What must not be trusted is refused, named in the log, and costs nobody else anything.

use std::sync::Arc;

use choria::nats::client;
use choria::net::servers::{self, ServerList};
use choria::security;

use super::support::{Broker, Client, Folder, Leaf, Pki, Server, ServerOptions};

/// A broker, a server that logs, and alice, who is served before and after each refusal.
struct Scene {
    broker: Broker,
    server: Server,
    folder: Folder,
}

impl Scene {
    fn new(test: &str) -> Scene {
        let folder = Folder::new(test);
        let broker = Broker::start(&folder);
        let server =
            Server::start(&folder, "n1.example.net", broker.port, &ServerOptions::default());
        Scene { broker, server, folder }
    }

    /// A client called `certname` that shows `leaf` and trusts the real authority.
    fn client(&self, certname: &str, leaf: &Leaf) -> Client {
        Client::new(&self.folder, self.broker.port, certname, Pki::shared(), leaf)
    }

    fn alice_is_served(&self) {
        let done = Client::alice(&self.folder, self.broker.port).run(&[
            "rpc",
            "rpcutil",
            "ping",
            "-I",
            "n1.example.net",
        ]);
        assert_eq!(done.code, 0, "{done:?}\n{}", self.server.process.output());
    }
}

#[test]
fn a_client_of_another_authority_is_refused_by_the_broker() {
    let mut scene = Scene::new("wrong_ca");
    let other = Pki::new("other");
    let leaf = other.leaf("alice.mcollective");
    // It trusts the real authority, so that only its own certificate is wrong.
    let client = scene.client("alice.mcollective", &leaf);
    let done = client.run(&["ping"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stderr.contains("cannot connect to"), "{done:?}");
    assert!(done.stderr.to_lowercase().contains("certificate"), "{done:?}");
    scene.broker.process.wait_for_line("UnknownIssuer");
    scene.alice_is_served();
}

#[test]
fn a_client_without_a_certificate_is_refused_by_the_broker() {
    let mut scene = Scene::new("no_certificate");
    let settings = security::Settings {
        ca: Pki::shared().ca.clone(),
        tls: false,
        ..security::Settings::new(security::Kind::File, "alice.mcollective")
    };
    let provider = security::Provider::open(settings).expect("needs the CA only");
    let executor = Arc::new(smol::Executor::new());
    let broker = servers::Server::nats("localhost", scene.broker.port);
    let servers = ServerList::fixed(vec![broker]);
    let options = client::Options {
        tls: Some(provider.client_tls().expect("TLS settings")),
        ..client::Options::new(servers, executor.clone())
    };
    let outcome = smol::block_on(executor.run(client::Client::connect(options)));
    let error = outcome.expect_err("refused").to_string();
    assert!(error.contains("'Authorization Violation'"), "{error}");
    scene.broker.process.wait_for_line("no verified certificate");
    scene.alice_is_served();
}

#[test]
fn a_broker_of_another_authority_is_refused_by_the_client() {
    let scene = Scene::new("wrong_broker_ca");
    let other = Pki::new("elsewhere");
    let leaf = other.leaf("alice.mcollective");
    let client = Client::new(&scene.folder, scene.broker.port, "alice.mcollective", &other, &leaf);
    let done = client.run(&["ping"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.stderr.contains("cannot connect to") && done.stderr.to_lowercase().contains("issuer"),
        "{done:?}"
    );
}

#[test]
fn an_expired_client_certificate_is_refused() {
    let scene = Scene::new("expired");
    let leaf = Pki::shared().expired_leaf("alice.mcollective");
    let client = scene.client("alice.mcollective", &leaf);
    let done = client.run(&["ping"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stderr.to_lowercase().contains("expired"), "{done:?}");
    scene.alice_is_served();
}

#[test]
fn a_certificate_of_another_name_cannot_speak_for_alice() {
    let mut scene = Scene::new("other_name");
    let leaf = Pki::shared().leaf("mallory.mcollective");
    let client = scene.client("alice.mcollective", &leaf);
    let done = client.run(&["ping", "--timeout", "1"]);
    assert_eq!(done.code, 1, "{done:?}");
    scene.server.process.wait_for_line(
        "refused caller alice.mcollective: the certificate is for mallory.mcollective",
    );
    scene.alice_is_served();
}

#[test]
fn a_certificate_outside_the_allow_list_is_refused() {
    let mut scene = Scene::new("allow_list");
    let leaf = Pki::shared().leaf("guest.example.org");
    let client = scene.client("guest.example.org", &leaf);
    let done = client.run(&["ping", "--timeout", "1"]);
    assert_eq!(done.code, 1, "{done:?}");
    scene
        .server
        .process
        .wait_for_line("refused caller guest.example.org: it fits no pattern of the allow list");
    scene.alice_is_served();
}

#[test]
fn authorization_is_on_by_default_and_refuses_everything_but_discovery() {
    let folder = Folder::new("authorization_default");
    let broker = Broker::start(&folder);
    let options = ServerOptions { extra: "rpcauthorization = true\n", ..ServerOptions::default() };
    let _server = Server::start(&folder, "n1.example.net", broker.port, &options);
    let client = Client::alice(&folder, broker.port);
    assert_eq!(client.run(&["find"]).stdout, "n1.example.net\n");
    let done = client.run(&["rpc", "rpcutil", "ping"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.stdout.contains("You are not authorized to call this agent or action"),
        "{done:?}"
    );
}

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let folder = Folder::new("bad_input");
    let client = Client::alice(&folder, 1);
    for (args, wanted) in [
        (&["rpc", "rpcutli", "ping"][..], "rpcutil"),
        (&["rpc", "rpcutil", "pnig"], "ping"),
        (&["rpc", "rpcutil", "get_fact"], "input 'fact' is required"),
        (&["rpc", "rpcutil", "get_fact", "fcat=x"], "fact"),
        (&["rpc", "rpcutil", "ping", "-F", "nonsense"], "nonsense"),
        (&["rpc", "rpcutil", "ping", "--limit", "few"], "few"),
        (&["rpc", "rpcutil", "ping", "-T", "unknown"], "unknown"),
    ] {
        let done = client.run(args);
        assert_eq!(done.code, 1, "{args:?}: {done:?}");
        assert!(done.stderr.contains(wanted), "no `{wanted}` for {args:?}: {done:?}");
        assert_eq!(done.stdout, "", "{args:?}: {done:?}");
    }
}
