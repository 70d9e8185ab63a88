//! What the author of a policy will not have meant.

use std::collections::BTreeMap;

use super::fault::RuleFault;
use super::groups::Groups;
use super::rule::{CallerWord, Callers, Names, Rule};
use super::{Policy, Statement, StatementKind, UnreadLine};
use crate::util::suggest;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What it is, on one line.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What a policy may refer to.
#[derive(Debug, Default)]
pub struct Known {
    /// The actions of each agent that has a description.
    pub agents: BTreeMap<String, Vec<String>>,
    /// The groups, when they are known.
    pub groups: Option<Groups>,
}

/// Looks at a policy. `agent` is the agent it is about, nothing for the default policy.
pub fn lint(policy: &Policy, agent: Option<&str>, known: &Known) -> Vec<Finding> {
    let mut findings: Vec<Finding> = policy.faults.iter().map(unread).collect();
    if let Some(agent) = agent {
        findings.extend(unknown_agent(agent, known));
    }
    for (index, statement) in policy.statements.iter().enumerate() {
        let before = &policy.statements[..index];
        let after = &policy.statements[index + 1..];
        match &statement.kind {
            StatementKind::Default { .. } => findings.extend(about_default(statement, after)),
            StatementKind::Rule(rule) => {
                let actions = agent.and_then(|agent| known.agents.get(agent));
                let mut texts = about_rule(rule, actions, known.groups.as_ref());
                texts.extend(covered(rule, before));
                findings.extend(texts.into_iter().map(|(text, hint)| Finding {
                    line: statement.line,
                    text,
                    hint,
                }));
            }
        }
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// Looks at the file of groups.
pub fn lint_groups(groups: &Groups) -> Vec<Finding> {
    groups.faults().iter().map(unread).collect()
}

fn unread(fault: &UnreadLine) -> Finding {
    use super::Unread::{FewColumns, Indented, NoTabs, TrailingTab};
    let hint = match fault.why {
        NoTabs | FewColumns => Some("put tabs between the columns, and spaces only inside one"),
        Indented => Some("begin the line with its first word or with #"),
        TrailingTab => Some("end the line behind its last word"),
        _ => None,
    };
    let text = format!("{}; every request to the agent is denied", fault.why);
    Finding { line: fault.line, text, hint: hint.map(str::to_owned) }
}

fn unknown_agent(agent: &str, known: &Known) -> Option<Finding> {
    if known.agents.is_empty() || known.agents.contains_key(agent) {
        return None;
    }
    let near = suggest::nearest(agent, known.agents.keys().map(String::as_str));
    Some(Finding {
        line: 0,
        text: format!("no agent {agent} is known here"),
        hint: near.map(|near| format!("did you mean {near}?")),
    })
}

fn about_default(statement: &Statement, after: &[Statement]) -> Option<Finding> {
    let later = after.iter().find(|later| matches!(later.kind, StatementKind::Default { .. }));
    let word = statement.text.split_whitespace().nth(2).unwrap_or_default();
    let text = match later {
        Some(later) => format!("this default does not count: line {} has another", later.line),
        None if !matches!(word, "allow" | "deny") => {
            format!("{word:?} is neither allow nor deny, so it denies")
        }
        None => return None,
    };
    Some(Finding { line: statement.line, text, hint: None })
}

type Text = (String, Option<String>);

fn about_rule(rule: &Rule, actions: Option<&Vec<String>>, groups: Option<&Groups>) -> Vec<Text> {
    let mut texts = Vec::new();
    if let Some(fault) = &rule.fault {
        texts.push((format!("{fault}; requests that reach it are denied"), fault_hint(fault)));
    }
    if let (Some(known), Names::Listed(names)) = (actions, &rule.actions) {
        for name in names.iter().filter(|name| !known.contains(name)) {
            let near = suggest::nearest(name, known.iter().map(String::as_str));
            let hint = near.map(|near| format!("did you mean {near}?"));
            texts.push((format!("the agent has no action {name}"), hint));
        }
    }
    if let (Some(groups), Callers::Listed(words)) = (groups, &rule.callers) {
        for word in words {
            if let CallerWord::Group(name) = word
                && groups.has(name, "").is_none()
            {
                let near = suggest::nearest(name, groups.names());
                let hint = near.map_or("a caller is written like choria=name".to_owned(), |near| {
                    format!("did you mean {near}?")
                });
                texts.push((format!("there is no group {name}"), Some(hint)));
            }
        }
    }
    texts
}

fn fault_hint(fault: &RuleFault) -> Option<String> {
    let hint = match fault {
        RuleFault::NoClasses => "add a tab and * for every node",
        RuleFault::Compound(_) => "write several rules",
        RuleFault::Star(_) => "leave out the other words or the *",
        RuleFault::Space(_) => "put single spaces between words and none around them",
        RuleFault::Fact(_) => "write conditions like os.name=Debian, without spaces inside",
        RuleFault::FactInClasses(_) => "the columns are caller, actions, facts, classes",
        RuleFault::ManyColumns(_) => "put spaces, not tabs, between the words of a column",
        RuleFault::Pattern { .. } | RuleFault::Groups(_) => return None,
    };
    Some(hint.to_owned())
}

/// Whether a rule above decides everything that this one could.
fn covered(rule: &Rule, before: &[Statement]) -> Option<Text> {
    let above = before.iter().find(|statement| match &statement.kind {
        StatementKind::Rule(above) => covers(above, rule),
        StatementKind::Default { .. } => false,
    })?;
    let same = match &above.kind {
        StatementKind::Rule(above) if above.allow == rule.allow => "it can be left out",
        _ => "put it above that line if it is to count",
    };
    let text = format!("nothing reaches this rule: line {} decides before", above.line);
    Some((text, Some(same.to_owned())))
}

/// Whether all that matches `rule` matches `above`, as far as can be told without asking a node.
fn covers(above: &Rule, rule: &Rule) -> bool {
    let is_sure = above.fault.is_none() && rule.fault.is_none();
    is_sure
        && covers_callers(&above.callers, &rule.callers)
        && covers_names(&above.actions, &rule.actions)
        && above.facts.iter().all(|fact| rule.facts.contains(fact))
        && above.classes.iter().all(|class| rule.classes.contains(class))
}

fn covers_callers(above: &Callers, callers: &Callers) -> bool {
    match (above, callers) {
        (Callers::Any, _) => true,
        (Callers::Listed(above), Callers::Listed(words)) => {
            words.iter().all(|word| above.iter().any(|above| covers_word(above, word)))
        }
        _ => false,
    }
}

fn covers_word(above: &CallerWord, word: &CallerWord) -> bool {
    match (above, word) {
        (CallerWord::Exact(above), CallerWord::Exact(word))
        | (CallerWord::Group(above), CallerWord::Group(word))
        | (CallerWord::Pattern(above, _), CallerWord::Pattern(word, _)) => above == word,
        (CallerWord::Pattern(_, above), CallerWord::Exact(word)) => above.is_match(word),
        _ => false,
    }
}

fn covers_names(above: &Names, names: &Names) -> bool {
    match (above, names) {
        (Names::Any, _) => true,
        (Names::Listed(above), Names::Listed(names)) => {
            names.iter().all(|name| above.contains(name))
        }
        _ => false,
    }
}
