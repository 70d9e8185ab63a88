//! Facts as typed, paths into facts and the match itself, from text that is cut at line ends.
#![no_main]

use choria::protocol::filter::{FactFilter, Filter, NodeData};
use choria::util::gjson;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let facts: Value = serde_json::from_str(rest).unwrap_or_else(|_| {
        json!({"a": {"b": [1, 2.5, "x", {"k": "v"}]}, "t": true, "n": null, "dotted.key": "yes"})
    });
    let _ = gjson::lookup(&facts, first);
    if let Ok(fact) = FactFilter::parse(first) {
        assert!(!fact.fact.is_empty() && !fact.value.is_empty());
        let _ = fact.matches(&facts);
    }
    let mut filter = Filter::default();
    filter.add_with(first);
    filter.add_identity(first);
    filter.add_agent(rest);
    let names = ["rpcutil".to_owned(), "apache".to_owned()];
    let node =
        NodeData { identity: "n1.example.net", agents: &names, classes: &names, facts: &facts };
    let _ = filter.matches(&node);
});
