//! The first certificate of a node, through a running broker and with a join token.
//!
//! The key is made here and stays here. The broker is believed only when it shows the authority that the token names, and
//! so is the answer: the certificate must be for our key and name, and of that authority.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::renewal::is_better;
use crate::ca::files::{Shelf, Unwritten};
use crate::ca::join::{self, BadToken, Claims};
use crate::ca::wire::{self, Answer, Question};
use crate::ca::{Profile, names};
use crate::crypto::csr::{CertificateRequest, Wish};
use crate::crypto::hash::sha256_hex;
use crate::crypto::key::{KeyKind, PrivateKey};
use crate::crypto::x509::Certificate;
use crate::nats::client::{self, Client, Options};
use crate::net::servers::{self, ServerList};
use crate::protocol::Saying;
use crate::security::{Authority, tls};
use crate::util::secret::Secret;
use crate::util::time::{self, rfc3339};

/// Time for one attempt to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Time for the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What to ask for.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The join token.
    pub token: Secret<String>,
    /// The name in the certificate.
    pub identity: String,
    /// Where key and certificates go.
    pub shelf: Shelf,
    /// The kind of a new key; chosen by the use of the certificate when not given.
    pub key: Option<KeyKind>,
}

/// What was got.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Until when the certificate is valid.
    pub expires: SystemTime,
    /// The broker that was asked.
    pub broker: String,
}

/// Why there is no certificate.
#[derive(Debug)]
pub enum Error {
    /// The token is of no use.
    Token(BadToken),
    /// The token has ended.
    Expired(SystemTime),
    /// The token does not allow the name.
    Name {
        /// The name.
        name: String,
        /// Those that it allows.
        allowed: Vec<String>,
    },
    /// The addresses of brokers in the token cannot be used.
    Brokers(String),
    /// The key or a certificate cannot be written.
    File(Unwritten),
    /// The key cannot be used.
    Key(String),
    /// TLS cannot be set up.
    Tls(String),
    /// No broker was reached, or it let us not in.
    Connect(client::Error),
    /// No authority answered.
    NoAnswer(client::Error),
    /// The authority refused.
    Refused(String),
    /// The answer does not fit the question.
    Answer(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Token(bad) => write!(f, "cannot use the join token: {bad}"),
            Error::Expired(at) => write!(f, "the join token ended at {}", rfc3339(*at)),
            Error::Name { name, allowed } => {
                write!(f, "the join token is not for {name} but for {}", allowed.join(", "))
            }
            Error::Brokers(reason) => {
                write!(f, "cannot use the brokers in the join token: {reason}")
            }
            Error::File(unwritten) => write!(f, "{unwritten}"),
            Error::Key(reason) => write!(f, "cannot use the private key: {reason}"),
            Error::Tls(reason) => write!(f, "TLS is not set up: {reason}"),
            Error::Connect(error) => write!(f, "{error}"),
            Error::NoAnswer(error) => {
                write!(f, "the certificate authority does not answer: {error}")
            }
            Error::Refused(reason) => {
                write!(f, "the certificate authority refused: {}", Saying(reason))
            }
            Error::Answer(reason) => write!(
                f,
                "the answer of the certificate authority is not accepted: {}",
                Saying(reason)
            ),
        }
    }
}

impl std::error::Error for Error {}

/// The kind of key for a certificate: requests of protocol v1 are signed with RSA keys.
fn usual_key(profile: Profile) -> KeyKind {
    match profile {
        Profile::Client => KeyKind::Rsa2048,
        Profile::Server | Profile::Broker => KeyKind::P256,
    }
}

/// Reads a join token for its user; it is not verified, which only the authority can do.
///
/// # Errors
/// Why it is of no use.
pub fn read_token(token: &Secret<String>, now: SystemTime) -> Result<Claims, Error> {
    let claims = join::read(token.expose()).map_err(Error::Token)?;
    let ends = time::from_unix(claims.expires);
    match now < ends {
        true => Ok(claims),
        false => Err(Error::Expired(ends)),
    }
}

/// Gets a certificate and puts it in its place. What an earlier attempt has made is used again.
///
/// # Errors
/// Why there is none.
pub async fn join(
    settings: Settings,
    executor: Arc<smol::Executor<'static>>,
) -> Result<Joined, Error> {
    let claims = read_token(&settings.token, SystemTime::now())?;
    let name = settings.identity.clone();
    if !names::is_well_formed(&name) || !claims.allows(&name) {
        return Err(Error::Name { name, allowed: claims.names });
    }
    let kind = settings.key.unwrap_or(usual_key(claims.profile));
    let (shelf, identity) = (settings.shelf.clone(), name.clone());
    // Making an RSA key takes its time.
    let key = smol::unblock(move || shelf.key(&identity, || PrivateKey::generate(kind))).await;
    let key = key.map_err(Error::File)?;
    let options = options(&claims, &settings, executor)?;
    let client = Client::connect(options).await.map_err(Error::Connect)?;
    let broker = client.connected_url().unwrap_or_default();
    let answered = ask(&client, &settings.token, &name, &key).await;
    client.close().await;
    let answer = answered?;
    let expires = check(&answer, &claims, &name, &key, SystemTime::now())?;
    let shelf = settings.shelf;
    smol::unblock(move || shelf.put(&name, &answer.certificate, &answer.ca, &answer.crl))
        .await
        .map_err(Error::File)?;
    Ok(Joined { expires, broker })
}

fn options(
    claims: &Claims,
    settings: &Settings,
    executor: Arc<smol::Executor<'static>>,
) -> Result<Options, Error> {
    let brokers =
        servers::parse_hosts(&claims.brokers).map_err(|error| Error::Brokers(error.to_string()))?;
    if brokers.is_empty() {
        return Err(Error::Brokers("there are none".to_owned()));
    }
    let mut fingerprint = [0; 32];
    let bytes = HEXLOWER.decode(claims.fingerprint.as_bytes()).unwrap_or_default();
    if bytes.len() != fingerprint.len() {
        return Err(Error::Token(BadToken::Claim("ca")));
    }
    fingerprint.copy_from_slice(&bytes);
    let mut options = Options::new(ServerList::fixed(brokers), executor);
    let tls = tls::pinned_client(fingerprint).map_err(|error| Error::Tls(error.to_string()))?;
    options.tls = Some(tls);
    options.name.clone_from(&settings.identity);
    options.user = Some(wire::USER.to_owned());
    options.token = Some(settings.token.clone());
    options.inbox_prefix = wire::replies(&claims.id);
    options.connect_timeout = CONNECT_LIMIT;
    Ok(options)
}

async fn ask(
    client: &Client,
    token: &Secret<String>,
    name: &str,
    key: &PrivateKey,
) -> Result<Answer, Error> {
    let question = Question { token: token.expose().clone(), csr: request(name, key)? };
    // A struct of texts always has a JSON form.
    let question = serde_json::to_vec(&question).unwrap_or_default();
    let answer = client.request(wire::ENROLL, &question, ANSWER_LIMIT).await;
    Answer::read(&answer.map_err(Error::NoAnswer)?.payload).map_err(Error::Refused)
}

/// The request for a certificate of this name, PEM.
///
/// # Errors
/// When the key fails.
pub fn request(name: &str, key: &PrivateKey) -> Result<String, Error> {
    let wish =
        Wish { common_name: name.to_owned(), dns_names: vec![name.to_owned()], ..Wish::default() };
    let request = CertificateRequest::make(&wish, key.pem());
    Ok(request.map_err(|error| Error::Key(error.to_string()))?.pem())
}

/// Checks that the answer is for us, and of whom the token names. Gives the end of the validity.
fn check(
    answer: &Answer,
    claims: &Claims,
    name: &str,
    key: &PrivateKey,
    now: SystemTime,
) -> Result<SystemTime, Error> {
    let unfit = |text: &str| Error::Answer(text.to_owned());
    // All of it would be trusted from now on, and the broker on the way could have added to it.
    let mut certificates = CertificateDer::pem_slice_iter(answer.ca.as_bytes());
    let (Some(Ok(ca)), None) = (certificates.next(), certificates.next()) else {
        return Err(unfit("it has to hold one CA certificate"));
    };
    if sha256_hex(&ca) != claims.fingerprint {
        return Err(unfit("the CA certificate is not the one of the join token"));
    }
    if !answer.crl.is_empty() {
        is_better(&answer.crl, "", &answer.ca, now).map_err(Error::Answer)?;
    }
    check_certificate(answer, name, key, now).map_err(Error::Answer)
}

/// Checks that a certificate is for this name and key, and of the authority that comes with it.
pub(super) fn check_certificate(
    answer: &Answer,
    name: &str,
    key: &PrivateKey,
    now: SystemTime,
) -> Result<SystemTime, String> {
    let der = CertificateDer::from_pem_slice(answer.certificate.as_bytes())
        .map_err(|_| "it has no certificate".to_owned())?;
    let read = Certificate::from_der(&der).map_err(|error| error.to_string())?;
    if read.public_key_der() != key.public_key_info() {
        return Err("the certificate is for another key".to_owned());
    }
    if read.common_name() != Some(name) {
        return Err("the certificate is for another name".to_owned());
    }
    let authority = Authority::from_pem(answer.ca.as_bytes())?;
    authority.verify_pem(answer.certificate.as_bytes(), now).map_err(|error| error.to_string())?;
    Ok(read.not_after())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::crl;
    use crate::crypto::issue::{Authority as Issuer, LeafRequest};

    #[test]
    fn an_answer_brings_nothing_that_the_token_does_not_name() {
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let issuer = Issuer::new_p256("Test CA", now).unwrap();
        let impostor = Issuer::new_p256("Test CA", now).unwrap();
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let request = LeafRequest::new("n1", now, day);
        let certificate = issuer.certify_public_key(&request, &key.public_key_info()).unwrap();
        let mut claims = Claims::new(vec!["n1".to_owned()], now, day);
        let der = CertificateDer::from_pem_slice(issuer.ca_pem().as_bytes()).unwrap();
        claims.fingerprint = sha256_hex(&der);
        let list = |from: &Issuer| crl::sign(from, &[], 1, now, day).unwrap();
        let error = |ca: String, crl: String| {
            let certificate = certificate.clone();
            let answer = Answer { certificate, ca, crl, ..Answer::default() };
            check(&answer, &claims, "n1", &key, now).err().map(|error| error.to_string())
        };
        let start = "the answer of the certificate authority is not accepted: ";
        let (ours, theirs) = (issuer.ca_pem(), impostor.ca_pem());
        for (ca, crl, expected) in [
            (ours.to_owned(), String::new(), None),
            (ours.to_owned(), list(&issuer), None),
            (format!("{ours}{theirs}"), String::new(), Some("it has to hold one CA certificate")),
            (String::new(), String::new(), Some("it has to hold one CA certificate")),
            (
                theirs.to_owned(),
                String::new(),
                Some("the CA certificate is not the one of the join token"),
            ),
            (
                ours.to_owned(),
                list(&impostor),
                Some("the list is not signed by the trusted authority"),
            ),
        ] {
            assert_eq!(error(ca, crl), expected.map(|text| format!("{start}{text}")));
        }
    }
}
