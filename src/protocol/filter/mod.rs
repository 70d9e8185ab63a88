//! Filters: which servers should act on a request.
//!
//! A filter holds five lists; every list that is not empty must match (identities: any entry, the
//! others: all entries). The order of evaluation is identity, agent, class, fact, compound.

mod facts;
mod matching;
mod syntax;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Fault, Layer, limits};
use crate::util::pattern::slashed;

pub use facts::FactError;
pub use matching::{NodeData, has_class};
pub use syntax::FactSyntax;

/// One condition on a fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactFilter {
    /// Path of the fact, see [`crate::util::gjson`].
    pub fact: String,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with.
    pub value: String,
}

/// How a fact is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// Equal, without regard to case.
    #[serde(rename = "==")]
    Equal,
    /// Not equal; a fact that does not exist is not "not equal".
    #[serde(rename = "!=")]
    NotEqual,
    /// Matches a regular expression, without regard to case.
    #[serde(rename = "=~")]
    Match,
    /// Less than.
    #[serde(rename = "<")]
    Less,
    /// Less than or equal.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// Greater than.
    #[serde(rename = ">")]
    Greater,
    /// Greater than or equal.
    #[serde(rename = ">=")]
    GreaterOrEqual,
}

impl Operator {
    /// The operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Match => "=~",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        }
    }

    /// The operator for its text on the wire.
    ///
    /// # Errors
    /// [`Fault::Operator`] for any other text.
    pub fn from_wire(text: &str) -> Result<Self, Fault> {
        Ok(match text {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "=~" => Operator::Match,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            other => return Err(Fault::Operator { found: super::fault::short(other) }),
        })
    }
}

/// Which servers should act on a request. The default matches every server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Conditions on facts, all must hold.
    #[serde(rename = "fact")]
    pub facts: Vec<FactFilter>,
    /// Classes, all must be there.
    #[serde(rename = "cf_class")]
    pub classes: Vec<String>,
    /// Agents, all must be there.
    #[serde(rename = "agent", default)]
    pub agents: Vec<String>,
    /// Identities, one must fit.
    #[serde(rename = "identity")]
    pub identities: Vec<String>,
    /// Expressions: each a list of one object with the key `expr`, kept as received.
    pub compound: Vec<Vec<BTreeMap<String, String>>>,
}

impl Filter {
    /// Whether it matches every server. A filter with only an agent is not empty.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
            && self.classes.is_empty()
            && self.agents.is_empty()
            && self.identities.is_empty()
            && self.compound.is_empty()
    }

    /// Adds a condition on a fact; the same one may stand twice, as at the reference.
    pub fn add_fact(&mut self, fact: &str, operator: Operator, value: &str) {
        self.facts.push(FactFilter { fact: fact.to_owned(), operator, value: value.to_owned() });
    }

    /// Adds a class once; empty text is skipped.
    pub fn add_class(&mut self, class: &str) {
        add_once(&mut self.classes, class);
    }

    /// Adds an agent once; empty text is skipped.
    pub fn add_agent(&mut self, agent: &str) {
        add_once(&mut self.agents, agent);
    }

    /// Adds an identity once; empty text is skipped.
    pub fn add_identity(&mut self, identity: &str) {
        add_once(&mut self.identities, identity);
    }

    /// Adds an expression; empty text is skipped.
    pub fn add_compound(&mut self, expression: &str) {
        if !expression.is_empty() {
            self.compound.push(vec![BTreeMap::from([("expr".to_owned(), expression.to_owned())])]);
        }
    }

    /// The limits of the published request schema, and ours.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let layer = Layer::Request;
        let entries = |field, size| Fault::bound(layer, field, size, limits::FILTER_ENTRIES_MAX);
        let entry = |field, size| Fault::bound(layer, field, size, limits::FILTER_ENTRY_BYTES_MAX);
        entries("filter.fact", self.facts.len())?;
        entries("filter.compound", self.compound.len())?;
        for fact in &self.facts {
            let limit = limits::FILTER_ENTRY_BYTES_MAX;
            Fault::filled(layer, "filter.fact.fact", &fact.fact, limit)?;
            Fault::filled(layer, "filter.fact.value", &fact.value, limit)?;
        }
        for (field, list) in [
            ("filter.cf_class", &self.classes),
            ("filter.agent", &self.agents),
            ("filter.identity", &self.identities),
        ] {
            entries(field, list.len())?;
            list.iter().try_for_each(|text| entry(field, text.len()))?;
        }
        // Compiling a pattern takes much longer than reading it.
        let lists = [&self.classes, &self.agents, &self.identities];
        let patterns = lists.into_iter().flatten().filter(|text| slashed(text).is_some()).count()
            + self.facts.iter().filter(|fact| fact.operator == Operator::Match).count();
        Fault::bound(layer, "filter patterns", patterns, limits::FILTER_PATTERNS_MAX)?;
        for object in self.compound.iter().flatten() {
            object.values().try_for_each(|text| entry("filter.compound", text.len()))?;
        }
        Ok(())
    }
}

fn add_once(list: &mut Vec<String>, entry: &str) {
    if !entry.is_empty() && !list.iter().any(|known| known == entry) {
        list.push(entry.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_is_idempotent_but_for_facts() {
        let mut filter = Filter::default();
        assert!(filter.is_empty());
        for _ in 0..2 {
            filter.add_class("apache");
            filter.add_class("");
            filter.add_agent("rpcutil");
            filter.add_identity("n1");
            filter.add_fact("a", Operator::Equal, "b");
            filter.add_compound("");
        }
        assert_eq!((filter.classes.len(), filter.agents.len(), filter.identities.len()), (1, 1, 1));
        assert_eq!((filter.facts.len(), filter.compound.len()), (2, 0));
        let only_agent = Filter { agents: vec!["rpcutil".to_owned()], ..Filter::default() };
        assert!(!only_agent.is_empty());
    }

    #[test]
    fn layout_on_the_wire() {
        let mut filter = Filter::default();
        filter.add_fact("country", Operator::Equal, "mt");
        filter.add_compound("with('apache')");
        assert_eq!(
            serde_json::to_string(&filter).unwrap(),
            r#"{"fact":[{"fact":"country","operator":"==","value":"mt"}],"cf_class":[],"agent":[],"identity":[],"compound":[[{"expr":"with('apache')"}]]}"#
        );
        for text in ["==", "!=", "=~", "<", "<=", ">", ">="] {
            assert_eq!(Operator::from_wire(text).unwrap().as_str(), text);
        }
        assert!(Operator::from_wire("=").is_err());
    }
}
