//! A signing service that is an agent of the network: `aaa_signer`, action `sign`.

use std::fmt;
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::Credentials;
use super::web::shown;
use crate::ddl::Agent;
use crate::rpc::{Client, RequestOptions};
use crate::security::{Refused, RemoteSigner, Signing};

/// Characters that the service takes for each input.
const REQUEST_CHARS_MAX: usize = 100_240;
const TOKEN_CHARS_MAX: usize = 10_024;

/// What the agent says about itself, as far as it is needed to ask it.
const DESCRIPTION: &str = r#"{
  "metadata": {
    "name": "aaa_signer", "description": "Signs requests for callers", "author": "Choria",
    "license": "Apache-2.0", "version": "1.0.0", "url": "https://choria.io/", "timeout": 10,
    "service": true
  },
  "actions": [{
    "action": "sign", "description": "Sign a request", "display": "always",
    "input": {
      "request": {"prompt": "Request", "description": "The request", "type": "string", "maxlength": 100240, "validation": ".", "optional": false},
      "signature": {"prompt": "Signature", "description": "Signature over the request", "type": "string", "maxlength": 1024, "validation": ".", "optional": false},
      "token": {"prompt": "Token", "description": "Token of the caller", "type": "string", "maxlength": 10024, "validation": ".", "optional": false}
    },
    "output": {
      "secure_request": {"description": "The signed request", "display_as": "Request", "type": "string"}
    }
  }]
}"#;

/// Asks over the connection of a client. The request to the service is itself not signed: what is in it proves itself.
pub(in crate::rpc) struct ServiceSigner<'c> {
    client: &'c Client,
    credentials: &'c Credentials,
}

impl fmt::Debug for ServiceSigner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceSigner")
    }
}

impl<'c> ServiceSigner<'c> {
    pub(in crate::rpc) fn new(client: &'c Client, credentials: &'c Credentials) -> Self {
        Self { client, credentials }
    }

    async fn ask(&self, request: &[u8]) -> Result<Vec<u8>, Refused> {
        let failed = |reason: &dyn fmt::Display| {
            Refused(format!("the signing service of the network failed: {reason}"))
        };
        let proof = self.credentials.prove(request, SystemTime::now()).await?;
        let request =
            std::str::from_utf8(request).map_err(|_| failed(&"the request is not text"))?;
        let token = proof.token.expose();
        if request.len() > REQUEST_CHARS_MAX || token.len() > TOKEN_CHARS_MAX {
            return Err(Refused(format!(
                "the signing service takes requests of {REQUEST_CHARS_MAX} and tokens of {TOKEN_CHARS_MAX} characters, not more"
            )));
        }
        let inputs: Map<String, Value> =
            [("request", request), ("signature", &proof.signature), ("token", token)]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
        let agent = description().ok_or_else(|| failed(&"it is not described"))?;
        let replies = self.client.request(agent, "sign", inputs, RequestOptions::service()).await;
        let mut replies = replies.map_err(|error| failed(&error))?;
        let Some(reply) = replies.next().await else {
            return Err(failed(&"no answer; is an aaa_signer service running in this collective?"));
        };
        if !reply.is_ok() {
            let message = shown(&reply.message);
            return Err(Refused(format!("the signing service refused it: {message}")));
        }
        match reply.data.get("secure_request").and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Ok(text.as_bytes().to_vec()),
            _ => Err(failed(&"its answer holds no request")),
        }
    }
}

impl RemoteSigner for ServiceSigner<'_> {
    fn sign<'a>(&'a self, request: &'a [u8]) -> Signing<'a> {
        Box::pin(self.ask(request))
    }
}

fn description() -> Option<&'static Agent> {
    static AGENT: OnceLock<Option<Agent>> = OnceLock::new();
    AGENT.get_or_init(|| Agent::parse(DESCRIPTION.as_bytes()).ok()).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_described() {
        let agent = description().unwrap();
        assert!(agent.metadata.service && agent.action("sign").is_some());
    }
}
