//! The authorizer of a node: which policy applies, and what it says.

use std::path::{Path, PathBuf};

use super::action::{Groups, Policy};
use super::decision::{Because, Decision};
use super::folder::{Cache, GROUPS_FILE, is_file_name, is_there};
use super::question::Question;
use super::rego::{self, Foreign, Rego, RegoFault};
use super::token;

/// Regular expressions of a candidate: whoever may ask must not fill the memory of a node.
const CANDIDATE_PATTERNS_MAX: usize = 100;
/// The folder of Rego policies, in that of policies.
const REGO_FOLDER: &str = "rego";
/// The Rego policy of agents without one of their own, without `.rego`.
const REGO_DEFAULT: &str = "default";

/// What an authorizer is told when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where policies come from: `rpcauthprovider`.
    pub kind: Kind,
    /// The folder of policies, see [`super::policy_folder`].
    pub folder: PathBuf,
    /// A policy file that decides nothing allows: `plugin.actionpolicy.allow_unconfigured`.
    pub allow_unconfigured: bool,
    /// The policy of agents without one of their own, without `.policy`:
    /// `plugin.actionpolicy.default_name` when `plugin.actionpolicy.enable_default` is on.
    pub default_name: Option<String>,
    /// This program, when Rego policies of others are to be evaluated apart; see [`rego::Foreign`].
    pub evaluator: Option<PathBuf>,
}

/// A kind of policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `action_policy`: files of rules.
    ActionPolicy,
    /// `rego_policy`: files in Rego.
    Rego,
    /// `aaasvc`: the policy in the token of the caller.
    Token,
    /// No kind has this name; everything is denied.
    Unknown(String),
}

impl Kind {
    /// The kind that `rpcauthprovider` names, without regard to case.
    pub fn named(name: &str) -> Kind {
        match name.to_ascii_lowercase().as_str() {
            "action_policy" => Kind::ActionPolicy,
            "rego_policy" => Kind::Rego,
            "aaasvc" | "aaasvc_policy" => Kind::Token,
            _ => Kind::Unknown(name.to_owned()),
        }
    }
}

impl Settings {
    /// ActionPolicy files in a folder, with everything else as when nothing is configured.
    pub fn action_policy(folder: impl Into<PathBuf>) -> Settings {
        Settings {
            kind: Kind::ActionPolicy,
            folder: folder.into(),
            allow_unconfigured: false,
            default_name: None,
            evaluator: None,
        }
    }
}

/// Says who may call what on a node. Shared by all its requests.
pub struct Authorizer {
    settings: Settings,
    policies: Cache<Policy>,
    groups: Cache<Groups>,
    regos: Cache<Result<Rego, RegoFault>>,
    foreign: Foreign,
}

impl Authorizer {
    /// An authorizer; reads nothing yet.
    pub fn new(settings: Settings) -> Authorizer {
        Authorizer {
            foreign: Foreign { program: settings.evaluator.clone() },
            settings,
            policies: Cache::default(),
            groups: Cache::default(),
            regos: Cache::default(),
        }
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Answers a question. Blocks: files are looked at, and read when they have changed; not to be
    /// called on the thread of an executor.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        match &self.settings.kind {
            Kind::ActionPolicy => self.decide_by_action_policy(question),
            Kind::Rego => self.decide_by_rego(question),
            Kind::Token => token::decide(question, &self.foreign),
            Kind::Unknown(name) => Decision::deny(Because::UnknownProvider(name.clone())),
        }
    }

    /// Answers as if `candidate` were the content of the policy file of the agent. The groups are those there are. A
    /// policy in a token cannot be replaced so.
    pub fn decide_if(&self, candidate: &[u8], question: &Question<'_>) -> Decision {
        match &self.settings.kind {
            Kind::ActionPolicy => {
                self.ask(&Policy::parse_within(candidate, CANDIDATE_PATTERNS_MAX), question)
            }
            Kind::Rego => rego_decision(self.try_rego(candidate, question)),
            Kind::Token | Kind::Unknown(_) => self.decide(question),
        }
    }

    /// Asks a policy that is only tried: whoever may try one must not do more than that.
    fn try_rego(&self, candidate: &[u8], question: &Question<'_>) -> Result<bool, RegoFault> {
        self.foreign.ask(text(candidate)?, rego::FILE_PACKAGE, question.rego_input(), None)
    }

    fn decide_by_rego(&self, question: &Question<'_>) -> Decision {
        let folder = self.settings.folder.join(REGO_FOLDER);
        let file = match self.file(&folder, question.agent, Some(REGO_DEFAULT), "rego") {
            Ok(Some(file)) => file,
            Ok(None) => return Decision::deny(Because::NoPolicy(question.agent.to_owned())),
            Err(decision) => return *decision,
        };
        match self.regos.read(&file, read_rego) {
            Ok(policy) => ask_rego(&policy, question).in_file(file),
            Err(error) => Decision::deny(Because::File(error.to_string())).in_file(file),
        }
    }

    fn decide_by_action_policy(&self, question: &Question<'_>) -> Decision {
        let (folder, default) = (&self.settings.folder, self.settings.default_name.as_deref());
        let file = match self.file(folder, question.agent, default, "policy") {
            Ok(Some(file)) => file,
            Ok(None) => return Decision::deny(Because::NoPolicy(question.agent.to_owned())),
            Err(decision) => return *decision,
        };
        match self.policies.read(&file, Policy::parse) {
            Ok(policy) => self.ask(&policy, question).in_file(file),
            Err(error) => Decision::deny(Because::File(error.to_string())).in_file(file),
        }
    }

    fn ask(&self, policy: &Policy, question: &Question<'_>) -> Decision {
        let path = self.settings.folder.join(GROUPS_FILE);
        let groups = self.read_groups(&path);
        let groups = groups.as_ref().map(|groups| &**groups).map_err(String::as_str);
        policy.decide(question, groups, self.settings.allow_unconfigured)
    }

    /// The groups, none without a file; the error says where and why they cannot be read.
    fn read_groups(&self, path: &Path) -> Result<std::sync::Arc<Groups>, String> {
        let place = path.display();
        match is_there(path) {
            Ok(false) => return Ok(std::sync::Arc::default()),
            Ok(true) => {}
            Err(error) => return Err(format!("{place}: {error}")),
        }
        let groups =
            self.groups.read(path, Groups::parse).map_err(|error| format!("{place}: {error}"))?;
        match groups.faults().first() {
            Some(fault) => Err(format!("{place}:{}: {}", fault.line, fault.why)),
            None => Ok(groups),
        }
    }

    /// The file that applies to an agent, if there is one: its own, else the default.
    fn file(
        &self,
        folder: &Path,
        agent: &str,
        default: Option<&str>,
        extension: &str,
    ) -> Result<Option<PathBuf>, Box<Decision>> {
        if !is_file_name(agent) {
            return Err(Box::new(Decision::deny(Because::AgentName(agent.to_owned()))));
        }
        for name in [Some(agent), default].into_iter().flatten() {
            let file = folder.join(format!("{name}.{extension}"));
            match is_there(&file) {
                Ok(true) => return Ok(Some(file)),
                Ok(false) => {}
                Err(error) => {
                    let decision = Decision::deny(Because::File(error.to_string()));
                    return Err(Box::new(decision.in_file(file)));
                }
            }
        }
        Ok(None)
    }
}

fn read_rego(bytes: &[u8]) -> Result<Rego, RegoFault> {
    Rego::parse(text(bytes)?, rego::FILE_PACKAGE)
}

fn text(bytes: &[u8]) -> Result<&str, RegoFault> {
    std::str::from_utf8(bytes).map_err(|_| RegoFault::Policy {
        line: None,
        text: "the policy is not UTF-8 text".to_owned(),
    })
}

fn ask_rego(policy: &Result<Rego, RegoFault>, question: &Question<'_>) -> Decision {
    let answer = match policy {
        Ok(policy) => policy.allows(question.rego_input(), None),
        Err(fault) => Err(fault.clone()),
    };
    rego_decision(answer)
}

/// What a Rego policy says, as a decision.
pub(super) fn rego_decision(answer: Result<bool, RegoFault>) -> Decision {
    match answer {
        Ok(true) => Decision::allow(Because::RegoAllows),
        Ok(false) => Decision::deny(Because::RegoDenies),
        Err(fault) => {
            let line = fault.line();
            let mut decision = Decision::deny(Because::Rego(fault));
            decision.reason.line = line;
            decision
        }
    }
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorizer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
