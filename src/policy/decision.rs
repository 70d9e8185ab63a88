//! What an authorizer answers, and why.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::action::{RuleFault, Unread};
use super::rego::RegoFault;

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the action may run.
    pub allow: bool,
    /// Why, for the log and the audit file.
    pub reason: Reason,
}

/// Where a decision comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What decided.
    pub because: Because,
    /// The file that decided.
    pub file: Option<PathBuf>,
    /// The line in it, counted from 1.
    pub line: Option<usize>,
    /// The text of the rule, its columns separated by single spaces.
    pub rule: Option<String>,
}

/// What decided. The texts are fixed: people search logs for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// A rule that allows.
    RuleAllows,
    /// A rule that denies.
    RuleDenies,
    /// No rule matches; the last `policy default` line allows.
    DefaultAllows,
    /// No rule matches; the last `policy default` line denies.
    DefaultDenies,
    /// No rule matches, there is no `policy default` line, and the configuration allows that.
    UnconfiguredAllows,
    /// No rule matches and there is no `policy default` line.
    UnconfiguredDenies,
    /// There is no policy for the agent.
    NoPolicy(String),
    /// The name of the agent cannot be that of a file.
    AgentName(String),
    /// The file cannot be read.
    File(String),
    /// A line of the file cannot be read.
    Line(Unread),
    /// The rule could match, but says something that is not supported.
    Rule(RuleFault),
    /// The rule denies, and whether it matches cannot be decided.
    Undecided(String),
    /// No kind of policy has that name.
    UnknownProvider(String),
    /// A Rego policy allows.
    RegoAllows,
    /// A Rego policy denies.
    RegoDenies,
    /// A Rego policy gives no decision.
    Rego(RegoFault),
    /// The policy would be in the token of the caller, and the request carries none.
    NoToken,
    /// The token of the caller has no policy.
    NoTokenPolicy,
    /// The token of the caller has two policies.
    TwoTokenPolicies,
    /// An item of the list in the token of the caller allows.
    TokenAllows(String),
    /// The list in the token of the caller does not allow.
    TokenDenies,
    /// An item of the list in the token of the caller has another form than `agent.action`.
    TokenItem(String),
}

impl Decision {
    pub(super) fn allow(because: Because) -> Decision {
        Decision { allow: true, reason: Reason::new(because) }
    }

    pub(super) fn deny(because: Because) -> Decision {
        Decision { allow: false, reason: Reason::new(because) }
    }

    /// Names the file that decided, unless it is known.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Decision {
        // A decision about the file of groups names that one.
        self.reason.file.get_or_insert_with(|| file.into());
        self
    }

    pub(super) fn at(mut self, line: usize, rule: impl Into<String>) -> Decision {
        self.reason.line = Some(line);
        self.reason.rule = Some(rule.into());
        self
    }

    /// The decision as programs read it: `allow`, `reason`, `file`, `line`, `rule`.
    pub fn to_json(&self) -> Value {
        json!({
            "allow": self.allow,
            "reason": self.reason.to_string(),
            "file": self.reason.file.as_ref().map(|file| file.display().to_string()),
            "line": self.reason.line,
            "rule": self.reason.rule,
        })
    }
}

impl Reason {
    fn new(because: Because) -> Reason {
        Reason { because, file: None, line: None, rule: None }
    }

    /// `file:line`, as much as is known of it.
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_ref()?.display();
        Some(match self.line {
            Some(line) => format!("{file}:{line}"),
            None => file.to_string(),
        })
    }
}

impl fmt::Display for Reason {
    /// `file:line: why: "rule"` on one line, as much of it as is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place() {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}", self.because)?;
        match &self.rule {
            Some(rule) => write!(f, ": {rule:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::RuleAllows => f.write_str("allowed by a rule"),
            Because::RuleDenies => f.write_str("denied by a rule"),
            Because::DefaultAllows => f.write_str("no rule matches and the default allows"),
            Because::DefaultDenies => f.write_str("no rule matches and the default denies"),
            Because::UnconfiguredAllows => {
                f.write_str("no rule matches and what no rule is about is allowed")
            }
            Because::UnconfiguredDenies => f.write_str("no rule matches and there is no default"),
            Because::NoPolicy(agent) => write!(f, "there is no policy for the agent {agent}"),
            Because::AgentName(agent) => {
                write!(f, "{agent:?} cannot be the name of an agent with a policy")
            }
            Because::File(error) => write!(f, "the policy cannot be read: {error}"),
            Because::Line(fault) => write!(f, "the policy cannot be read: {fault}"),
            Because::Rule(fault) => write!(f, "the rule cannot be applied: {fault}"),
            Because::Undecided(reason) => {
                write!(f, "denied by a rule that may match: {reason}")
            }
            Because::RegoAllows => f.write_str("allowed by a Rego policy"),
            Because::RegoDenies => f.write_str("denied by a Rego policy"),
            Because::Rego(fault) => write!(f, "the Rego policy gives no decision: {fault}"),
            Because::NoToken => f.write_str("the request carries no token of its caller"),
            Because::NoTokenPolicy => f.write_str("the token of the caller has no policy"),
            Because::TwoTokenPolicies => f.write_str("the token of the caller has two policies"),
            Because::TokenAllows(item) => {
                write!(f, "allowed by the token of the caller: {item:?}")
            }
            Because::TokenDenies => {
                f.write_str("the token of the caller does not list the agent and action")
            }
            Because::TokenItem(item) => write!(
                f,
                "the token of the caller has an agent list with the item {item:?}, which is no agent.action"
            ),
            Because::UnknownProvider(name) => {
                write!(f, "{name:?} is not a kind of policy")
            }
        }
    }
}
