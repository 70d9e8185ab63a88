//! Networks of protocol version 2: clients and servers with tokens in place of certificates.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use choria::nats::client::{self, Options};
use choria::net::servers::{Server as Address, ServerList};
use choria::protocol::v2::SecureRequest;
use choria::protocol::{Request, Transport, Version, subject};
use choria::security::{Holder, Kind, Provider, Settings, TokenFiles, TokenKeys};
use choria::settings::TokenLogin;
use choria::tokens::ClientPermissions;

use super::support::{
    Broker, Client, Folder, Organization, Pki, Process, Server, ServerOptions, choria, run,
    wait_for,
};

const NODE: &str = "n1.example.net";

/// A broker and a server, whose tokens one organization has made.
struct Scene {
    server: Server,
    broker: Broker,
    organization: Organization,
    folder: Folder,
}

impl Scene {
    fn new(test: &str) -> Scene {
        let folder = Folder::new(test);
        let organization = Organization::new();
        let broker = organization.broker(&folder);
        let server = organization.server(&folder, NODE, broker.port, "country: mt\n");
        Scene { server, broker, organization, folder }
    }

    fn client(&self, caller: &str) -> Client {
        self.organization.client(&self.folder, self.broker.port, caller, |_| ())
    }
}

#[test]
fn a_fleet_with_tokens_answers_like_any_other() {
    let scene = Scene::new("token_fleet_answers");
    let ann = scene.client("up=ann");
    let done = ann.run(&["ping", "--names"]);
    assert_eq!((done.code, done.stdout.trim()), (0, NODE), "{done:?}");
    let done = ann.run(&["find", "-F", "country=mt"]);
    assert_eq!((done.code, done.stdout.trim()), (0, NODE), "{done:?}");
    let done = ann.run(&["rpc", "rpcutil", "inventory", "--json"]);
    let result: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let reply = &result["replies"][0];
    assert_eq!(reply["sender"], NODE, "{done:?}");
    // The collective that nobody has configured.
    assert_eq!(reply["data"]["collectives"], serde_json::json!(["choria"]), "{done:?}");
    assert_eq!(reply["data"]["facts"]["country"], "mt", "{done:?}");
    assert_eq!(result["request_stats"]["requestid"].as_str().map(str::len), Some(27), "{done:?}");
    // A caller id that no certificate could have.
    assert_eq!(scene.client("okta=ann@example.net").run(&["ping", "--names"]).code, 0);
    // The status file says when the token ends.
    let status = scene.folder.file(&format!("{NODE}.status.json"));
    let status = wait_for("a status file", || fs::read_to_string(&status).ok());
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let token_expires = status["token_expires"].as_str().expect("a time");
    assert!(token_expires.starts_with("20"), "{status}");
    assert_eq!(status["certificate_expires"], "0001-01-01T00:00:00Z");
}

#[test]
fn callers_whose_tokens_do_not_allow_it_are_denied() {
    let mut scene = Scene::new("token_callers_denied");
    let port = scene.broker.port;
    let strict = scene.organization.client(&scene.folder, port, "up=strict", |claims| {
        claims.permissions.signed_fleet_management = true;
    });
    assert_eq!(strict.run(&["ping"]).code, 1);
    scene.server.process.wait_for_line(
        "err=refused a request of up=strict: its token demands that a signer signs it",
    );
    let weak = scene.organization.client(&scene.folder, port, "up=weak", |claims| {
        claims.permissions = ClientPermissions::default();
    });
    let done = weak.run(&["ping"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("permission violation operation=Publish"), "{done:?}");
    assert!(done.stderr.contains("its token does not allow fleet management"), "{done:?}");
    let ended = scene.organization.client(&scene.folder, port, "up=ended", |claims| {
        claims.common.expires = claims.common.issued_at;
    });
    let done = ended.run(&["ping"]);
    assert!(done.stderr.contains("the token of up=ended expired on 20"), "{done:?}");
    let stranger = Organization::new().client(&scene.folder, port, "up=stranger", |_| ());
    let done = stranger.run(&["ping"]);
    assert!(done.stderr.contains("Authorization Violation"), "{done:?}");
    scene.broker.process.wait_for_line("the signature of the token does not fit its issuer");
    assert_eq!(scene.client("up=ann").run(&["ping"]).code, 0);
}

/// The provider of a client, as a program would open it.
fn provider(scene: &Scene, caller: &str) -> Provider {
    scene.organization.client_lines(&scene.folder, caller, |_| ());
    let mut settings = Settings::new(Kind::Choria, "shell.example.net");
    settings.ca.clone_from(&Pki::shared().ca);
    settings.token = Some(TokenFiles {
        token: scene.folder.file(&format!("{caller}.jwt")),
        seed: scene.folder.file(&format!("{caller}.seed")),
        keys: TokenKeys::Provider,
        holder: Holder::Client,
    });
    Provider::open(settings).expect("provider opens")
}

/// Sends transports to the node and gives the number of answers within a second each.
fn send(port: u16, who: &Arc<Provider>, transports: &[Transport]) -> usize {
    let executor = Arc::new(smol::Executor::new());
    let mut options =
        Options::new(ServerList::fixed(vec![Address::nats("localhost", port)]), executor.clone());
    options.tls = Some(who.client_tls().expect("TLS can be set up"));
    options.credentials = Some(Arc::new(TokenLogin(who.clone())));
    smol::block_on(executor.run(async {
        let client = client::Client::connect(options).await.expect("connects");
        let mut answers = 0;
        for transport in transports {
            let reply_to = transport.reply_to.as_deref().expect("a reply subject");
            let mut inbox = client.subscribe(reply_to, None).expect("subscribes");
            let node = subject::node("choria", NODE);
            client.publish(&node, &transport.encode()).await.expect("publishes");
            client.flush(Duration::from_secs(5)).await.expect("flushes");
            let answer = smol::future::or(async { inbox.next().await.map(|_| ()) }, async {
                smol::Timer::after(Duration::from_secs(1)).await;
                None
            });
            answers += usize::from(answer.await.is_some());
            inbox.unsubscribe();
        }
        answers
    }))
}

fn request(caller: &str) -> Request {
    let mut request =
        Request::new("rpcutil", "choria", "shell.example.net", caller, SystemTime::now())
            .in_version(Version::V2);
    request.message = br#"{"agent":"rpcutil","action":"ping","data":{}}"#.to_vec();
    request
}

/// What somebody does to a request on its way.
type Change<'a> = &'a dyn Fn(&mut SecureRequest);

#[test]
fn forged_requests_are_dropped_and_honest_ones_served() {
    let mut scene = Scene::new("token_forged");
    let (ann, port) = (Arc::new(provider(&scene, "up=ann")), scene.broker.port);
    let sealed = |change: Change| {
        let request = request("up=ann");
        let reply_to = subject::reply("choria", "up=ann", &request.id);
        let mut transport = ann.encode_request(&request, &reply_to).expect("signs");
        let mut secure = SecureRequest::decode(&transport.data).expect("reads");
        change(&mut secure);
        transport.data = secure.encode().expect("encodes");
        transport
    };
    let bob = provider(&scene, "up=bob");
    let other_caller = |secure: &mut SecureRequest| {
        let data = bob.sign(&request("up=ann")).expect("signs");
        *secure = SecureRequest::decode(&data).expect("reads");
    };
    let cases: [(Change, &str); 4] = [
        (
            &|secure| secure.request.push(b' '),
            "refused a request of up=ann: the signature does not fit the request",
        ),
        (
            &|secure| secure.signature = b"insecure".to_vec(),
            "refused an unsigned request of up=ann: protocol security is on",
        ),
        (&other_caller, "refused caller up=ann: the token is for up=bob"),
        (
            &|secure| secure.caller = "a.b.c".to_owned(),
            "refused a request of nobody: the header of the token is not base64url",
        ),
    ];
    for (change, reason) in cases {
        assert_eq!(send(port, &ann, &[sealed(change)]), 0, "an answer: {reason}");
        scene.server.process.wait_for_line(reason);
    }
    let good = sealed(&|_| ());
    assert_eq!(send(port, &ann, &[good.clone(), good]), 1);
    scene.server.process.wait_for_line("replay: refused a copy caller=up=ann");
    let v1 = Transport::new(Version::V1, b"{}".to_vec(), "shell.example.net");
    let v1 = Transport { reply_to: Some("choria.reply.x.y".to_owned()), ..v1 };
    let reply_to = subject::reply("choria", "up=ann", "v1");
    assert_eq!(send(port, &ann, &[Transport { reply_to: Some(reply_to), ..v1 }]), 0);
    scene.server.process.wait_for_line("refused a message of protocol v1");
}

/// What a server with these lines says before it ends.
fn refused_start(folder: &Folder, extra: &str) -> String {
    let _ = fs::remove_file(folder.file(&format!("{NODE}.log")));
    let server = Server::spawn(folder, NODE, 1, &ServerOptions { facts: "", classes: "", extra });
    wait_for("the end of the server", || {
        let output = server.process.output();
        output.contains("choria: ").then_some(output)
    })
}

#[test]
fn a_server_that_could_not_verify_does_not_start() {
    let folder = Folder::new("token_no_start");
    let organization = Organization::new();
    let lines = organization.server_lines(&folder, NODE);
    let said = refused_start(&folder, &lines);
    assert!(said.contains("whose tokens are to be believed is not configured"), "{said}");
    let issuers = organization.issuer_lines();
    let other = organization.server_lines(&folder, "n2.example.net");
    let said = refused_start(&folder, &format!("{other}{issuers}"));
    assert!(
        said.contains("it is for n2.example.net, not for the identity n1.example.net"),
        "{said}"
    );
    let said = refused_start(
        &folder,
        &format!("{lines}{issuers}plugin.security.choria.trusted_signers = {}\n", "0".repeat(64)),
    );
    assert!(said.contains("only one of plugin.security.issuer.names and"), "{said}");
    let said =
        refused_start(&folder, &format!("{lines}{issuers}plugin.security.server_anon_tls = yes\n"));
    assert!(said.contains("plugin.security.server_anon_tls does not go together"), "{said}");
    let ca = "plugin.security.choria.ca = /no/such/ca.pem\n";
    let said = refused_start(&folder, &format!("{lines}{issuers}{ca}"));
    assert!(said.contains("the CA certificate /no/such/ca.pem does not exist"), "{said}");
}

#[test]
fn a_server_without_a_certificate_still_verifies_requests() {
    let folder = Folder::new("token_anonymous");
    let organization = Organization::new();
    // Clients have certificates, so that there is a signer and no issuer.
    let signer =
        format!("plugin.choria.network.server_signer_cert = {}\n", organization.public_key());
    let broker = Broker::start_with(&folder, &signer);
    let (token, pair) = organization.server_token(NODE);
    // Beside the configuration, where they are looked for.
    folder.write("server.jwt", &token);
    folder.write("server.seed", &pair.seed_hex());
    let extra =
        "plugin.security.server_anon_tls = yes\nplugin.security.file.certificate = /nonexistent\n"
            .to_owned();
    let options = ServerOptions { facts: "", classes: "", extra: &extra };
    let said = refused_start(&folder, &format!("{extra}plugin.security.file.ca = /no/such/ca\n"));
    assert!(said.contains("/no/such/ca does not exist"), "{said}");
    let mut server = Server::start(&folder, "n1.example.net", broker.port, &options);
    server.process.wait_for_line("security: TLS is anonymous, the broker is not verified");
    let done = Client::alice(&folder, broker.port).run(&["ping", "--names"]);
    assert_eq!((done.code, done.stdout.trim()), (0, NODE), "{done:?}\n{}", server.process.output());
    let mallory = Pki::shared().leaf("mallory.mcollective");
    let client = Client::new(&folder, broker.port, "alice.mcollective", Pki::shared(), &mallory);
    assert_eq!(client.run(&["ping"]).code, 1);
    server
        .process
        .wait_for_line("refused caller alice.mcollective: the certificate is for mallory");
}

#[test]
fn a_demo_with_tokens_comes_up() {
    let folder = Folder::new("token_demo");
    let place = folder.file("demo");
    let mut command = choria();
    command.args(["demo", "--v2", "--servers", "2", "--dir"]).arg(&place);
    let mut demo = Process::start(command, folder.file("demo.log"));
    demo.wait_for_line("Ctrl-C ends the demo.");
    let mut ping = choria();
    ping.args(["ping", "--names", "--config"]).arg(place.join("client.conf"));
    let done = run(ping, "");
    assert_eq!((done.code, done.stdout.lines().count()), (0, 2), "{done:?}");
}
