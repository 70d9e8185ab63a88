//! Asking a policy.

use super::fault::RuleFault;
use super::groups::Groups;
use super::rule::{CallerWord, Callers, Rule};
use super::{Policy, StatementKind};
use crate::policy::decision::{Because, Decision};
use crate::policy::question::Question;
use crate::protocol::filter::has_class;

/// Whether a condition is met, or why that cannot be told.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    Unknown(String),
}

impl Policy {
    /// The decision of this policy. What is not decided by a line is decided by `allow_unconfigured`.
    /// Groups that cannot be read are an error, which says why with file and line.
    pub fn decide(
        &self,
        question: &Question<'_>,
        groups: Result<&Groups, &str>,
        allow_unconfigured: bool,
    ) -> Decision {
        if let Some(fault) = self.faults.first() {
            return Decision::deny(Because::Line(fault.why)).at(fault.line, fault.text.clone());
        }
        let mut default = None;
        for statement in &self.statements {
            let decision = match &statement.kind {
                StatementKind::Default { allow } => {
                    default = Some((*allow, statement));
                    continue;
                }
                StatementKind::Rule(rule) => decide(rule, question, groups),
            };
            if let Some(decision) = decision {
                return decision.at(statement.line, statement.text.clone());
            }
        }
        match default {
            Some((true, statement)) => {
                Decision::allow(Because::DefaultAllows).at(statement.line, statement.text.clone())
            }
            Some((false, statement)) => {
                Decision::deny(Because::DefaultDenies).at(statement.line, statement.text.clone())
            }
            None if allow_unconfigured => Decision::allow(Because::UnconfiguredAllows),
            None => Decision::deny(Because::UnconfiguredDenies),
        }
    }
}

/// What a rule decides, nothing when it does not match.
fn decide(rule: &Rule, question: &Question<'_>, groups: Result<&Groups, &str>) -> Option<Decision> {
    if !rule.actions.may_hold(question.action) {
        return None;
    }
    let caller = match matches_caller(&rule.callers, question.caller, groups) {
        Ok(Verdict::No) => return None,
        Ok(verdict) => verdict,
        Err(fault) => return Some(Decision::deny(Because::Rule(fault))),
    };
    if let Some(fault) = &rule.fault {
        return Some(Decision::deny(Because::Rule(fault.clone())));
    }
    let verdict = caller.and(|| matches_facts(rule, question));
    match verdict.and(|| matches_classes(rule, question)) {
        Verdict::No => None,
        Verdict::Yes if rule.allow => Some(Decision::allow(Because::RuleAllows)),
        Verdict::Yes => Some(Decision::deny(Because::RuleDenies)),
        // It does not allow what it might not be about, and denies what it might be about.
        Verdict::Unknown(_) if rule.allow => None,
        Verdict::Unknown(reason) => Some(Decision::deny(Because::Undecided(reason))),
    }
}

impl Verdict {
    /// Both, where what is not met outweighs what cannot be told.
    fn and(self, other: impl FnOnce() -> Verdict) -> Verdict {
        match self {
            Verdict::No => Verdict::No,
            Verdict::Yes => other(),
            Verdict::Unknown(reason) => match other() {
                Verdict::No => Verdict::No,
                _ => Verdict::Unknown(reason),
            },
        }
    }
}

fn matches_caller(
    callers: &Callers,
    caller: &str,
    groups: Result<&Groups, &str>,
) -> Result<Verdict, RuleFault> {
    let words = match callers {
        Callers::Any => return Ok(Verdict::Yes),
        Callers::Unknown => return Ok(Verdict::Unknown("its callers cannot be told".to_owned())),
        Callers::Listed(words) => words,
    };
    let mut verdict = Verdict::No;
    let mut fault = None;
    for word in words {
        let fits = match word {
            CallerWord::Exact(id) => id == caller,
            CallerWord::Pattern(_, pattern) => pattern.is_match(caller),
            CallerWord::Group(name) => match groups.map(|groups| groups.has(name, caller)) {
                Ok(Some(is_member)) => is_member,
                Ok(None) => {
                    verdict = Verdict::Unknown(format!("there is no group {name}"));
                    false
                }
                Err(why) => {
                    fault = Some(RuleFault::Groups(why.to_owned()));
                    false
                }
            },
        };
        if fits {
            return Ok(Verdict::Yes);
        }
    }
    fault.map_or(Ok(verdict), Err)
}

fn matches_facts(rule: &Rule, question: &Question<'_>) -> Verdict {
    let mut verdict = Verdict::Yes;
    for fact in &rule.facts {
        let Some(facts) = question.facts else {
            return Verdict::Unknown("the facts of the node cannot be read".to_owned());
        };
        match fact.matches(facts) {
            Ok(true) => {}
            Ok(false) => return Verdict::No,
            Err(error) => verdict = Verdict::Unknown(error.to_string()),
        }
    }
    verdict
}

fn matches_classes(rule: &Rule, question: &Question<'_>) -> Verdict {
    match question.classes {
        _ if rule.classes.is_empty() => Verdict::Yes,
        None => Verdict::Unknown("the classes of the node cannot be read".to_owned()),
        Some(classes) if rule.classes.iter().all(|class| has_class(class, classes)) => Verdict::Yes,
        Some(_) => Verdict::No,
    }
}
