//! Comparing one fact with one condition.
//!
//! The rules are go-choria's (`filter/facts/matchers.go`) with two of its faults repaired: `>` with
//! decimals does not mean `>=`, and `!=` on a false fact is the opposite of `==`.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Number, Value};

use super::{FactFilter, Operator};
use crate::util::gjson;
use crate::util::pattern::Regex;

/// A condition that makes no sense for the fact; the whole filter does not match then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactError {
    /// The condition.
    pub filter: FactFilter,
    /// Why it makes no sense.
    pub reason: String,
}

impl fmt::Display for FactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FactFilter { fact, operator, value } = &self.filter;
        write!(f, "cannot match fact {fact} {} {value}: {}", operator.as_str(), self.reason)
    }
}

impl std::error::Error for FactError {}

impl FactFilter {
    /// Whether the condition holds. A fact that does not exist fits no condition.
    ///
    /// # Errors
    /// When the operator or value makes no sense for the fact's type, or a pattern is not valid.
    pub fn matches(&self, facts: &Value) -> Result<bool, FactError> {
        let Some(fact) = gjson::lookup(facts, &self.fact) else { return Ok(false) };
        let (operator, value) = (self.operator, self.value.as_str());
        match fact.as_ref() {
            Value::String(text) => match_text(text, operator, value),
            Value::Number(number) if value.contains('.') => match_decimal(number, operator, value),
            Value::Number(number) => match_integer(number, operator, value),
            Value::Bool(fact) => match_bool(*fact, operator, value),
            Value::Null | Value::Array(_) | Value::Object(_) if orders(operator).is_some() => {
                Err("only text and numbers have an order".to_owned())
            }
            Value::Null | Value::Array(_) | Value::Object(_) => Ok(false),
        }
        .map_err(|reason| FactError { filter: self.clone(), reason })
    }
}

type Outcome = Result<bool, String>;

fn match_text(text: &str, operator: Operator, value: &str) -> Outcome {
    match operator {
        Operator::Equal => Ok(same_letters(text, value)),
        Operator::NotEqual => Ok(!same_letters(text, value)),
        Operator::Match => match_pattern(text, value),
        _ => Ok(in_order(operator, text.to_lowercase().partial_cmp(&value.to_lowercase()))),
    }
}

fn match_decimal(number: &Number, operator: Operator, value: &str) -> Outcome {
    let number = number.as_f64().unwrap_or(f64::NAN);
    if operator == Operator::Match {
        return match_pattern(&format!("{number:.4}"), value);
    }
    let value: f64 = value.parse().map_err(|_| "the value is not a number".to_owned())?;
    match operator {
        Operator::Equal => Ok(number == value),
        Operator::NotEqual => Ok(number != value),
        _ => Ok(in_order(operator, number.partial_cmp(&value))),
    }
}

/// The fact without its decimals against a value without decimals.
fn match_integer(number: &Number, operator: Operator, value: &str) -> Outcome {
    // Beyond the range of 64 bits the nearest number is taken.
    let number = number.as_i64().unwrap_or_else(|| number.as_f64().unwrap_or_default() as i64);
    match operator {
        Operator::Equal => Ok(number.to_string() == value),
        Operator::NotEqual => Ok(number.to_string() != value),
        Operator::Match => match_pattern(&number.to_string(), value),
        _ => {
            let value: i64 = value.parse().map_err(|_| "the value is not an integer".to_owned())?;
            Ok(in_order(operator, Some(number.cmp(&value))))
        }
    }
}

/// A value that is no word for true counts as false.
fn match_bool(fact: bool, operator: Operator, value: &str) -> Outcome {
    match operator {
        Operator::Equal => Ok(truthy(value) == fact),
        Operator::NotEqual => Ok(truthy(&value.to_lowercase()) != fact),
        Operator::Match => Ok(truthy(&value.to_lowercase()) == fact),
        _ => Err("only text and numbers have an order".to_owned()),
    }
}

fn match_pattern(text: &str, pattern: &str) -> Outcome {
    Regex::new_case_insensitive(pattern.trim_matches('/'))
        .map(|pattern| pattern.is_match(text))
        .map_err(|error| error.to_string())
}

/// The orders an operator accepts; `None` for those that do not order.
fn orders(operator: Operator) -> Option<&'static [Ordering]> {
    match operator {
        Operator::Less => Some(&[Ordering::Less]),
        Operator::LessOrEqual => Some(&[Ordering::Less, Ordering::Equal]),
        Operator::Greater => Some(&[Ordering::Greater]),
        Operator::GreaterOrEqual => Some(&[Ordering::Greater, Ordering::Equal]),
        Operator::Equal | Operator::NotEqual | Operator::Match => None,
    }
}

fn in_order(operator: Operator, order: Option<Ordering>) -> bool {
    orders(operator).zip(order).is_some_and(|(accepted, order)| accepted.contains(&order))
}

/// The words Go takes for true.
fn truthy(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// Equal without regard to case, character by character as Go's `EqualFold`.
pub(super) fn same_letters(a: &str, b: &str) -> bool {
    a.chars().map(fold).eq(b.chars().map(fold))
}

fn fold(c: char) -> char {
    let upper = only(c.to_uppercase()).unwrap_or(c);
    only(upper.to_lowercase()).unwrap_or(upper)
}

/// The character of a mapping that has one.
fn only(mut mapping: impl Iterator<Item = char>) -> Option<char> {
    let first = mapping.next();
    if mapping.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outcome(fact: &str, operator: &str, value: &str) -> Option<bool> {
        let facts = json!({
            "text": "Hello World", "uml": "Grüße", "sigma": "ΣΟΦΟΣ",
            "int": 12, "neg": -3, "float": 1.2, "whole": 10.0, "big": 18446744073709551615_u64,
            "yes": true, "no": false, "null": null, "list": [1, "b"], "map": {"k": "v"},
            "dotted.key": "yes",
        });
        let operator = Operator::from_wire(operator).unwrap();
        let filter = FactFilter { fact: fact.to_owned(), operator, value: value.to_owned() };
        filter.matches(&facts).ok()
    }

    /// Conditions that hold, do not hold, and make no sense.
    #[test]
    fn table() {
        let (yes, no, senseless) = (Some(true), Some(false), None);
        for (fact, operator, value, expected) in [
            ("text", "==", "hello WORLD", yes),
            ("text", "==", "hello", no),
            ("text", "!=", "hello WORLD", no),
            ("text", "!=", "hello", yes),
            ("text", "=~", "/^hello/", yes),
            ("text", "=~", "//WORLD//", yes),
            ("text", "=~", "^world", no),
            ("text", "=~", "(", senseless),
            ("text", "<", "i", yes),
            ("text", "<", "H", no),
            ("text", ">", "h", yes),
            ("text", "<=", "HELLO world", yes),
            ("text", ">=", "HELLO world", yes),
            ("text", ">", "HELLO world", no),
            ("uml", "==", "GRÜßE", yes),
            ("sigma", "==", "σοφος", yes),
            ("int", "==", "12", yes),
            ("int", "==", "12.0", yes),
            ("int", "==", "012", no),
            ("int", "!=", "12", no),
            ("int", "!=", "13", yes),
            ("int", "!=", "12.5", yes),
            ("int", "=~", "^1", yes),
            ("int", "=~", "1.$", no),
            ("int", "=~", "12.0000", yes),
            ("int", "<", "13", yes),
            ("int", "<=", "12", yes),
            ("int", ">", "12", no),
            ("int", ">=", "12", yes),
            ("int", ">", "x", senseless),
            ("int", ">", "1.x", senseless),
            ("int", "==", "1.x", senseless),
            ("int", "==", "x", no),
            ("neg", "<", "0", yes),
            ("float", "==", "1.2", yes),
            ("float", "==", "1", yes),
            ("float", "!=", "1.2", no),
            ("float", "=~", r"/1\.\d+/", yes),
            ("float", "=~", r"^1\.2000$", yes),
            // Not as in go-choria, where `>` with decimals means `>=`.
            ("float", ">", "1.2", no),
            ("float", ">", "1.1", yes),
            ("float", ">=", "1.2", yes),
            ("float", "<", "1.2", no),
            ("float", "<=", "1.01", no),
            ("float", ">", "1", no),
            ("float", "<", "10", yes),
            ("whole", "==", "10", yes),
            ("big", ">", "5", yes),
            ("yes", "==", "true", yes),
            ("yes", "==", "1", yes),
            ("yes", "==", "T", yes),
            ("yes", "==", "tRUE", no),
            ("yes", "==", "bob", no),
            ("yes", "!=", "bob", yes),
            ("yes", "!=", "T", no),
            ("yes", "=~", "TrUe", yes),
            ("yes", ">", "1", senseless),
            ("no", "==", "false", yes),
            ("no", "==", "0", yes),
            ("no", "==", "bob", yes),
            ("no", "==", "true", no),
            // Not as in go-choria, where `!=` on a false fact means `==`.
            ("no", "!=", "false", no),
            ("no", "!=", "true", yes),
            ("no", "!=", "True", yes),
            ("no", "=~", "false", yes),
            ("no", "<", "1", senseless),
            ("null", "==", "", no),
            ("null", "!=", "x", no),
            ("null", "<", "x", senseless),
            ("list", "==", "1", no),
            ("list", ">=", "1", senseless),
            ("list.1", "==", "B", yes),
            ("list.#", ">", "1", yes),
            ("map", "!=", "x", no),
            ("map.k", "==", "v", yes),
            (r"dotted\.key", "==", "yes", yes),
            ("dotted.key", "==", "yes", no),
            ("absent", "==", "x", no),
            ("absent", "!=", "x", no),
            ("absent", "<", "x", no),
        ] {
            assert_eq!(outcome(fact, operator, value), expected, "{fact} {operator} {value}");
        }
    }

    #[test]
    fn errors_name_the_condition() {
        let filter = FactFilter::parse("n>x").unwrap();
        let error = filter.matches(&json!({"n": 1})).unwrap_err();
        assert_eq!(error.to_string(), "cannot match fact n > x: the value is not an integer");
    }
}
