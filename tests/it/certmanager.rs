//! The provider `certmanager` against a server that speaks the documented interface of Kubernetes.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use choria::crypto::csr::CertificateRequest;
use choria::crypto::issue::{Authority, KeyKind, LeafRequest};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::support::{Asked, Finished, Folder, Https, Process, choria, run};

const REQUESTS: &str = "/apis/cert-manager.io/v1/namespaces/choria/certificaterequests";
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Default)]
struct State {
    /// The resources it has, by name.
    requests: HashMap<String, Value>,
    /// How often a resource is read before it is signed.
    patience: u32,
    /// What is said about each request instead of signing it.
    denial: Option<&'static str>,
}

struct Cluster {
    https: Https,
    state: Arc<Mutex<State>>,
}

impl Cluster {
    /// Signs with the CA that the tests trust; `folder` gets the service account.
    fn start(folder: &Folder, issuer: Authority) -> Cluster {
        let now = SystemTime::now();
        let own = Authority::new_p256("Kubernetes CA", now).expect("it works");
        let mut request = LeafRequest::new("localhost", now, DAY);
        request.key = KeyKind::P256;
        let issued = own.issue(&request).expect("it works");
        fs::create_dir_all(folder.file("account")).expect("it works");
        folder.write("account/ca.crt", own.ca_pem());
        folder.write("account/token", "a-token\n");
        let state = Arc::new(Mutex::new(State { patience: 1, ..State::default() }));
        let known = state.clone();
        let https = Https::start(&issued.certificate_pem, &issued.key_pem, move |asked| {
            if asked.header("authorization") != Some("Bearer a-token") {
                return (401, json!({ "message": "Unauthorized" }).to_string());
            }
            let (status, body) = answer(asked, &mut known.lock().expect("it works"), &issuer);
            (status, body.to_string())
        });
        Cluster { https, state }
    }

    fn lines(&self, folder: &Folder, extra: &str) -> String {
        format!(
            "plugin.security.provider = certmanager\nplugin.choria.ssldir = {}\n\
             plugin.security.certmanager.issuer = choria-issuer\n\
             plugin.security.certmanager.url = https://localhost:{}\n\
             plugin.security.certmanager.service_account = {}\nplugin.choria.use_srv = no\n{extra}",
            folder.file("ssl").display(),
            self.https.port,
            folder.file("account").display()
        )
    }
}

fn answer(asked: &Asked, state: &mut State, issuer: &Authority) -> (u16, Value) {
    let name =
        asked.target.strip_prefix(REQUESTS).unwrap_or("?").trim_start_matches('/').to_owned();
    match asked.method.as_str() {
        "POST" => {
            let resource: Value = serde_json::from_str(&asked.body).expect("it works");
            let name = resource["metadata"]["name"].as_str().expect("it works").to_owned();
            if state.requests.contains_key(&name) {
                return (409, json!({ "message": format!("{name} already exists") }));
            }
            state.requests.insert(name, resource.clone());
            (201, resource)
        }
        "DELETE" => match state.requests.remove(&name) {
            Some(_) => (200, json!({ "status": "Success" })),
            None => (404, json!({ "message": "not found" })),
        },
        "GET" => {
            let patience = state.patience;
            state.patience = patience.saturating_sub(1);
            let denial = state.denial;
            let Some(resource) = state.requests.get_mut(&name) else {
                return (404, json!({ "message": "not found" }));
            };
            if let Some(message) = denial {
                resource["status"] = json!({ "conditions": [
                    { "type": "Denied", "status": "True", "reason": "Policy", "message": message }
                ] });
            } else if patience == 0 {
                let pem = BASE64
                    .decode(resource["spec"]["request"].as_str().expect("it works").as_bytes())
                    .expect("it works");
                let request = CertificateRequest::from_pem(&pem).expect("it works");
                let mut wish = LeafRequest::new(&name, SystemTime::now(), DAY);
                wish.dns_names.extend_from_slice(request.dns_names());
                let certificate =
                    issuer.certify_public_key(&wish, request.public_key_der()).expect("it works");
                resource["status"] = json!({
                    "ca": BASE64.encode(issuer.ca_pem().as_bytes()),
                    "certificate": BASE64.encode(certificate.as_bytes()),
                });
            }
            (200, resource.clone())
        }
        _ => (405, json!({})),
    }
}

fn enroll(cluster: &Cluster, folder: &Folder, extra: &str, options: &[&str]) -> Finished {
    let config = folder.write("client.conf", &cluster.lines(folder, extra));
    let mut command = choria();
    command.arg("enroll").args(options).arg("--config").arg(config);
    run(command, "")
}

#[test]
fn a_server_enrols_at_its_start_and_keeps_its_allow_list() {
    let folder = Folder::new("certmanager-server");
    let now = SystemTime::now();
    let issuer = Authority::new_p256("Cluster CA", now).expect("it works");
    let ca = folder.write("ca.pem", issuer.ca_pem());
    // The broker and the clients have certificates of the same CA.
    let leaf = |name: &str| {
        let issued = issuer.issue(&LeafRequest::new(name, now, DAY)).expect("it works");
        let certificate = folder.write(&format!("{name}.pem"), &issued.certificate_pem);
        let key = folder.write(&format!("{name}.key"), &issued.key_pem);
        format!(
            "plugin.security.provider = file\nplugin.security.file.certificate = {}\n\
             plugin.security.file.key = {}\nplugin.security.file.ca = {}\nplugin.choria.use_srv = no\n",
            certificate.display(),
            key.display(),
            ca.display()
        )
    };
    let broker = folder.write(
        "broker.conf",
        &format!(
            "identity = localhost\nplugin.choria.broker_network = true\n\
             plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 0\n\
             plugin.choria.stats_port = 0\n{}",
            leaf("localhost")
        ),
    );
    let mut command = choria();
    command.args(["broker", "run", "--config"]).arg(broker);
    let mut broker = Process::start(command, folder.file("broker.log"));
    let line = broker.wait_for_line("broker: listening for clients on 127.0.0.1:");
    let port: String = line.chars().take_while(char::is_ascii_digit).collect();
    let hosts = format!("plugin.choria.middleware_hosts = localhost:{port}\n");
    let users: Vec<_> = ["ann.mcollective", "ann.elsewhere"]
        .map(|name| {
            (name, folder.write(&format!("{name}.conf"), &format!("{}{hosts}", leaf(name))))
        })
        .into();
    let cluster = Cluster::start(&folder, issuer);
    let server = folder.write(
        "server.conf",
        &cluster
            .lines(&folder, &format!("identity = n1.example.net\nrpcauthorization = no\n{hosts}")),
    );
    let mut command = choria();
    command.args(["server", "run", "--config"]).arg(&server);
    let mut server = Process::start(command, folder.file("server.log"));
    server.wait_for_line("enroll: certificate installed ");
    server.wait_for_line("server: started identity=n1.example.net");
    let ping = |user: &(&str, std::path::PathBuf)| {
        let mut command = choria();
        command.args(["ping", "--names", "--config"]).arg(&user.1);
        command.env("MCOLLECTIVE_CERTNAME", user.0);
        run(command, "").stdout
    };
    assert_eq!(ping(&users[0]), "n1.example.net\n");
    assert_eq!(ping(&users[1]), "");
    let log = server.output();
    assert!(log.contains("ann.elsewhere"), "{log}");
    let own = format!("{REQUESTS}/n1.example.net");
    let lines = cluster.https.lines();
    assert_eq!(lines[..2], [format!("POST {REQUESTS}"), format!("GET {own}")], "{lines:?}");
}

#[test]
fn the_interface_is_spoken_as_documented() {
    let folder = Folder::new("certmanager-wire");
    let cluster =
        Cluster::start(&folder, Authority::new_p256("CA", SystemTime::now()).expect("it works"));
    let extra = "identity = n1.example.net\nplugin.security.certmanager.alt_names = a.example.net,b.example.net\n";
    let done = enroll(&cluster, &folder, extra, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    let asked = cluster.https.asked();
    let own = format!("{REQUESTS}/n1.example.net");
    let first = &asked[0];
    assert_eq!(first.to_string(), format!("POST {REQUESTS}"));
    for (name, value) in [("content-type", "application/json"), ("accept", "application/json")] {
        assert_eq!(first.header(name), Some(value));
    }
    let body: Value = serde_json::from_str(&first.body).expect("it works");
    assert_eq!(body["apiVersion"], "cert-manager.io/v1");
    assert_eq!(body["kind"], "CertificateRequest");
    assert_eq!(body["metadata"], json!({ "name": "n1.example.net", "namespace": "choria" }));
    assert_eq!(body["spec"]["issuerRef"], json!({ "name": "choria-issuer" }));
    assert_eq!(body["spec"]["csr"], body["spec"]["request"]);
    let pem = BASE64
        .decode(body["spec"]["request"].as_str().expect("it works").as_bytes())
        .expect("it works");
    assert_eq!(pem, fs::read(folder.file("ssl/csr.pem")).expect("it works"));
    let request = CertificateRequest::from_pem(&pem).expect("it works");
    assert_eq!(request.common_name(), Some("n1.example.net"));
    assert_eq!(request.organizational_unit(), Some("choria.io"));
    assert_eq!(request.dns_names(), ["a.example.net", "b.example.net"]);
    assert!(asked[1..].iter().all(|one| one.to_string() == format!("GET {own}")));
    for name in ["cert.pem", "key.pem", "ca.pem"] {
        assert!(folder.file("ssl").join(name).exists(), "{name}");
    }
}

#[test]
fn an_old_request_is_replaced_or_kept() {
    let folder = Folder::new("certmanager-old");
    let cluster =
        Cluster::start(&folder, Authority::new_p256("CA", SystemTime::now()).expect("it works"));
    let old = json!({ "spec": { "request": "" } });
    cluster.state.lock().expect("it works").requests.insert("n1".to_owned(), old);
    let kept = "identity = n1\nplugin.security.certmanager.replace = no\n";
    let done = enroll(&cluster, &folder, kept, &["--wait", "1"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(
        done.stderr
            .contains("the CA holds a request for n1 that was made with another private key"),
        "{done:?}"
    );
    let done = enroll(&cluster, &folder, "identity = n1\n", &["--wait", "20"]);
    assert_eq!(done.code, 0, "{done:?}");
    let lines = cluster.https.lines();
    let own = format!("{REQUESTS}/n1");
    let expected = [
        format!("POST {REQUESTS}"),
        format!("DELETE {own}"),
        format!("POST {REQUESTS}"),
        format!("GET {own}"),
    ];
    assert_eq!(lines[2..6], expected, "{lines:?}");
}

#[test]
fn refusals_are_told() {
    let folder = Folder::new("certmanager-refused");
    let cluster =
        Cluster::start(&folder, Authority::new_p256("CA", SystemTime::now()).expect("it works"));
    cluster.state.lock().expect("it works").denial = Some("not for you");
    let done = enroll(&cluster, &folder, "identity = n1\n", &["--wait", "5"]);
    assert_eq!(done.code, 1, "{done:?}");
    let text = "choria: the certificate request was not granted: Denied: not for you\n";
    assert!(done.stderr.contains(text), "{done:?}");
    folder.write("account/token", "wrong");
    let done = enroll(&cluster, &folder, "identity = n1\n", &["--wait", "0"]);
    assert!(done.stderr.contains("with status 401: Unauthorized"), "{done:?}");
    fs::remove_file(folder.file("account/token")).expect("it works");
    let done = enroll(&cluster, &folder, "identity = n1\n", &["--wait", "0"]);
    assert!(done.stderr.contains("choria: cannot read "), "{done:?}");
}
