//! What a node and the authority say to each other: JSON on three subjects.
//!
//! | Subject | Account | Who may ask |
//! |---|---|---|
//! | [`ENROLL`] | [`ACCOUNT`] | whoever connects with a join token; can do nothing else |
//! | [`RENEW`] | that of the fleet | whoever has a certificate, for the same name and key |
//! | [`CRL`] | that of the fleet | everybody with a certificate |

use serde::{Deserialize, Serialize};

/// The account of connections that have no certificate yet.
pub const ACCOUNT: &str = "enrollment";
/// The user name of such connections; their token is in `auth_token`.
pub const USER: &str = "enrollment";
/// Where a first certificate is asked for.
pub const ENROLL: &str = "choria.ca.enroll";
/// Where the next certificate is asked for.
pub const RENEW: &str = "choria.ca.renew";
/// Where the list of revoked certificates is asked for.
pub const CRL: &str = "choria.ca.crl";
/// What answers to a node begin with; the identifier of its token follows.
pub const REPLIES: &str = "choria.ca.reply";
/// Bytes of a question.
pub const QUESTION_BYTES_MAX: usize = 32 * 1024;
/// Bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The subjects of answers to a node with this token.
pub fn replies(token_id: &str) -> String {
    format!("{REPLIES}.{token_id}")
}

/// Asks for a certificate.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The join token; none for a renewal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// The request for a certificate, PEM.
    pub csr: String,
}

/// The certificate, or why there is none.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The certificate, PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub certificate: String,
    /// The certificate of the authority, PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// What is revoked, PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub crl: String,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// What the authority says, or that it cannot be understood.
    pub fn read(bytes: &[u8]) -> Result<Answer, String> {
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err("the answer of the certificate authority is too large".to_owned());
        }
        let answer: Answer = serde_json::from_slice(bytes)
            .map_err(|_| "the answer of the certificate authority cannot be read".to_owned())?;
        match answer.error.is_empty() {
            true => Ok(answer),
            false => {
                // The text comes from the network and goes to a terminal.
                Err(crate::util::text::brief(&answer.error, 512))
            }
        }
    }

    /// The answer as bytes.
    pub fn encode(&self) -> Vec<u8> {
        // A struct of texts always has a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
