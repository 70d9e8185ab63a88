//! An AAA service in the place of the user's own keys: logging in, and requests that it signs over HTTPS or over the
//! network. The service here does the real cryptography; what it decides is two lines.

#![allow(clippy::unwrap_used)] // helpers of tests end at the first thing that is wrong

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use choria::crypto::ed25519::{KeyPair, PublicKey};
use choria::crypto::ksuid::Ksuid;
use choria::nats::client::{Client as Nats, Options};
use choria::net::servers::{Server as Address, ServerList};
use choria::protocol::rpc::{ReplyBody, RequestBody, StatusCode};
use choria::protocol::v2::{SecureReply, SecureRequest};
use choria::protocol::{Request, Transport, Version};
use choria::tokens::{self, ClientClaims, Key, ServerClaims, SigningKey, Trust};
use choria::util::shutdown::Shutdown;
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};

use super::support::{Asked, Broker, Finished, Folder, Https, Pki, Process, choria, run};

const HOUR: Duration = Duration::from_secs(3_600);

/// Keys of everybody: each from a seed of one repeated byte.
const ORGANIZATION: u8 = 1;
const LOGIN: u8 = 2;
const SIGNER: u8 = 3;
const NODE: u8 = 4;

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed([seed; 32])
}

fn sign<T: serde::Serialize>(claims: &T, seed: u8) -> String {
    tokens::sign(claims, &SigningKey::Ed25519(pair(seed))).unwrap()
}

fn id() -> Ksuid {
    Ksuid::new(SystemTime::now())
}

/// The service: logs `alice` in with the password `secret`, and signs what is not `rpcutil get_fact`.
struct Service {
    trust: Trust,
    issuer: ClientClaims,
    signer: String,
}

impl Service {
    fn new() -> Self {
        let organization = Key::Ed25519(pair(ORGANIZATION).public_key());
        let mut issuer =
            ClientClaims::new("up=login", Some(pair(LOGIN).public_key()), id(), HOUR * 2);
        issuer.common.set_organization_issuer(&pair(ORGANIZATION)).unwrap();
        let mut signer =
            ClientClaims::new("up=signer", Some(pair(SIGNER).public_key()), id(), HOUR);
        signer.permissions.authentication_delegator = true;
        Self {
            trust: Trust::issuers(BTreeMap::from([("choria".to_owned(), organization)])),
            issuer,
            signer: sign(&signer, ORGANIZATION),
        }
    }

    /// The token of a user, behind the chain issuer.
    fn token(&self, key: PublicKey, validity: Duration) -> String {
        let mut claims = ClientClaims::new("up=alice", Some(key), id(), validity);
        claims.permissions.fleet_management = true;
        claims.permissions.signed_fleet_management = true;
        claims.common.set_chain_issuer(&self.issuer.common, &pair(LOGIN)).unwrap();
        sign(&claims, LOGIN)
    }

    fn log_in(&self, question: &Value) -> Value {
        let text = |name: &str| question[name].as_str().expect("text");
        let key = PublicKey::from_hex(text("public_key")).unwrap();
        let signed = [text("timestamp"), text("username"), text("password")].join(":");
        let signature = HEXLOWER.decode(text("signature").as_bytes()).unwrap();
        key.verify(signed.as_bytes(), &signature).expect("the login is signed");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let age = now - text("timestamp").parse::<u64>().unwrap();
        assert!(age < 60, "{age}");
        match (text("username"), text("password")) {
            ("alice", "secret") => json!({"token": self.token(key, HOUR)}),
            ("stranger", _) => json!({"token": self.token(pair(9).public_key(), HOUR)}),
            _ => json!({"error": "Login failed"}),
        }
    }

    fn sign(&self, token: &str, text: &[u8], signature: &str) -> Result<Vec<u8>, String> {
        let claims = self.trust.client(token, SystemTime::now()).map_err(|e| e.to_string())?;
        let signature = HEXLOWER.decode(signature.as_bytes()).unwrap();
        claims.common.holder_key().unwrap().verify(text, &signature).map_err(|e| e.to_string())?;
        let request = Request::decode(Version::V2, text).map_err(|fault| fault.to_string())?;
        if request.agent != "discovery" {
            let body = RequestBody::decode(&request.message).unwrap();
            if body.action == "get_fact" {
                return Err("Request denied".to_owned());
            }
        }
        // As the real service does: the caller is written into the request once more, in another layout.
        let mut changed: Value = serde_json::from_slice(text).unwrap();
        changed["caller"] = json!(claims.caller);
        let request = format!("{changed:#}").into_bytes();
        let signature = pair(SIGNER).sign(&request).to_vec();
        let signer = Some(self.signer.clone());
        let caller = token.to_owned();
        Ok(SecureRequest { request, signature, caller, signer }.encode().unwrap())
    }

    fn answer(&self, asked: &Asked) -> (u16, String) {
        let question: Value = serde_json::from_str(&asked.body).unwrap();
        assert_eq!(asked.header("content-type"), Some("application/json"));
        let answer = match (asked.method.as_str(), asked.target.as_str()) {
            ("POST", "/choria/v1/login") => self.log_in(&question),
            ("POST", "/choria/v1/sign") => {
                let text = |name: &str| question[name].as_str().expect("text");
                let request = BASE64.decode(text("request").as_bytes()).unwrap();
                match self.sign(text("token"), &request, text("signature")) {
                    Ok(secure) => json!({"secure_request": BASE64.encode(&secure)}),
                    Err(reason) => json!({"error": reason}),
                }
            }
            ("POST", "/garbage") => return (200, "<html>".to_owned()),
            ("POST", "/empty") => json!({}),
            ("POST", "/unnamed") => {
                let unsigned = SecureRequest {
                    request: b"{}".to_vec(),
                    signature: b"x".to_vec(),
                    caller: "x".to_owned(),
                    signer: None,
                };
                json!({"secure_request": BASE64.encode(&unsigned.encode().unwrap())})
            }
            _ => return (500, "no".to_owned()),
        };
        (200, answer.to_string())
    }
}

/// A network whose requests the service signs: a broker, and a server that trusts the organization.
struct Site {
    folder: Folder,
    https: Https,
    service: Arc<Service>,
    broker: Broker,
    node: Process,
    is_plain: bool,
}

impl Site {
    fn start(name: &str, is_plain: bool) -> Self {
        let folder = Folder::new(&format!("aaa_{name}"));
        let service = Arc::new(Service::new());
        let leaf = Pki::shared().leaf("localhost");
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
        let answering = service.clone();
        let https = Https::start(&read(&leaf.certificate), &read(&leaf.key), move |asked| {
            answering.answer(asked)
        });
        let broker = if is_plain {
            Broker::start_plain(&folder)
        } else {
            Broker::start_with(&folder, &issuer_lines())
        };
        let mut claims = ServerClaims::new("n1.example.net", pair(NODE).public_key(), id(), HOUR);
        claims.collectives = vec!["choria".to_owned()];
        folder.write("node.jwt", &sign(&claims, ORGANIZATION));
        folder.write("node.key", &pair(NODE).seed_hex());
        let config = folder.write(
            "node.conf",
            &format!(
                "identity = n1.example.net\nloglevel = debug\nrpcauthorization = false\n{}{}",
                issuer_lines(),
                choria_lines(&folder, "node", broker.port)
            ),
        );
        let mut command = choria();
        command.args(["server", "run", "--config"]).arg(config).args(plain(is_plain));
        let mut node = Process::start(command, folder.file("node.log"));
        node.wait_for_line("server: started");
        Self { folder, https, service, broker, node, is_plain }
    }

    /// Runs a command of a client; `lines` are further lines of its configuration.
    fn run(&self, words: &[&str], lines: &str, input: &str) -> Finished {
        let config = self.folder.write(
            "client.conf",
            &format!(
                "identity = shell.example.net\n{}plugin.login.aaasvc.login.url = {}\n{lines}",
                choria_lines(&self.folder, "alice", self.broker.port),
                self.url("choria/v1/login"),
            ),
        );
        let mut command = choria();
        command.args(words).arg("--config").arg(config).args(plain(self.is_plain));
        command.env("USER", "alice");
        run(command, input)
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.https.port)
    }

    fn signed_by(&self, path: &str) -> String {
        format!("plugin.choria.security.request_signer.url = {}\n", self.url(path))
    }

    fn log_in(&self) {
        let done = self.run(&["login"], "", "alice\nsecret\n");
        let path = self.folder.file("alice.jwt");
        let text = format!("Token saved to {}, good until ", path.display());
        assert!(done.code == 0 && done.stdout.starts_with(&text), "{done:?}");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.file(name)).unwrap()
    }
}

fn plain(is_plain: bool) -> &'static [&'static str] {
    if is_plain { &["--disable-tls"] } else { &[] }
}

fn issuer_lines() -> String {
    let key = pair(ORGANIZATION).public_key();
    format!("plugin.security.issuer.names = choria\nplugin.security.issuer.choria.public = {key}\n")
}

fn choria_lines(folder: &Folder, name: &str, port: u16) -> String {
    format!(
        "plugin.security.provider = choria\nplugin.choria.use_srv = false\n\
         plugin.choria.middleware_hosts = localhost:{port}\n\
         plugin.security.choria.token_file = {}\nplugin.security.choria.seed_file = {}\n\
         plugin.security.choria.ca = {}\n",
        folder.file(&format!("{name}.jwt")).display(),
        folder.file(&format!("{name}.key")).display(),
        Pki::shared().ca.display()
    )
}

#[test]
fn log_in_and_let_a_web_service_sign() {
    let site = Site::start("web", false);
    let signed = site.signed_by("choria/v1/sign");
    let before = site.run(&["ping"], &signed, "");
    assert!(
        before.code == 1 && before.stderr.contains("hint: choria login gets a token\n"),
        "{before:?}"
    );
    site.log_in();
    let (token, seed) = (site.read("alice.jwt"), site.read("alice.key"));
    assert!(!token.ends_with('\n') && seed.len() == 64);
    let pings = site.run(&["rpc", "rpcutil", "ping", "--json"], &signed, "");
    assert!(
        pings.code == 0 && pings.stdout.contains("n1.example.net"),
        "{pings:?}\n{}",
        site.node.output()
    );
    // The discovery and the request.
    let signatures = site.https.lines().iter().filter(|line| line.ends_with("/sign")).count();
    assert_eq!(signatures, 2, "{:?}", site.https.lines());
    let refused = site.run(&["rpc", "rpcutil", "get_fact", "fact=x"], &signed, "");
    assert!(
        refused.code == 1
            && refused.stderr.contains("the signing service refused it: Request denied\n"),
        "{refused:?}"
    );
    // Without the service the token is of no use.
    let alone = site.run(&["ping"], "discovery_timeout = 1\n", "");
    assert!(alone.code != 0 && !alone.stdout.contains("n1.example.net"), "{alone:?}");
    assert!(!site.node.output().contains("get_fact"), "{}", site.node.output());
}

#[test]
fn a_login_that_fails_leaves_the_old_one_as_it_was() {
    let site = Site::start("login", false);
    site.log_in();
    let (token, seed) = (site.read("alice.jwt"), site.read("alice.key"));
    let closed = format!("https://localhost:{}/x", super::support::free_port());
    let other = Pki::new("aaa-other");
    let login = "plugin.login.aaasvc.login.url";
    for (lines, input, expected) in [
        (String::new(), "alice\nwrong\n", "choria: the login was refused: Login failed\n"),
        (String::new(), "\nwrong\n", "choria: the login was refused: Login failed\n"),
        (
            String::new(),
            "stranger\nx\n",
            "choria: the token from the login service cannot be used: it is for another key\n",
        ),
        (String::new(), "alice\n\n", "choria: password is needed\n"),
        (
            format!("{login} = {}\n", site.url("garbage")),
            "a\nb\n",
            "its answer is not the JSON it should be\n",
        ),
        (format!("{login} = {}\n", site.url("empty")), "a\nb\n", "its answer holds no token\n"),
        (format!("{login} = {}\n", site.url("nowhere")), "a\nb\n", "it answered with status 500\n"),
        (format!("{login} = {closed}\n"), "a\nb\n", "cannot be asked: "),
        (
            format!("{login} = http://localhost:1/x\n"),
            "a\nb\n",
            "choria: http://localhost:1/x would send secrets in clear\n",
        ),
        (
            format!("plugin.choria.security.request_signer.ca = {}\n", other.ca.display()),
            "alice\nsecret\n",
            "TLS: its certificate was not issued by the CA that is trusted here\n",
        ),
    ] {
        let failed = site.run(&["login"], &lines, input);
        assert!(failed.code == 1 && failed.stderr.contains(expected), "{expected} in {failed:?}");
        assert_eq!(failed.stdout, "");
        assert_eq!((site.read("alice.jwt"), site.read("alice.key")), (token.clone(), seed.clone()));
    }
    // One of two addresses is enough, whichever comes first.
    let both = format!("{login} = {closed}, {}\n", site.url("choria/v1/login"));
    let done = site.run(&["login"], &both, "alice\nsecret\n");
    assert_eq!(done.code, 0, "{done:?}");
    assert_ne!(site.read("alice.key"), seed);
    let pings = site.run(&["ping"], &site.signed_by("choria/v1/sign"), "");
    assert!(pings.stdout.contains("n1.example.net"), "{pings:?}");
}

#[test]
fn a_signer_that_fails_is_told_and_nothing_is_sent() {
    let site = Site::start("signer", false);
    site.log_in();
    for (path, expected) in [
        ("garbage", "its answer is not the JSON it should be"),
        ("empty", "its answer holds no request"),
        ("nowhere", "it answered with status 500"),
        ("unnamed", ""),
    ] {
        let failed = site.run(
            &["rpc", "rpcutil", "ping", "-I", "n1.example.net"],
            &site.signed_by(path),
            "",
        );
        assert!(failed.code == 1 && failed.stderr.contains(expected), "{path}: {failed:?}");
    }
    let key = PublicKey::from_hex(&pair(9).public_key().to_string()).unwrap();
    site.folder.write("alice.jwt", &site.service.token(key, HOUR));
    let signed = site.signed_by("choria/v1/sign");
    let foreign = site.run(&["ping"], &signed, "");
    assert!(foreign.code == 1 && !foreign.stderr.is_empty(), "{foreign:?}");
    assert!(!site.node.output().contains("request_id"), "{}", site.node.output());
}

#[test]
fn a_service_of_the_network_signs() {
    let site = Site::start("service", true);
    site.log_in();
    let agent = Agent::start(site.broker.port, site.service.clone());
    let lines = "plugin.choria.security.request_signer.service = true\n";
    let pings = site.run(&["rpc", "rpcutil", "ping", "--json"], lines, "");
    assert!(
        pings.code == 0 && pings.stdout.contains("n1.example.net"),
        "{pings:?}\n{}",
        site.node.output()
    );
    assert_eq!(agent.asked(), 2);
    let refused = site.run(&["rpc", "rpcutil", "get_fact", "fact=x"], lines, "");
    let text = "the signing service refused it: Request denied\n";
    assert!(refused.code == 1 && refused.stderr.contains(text), "{refused:?}");
    drop(agent);
    let alone = site.run(&["ping"], &format!("{lines}discovery_timeout = 1\n"), "");
    assert!(
        alone.code == 1 && alone.stderr.contains("the signing service of the network failed"),
        "{alone:?}"
    );
}

/// The agent `aaa_signer` on a thread of its own.
struct Agent {
    over: Shutdown,
    thread: Option<std::thread::JoinHandle<()>>,
    asked: Arc<Mutex<usize>>,
}

impl Agent {
    fn start(port: u16, service: Arc<Service>) -> Self {
        let (over, asked) = (Shutdown::new(), Arc::new(Mutex::new(0)));
        let (ready, started) = std::sync::mpsc::channel();
        let (end, count) = (over.clone(), asked.clone());
        let thread = std::thread::spawn(move || {
            let executor = Arc::new(smol::Executor::new());
            let servers = ServerList::fixed(vec![Address::nats("127.0.0.1", port)]);
            let options = Options::new(servers, executor.clone());
            let serve = async move {
                let nats = Nats::connect(options).await.unwrap();
                let subject = "choria.broadcast.service.aaa_signer";
                let mut requests = nats.subscribe(subject, Some("aaa_signer")).unwrap();
                nats.flush(Duration::from_secs(10)).await.unwrap();
                ready.send(()).unwrap();
                while let Some(message) = requests.next().await {
                    *count.lock().unwrap() += 1;
                    let transport = Transport::decode(&message.payload).unwrap();
                    let reply = answer(&service, &transport);
                    nats.publish(&transport.reply_to.unwrap(), &reply).await.unwrap();
                }
            };
            smol::block_on(executor.run(smol::future::or(serve, end.wait())));
        });
        started.recv_timeout(Duration::from_secs(30)).expect("the agent listens");
        Self { over, thread: Some(thread), asked }
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.over.trigger();
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// What the real agent does with a request to sign another one; the request itself has no signature.
fn answer(service: &Service, transport: &Transport) -> Vec<u8> {
    let secure = SecureRequest::decode(&transport.data).unwrap();
    assert_eq!(secure.signature, b"insecure");
    let request = Request::decode(Version::V2, &secure.request).unwrap();
    let body = RequestBody::decode(&request.message).unwrap();
    assert_eq!((body.agent.as_str(), body.action.as_str()), ("aaa_signer", "sign"));
    let input = |name: &str| body.data[name].as_str().expect("text");
    let signed = service.sign(input("token"), input("request").as_bytes(), input("signature"));
    let body = match signed {
        Ok(secure) => {
            ReplyBody::ok("sign", json!({"secure_request": String::from_utf8(secure).unwrap()}))
        }
        Err(reason) => ReplyBody::failed("sign", StatusCode::Aborted, reason),
    };
    let reply = request.reply("aaa.example.net", body.encode(), SystemTime::now());
    let secure = SecureReply::seal(reply.encode().unwrap().into_bytes());
    Transport::new(Version::V2, secure.encode(), "aaa.example.net").encode()
}
