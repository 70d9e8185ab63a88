//! Requests that were tampered with on their way, or are sent at the wrong time or twice. A server drops each without
//! an answer, says why in its log, and serves the next honest request.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use choria::nats::client::{Client, Options};
use choria::net::servers::{Server as Address, ServerList};
use choria::protocol::v1::SecureRequest;
use choria::protocol::{Request, Transport, Version, subject};
use choria::security::{Kind, Provider, Settings};

use super::support::{Broker, Folder, Leaf, Pki, Server, ServerOptions};

const NODE: &str = "n1.example.net";

/// A broker, a server and a hand that writes messages.
struct Scene {
    server: Server,
    port: u16,
    _broker: Broker,
    _folder: Folder,
}

impl Scene {
    fn new(test: &str) -> Scene {
        let folder = Folder::new(test);
        let broker = Broker::start(&folder);
        let server = Server::start(&folder, NODE, broker.port, &ServerOptions::default());
        Scene { server, port: broker.port, _broker: broker, _folder: folder }
    }

    /// Sends transports to the node and gives the number of answers within a second each.
    fn send(&self, transports: &[Vec<u8>]) -> usize {
        let port = self.port;
        with_client(port, async move |client| {
            let mut answers = 0;
            for transport in transports {
                let mut inbox = client.subscribe("forged.reply", None).expect("subscribes");
                client
                    .publish(&subject::node("mcollective", NODE), transport)
                    .await
                    .expect("publishes");
                client.flush(Duration::from_secs(5)).await.expect("flushes");
                let answer = smol::future::or(async { inbox.next().await.map(|_| ()) }, async {
                    smol::Timer::after(Duration::from_secs(1)).await;
                    None
                })
                .await;
                answers += usize::from(answer.is_some());
                inbox.unsubscribe();
            }
            answers
        })
    }

    /// Sends what must be refused, waits for the reason in the log, and checks that an honest request is served.
    fn is_refused(&mut self, transport: Vec<u8>, reason: &str) {
        assert_eq!(self.send(&[transport]), 0, "an answer to what must be refused: {reason}");
        self.server.process.wait_for_line(reason);
        let honest = transport_of(&secure(&request()));
        assert_eq!(self.send(&[honest]), 1, "no answer to an honest request after: {reason}");
    }
}

fn with_client<T>(port: u16, work: impl AsyncFnOnce(Client) -> T) -> T {
    let executor = Arc::new(smol::Executor::new());
    let mut options =
        Options::new(ServerList::fixed(vec![Address::nats("localhost", port)]), executor.clone());
    options.tls = Some(alice().client_tls().expect("TLS can be set up"));
    let work: std::pin::Pin<Box<dyn Future<Output = T>>> =
        Box::pin(async { work(Client::connect(options).await.expect("connects")).await });
    smol::block_on(executor.run(work))
}

fn alice() -> Provider {
    provider("alice.mcollective", &Pki::shared().leaf("alice.mcollective"))
}

fn provider(name: &str, leaf: &Leaf) -> Provider {
    let mut settings = Settings::new(Kind::File, name);
    settings.certificate = leaf.certificate.clone();
    settings.key = leaf.key.clone();
    settings.ca = Pki::shared().ca.clone();
    Provider::open(settings).expect("provider opens")
}

/// `rpcutil ping` from alice, now.
fn request() -> Request {
    let mut request = Request::new(
        "rpcutil",
        "mcollective",
        "shell.example.net",
        "choria=alice.mcollective",
        SystemTime::now(),
    );
    request.message = br#"{"agent":"rpcutil","action":"ping","data":{}}"#.to_vec();
    request
}

fn signed_by(provider: &Provider, request: &Request) -> SecureRequest {
    let data = provider.sign(request).expect("request can be signed");
    SecureRequest::decode(&data).expect("what was signed can be read")
}

fn secure(request: &Request) -> SecureRequest {
    signed_by(&alice(), request)
}

fn transport_of(secure: &SecureRequest) -> Vec<u8> {
    let mut transport = Transport::new(
        Version::V1,
        secure.encode().expect("secure request encodes"),
        "shell.example.net",
    );
    transport.reply_to = Some("forged.reply".to_owned());
    transport.encode()
}

#[test]
fn an_altered_request_is_refused() {
    let mut scene = Scene::new("altered_request");
    let mut altered = secure(&request());
    altered.message = altered.message.replace("ping", "pang");
    scene.is_refused(
        transport_of(&altered),
        "refused a request of alice.mcollective: the signature does not fit the request",
    );

    let mut altered = secure(&request());
    let first = if altered.signature.starts_with('A') { 'B' } else { 'A' };
    altered.signature.replace_range(..1, &first.to_string());
    scene.is_refused(
        transport_of(&altered),
        "refused a request of alice.mcollective: the signature does not fit the request",
    );

    let mut altered = secure(&request());
    altered.signature = "not base64!".to_owned();
    scene.is_refused(
        transport_of(&altered),
        "refused a request of alice.mcollective: its signature is not valid base64",
    );
}

#[test]
fn a_stale_or_future_request_is_refused() {
    let mut scene = Scene::new("stale_request");
    for shift in [-120_i64, 120] {
        let mut request = request();
        request.time = if shift < 0 {
            SystemTime::now() - Duration::from_secs(shift.unsigned_abs())
        } else {
            SystemTime::now() + Duration::from_secs(shift.unsigned_abs())
        };
        scene.is_refused(transport_of(&secure(&request)), &request.id);
    }
}

#[test]
fn a_replayed_request_is_refused() {
    let mut scene = Scene::new("replayed_request");
    let request = request();
    let transport = transport_of(&secure(&request));
    assert_eq!(
        scene.send(&[transport.clone(), transport.clone()]),
        1,
        "{}",
        scene.server.process.output()
    );
    let reason = format!(
        "refused request {} of choria=alice.mcollective: it was handled before",
        request.id
    );
    scene.is_refused(transport, &reason);
}

#[test]
fn a_certificate_of_another_name_or_authority_is_refused() {
    let mut scene = Scene::new("other_certificate");
    let mallory = Pki::shared().leaf("mallory.mcollective");
    let signed = signed_by(&provider("mallory.mcollective", &mallory), &request());
    scene.is_refused(
        transport_of(&signed),
        "refused caller alice.mcollective: the certificate is for mallory.mcollective",
    );

    let other = Pki::new("forger").leaf("alice.mcollective");
    let signed = signed_by(&provider("alice.mcollective", &other), &request());
    scene.is_refused(
        transport_of(&signed),
        "refused certificate alice.mcollective: its issuer Test CA forger leads to no trusted CA",
    );

    let expired = Pki::shared().expired_leaf("alice.mcollective");
    let signed = signed_by(&provider("alice.mcollective", &expired), &request());
    scene.is_refused(
        transport_of(&signed),
        "refused certificate alice.mcollective: it expired on 20",
    );
}

#[test]
fn unsigned_requests_and_garbage_are_refused() {
    let mut scene = Scene::new("garbage");
    let insecure = SecureRequest {
        signature: "insecure".into(),
        pubcert: "insecure".into(),
        ..secure(&request())
    };
    scene.is_refused(
        transport_of(&insecure),
        "refused an unsigned request of choria=alice.mcollective: protocol security is on",
    );
    let whole = transport_of(&secure(&request()));
    let garbage: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        vec![b'['; 100_000],
        br#"{"protocol":"choria:transport:1","data":"!!","headers":{}}"#.to_vec(),
        br#"{"protocol":"choria:transport:1","data":"e30=","headers":{}}"#.to_vec(),
        whole[..whole.len() / 2].to_vec(),
    ];
    for transport in garbage {
        assert_eq!(scene.send(&[transport]), 0);
    }
    assert_eq!(scene.send(&[whole]), 1, "{}", scene.server.process.output());
}

#[test]
fn a_request_for_another_collective_is_refused() {
    let mut scene = Scene::new("other_collective");
    let mut other = request();
    other.collective = "elsewhere".to_owned();
    scene.is_refused(transport_of(&secure(&other)), "elsewhere");
}

#[test]
fn an_unknown_agent_is_not_answered_and_an_unknown_action_is() {
    let mut scene = Scene::new("unknown_agent");
    let mut unknown = request();
    unknown.agent = "absent".to_owned();
    scene.is_refused(transport_of(&secure(&unknown)), "absent");
    let mut unknown = request();
    unknown.message = br#"{"agent":"rpcutil","action":"absent","data":{}}"#.to_vec();
    assert_eq!(scene.send(&[transport_of(&secure(&unknown))]), 1, "unknown actions are told");
}

#[test]
fn a_reply_subject_that_could_hurt_is_refused() {
    let mut scene = Scene::new("reply_subject");
    for subject in ["", "mcollective.>", "a b", "forged reply", "a..b"] {
        let mut transport = Transport::new(
            Version::V1,
            secure(&request()).encode().expect("encodes"),
            "shell.example.net",
        );
        transport.reply_to = Some(subject.to_owned());
        scene.is_refused(
            transport.encode(),
            &format!("replies cannot go to subject \\\"{subject}\\\""),
        );
    }
}
