//! One rule: its columns, taken apart.

use super::fault::{Column, RuleFault};
use crate::protocol::filter::{FactFilter, Operator};
use crate::util::pattern::{Regex, slashed};

/// A line that allows or denies.
#[derive(Debug)]
pub struct Rule {
    /// What it says when it matches.
    pub allow: bool,
    /// Whom it is about.
    pub callers: Callers,
    /// Which actions it is about.
    pub actions: Names,
    /// Conditions on facts, all must hold; none for `*`.
    pub facts: Vec<FactFilter>,
    /// Classes the node must have, all of them; none for `*`.
    pub classes: Vec<String>,
    /// Why it cannot be applied.
    pub fault: Option<RuleFault>,
}

/// The callers of a rule.
#[derive(Debug)]
pub enum Callers {
    /// `*`: everybody.
    Any,
    /// One of these.
    Listed(Vec<CallerWord>),
    /// Cannot be told.
    Unknown,
}

/// One word among callers.
#[derive(Debug)]
pub enum CallerWord {
    /// A caller id.
    Exact(String),
    /// The name of a group: callers have a `=` in their id.
    Group(String),
    /// `/pattern/`, not anchored.
    Pattern(String, Regex),
}

/// A list of names.
#[derive(Debug, PartialEq, Eq)]
pub enum Names {
    /// `*`: every name.
    Any,
    /// These.
    Listed(Vec<String>),
    /// Cannot be told.
    Unknown,
}

impl Names {
    /// Whether a name is among them, as far as can be told.
    pub fn may_hold(&self, name: &str) -> bool {
        match self {
            Names::Any | Names::Unknown => true,
            Names::Listed(names) => names.iter().any(|listed| listed == name),
        }
    }
}

impl Rule {
    /// Takes the columns behind `allow` or `deny` apart; `patterns` counts regular expressions.
    pub(super) fn new(allow: bool, columns: &[&str], patterns: &mut Patterns) -> Rule {
        let mut rule = Rule {
            allow,
            callers: Callers::Unknown,
            actions: Names::Unknown,
            facts: Vec::new(),
            classes: Vec::new(),
            fault: None,
        };
        // The first thing that is wrong is told.
        rule.fault = rule.fill(columns, patterns).err();
        rule
    }

    fn fill(&mut self, columns: &[&str], patterns: &mut Patterns) -> Result<(), RuleFault> {
        let [callers, actions, rest @ ..] = columns else { return Err(RuleFault::NoClasses) };
        let read = read_callers(callers, patterns);
        // Whom and what it is about is needed even where it cannot be applied.
        self.actions = read_names(actions)?;
        self.callers = read?;
        match rest {
            [facts, classes] => {
                self.facts = read_facts(facts, patterns)?;
                self.classes = read_classes(classes, patterns)?;
                Ok(())
            }
            [_] | [] => Err(RuleFault::NoClasses),
            _ => Err(RuleFault::ManyColumns(columns.len())),
        }
    }
}

/// The words of a column; extra spaces between them do no harm there.
fn read_names(text: &str) -> Result<Names, RuleFault> {
    let words = words(text, Column::Actions)?;
    Ok(words
        .map_or(Names::Any, |words| Names::Listed(words.into_iter().map(str::to_owned).collect())))
}

fn read_callers(text: &str, patterns: &mut Patterns) -> Result<Callers, RuleFault> {
    match words(text, Column::Callers)? {
        None => Ok(Callers::Any),
        Some(words) => {
            let words = words.into_iter().map(|word| read_caller(word, patterns));
            Ok(Callers::Listed(words.collect::<Result<_, _>>()?))
        }
    }
}

/// The words between spaces, or nothing for `*`.
fn words(text: &str, column: Column) -> Result<Option<Vec<&str>>, RuleFault> {
    if text == "*" {
        return Ok(None);
    }
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    if words.contains(&"*") {
        return Err(RuleFault::Star(column));
    }
    if words.is_empty() || words.iter().any(|word| word.contains(char::is_whitespace)) {
        return Err(RuleFault::Space(column));
    }
    Ok(Some(words))
}

fn read_caller(word: &str, patterns: &mut Patterns) -> Result<CallerWord, RuleFault> {
    if word.starts_with('/') {
        let refused = |reason: &str| RuleFault::Pattern {
            column: Column::Callers,
            word: word.to_owned(),
            reason: reason.to_owned(),
        };
        let text = slashed(word).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| refused("it is not /pattern/"))?;
        let pattern = patterns
            .take()
            .and_then(|()| Regex::new(text).map_err(|error| error.reason))
            .map_err(|reason| refused(&reason))?;
        return Ok(CallerWord::Pattern(text.to_owned(), pattern));
    }
    let word = word.to_owned();
    Ok(if word.contains('=') { CallerWord::Exact(word) } else { CallerWord::Group(word) })
}

fn read_facts(text: &str, patterns: &mut Patterns) -> Result<Vec<FactFilter>, RuleFault> {
    let mut facts = Vec::new();
    for word in conditions(text, Column::Facts)? {
        let fact = FactFilter::parse(word).map_err(|_| RuleFault::Fact(word.to_owned()))?;
        if fact.operator == Operator::Match {
            let pattern = fact.value.trim_matches('/');
            check_pattern(Column::Facts, word, pattern, patterns)?;
        }
        facts.push(fact);
    }
    Ok(facts)
}

fn read_classes(text: &str, patterns: &mut Patterns) -> Result<Vec<String>, RuleFault> {
    let mut classes = Vec::new();
    for word in conditions(text, Column::Classes)? {
        if is_fact(word) {
            return Err(RuleFault::FactInClasses(word.to_owned()));
        }
        if let Some(pattern) = slashed(word) {
            check_pattern(Column::Classes, word, pattern, patterns)?;
        }
        classes.push(word.to_owned());
    }
    Ok(classes)
}

/// The words of a column of conditions, none for `*`.
fn conditions(text: &str, column: Column) -> Result<Vec<&str>, RuleFault> {
    if text == "*" {
        return Ok(Vec::new());
    }
    let words: Vec<&str> = text.split(' ').collect();
    if words.iter().any(|word| is_compound(word)) {
        return Err(RuleFault::Compound(column));
    }
    if words.contains(&"*") {
        return Err(RuleFault::Star(column));
    }
    let is_odd = |word: &&str| word.is_empty() || word.contains(char::is_whitespace);
    if words.iter().any(is_odd) {
        return Err(RuleFault::Space(column));
    }
    Ok(words)
}

/// Whether a word makes its column a compound expression: `^!|^not$|^or$|^and$|\(.+\)`.
fn is_compound(word: &str) -> bool {
    let in_parentheses = || {
        let (open, close) = (word.find('('), word.rfind(')'));
        open.zip(close).is_some_and(|(open, close)| close > open + 1)
    };
    word.starts_with('!') || matches!(word, "not" | "or" | "and") || in_parentheses()
}

/// Whether a class looks like a condition on a fact: something, `<`, `>` or `=`, something.
fn is_fact(word: &str) -> bool {
    let mut inner = word.char_indices().skip(1);
    inner.any(|(at, c)| matches!(c, '<' | '>' | '=') && at + 1 < word.len())
}

fn check_pattern(
    column: Column,
    word: &str,
    pattern: &str,
    patterns: &mut Patterns,
) -> Result<(), RuleFault> {
    patterns
        .take()
        .and_then(|()| Regex::new_case_insensitive(pattern).map_err(|error| error.reason))
        .map(drop)
        .map_err(|reason| RuleFault::Pattern { column, word: word.to_owned(), reason })
}

/// How many regular expressions may still be compiled; a file with more is refused.
pub(super) struct Patterns {
    left: usize,
    /// Whether there were more.
    pub(super) is_spent: bool,
}

impl Patterns {
    pub(super) fn new(most: usize) -> Patterns {
        Patterns { left: most, is_spent: false }
    }

    fn take(&mut self) -> Result<(), String> {
        self.is_spent = self.left == 0;
        self.left = self.left.saturating_sub(1);
        if self.is_spent { Err("there are too many".to_owned()) } else { Ok(()) }
    }
}
