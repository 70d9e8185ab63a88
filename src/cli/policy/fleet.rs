//! Asking the policies of the nodes, without running anything there.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::report::{self, Answer};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::{FilterWords, SelectionWords};
use crate::cli::render::style::Style;
use crate::cli::render::value::indented;
use crate::cli::rpcutil::ask_agent_found;
use crate::cli::session::{Selection, connect};
use crate::rpc::{NodeReply, Stats};

/// The agent that answers. It runs nothing, and is itself subject to authorization.
const AGENT: &str = "choria_policy";
const ACTION: &str = "check";

/// What the nodes say, grouped.
#[derive(Default)]
pub(super) struct Answers {
    answers: BTreeMap<Answer, Vec<String>>,
    changes: BTreeMap<(Answer, Answer), Vec<String>>,
    /// Nodes that decide as they would with the candidate.
    same: usize,
    failures: BTreeMap<String, Vec<String>>,
    documents: Vec<Value>,
}

/// Asks the nodes that the filters choose.
pub(super) async fn ask(
    context: &Context,
    filters: &FilterWords,
    words: &SelectionWords,
    inputs: Map<String, Value>,
) -> Result<(Answers, Stats, bool), Failure> {
    let config = context.client_config()?;
    let selection = Selection::read(&config, filters, words, Some(AGENT))?;
    let client = connect(context, &config, words.federations.as_deref()).await?;
    let asked = ask_agent_found(context, &client, &selection, AGENT, ACTION, inputs).await;
    client.close().await;
    let (replies, stats, is_interrupted) = asked?;
    let mut answers = Answers::default();
    replies.iter().for_each(|reply| answers.add(reply));
    answers.silent(&stats.no_responses);
    Ok((answers, stats, is_interrupted))
}

impl Answers {
    fn add(&mut self, reply: &NodeReply) {
        let node = reply.sender.clone();
        let mut document = json!({"sender": node, "statuscode": reply.status.number(), "statusmsg": reply.message});
        match Answer::read(&reply.data).filter(|_| reply.is_ok()) {
            None => {
                let reason =
                    if reply.is_ok() { "the answer cannot be read" } else { &reply.message };
                self.failures.entry(reason.to_owned()).or_default().push(node);
            }
            Some(now) => {
                document["data"] = reply.data.clone();
                match reply.data.get("candidate").and_then(Answer::read) {
                    Some(then) if then.allow == now.allow => self.same += 1,
                    Some(then) => {
                        self.changes.entry((now.clone(), then)).or_default().push(node.clone());
                    }
                    None => {}
                }
                self.answers.entry(now).or_default().push(node);
            }
        }
        self.documents.push(document);
    }

    fn silent(&mut self, nodes: &[String]) {
        if !nodes.is_empty() {
            self.failures.entry("no answer".to_owned()).or_default().extend_from_slice(nodes);
        }
    }

    /// All of it for people.
    pub(super) fn text(&mut self, is_what_if: bool, style: Style) -> String {
        let lists = self.answers.values_mut().chain(self.changes.values_mut());
        lists.chain(self.failures.values_mut()).for_each(|nodes| nodes.sort());
        let decided = if is_what_if {
            report::changes(&self.changes, self.same, style)
        } else {
            report::many(&self.answers, style)
        };
        format!("{}{decided}", report::failures(&self.failures, style))
    }

    /// All of it for programs.
    pub(super) fn json(&self) -> String {
        let silent = self.failures.get("no answer").cloned().unwrap_or_default();
        format!("{}\n", indented(&json!({"replies": self.documents, "no_responses": silent}), 2))
    }

    /// 0 when all allow, or nothing would change; 1 when not; 2 when some node could not say.
    pub(super) fn exit(&self, is_what_if: bool) -> Exit {
        let is_as_hoped = if is_what_if {
            self.changes.is_empty()
        } else {
            self.answers.keys().all(|answer| answer.allow)
        };
        match (is_as_hoped, self.failures.is_empty()) {
            (false, _) => Exit::Failed,
            (true, false) => Exit::SomeFailed,
            (true, true) => Exit::Success,
        }
    }
}
