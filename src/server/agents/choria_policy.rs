//! `choria_policy`: what the policies of this server say to a request that nobody makes.
//!
//! Nothing runs and nothing is stored: a candidate policy is parsed, asked and dropped. Requests to this agent are
//! themselves subject to authorization, as its answers tell rules.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::metadata;
use crate::ddl;
use crate::policy::{Kind, Question};
use crate::protocol::Request;
use crate::server::agent::{ActionFuture, Agent, Call, Failure, Metadata, Outcome};
use crate::server::authorization::Authorization;
use crate::server::node::Node;

const NAME: &str = "choria_policy";
const TIMEOUT_SECS: u64 = 5;
/// The agent that is never asked about.
const DISCOVERY: &str = "discovery";
/// What cannot be asked: the token of a caller who does not ask is not known here.
const IN_TOKENS: &str = "The policies of this server are in the tokens of callers";

/// The agent.
pub struct ChoriaPolicy {
    metadata: Metadata,
    ddl: &'static ddl::Agent,
}

impl ChoriaPolicy {
    /// The agent, if its description is compiled in.
    pub fn new() -> Option<ChoriaPolicy> {
        let ddl = ddl::builtin::agent(NAME)?;
        let metadata = metadata(NAME, "Choria Policy Preview", TIMEOUT_SECS, "https://choria.io");
        Some(ChoriaPolicy { metadata, ddl })
    }
}

impl Agent for ChoriaPolicy {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn ddl(&self) -> &ddl::Agent {
        self.ddl
    }

    fn handle<'a>(&'a self, call: &'a Call) -> ActionFuture<'a> {
        Box::pin(async move {
            if call.action != "check" {
                return Err(Failure::aborted(format!("{NAME} does not have {}", call.action)));
            }
            let asked = Asked {
                caller: call.text("caller").to_owned(),
                agent: call.text("agent").to_owned(),
                action: call.text("action").to_owned(),
                inputs: call.data.get("inputs").cloned().unwrap_or_else(|| json!({})),
                candidate: call.data.get("candidate").and_then(Value::as_str).map(str::to_owned),
            };
            let (node, request) = (call.node.clone(), call.request.clone());
            let answer = call.node.workers.run(move || asked.answer(&node, &request)).await;
            answer.unwrap_or_else(|lost| Err(Failure::aborted(lost.to_string())))
        })
    }
}

/// The request that is asked about.
struct Asked {
    caller: String,
    agent: String,
    action: String,
    inputs: Value,
    candidate: Option<String>,
}

impl Asked {
    /// Blocks: policies and facts are read.
    fn answer(&self, node: &Node, request: &Request) -> Outcome {
        let always = |reason: &str| {
            let mut answer = json!({"allow": true, "reason": reason});
            if self.candidate.is_some() {
                answer["candidate"] = answer.clone();
                answer["differs"] = json!(false);
            }
            answer
        };
        let Authorization::Policies(authorizer) = &node.authorization else {
            return Ok(always("authorization is off"));
        };
        if self.agent == DISCOVERY {
            return Ok(always("discovery runs nothing and is not authorized"));
        }
        if authorizer.settings().kind == Kind::Token {
            return Err(Failure::aborted(IN_TOKENS));
        }
        let (facts, classes) = (node.known_facts_blocking(), node.known_classes_blocking());
        let question = Question {
            caller: &self.caller,
            agent: &self.agent,
            action: &self.action,
            data: &self.inputs,
            facts: facts.as_deref(),
            classes: classes.as_deref(),
            agents: node.agent_names(),
            collective: &request.collective,
            sender: &request.sender,
            ttl_secs: request.ttl_secs,
            time: SystemTime::now(),
            filter: &request.filter,
            claims: None,
        };
        let now = authorizer.decide(&question);
        let mut answer = now.to_json();
        if let Some(candidate) = &self.candidate {
            let then = authorizer.decide_if(candidate.as_bytes(), &question);
            answer["candidate"] = then.to_json();
            answer["differs"] = json!(then.allow != now.allow);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Authorizer, Settings};
    use crate::server::testing::{self, Recorder, TempDir};

    fn ask(authorization: Authorization, data: Value) -> Value {
        let Value::Object(data) = data else { panic!("inputs are an object") };
        let mut node = testing::node(Arc::new(Recorder::default()));
        node.authorization = authorization;
        let request =
            Request::new(NAME, "mcollective", "shell", "choria=alice", SystemTime::UNIX_EPOCH);
        let (request, node) = (Arc::new(request), Arc::new(node));
        let call = Call { action: "check".to_owned(), data, request, node };
        smol::block_on(ChoriaPolicy::new().unwrap().handle(&call)).unwrap()
    }

    #[test]
    fn policies_and_candidates_are_asked_with_what_the_node_is() {
        let folder = TempDir::new();
        let authorizer = Authorizer::new(Settings::action_policy(folder.path()));
        let policies = Authorization::Policies(Arc::new(authorizer));
        let question = json!({"caller": "choria=bob", "agent": "service", "action": "restart"});
        let answer = ask(policies.clone(), question.clone());
        assert_eq!(answer["allow"], json!(false));
        assert_eq!(answer["reason"], json!("there is no policy for the agent service"));
        let path = folder.path().join("service.policy");
        let rule = "allow\tchoria=bob\trestart\tos.family=Debian\tapache\n";
        std::fs::write(&path, rule).unwrap();
        let answer = ask(policies.clone(), question.clone());
        assert_eq!((&answer["allow"], &answer["line"]), (&json!(true), &json!(1)));
        assert_eq!(answer["rule"], json!("allow choria=bob restart os.family=Debian apache"));
        assert_eq!(answer.get("candidate"), None);
        let mut question = question;
        question["candidate"] = json!("policy default deny\n");
        let answer = ask(policies, question.clone());
        assert_eq!((&answer["allow"], &answer["differs"]), (&json!(true), &json!(true)));
        assert_eq!(answer["candidate"]["allow"], json!(false));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), rule);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let answer = ask(Authorization::Off, question);
        assert_eq!((&answer["allow"], &answer["differs"]), (&json!(true), &json!(false)));
        assert_eq!(answer["reason"], json!("authorization is off"));
    }
}
