//! `choria enroll` with a Puppet CA: paths, headers and contents of what it asks, and each way it can end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use choria::crypto::csr::CertificateRequest;
use choria::crypto::issue::{Authority, KeyKind, LeafRequest};
use choria::enroll::Fingerprint;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::support::{Asked, Finished, Folder, Https, choria, run};

const DAY: Duration = Duration::from_secs(86_400);
const NAME: &str = "ann.mcollective";
const AGENT: &str = "Choria Orchestrator - http://choria.io";

/// What the CA knows.
#[derive(Default)]
struct State {
    /// The request it holds.
    request: Option<String>,
    /// The certificate it has issued.
    certificate: Option<String>,
    /// Questions for a certificate until it signs.
    patience: u32,
    /// What it says to a request instead of taking it.
    refusal: Option<(u16, String)>,
}

/// A Puppet CA as far as enrolment goes: an intermediate CA below a root.
struct PuppetCa {
    https: Https,
    state: Arc<Mutex<State>>,
    issuer: Arc<Authority>,
    root: Authority,
}

impl PuppetCa {
    fn start(patience: u32) -> PuppetCa {
        let now = SystemTime::now();
        let root = Authority::new_p256("Puppet Root CA", now).expect("it works");
        let issuer = Arc::new(root.intermediate("Puppet CA", now).expect("it works"));
        let mut request = LeafRequest::new("localhost", now, DAY);
        request.key = KeyKind::P256;
        let own = issuer.issue(&request).expect("it works");
        let state = Arc::new(Mutex::new(State { patience, ..State::default() }));
        let bundle = format!("{}{}", issuer.ca_pem(), root.ca_pem());
        let (known, signer) = (state.clone(), issuer.clone());
        let https = Https::start(&own.certificate_pem, &own.key_pem, move |asked| {
            answer(asked, &mut known.lock().expect("it works"), &signer, &bundle)
        });
        PuppetCa { https, state, issuer, root }
    }

    fn fingerprint(&self) -> String {
        let der = CertificateDer::from_pem_slice(self.root.ca_pem().as_bytes()).expect("it works");
        Fingerprint::of(&der).to_string()
    }

    fn enroll(&self, folder: &Folder, options: &[&str]) -> Finished {
        let ssl = folder.file("ssl");
        let config = folder.write(
            "client.conf",
            &format!(
                "plugin.choria.puppetca_host = localhost\nplugin.choria.puppetca_port = {}\n\
                 plugin.choria.ssldir = {}\n",
                self.https.port,
                ssl.display()
            ),
        );
        let mut command = choria();
        command.arg("enroll").args(options).arg("--config").arg(config);
        command.env("USER", "ann").env_remove("MCOLLECTIVE_CERTNAME");
        run(command, "")
    }
}

fn answer(asked: &Asked, state: &mut State, signer: &Authority, bundle: &str) -> (u16, String) {
    let target = asked.target.strip_suffix("?environment=production").unwrap_or_default();
    let kind = target.strip_prefix("/puppet-ca/v1/").unwrap_or_default();
    match (asked.method.as_str(), kind) {
        ("GET", "certificate/ca") => (200, bundle.to_owned()),
        ("PUT", "certificate_request/ann.mcollective") => {
            if let Some(refusal) = &state.refusal {
                return refusal.clone();
            }
            if state.request.is_some() {
                let text = format!(
                    "{NAME} already has a requested certificate; ignoring certificate request"
                );
                return (400, text);
            }
            state.request = Some(asked.body.clone());
            (200, String::new())
        }
        ("GET", "certificate_request/ann.mcollective") => match &state.request {
            Some(request) => (200, request.clone()),
            None => (404, "no".to_owned()),
        },
        ("GET", "certificate/ann.mcollective") => {
            if let (Some(request), 0, None) = (&state.request, state.patience, &state.certificate) {
                let request = CertificateRequest::from_pem(request.as_bytes()).expect("it works");
                let wish = LeafRequest::new(NAME, SystemTime::now(), DAY);
                state.certificate = Some(
                    signer.certify_public_key(&wish, request.public_key_der()).expect("it works"),
                );
            }
            state.patience = state.patience.saturating_sub(1);
            match &state.certificate {
                Some(certificate) => (200, certificate.clone()),
                None => (404, format!("Could not find certificate {NAME}")),
            }
        }
        _ => (500, format!("{asked} is no question for a CA")),
    }
}

fn question(method: &str, what: &str) -> String {
    format!("{method} /puppet-ca/v1/{what}?environment=production")
}

#[test]
fn the_ca_is_asked_as_it_expects_and_the_files_are_as_puppet_has_them() {
    let folder = Folder::new("enroll-whole");
    let ca = PuppetCa::start(1);
    let done = ca.enroll(&folder, &["--ca-fingerprint", &ca.fingerprint(), "--wait", "1"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.starts_with("The certificate is "), "{done:?}");
    let certificate = question("GET", "certificate/ann.mcollective");
    assert_eq!(
        ca.https.lines(),
        [
            question("GET", "certificate/ca"),
            question("PUT", "certificate_request/ann.mcollective"),
            certificate.clone(),
            certificate,
        ]
    );
    let asked = ca.https.asked();
    for one in &asked[1..] {
        assert_eq!(one.header("content-type"), Some("text/plain"), "{one}");
        assert_eq!(one.header("user-agent"), Some(AGENT), "{one}");
    }
    assert_eq!(asked[1].header("host"), Some("localhost"));
    let request = CertificateRequest::from_pem(asked[1].body.as_bytes()).expect("it works");
    assert_eq!(request.common_name(), Some(NAME));
    assert_eq!(request.organizational_unit(), Some("choria.io"));
    assert!(request.dns_names().is_empty());
    let print = Fingerprint::of(request.der()).with_colons();
    assert!(done.stderr.contains(&print), "{done:?}");
    for (path, mode) in [
        ("", 0o771),
        ("certs", 0o755),
        ("certificate_requests", 0o755),
        ("public_keys", 0o755),
        ("private_keys", 0o750),
        ("private", 0o750),
        ("private_keys/ann.mcollective.pem", 0o640),
        ("certificate_requests/ann.mcollective.pem", 0o640),
        ("certs/ann.mcollective.pem", 0o644),
        ("certs/ca.pem", 0o644),
    ] {
        let found =
            fs::metadata(folder.file("ssl").join(path)).expect("it works").permissions().mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
    let key = folder.file("ssl/private_keys/ann.mcollective.pem");
    assert!(
        fs::read_to_string(key).expect("it works").starts_with("-----BEGIN RSA PRIVATE KEY-----")
    );
    // Nothing is left to do, and the CA is not troubled with it.
    let again = ca.enroll(&folder, &["--yes"]);
    assert_eq!((again.code, ca.https.lines().len()), (1, 4), "{again:?}");
    assert!(again.stderr.starts_with("choria: enrolled already: the certificate "), "{again:?}");
    assert!(
        again
            .stderr
            .ends_with("hint: to enrol anew, remove this certificate and revoke it on the CA\n"),
        "{again:?}"
    );
    // What goes with a token goes with nothing else.
    for (options, expected) in [
        (&["--key", "rsa"][..], "choria: --key and --write-config need --token\n"),
        (
            &["--token", "x", "--yes"],
            "choria: a token says itself which CA it is for\n\
             hint: leave --ca, --ca-fingerprint and --yes out\n",
        ),
    ] {
        let refused = ca.enroll(&folder, options);
        assert_eq!((refused.code, refused.stderr.as_str()), (1, expected));
    }
    let nowhere = ca.enroll(&Folder::new("enroll-nowhere"), &["--ca", "127.0.0.1:1", "--yes"]);
    assert_eq!(nowhere.code, 1, "{nowhere:?}");
    assert!(nowhere.stderr.contains("say where the CA is"), "{nowhere:?}");
}

#[test]
fn an_interrupted_enrolment_goes_on_with_the_same_key() {
    let folder = Folder::new("enroll-resume");
    let ca = PuppetCa::start(3);
    let first = ca.enroll(&folder, &["--yes", "--wait", "0"]);
    assert_eq!(first.code, 3, "{first:?}");
    assert!(
        first.stderr.contains(
            "choria: no certificate for ann.mcollective was issued within 0s\n\
             hint: on the CA: puppetserver ca sign --certname ann.mcollective\n"
        ),
        "{first:?}"
    );
    let read = |name: &str| fs::read(folder.file("ssl").join(name)).expect("it works");
    let key = read("private_keys/ann.mcollective.pem");
    let request = read("certificate_requests/ann.mcollective.pem");
    let second = ca.enroll(&folder, &["--wait", "1"]);
    assert_eq!(second.code, 0, "{second:?}");
    assert_eq!(key, read("private_keys/ann.mcollective.pem"));
    assert_eq!(request, read("certificate_requests/ann.mcollective.pem"));
    assert_eq!(
        ca.https.lines().iter().filter(|line| line.ends_with("/ca?environment=production")).count(),
        1
    );
}

#[test]
fn another_ca_is_not_trusted() {
    let folder = Folder::new("enroll-trust");
    let ca = PuppetCa::start(0);
    let other = PuppetCa::start(0).fingerprint();
    let wrong = ca.enroll(&folder, &["--ca-fingerprint", &other]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(
        wrong.stderr.contains(&format!("choria: the CA is not {other} but sha256:")),
        "{wrong:?}"
    );
    let unasked = ca.enroll(&folder, &[]);
    assert_eq!(unasked.code, 1, "{unasked:?}");
    assert!(unasked.stderr.contains("nobody has said whether this is the right CA"), "{unasked:?}");
    assert!(unasked.stderr.contains(&ca.fingerprint()), "{unasked:?}");
    assert!(!folder.file("ssl/certs/ca.pem").exists());
    // Nothing but the CA itself was asked for.
    assert_eq!(ca.https.lines(), vec![question("GET", "certificate/ca"); 2]);
    // A CA that is known has to vouch for the server, and for the fingerprint.
    fs::write(folder.file("ssl/certs/ca.pem"), PuppetCa::start(0).root.ca_pem()).expect("it works");
    let known = ca.enroll(&folder, &[]);
    assert!(known.stderr.contains("TLS: its certificate was not issued by the CA"), "{known:?}");
    assert!(
        known.stderr.contains("hint: the CA in certs/ca.pem below the ssldir is trusted"),
        "{known:?}"
    );
    let known = ca.enroll(&folder, &["--ca-fingerprint", &ca.fingerprint()]);
    assert!(known.stderr.contains("choria: the CA is not sha256:"), "{known:?}");
    assert_eq!(ca.https.lines().len(), 2);
}

#[test]
fn a_name_that_somebody_else_has_is_told() {
    let folder = Folder::new("enroll-other");
    let ca = PuppetCa::start(9);
    let taken = ca.enroll(&folder, &["--yes", "--wait", "0"]);
    assert_eq!(taken.code, 3, "{taken:?}");
    let elsewhere = Folder::new("enroll-elsewhere");
    let second = ca.enroll(&elsewhere, &["--yes", "--wait", "0"]);
    assert_eq!(second.code, 1, "{second:?}");
    let text = "choria: the CA holds a request for ann.mcollective that was made with another private key\n";
    assert!(second.stderr.contains(text), "{second:?}");
    assert!(
        second.stderr.contains("puppetserver ca clean --certname ann.mcollective"),
        "{second:?}"
    );
    ca.state.lock().expect("it works").patience = 0;
    assert_eq!(ca.enroll(&folder, &["--wait", "0"]).code, 0);
    let third = ca.enroll(&elsewhere, &["--wait", "0"]);
    let text = "choria: the CA has issued a certificate for ann.mcollective that does not belong to our private key\n";
    assert!(third.stderr.contains(text), "{third:?}");
    assert!(!elsewhere.file("ssl/certs/ann.mcollective.pem").exists());
}

#[test]
fn what_the_ca_refuses_is_shown_and_what_does_not_fit_is_not_installed() {
    let folder = Folder::new("enroll-refused");
    let ca = PuppetCa::start(0);
    ca.state.lock().expect("it works").refusal = Some((403, "Forbidden request\nmore".to_owned()));
    let refused = ca.enroll(&folder, &["--yes", "--wait", "0"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let text =
        "choria: the CA refuses the certificate request with status 403: Forbidden request\n";
    assert!(refused.stderr.contains(text), "{refused:?}");
    ca.state.lock().expect("it works").refusal = None;
    // For our key, but for somebody else's name.
    let pem =
        fs::read(folder.file("ssl/certificate_requests/ann.mcollective.pem")).expect("it works");
    let request = CertificateRequest::from_pem(&pem).expect("it works");
    let wish = LeafRequest::new("bob.mcollective", SystemTime::now(), DAY);
    let certificate =
        ca.issuer.certify_public_key(&wish, request.public_key_der()).expect("it works");
    ca.state.lock().expect("it works").certificate = Some(certificate);
    let unfit = ca.enroll(&folder, &["--wait", "0"]);
    assert_eq!(unfit.code, 1, "{unfit:?}");
    assert!(unfit.stderr.contains("choria: the certificate is not used: "), "{unfit:?}");
    assert!(!folder.file("ssl/certs/ann.mcollective.pem").exists());
}
