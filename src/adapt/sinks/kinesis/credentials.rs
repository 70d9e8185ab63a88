//! Keys for AWS: from the environment, from files, or from the service that gives a container or machine its own.
//!
//! What a service gives ends at some time, and is asked for again before that. Files are read again as often, so that keys
//! can be changed under a running adapter.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Deserialize;

use crate::http::fetch::{Ask, Fetcher, Verb};
use crate::util::secret::Secret;

/// How long keys without an end are used before they are looked for again.
const LIFE: Duration = Duration::from_secs(300);
/// Keys that end are renewed this long before.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
/// The address of the metadata service of a machine in EC2.
pub const INSTANCE_ENDPOINT: &str = "http://169.254.169.254";
/// The address of the service for containers.
pub const CONTAINER_ENDPOINT: &str = "http://169.254.170.2";
/// Seconds that a token of the metadata service lives.
const TOKEN_SECONDS: &str = "60";
/// Longest file with keys.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The id of the access key.
    pub id: String,
    /// The secret access key.
    pub secret: Secret<String>,
    /// What goes with temporary keys.
    pub token: Option<Secret<String>>,
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// They are given.
    Fixed(Keys),
    /// A file in the form of `~/.aws/credentials`.
    File {
        /// The file.
        path: PathBuf,
        /// The section of it.
        profile: String,
    },
    /// A service that answers with keys in JSON: for containers.
    Service {
        /// Its address.
        url: String,
        /// A file with what is shown to it.
        token_file: Option<PathBuf>,
        /// What is shown to it.
        token: Option<Secret<String>>,
    },
    /// The metadata service of a machine in EC2, version 2.
    Instance {
        /// Its address, such as [`INSTANCE_ENDPOINT`].
        endpoint: String,
    },
}

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoKeys(pub(super) String);

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no AWS credentials: {}", self.0)
    }
}

/// Keys, kept until they are to be renewed.
#[derive(Debug)]
pub(super) struct Credentials {
    source: Source,
    /// For addresses in clear too: the services listen on the machine itself.
    fetcher: Fetcher,
    held: Option<(Keys, SystemTime)>,
}

/// What services answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Credentials {
    pub(super) fn new(source: Source, fetcher: Fetcher) -> Self {
        Self { source, fetcher, held: None }
    }

    /// Keys that are good now.
    pub(super) async fn keys(&mut self, now: SystemTime) -> Result<Keys, NoKeys> {
        if let Some((keys, until)) = &self.held
            && now < *until
        {
            return Ok(keys.clone());
        }
        let (keys, ends) = match &self.source {
            Source::Fixed(keys) => (keys.clone(), None),
            Source::File { path, profile } => {
                let text = read(path.clone()).await?;
                let keys = in_profile(&text, profile).ok_or_else(|| {
                    NoKeys(format!("{} has no keys for the profile {profile:?}", path.display()))
                })?;
                (keys, None)
            }
            Source::Service { url, token_file, token } => {
                let mut ask = Ask::new(Verb::Get, url);
                if let Some(path) = token_file {
                    ask = ask.header("Authorization", read(path.clone()).await?.trim());
                } else if let Some(token) = token {
                    ask = ask.header("Authorization", token.expose());
                }
                given(url, &self.ask(url, ask).await?)?
            }
            Source::Instance { endpoint } => self.of_instance(endpoint).await?,
        };
        // One that ends soon is used all the same, until the service has another.
        let until = match ends {
            Some(ends) => (ends - RENEWED_BEFORE).max(now + Duration::from_secs(1)),
            None => now + LIFE,
        };
        self.held = Some((keys.clone(), until));
        Ok(keys)
    }

    /// The service does not believe them: they are looked for again.
    pub(super) fn doubt(&mut self) {
        self.held = None;
    }

    async fn of_instance(&self, endpoint: &str) -> Result<(Keys, Option<SystemTime>), NoKeys> {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let url = format!("{endpoint}/latest/api/token");
        let ask =
            Ask::new(Verb::Put, &url).header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
        let token = text(self.ask(&url, ask).await?)?;
        let shown =
            |url: &str| Ask::new(Verb::Get, url).header("X-aws-ec2-metadata-token", token.trim());
        let url = format!("{endpoint}{ROLES}");
        let roles = text(self.ask(&url, shown(&url)).await?)?;
        let role = roles.lines().map(str::trim).find(|role| !role.is_empty());
        let role = role.ok_or_else(|| NoKeys("this machine has no role".to_owned()))?;
        let url = format!("{endpoint}{ROLES}{role}");
        given(&url, &self.ask(&url, shown(&url)).await?)
    }

    async fn ask(&self, url: &str, ask: Ask) -> Result<Vec<u8>, NoKeys> {
        let answer = self.fetcher.send(ask).await;
        let answer = answer.map_err(|error| NoKeys(format!("{url}: {error}")))?;
        if answer.status != 200 {
            return Err(NoKeys(format!("{url}: status {} {}", answer.status, answer.first_line())));
        }
        Ok(answer.body)
    }
}

fn text(body: Vec<u8>) -> Result<String, NoKeys> {
    String::from_utf8(body)
        .map_err(|_| NoKeys("the metadata service does not answer in text".to_owned()))
}

fn given(url: &str, body: &[u8]) -> Result<(Keys, Option<SystemTime>), NoKeys> {
    let given: Given =
        serde_json::from_slice(body).map_err(|error| NoKeys(format!("{url}: {error}")))?;
    let keys = Keys {
        id: given.access_key_id,
        secret: Secret::new(given.secret_access_key),
        token: given.token.filter(|token| !token.is_empty()).map(Secret::new),
    };
    let ends = match given.expiration {
        None => None,
        Some(text) => Some(
            text.parse::<Timestamp>()
                .map_err(|_| NoKeys(format!("{url}: the end {text:?} is no time")))?
                .into(),
        ),
    };
    Ok((keys, ends))
}

async fn read(path: PathBuf) -> Result<String, NoKeys> {
    let shown = path.display().to_string();
    let bytes = smol::fs::read(&path).await.map_err(|error| NoKeys(format!("{shown}: {error}")))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(NoKeys(format!("{shown}: larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| NoKeys(format!("{shown}: not text")))
}

/// The keys of one section of a file like `~/.aws/credentials`.
fn in_profile(text: &str, profile: &str) -> Option<Keys> {
    let (mut is_in, mut id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_in = name.trim() == profile;
        } else if is_in && let Some((key, value)) = line.split_once('=') {
            let value = value.trim().to_owned();
            match key.trim() {
                "aws_access_key_id" => id = Some(value),
                "aws_secret_access_key" => secret = Some(value),
                "aws_session_token" => token = Some(value),
                _ => {}
            }
        }
    }
    let token = token.filter(|token| !token.is_empty()).map(Secret::new);
    Some(Keys { id: id?, secret: Secret::new(secret?), token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read() {
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=S=x\n\n[other]\n# c\naws_access_key_id=B\naws_secret_access_key = T\naws_session_token = U\n[half]\naws_access_key_id = C\n";
        for (profile, expected) in [
            ("default", Some(("A", "S=x", None))),
            ("other", Some(("B", "T", Some("U")))),
            ("half", None),
            ("none", None),
        ] {
            let got = in_profile(text, profile);
            let expected = expected.map(|(id, secret, token)| Keys {
                id: id.to_owned(),
                secret: Secret::new(secret.to_owned()),
                token: token.map(|token| Secret::new(token.to_owned())),
            });
            assert_eq!(got, expected, "{profile}");
        }
    }

    #[test]
    fn answers_of_services_are_read() {
        let body = br#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2026-01-02T03:04:05Z"}"#;
        let (keys, ends) = given("u", body).expect("good");
        assert_eq!((keys.id.as_str(), keys.secret.expose().as_str()), ("A", "S"));
        assert!(keys.token.is_some_and(|token| token.expose() == "T"));
        let seconds = ends.and_then(|ends| ends.duration_since(SystemTime::UNIX_EPOCH).ok());
        assert_eq!(seconds.map(|ends| ends.as_secs()), Some(1_767_323_045));
        for body in [
            &b""[..],
            b"{}",
            b"[]",
            br#"{"AccessKeyId":1}"#,
            b"\xff",
            br#"{"AccessKeyId":"A","SecretAccessKey":"S","Expiration":"soon"}"#,
        ] {
            assert!(given("u", body).is_err());
        }
    }
}
