//! A message as nodes send it, for those who want to see what would become of one.

use std::time::SystemTime;

use super::{Form, Input, Record, Transformer};
use crate::protocol::event::{Event, Kind};
use crate::protocol::{Request, Transport, Version, v1};
use crate::util::time;

/// Who sends it.
const SENDER: &str = "node1.example.net";
/// What registration data may look like.
const DATA: &[u8] = br#"{"mtime":1700000000,"file":"/etc/inventory.json","updated":false,"protocol":"choria:registration:filecontent:1","content":"e30="}"#;

impl Transformer {
    /// The record of a made-up message on a subject that `topic` matches. Its sender is not verified.
    ///
    /// # Errors
    /// When there is none, which would be a fault of ours.
    pub fn sample(&self, topic: &str, now: SystemTime) -> Result<Record, String> {
        let subject: Vec<_> = topic
            .split('.')
            .map(|token| if matches!(token, "*" | ">") { "example" } else { token })
            .collect();
        let payload = payload(self.form(), now).map_err(|fault| fault.to_string())?;
        let subject = subject.join(".");
        let input = Input { subject: &subject, payload: &payload, message_id: None };
        self.unverified().record(&input, now).map_err(|bad| bad.to_string())
    }
}

fn payload(form: Form, now: SystemTime) -> Result<Vec<u8>, crate::protocol::Fault> {
    let mut request =
        Request::new("registration", "mcollective", SENDER, &format!("choria={SENDER}"), now);
    request.message = DATA.to_vec();
    let data = match form {
        Form::Raw => return Ok(DATA.to_vec()),
        Form::Lifecycle => {
            let event = Event {
                kind: Kind::Startup,
                id: request.id,
                identity: SENDER.to_owned(),
                component: "server".to_owned(),
                timestamp: time::unix_secs(now),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                new_version: String::new(),
            };
            return Ok(event.encode(&time::rfc3339(now)));
        }
        Form::Request => {
            let word = "insecure registration".to_owned();
            v1::SecureRequest { message: request.encode()?, signature: word.clone(), pubcert: word }
                .encode()?
        }
        Form::Reply => {
            let reply = request.reply(SENDER, DATA.to_vec(), now);
            v1::SecureReply::seal(reply.encode()?).encode()
        }
    };
    Ok(Transport::new(Version::V1, data, SENDER).encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_sample_of_every_form() {
        for (word, form) in Form::WORDS {
            let transformer = Transformer::new(*form, "b1", None);
            let record = transformer.sample("a.*.>", SystemTime::now()).expect(word);
            assert_eq!(record.subject, "a.example.example");
            let body: serde_json::Value = serde_json::from_slice(&record.body).expect("JSON");
            assert!(!body["data"].as_str().unwrap_or_default().is_empty(), "{word}");
        }
    }
}
