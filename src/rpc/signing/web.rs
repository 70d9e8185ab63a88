//! A signing service that is asked over HTTPS.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::Credentials;
use crate::http::fetch::{Ask, Fetcher, Verb};
use crate::security::{Refused, RemoteSigner, Signing};

/// Characters of a refusal that are shown.
const REASON_CHARS_MAX: usize = 300;

/// Asks `POST <url>`. The service's certificate is verified as the given [`Fetcher`] was told to.
#[derive(Debug)]
pub struct WebSigner {
    fetcher: Fetcher,
    url: String,
    credentials: Arc<Credentials>,
}

#[derive(Serialize)]
struct Question<'a> {
    token: &'a str,
    request: String,
    signature: &'a str,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    secure_request: Option<String>,
    error: Option<String>,
}

impl WebSigner {
    /// One for the service at `url`.
    pub fn new(fetcher: Fetcher, url: String, credentials: Arc<Credentials>) -> Self {
        Self { fetcher, url, credentials }
    }

    async fn ask(&self, request: &[u8]) -> Result<Vec<u8>, Refused> {
        let proof = self.credentials.prove(request, SystemTime::now()).await?;
        let question = Question {
            token: proof.token.expose(),
            request: BASE64.encode(request),
            signature: &proof.signature,
        };
        // Text and base64 are JSON always.
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let ask =
            Ask::new(Verb::Post, &self.url).header("Content-Type", "application/json").body(body);
        let failed = |reason: &dyn fmt::Display| {
            Refused(format!("the signing service at {} failed: {reason}", self.url))
        };
        let answered = self.fetcher.send(ask).await.map_err(|error| failed(&error))?;
        if answered.status != 200 {
            return Err(failed(&format!("it answered with status {}", answered.status)));
        }
        let answer: Answer = serde_json::from_slice(&answered.body)
            .map_err(|_| failed(&"its answer is not the JSON it should be"))?;
        if let Some(reason) = answer.error.filter(|reason| !reason.is_empty()) {
            return Err(Refused(format!("the signing service refused it: {}", shown(&reason))));
        }
        match answer.secure_request.filter(|text| !text.is_empty()) {
            Some(text) => {
                BASE64.decode(text.as_bytes()).map_err(|_| failed(&"its answer is not base64"))
            }
            None => Err(failed(&"its answer holds no request")),
        }
    }
}

impl RemoteSigner for WebSigner {
    fn sign<'a>(&'a self, request: &'a [u8]) -> Signing<'a> {
        Box::pin(self.ask(request))
    }
}

/// What a service says, as part of a line for a person.
pub(super) fn shown(text: &str) -> String {
    crate::util::text::brief(text, REASON_CHARS_MAX)
}
