//! `choria enroll`: gets a certificate, with a join token or from the authority of the security provider.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::join::{self, key_kind};
use crate::cli::render::style::printable;
use crate::cli::session::unless_interrupted;
use crate::crypto::key::KeyKind;
use crate::enroll::puppet::{self, Bundle};
use crate::enroll::{Enrolled, Error, Fingerprint, certmanager};
use crate::http::fetch::FetchError;
use crate::settings::{self, Enrolment, EnrolmentWish};
use crate::util::{duration, time};

/// Get a certificate, with a join token through a running broker, or from the authority of the
/// security provider: a Puppet CA or cert-manager. The private key is made here and stays here.
/// Without a token, run it again to go on after an interruption.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} --token - --certname web1.example.net < token\n{command_name} --ca puppet.example.net --ca-fingerprint sha256:5ed4…\n{command_name} --certname n1.example.net --wait 1h",
    note = "Exit codes:\n\
        0 the certificate is in its place\n\
        1 it was refused, or something is wrong\n\
        3 nobody has signed the request yet"
)]
pub struct Enroll {
    /// the join token, or - for standard input
    #[argh(option, arg_name = "token")]
    token: Option<String>,
    /// the name in the certificate; when not given, told by the token or this computer, without a token
    /// USER.mcollective
    #[argh(option, arg_name = "name")]
    certname: Option<String>,
    /// the folder that gets certs and private_keys; with a token /etc/choria/ssl for root by default,
    /// without one what is configured
    #[argh(option, arg_name = "folder")]
    ssldir: Option<PathBuf>,
    /// with a token, the kind of a new key; rsa for clients and p256 for others by default
    #[argh(option, arg_name = "rsa|p256|ed25519", from_str_fn(key_kind))]
    key: Option<KeyKind>,
    /// with a token, write a configuration with what it says; the file must not exist
    #[argh(option, arg_name = "file")]
    write_config: Option<PathBuf>,
    /// where the Puppet CA is, HOST or HOST:PORT, instead of what is configured
    #[argh(option, arg_name = "host")]
    ca: Option<CaHost>,
    /// the SHA-256 fingerprint of the CA certificate, sha256:HEX: another CA is not trusted
    #[argh(option, arg_name = "fingerprint")]
    ca_fingerprint: Option<Fingerprint>,
    /// trust the CA that answers without comparing its fingerprint
    #[argh(switch)]
    yes: bool,
    /// how long to wait for the certificate, 250s by default; 0 asks once
    #[argh(option, arg_name = "time", default = "puppet::WAIT", from_str_fn(length))]
    wait: Duration,
}

/// `HOST` or `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CaHost {
    host: String,
    port: u16,
}

impl FromStr for CaHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.split_once(':').unwrap_or((text, "8140"));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() && host.chars().all(is_plain) => {
                Ok(CaHost { host: host.to_owned(), port })
            }
            _ => Err(format!("{text:?} is not HOST or HOST:PORT")),
        }
    }
}

fn length(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

impl Subcommand for Enroll {
    async fn run(mut self, context: &Context) -> Result<Exit, Failure> {
        if let Some(token) = self.token.take() {
            return self.join(token, context).await;
        }
        if self.key.is_some() || self.write_config.is_some() {
            return Err(Failure::new("--key and --write-config need --token"));
        }
        let config = context.client_config()?;
        let wish = EnrolmentWish {
            certname: self.certname.clone(),
            folder: self.ssldir.clone(),
            ca: self.ca.clone().map(|ca| (ca.host, ca.port)),
            expected: self.ca_fingerprint,
            wait: self.wait,
        };
        let enrolment = settings::enrolment(&config, &context.environment(), wish)?;
        let working = async {
            match enrolment {
                Enrolment::Puppet(settings) => self.ask_puppet(settings).await,
                Enrolment::CertManager(settings) => ask_certmanager(settings).await,
            }
        };
        let Ok(outcome) = unless_interrupted(context, working).await else {
            note("Interrupted; run the same command again to go on.");
            return Ok(Exit::Interrupted);
        };
        let enrolled = outcome?;
        let expires = time::rfc3339(enrolled.expires);
        writeln!(
            std::io::stdout(),
            "The certificate is {}, valid until {expires}",
            enrolled.certificate.display()
        )?;
        Ok(Exit::Success)
    }
}

impl Enroll {
    async fn join(self, token: String, context: &Context) -> Result<Exit, Failure> {
        if self.ca.is_some() || self.ca_fingerprint.is_some() || self.yes {
            return Err(Failure::new("a token says itself which CA it is for")
                .hint("leave --ca, --ca-fingerprint and --yes out"));
        }
        let wish = join::Wish {
            token,
            certname: self.certname,
            folder: self.ssldir,
            key: self.key,
            config: self.write_config,
        };
        join::run(wish, context).await
    }

    async fn ask_puppet(&self, settings: puppet::Settings) -> Result<Enrolled, Failure> {
        let identity = settings.identity.clone();
        let failed = |error: Error| failure(&error, &identity);
        let enrolment = puppet::Enrolment::begin(settings).await.map_err(failed)?;
        note(&format!("Enrolling {identity} with the Puppet CA at {}", enrolment.url()));
        if let Some(bundle) = enrolment.authority().await.map_err(failed)? {
            self.confirm(&bundle, enrolment.url()).await?;
            enrolment.trust(&bundle).map_err(failed)?;
        }
        let print = Fingerprint::of(enrolment.material().request().der()).with_colons();
        note(&format!("Fingerprint of the certificate request (SHA256):\n  {print}"));
        let mut tell = |progress: puppet::Progress<'_>| match progress {
            puppet::Progress::Submitted => note("The CA has taken the certificate request"),
            puppet::Progress::SubmittedBefore => {
                note("The CA has this certificate request, or its certificate, from before");
            }
            puppet::Progress::Attempt(1) => {}
            puppet::Progress::Attempt(2) => note(&format!(
                "Waiting for the certificate. To sign the request, after comparing its fingerprint, on the CA:\n  \
                 puppetserver ca list\n  puppetserver ca sign --certname {identity}"
            )),
            puppet::Progress::Attempt(number) => {
                note(&format!("Asking for the certificate, try {number}"))
            }
            puppet::Progress::Trouble(error) => note(&format!("{error}; trying again")),
        };
        enrolment.run(&mut tell).await.map_err(failed)
    }

    /// Lets a person say whether this is the right CA.
    async fn confirm(&self, bundle: &Bundle, url: &str) -> Result<(), Failure> {
        note(&format!("Certificates of the CA at {url}:"));
        for certificate in bundle.certificates() {
            note(&format!("  {}\n    {}", printable(&certificate.name), certificate.fingerprint));
        }
        if self.yes {
            note("Trusting this CA without comparing its fingerprint (--yes)");
            return Ok(());
        }
        let anchor = bundle.anchor().map(|anchor| anchor.fingerprint);
        let hint = match anchor {
            Some(print) => format!(
                "if this is the fingerprint that the CA shows, repeat with --ca-fingerprint {print}"
            ),
            None => "--yes trusts all of these certificates".to_owned(),
        };
        let how = "on the CA: openssl x509 -noout -fingerprint -sha256 -in FILE for each certificate in the file \
                   that puppet config print cacert --section server names";
        let refused = |text: &str| Err(Failure::new(text).hint(hint.clone()).hint(how));
        let answer = match std::io::stdin().is_terminal() {
            true => Some(smol::unblock(|| ask(&mut std::io::stdin().lock())).await?),
            false => None,
        };
        judge(answer.as_deref()).or_else(refused)
    }
}

async fn ask_certmanager(settings: certmanager::Settings) -> Result<Enrolled, Failure> {
    let identity = settings.identity.clone();
    let (namespace, issuer) = (&settings.namespace, &settings.issuer);
    note(&format!(
        "Enrolling {identity} with cert-manager, namespace {namespace}, issuer {issuer}"
    ));
    let mut tell = |progress: certmanager::Progress<'_>| match progress {
        certmanager::Progress::Submitted => note("The certificate request was created"),
        certmanager::Progress::Replaced => note("An old certificate request was removed"),
        certmanager::Progress::Attempt(number) => {
            note(&format!("Asking for the certificate, try {number}"));
        }
        certmanager::Progress::Trouble(error) => note(&format!("{error}; trying again")),
    };
    certmanager::run(settings, &mut tell).await.map_err(|error| failure(&error, &identity))
}

/// Asks whoever writes into this terminal.
fn ask(terminal: &mut impl BufRead) -> Result<String, Failure> {
    /// Bytes of an answer.
    const BYTES_MAX: u64 = 4096;
    let mut line = String::new();
    eprint!("Is this the right CA? [y/N] ");
    std::io::Read::take(terminal, BYTES_MAX)
        .read_line(&mut line)
        .map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?;
    Ok(line)
}

/// Whether an answer says that this is the right CA; without a terminal there is none.
fn judge(answer: Option<&str>) -> Result<(), &'static str> {
    match answer.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Some("y" | "yes") => Ok(()),
        Some(_) => Err("the CA is not trusted"),
        None => Err("nobody has said whether this is the right CA"),
    }
}

/// Progress goes to standard error, line by line.
fn note(text: &str) {
    eprintln!("{}", printable(text));
}

/// What to do next, for each kind of end.
fn failure(error: &Error, identity: &str) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        Error::Enrolled { .. } => {
            failure.hint("to enrol anew, remove this certificate and revoke it on the CA")
        }
        Error::Leftover { certificate, .. } => {
            failure.hint(format!("remove {} to enrol anew", certificate.display()))
        }
        Error::OtherRequest { .. } | Error::OtherCertificate { .. } => failure
            .hint(format!("if nobody else uses the name {identity}, remove it on the CA: puppetserver ca clean --certname {identity}"))
            .hint("then run this command again"),
        Error::NotSigned { .. } => failure
            .hint(format!("on the CA: puppetserver ca sign --certname {identity}"))
            .hint("then run this command again, it goes on where it was")
            .exit(Exit::NoAnswer),
        Error::OtherAuthority { .. } => failure.hint(
            "this may be another CA than the one you expect, or somebody in between: compare with the fingerprint on the CA",
        ),
        Error::Unreachable { source: FetchError::Tls(_), .. } => failure.hint(
            "the CA in certs/ca.pem below the ssldir is trusted: remove that file if the CA was replaced",
        ),
        Error::Unreachable { .. } => failure.hint(
            "--ca HOST:PORT, or plugin.choria.puppetca_host and plugin.choria.puppetca_port, say where the CA is",
        ),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_the_ca() {
        let place = |host: &str, port| Ok(CaHost { host: host.to_owned(), port });
        assert_eq!("ca".parse::<CaHost>(), place("ca", 8140));
        assert_eq!("ca.example.net:1".parse::<CaHost>(), place("ca.example.net", 1));
        for text in ["", ":1", "ca:0", "ca:x", "ca:1:2", "a/b", "https://ca"] {
            assert!(text.parse::<CaHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_ca_is_trusted_by_a_clear_yes_only() {
        let answer = |typed: &str| ask(&mut typed.as_bytes()).map(|line| judge(Some(&line)));
        for typed in ["y\n", "Yes\n", " YES \r\n", "y"] {
            assert_eq!(answer(typed).unwrap(), Ok(()), "{typed}");
        }
        for typed in ["", "\n", "n\n", "no\n", "yep\n", "n\nyes\n", &"y".repeat(10_000)] {
            assert_eq!(answer(typed).unwrap(), Err("the CA is not trusted"), "{typed}");
        }
        assert!(ask(&mut &b"\xff\n"[..]).is_err());
        assert_eq!(judge(None), Err("nobody has said whether this is the right CA"));
    }
}
