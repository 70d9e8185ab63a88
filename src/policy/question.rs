//! What an authorizer is asked.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::protocol::filter::Filter;
use crate::tokens::ClientClaims;

/// One request on one node. Everything that comes from the request has been verified.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The proven caller: `kind=name`.
    pub caller: &'a str,
    /// The agent that would act.
    pub agent: &'a str,
    /// Its action.
    pub action: &'a str,
    /// The inputs, an object.
    pub data: &'a Value,
    /// The facts of the node, an object; nothing when they cannot be read.
    pub facts: Option<&'a Value>,
    /// The classes of the node; nothing when they cannot be read.
    pub classes: Option<&'a [String]>,
    /// The agents that the node hosts.
    pub agents: &'a [String],
    /// The collective the request was made in.
    pub collective: &'a str,
    /// Who has sent the request.
    pub sender: &'a str,
    /// Seconds for which the request may be acted on.
    pub ttl_secs: u64,
    /// When the request was made.
    pub time: SystemTime,
    /// Which nodes the request is for.
    pub filter: &'a Filter,
    /// What the token of the caller says, if the request carries one that was verified.
    pub claims: Option<&'a ClientClaims>,
}

impl Question<'_> {
    /// What a Rego file is asked with. Facts and classes that cannot be read are not there at all, so that what asks
    /// for them is undefined.
    pub(super) fn rego_input(&self) -> Value {
        let mut input = json!({
            "agent": self.agent,
            "action": self.action,
            "callerid": self.caller,
            "collective": self.collective,
            "data": self.data,
            "ttl": self.ttl_secs,
            "time": self.time_text(),
            "agents": self.agents,
            "provision_mode": false,
        });
        if let Some(facts) = self.facts {
            input["facts"] = facts.clone();
        }
        if let Some(classes) = self.classes {
            input["classes"] = json!(classes);
        }
        input
    }

    /// The time of the request in RFC 3339, empty for one that cannot be written so.
    pub(super) fn time_text(&self) -> String {
        Timestamp::try_from(self.time).map(|time| time.to_string()).unwrap_or_default()
    }
}
