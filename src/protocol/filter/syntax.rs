//! Filters as they are typed: facts such as `os.family=Debian`, and lists of facts and classes.

use std::fmt;

use super::{FactFilter, Filter, Operator};

/// The text is not `fact operator value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactSyntax {
    /// The text.
    pub text: String,
}

impl fmt::Display for FactSyntax {
    /// The sentence go-choria prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not parse fact {} it does not appear to be in a valid format", self.text)
    }
}

impl std::error::Error for FactSyntax {}

impl FactFilter {
    /// Reads `fact operator value`. Of several operators in the text the right-most one divides it;
    /// a value in slashes means a regular expression whatever the operator.
    ///
    /// # Errors
    /// When there is no operator, a side is empty, or one has an operator at its outer end.
    pub fn parse(text: &str) -> Result<Self, FactSyntax> {
        let refused = || FactSyntax { text: text.to_owned() };
        let (at, length, operator) = last_operator(text).ok_or_else(refused)?;
        let fact = text[..at].trim();
        let value = text[at + length..].trim();
        let is_operator = |c: Option<char>| matches!(c, Some('<' | '>' | '='));
        let wrong = fact.is_empty()
            || value.is_empty()
            || is_operator(fact.chars().next())
            || is_operator(value.chars().next_back());
        if wrong {
            return Err(refused());
        }
        let in_slashes = value.starts_with('/') && value.ends_with('/');
        let operator = if in_slashes { Operator::Match } else { operator };
        Ok(FactFilter { fact: fact.to_owned(), operator, value: value.to_owned() })
    }
}

impl Filter {
    /// Adds a fact as it is typed; empty text is skipped.
    ///
    /// # Errors
    /// When [`FactFilter::parse`] cannot read it.
    pub fn add_fact_text(&mut self, text: &str) -> Result<(), FactSyntax> {
        if !text.is_empty() {
            self.facts.push(FactFilter::parse(text)?);
        }
        Ok(())
    }

    /// Adds what stands between spaces: facts where it can be read as one, else classes.
    pub fn add_with(&mut self, text: &str) {
        for part in text.split(' ').filter(|part| !part.is_empty()) {
            match FactFilter::parse(part) {
                Ok(fact) => self.facts.push(fact),
                Err(_) => self.add_class(part),
            }
        }
    }
}

/// Place, length and meaning of the last operator.
fn last_operator(text: &str) -> Option<(usize, usize, Operator)> {
    const SPELLINGS: [(&str, Operator); 10] = [
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("=>", Operator::GreaterOrEqual),
        ("=<", Operator::LessOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("!=", Operator::NotEqual),
        ("=~", Operator::Match),
        ("==", Operator::Equal),
        ("=", Operator::Equal),
    ];
    let (mut at, mut last) = (0, None);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        let found = SPELLINGS.iter().find(|(spelling, _)| rest.starts_with(spelling.as_bytes()));
        at += match found {
            Some((spelling, operator)) => {
                last = Some((at, spelling.len(), *operator));
                spelling.len()
            }
            None => 1,
        };
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_as_typed() {
        for (text, fact, operator, value) in [
            ("country=mt", "country", "==", "mt"),
            ("country == mt", "country", "==", "mt"),
            (" a.b  !=  c d ", "a.b", "!=", "c d"),
            ("n<=5", "n", "<=", "5"),
            ("n=<5", "n", "<=", "5"),
            ("n=>5", "n", ">=", "5"),
            ("n>=5", "n", ">=", "5"),
            ("n<5", "n", "<", "5"),
            ("n>5", "n", ">", "5"),
            ("a=~b", "a", "=~", "b"),
            ("a=/^b/", "a", "=~", "/^b/"),
            ("a!=/b/", "a", "=~", "/b/"),
            ("a=/", "a", "=~", "/"),
            ("a=b=c", "a=b", "==", "c"),
            (r#"disks.#(size>5)#.name=sda"#, r#"disks.#(size>5)#.name"#, "==", "sda"),
            ("stadt=Köln", "stadt", "==", "Köln"),
        ] {
            let parsed = FactFilter::parse(text).unwrap();
            let expected = (fact, operator, value);
            let found = (parsed.fact.as_str(), parsed.operator.as_str(), parsed.value.as_str());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_fact() {
        for text in ["", "apache", "=", "a=", "=b", " = ", "a!b", "=a=b", "a==b=", "a=<", "/re/"] {
            let error = FactFilter::parse(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("could not parse fact {text} it does not appear to be in a valid format")
            );
        }
    }

    #[test]
    fn combined_filters() {
        let mut filter = Filter::default();
        filter.add_with("apache country=mt  /^role::/ apache n>=5");
        assert_eq!(filter.classes, ["apache", "/^role::/"]);
        assert_eq!(filter.facts.len(), 2);
        assert!(filter.agents.is_empty());
        assert!(filter.add_fact_text("").is_ok() && filter.add_fact_text("x").is_err());
        assert!(filter.add_fact_text("a=b").is_ok());
        assert_eq!(filter.facts.len(), 3);
    }
}
