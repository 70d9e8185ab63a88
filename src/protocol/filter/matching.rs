//! Whether a filter picks a node.

use serde_json::Value;

use super::Filter;
use super::facts::{FactError, same_letters};
use crate::util::pattern::{Regex, slashed};

/// What a node knows about itself.
#[derive(Debug, Clone, Copy)]
pub struct NodeData<'a> {
    /// Its identity.
    pub identity: &'a str,
    /// Names of the agents it hosts.
    pub agents: &'a [String],
    /// Its configuration management classes.
    pub classes: &'a [String],
    /// Its facts, an object.
    pub facts: &'a Value,
}

impl Filter {
    /// Whether the filter picks the node. A pattern that does not compile fits nothing; a filter
    /// with expressions picks nothing, as this build does not evaluate them.
    ///
    /// # Errors
    /// When a condition on a fact makes no sense; the node is not picked then.
    pub fn matches(&self, node: &NodeData<'_>) -> Result<bool, FactError> {
        let picked = self.matches_identity(node.identity)
            && self.agents.iter().all(|wanted| fits_agent(wanted, node.agents))
            && self.classes.iter().all(|wanted| has_class(wanted, node.classes));
        if !picked {
            return Ok(false);
        }
        for condition in &self.facts {
            if !condition.matches(node.facts)? {
                return Ok(false);
            }
        }
        Ok(self.compound.is_empty())
    }

    /// Whether the identities of the filter, any of them, fit. No identities fit everyone.
    pub fn matches_identity(&self, identity: &str) -> bool {
        let fits = |wanted: &String| {
            wanted == identity || pattern(wanted).is_some_and(|pattern| pattern.is_match(identity))
        };
        self.identities.is_empty() || self.identities.iter().any(fits)
    }

    /// The identities when the filter holds literal ones and nothing else that has to be asked for:
    /// they are the result of a discovery without any network traffic.
    pub fn only_literal_identities(&self) -> Option<&[String]> {
        let literal = |identity: &String| !identity.starts_with('/') || !identity.ends_with('/');
        let only = !self.identities.is_empty()
            && self.identities.iter().all(literal)
            && self.facts.is_empty()
            && self.classes.is_empty()
            && self.compound.is_empty();
        only.then_some(&self.identities)
    }
}

fn fits_agent(wanted: &str, agents: &[String]) -> bool {
    match slashed(wanted) {
        Some(text) => Regex::new(text).is_ok_and(|p| agents.iter().any(|agent| p.is_match(agent))),
        None => agents.iter().any(|agent| agent == wanted),
    }
}

/// Whether a class, or one that matches `/pattern/`, is among those of a node. A pattern that does not compile fits
/// nothing.
///
/// Classes are compared without regard to case. go-choria lowers the wanted class only, so that
/// there a class stored with capitals can never be asked for.
pub fn has_class(wanted: &str, classes: &[String]) -> bool {
    match slashed(wanted) {
        Some(text) => Regex::new_case_insensitive(text)
            .is_ok_and(|p| classes.iter().any(|class| p.is_match(class))),
        None => classes.iter().any(|class| same_letters(class, wanted)),
    }
}

fn pattern(wanted: &str) -> Option<Regex> {
    Regex::new(slashed(wanted)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::filter::Operator;
    use serde_json::json;

    fn picks(build: fn(&mut Filter)) -> Option<bool> {
        let agents = ["rpcutil", "Puppet"].map(str::to_owned);
        let classes = ["apache", "role::web", "Camel::Case"].map(str::to_owned);
        let facts = json!({"country": "mt", "cpus": 4});
        let node = NodeData {
            identity: "web1.example.net",
            agents: &agents,
            classes: &classes,
            facts: &facts,
        };
        let mut filter = Filter::default();
        build(&mut filter);
        filter.matches(&node).ok()
    }

    #[test]
    fn table() {
        type Case = (fn(&mut Filter), Option<bool>);
        let cases: &[Case] = &[
            (|_| (), Some(true)),
            (|f| f.add_identity("web1.example.net"), Some(true)),
            (|f| f.add_identity("WEB1.example.net"), Some(false)),
            (|f| f.add_identity("/web\\d+/"), Some(true)),
            (|f| f.add_identity("/WEB/"), Some(false)),
            (|f| f.add_identity("/"), Some(true)),
            (|f| f.add_identity("/(/"), Some(false)),
            (|f| ["x", "web1.example.net"].iter().for_each(|i| f.add_identity(i)), Some(true)),
            (|f| f.add_agent("rpcutil"), Some(true)),
            (|f| f.add_agent("puppet"), Some(false)),
            (|f| f.add_agent("/^rpc/"), Some(true)),
            (|f| f.add_agent("/puppet/"), Some(false)),
            (|f| ["rpcutil", "nope"].iter().for_each(|a| f.add_agent(a)), Some(false)),
            (|f| f.add_class("APACHE"), Some(true)),
            (|f| f.add_class("camel::case"), Some(true)),
            (|f| f.add_class("Camel::Case"), Some(true)),
            (|f| f.add_class("/^ROLE::/"), Some(true)),
            (|f| f.add_class("/(/"), Some(false)),
            (|f| f.add_class("apac"), Some(false)),
            (|f| ["apache", "nginx"].iter().for_each(|c| f.add_class(c)), Some(false)),
            (|f| f.add_fact("country", Operator::Equal, "MT"), Some(true)),
            (|f| f.add_fact("cpus", Operator::Greater, "many"), None),
            (
                |f| {
                    f.add_fact("country", Operator::Equal, "de");
                    f.add_fact("cpus", Operator::Greater, "many");
                },
                Some(false),
            ),
            (
                |f| {
                    f.add_class("nope");
                    f.add_fact("cpus", Operator::Greater, "many");
                },
                Some(false),
            ),
            (|f| f.add_compound("true"), Some(false)),
            (
                |f| {
                    f.add_identity("web1.example.net");
                    f.add_compound("with('apache')");
                },
                Some(false),
            ),
        ];
        for (index, (build, expected)) in cases.iter().enumerate() {
            assert_eq!(picks(*build), *expected, "case {index}");
        }
    }

    #[test]
    fn discovery_without_asking() {
        let mut filter = Filter::default();
        assert_eq!(filter.only_literal_identities(), None);
        filter.add_identity("a");
        filter.add_agent("rpcutil");
        assert_eq!(filter.only_literal_identities(), Some(&["a".to_owned()][..]));
        filter.add_identity("/b/");
        assert_eq!(filter.only_literal_identities(), None);
    }
}
