//! What an agent is: a named set of actions that requests call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::node::Node;
use crate::ddl;
use crate::protocol::Request;
use crate::protocol::rpc::StatusCode;

/// What the inventory says about an agent; also its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Licence identifier.
    pub license: String,
    /// Name and address of the author.
    pub author: String,
    /// Seconds an action may take, at least 1.
    pub timeout: u64,
    /// The name requests use.
    pub name: String,
    /// Version of the agent.
    pub version: String,
    /// Where to read more.
    pub url: String,
    /// One sentence for people.
    pub description: String,
    /// What hosts it, when it is not built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether one of several equal instances answers each request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub service: bool,
}

/// What an action answers.
pub type Outcome = Result<Value, Failure>;

/// The running of an action.
pub type ActionFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Why an action has no result; part of the reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The kind, for programs.
    pub code: StatusCode,
    /// The reason, for people.
    pub message: String,
    /// What is known nevertheless.
    pub data: Map<String, Value>,
}

impl Failure {
    /// The usual failure: the action could not do its work.
    pub fn aborted(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::Aborted, message)
    }

    /// A failure of some kind, without data.
    pub fn new(code: StatusCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), data: Map::new() }
    }
}

/// One call of an action, after every check.
pub struct Call {
    /// The action, one of those the agent has.
    pub action: String,
    /// Declared inputs; the types are those of the DDL.
    pub data: Map<String, Value>,
    /// The request it came in; the caller is proven.
    pub request: Arc<Request>,
    /// The server that runs the action.
    pub node: Arc<Node>,
}

impl Call {
    /// A text input, empty when it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.data.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// An agent that answers RPC requests.
pub trait Agent: Send + Sync {
    /// Who it is.
    fn metadata(&self) -> &Metadata;

    /// Its actions and their inputs.
    fn ddl(&self) -> &ddl::Agent;

    /// How long an action may take.
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.metadata().timeout)
    }

    /// Runs an action. Dropping the future ends the action where it waits; a future must not
    /// block its thread.
    fn handle<'a>(&'a self, call: &'a Call) -> ActionFuture<'a>;
}
