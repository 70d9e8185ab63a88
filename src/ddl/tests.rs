use serde_json::json;

use super::*;

fn rpcutil(action: &str) -> &'static Action {
    builtin::agent("rpcutil").unwrap().action(action).unwrap()
}

fn input(description: Value) -> Input {
    serde_json::from_value(description).unwrap()
}

fn action(inputs: Value, outputs: Value) -> Action {
    serde_json::from_value(json!({"action": "act", "input": inputs, "output": outputs})).unwrap()
}

#[test]
fn words_become_values_of_the_declared_type() {
    let cases = [
        ("integer", "-12", Ok(json!(-12))),
        ("Integer", "1.5", Err("'1.5' is not a valid integer")),
        ("integer", "", Err("'' is not a valid integer")),
        ("number", "1e3", Ok(json!(1000))),
        ("float", "0.25", Ok(json!(0.25))),
        ("float", "abc", Err("'abc' is not a valid float")),
        ("float", "nan", Err("'nan' is not a valid float")),
        ("string", " as is ", Ok(json!(" as is "))),
        ("list", "one", Ok(json!("one"))),
        ("boolean", "T", Ok(json!(true))),
        ("boolean", "0", Ok(json!(false))),
        ("boolean", "yes", Err("'yes' is not a valid boolean")),
        ("hash", "{\"a\":1}", Ok(json!({"a": 1}))),
        ("Hash", "[1]", Err("'[1]' is not a valid JSON string with a hash inside")),
        ("array", "[1,\"x\"]", Ok(json!([1, "x"]))),
        ("array", "{}", Err("'{}' is not a valid JSON string with an array inside")),
        ("", "x", Err("unsupported type ''")),
        ("any", "x", Err("unsupported type 'any'")),
    ];
    for (kind, word, expected) in cases {
        let typed = input(json!({"type": kind})).typed(word).map_err(|fault| fault.to_string());
        assert_eq!(typed, expected.map_err(str::to_owned), "{kind} {word}");
    }
}

#[test]
fn values_are_checked_against_the_description() {
    let string =
        |validation: &str| json!({"type": "string", "maxlength": 20, "validation": validation});
    let cases = [
        (json!({"type": "integer"}), json!(1.0), ""),
        (json!({"type": "int"}), json!(1), ""),
        (json!({"type": "integer"}), json!(1.5), "is not an integer"),
        (json!({"type": "number"}), json!("1"), "is not a number"),
        (json!({"type": "float"}), json!(true), "is not a float"),
        (json!({"type": "float"}), json!(2), ""),
        (json!({"type": "boolean"}), json!("true"), "is not a boolean"),
        (json!({"type": "Hash"}), json!([]), "is not a hash map"),
        (json!({"type": "Array"}), json!({}), "is not an array"),
        (json!({"type": "string"}), json!(1), "is not a string"),
        (
            json!({"type": "string", "maxlength": 3}),
            json!("\u{e9}\u{e9}"),
            "is longer than 3 characters",
        ),
        (json!({"type": "string", "maxlength": 4}), json!("\u{e9}\u{e9}"), ""),
        (string("^a+$"), json!("aab"), "input does not match '^a+$'"),
        (string("A"), json!("xAx"), ""),
        (string("("), json!("x"), "invalid regular expression '(' in the DDL"),
        (string("shellsafe"), json!("ls -l"), ""),
        (string("shellsafe"), json!("a && b"), "may not contain '&&'"),
        (string("shellsafe"), json!("a & b"), ""),
        (string("shellsafe"), json!("`id`"), "may not contain '`'"),
        (string("ipv4address"), json!("10.0.0.1"), ""),
        (string("ipv4address"), json!("::ffff:10.0.0.1"), ""),
        (string("ipv4address"), json!("::1"), "::1 is not an IPv4 address"),
        (string("ipv6address"), json!("2a00::1"), ""),
        (string("ipv6address"), json!("10.0.0.1"), "10.0.0.1 is not an IPv6 address"),
        (string("ipaddress"), json!("::1"), ""),
        (string("ipaddress"), json!("host"), "host is not an IP address"),
        (json!({"type": "list", "list": ["a", "b"]}), json!("b"), ""),
        (json!({"type": "list", "list": ["a", "b"]}), json!("c"), "should be one of a, b"),
        (json!({"type": "list", "list": ["a"]}), json!(1), "should be a string"),
        (
            json!({"type": "list"}),
            json!("a"),
            "input type of list without a valid list of items in DDL",
        ),
        (json!({"type": "any"}), json!("a"), "unsupported input type 'any'"),
        // The rule applies although there is no maxlength: what the document says, not what the reference does.
        (json!({"type": "string", "validation": "^a$"}), json!("b"), "input does not match '^a$'"),
        (
            json!({"type": "string", "validation": "shellsafe", "maxlength": 0}),
            json!("$x"),
            "may not contain '$'",
        ),
    ];
    for (description, value, expected) in cases {
        let found = input(description.clone()).check(&value).err().map(|fault| fault.to_string());
        assert_eq!(found.unwrap_or_default(), expected, "{description} {value}");
    }
    let warning = input(string("nosuch")).check(&json!("x")).unwrap();
    assert_eq!(warning.as_deref(), Some("Unsupported validator 'nosuch'"));
}

#[test]
fn command_line_words_are_typed_checked_and_completed() {
    let act = action(
        json!({
            "count": {"type": "integer", "optional": true, "default": 3},
            "name": {"type": "string", "optional": false, "maxlength": 5, "validation": "shellsafe"},
            "forced": {"type": "boolean", "optional": false, "default": true},
            "note": {"type": "string", "optional": true}
        }),
        json!({}),
    );
    let typed = |words: &[(&str, &str)]| {
        act.typed_inputs(words.iter().copied()).map_err(|err| err.to_string())
    };
    assert_eq!(
        typed(&[("NAME", "web"), ("count", "7")]).map(Value::Object),
        Ok(json!({"name": "web", "count": 7, "forced": true}))
    );
    assert_eq!(typed(&[("nosuch", "1")]), Err("input 'nosuch' has not been declared".into()));
    assert_eq!(
        typed(&[("name", "toolong")]),
        Err("invalid value for 'name': is longer than 5 characters".into())
    );
    assert_eq!(
        typed(&[("count", "x")]),
        Err("invalid value for 'count': 'x' is not a valid integer".into())
    );
    assert_eq!(typed(&[("count", "1")]), Err("input 'name' is required".into()));
    let mistyped = act.typed_inputs([("nmae", "x")]).unwrap_err();
    assert_eq!(mistyped.suggestion(), Some("name"));
}

#[test]
fn typed_requests_are_checked_and_completed() {
    let mut data = json!({"fact": "os"}).as_object().unwrap().clone();
    assert_eq!(rpcutil("get_fact").complete_inputs(&mut data), Ok(()));
    for (given, expected) in [
        (json!({}), "input 'fact' is required"),
        (json!({"fact": 1}), "invalid value for 'fact': is not a string"),
        (json!({"fact": "os", "x": 1}), "input 'x' has not been declared"),
    ] {
        let found = rpcutil("get_fact").complete_inputs(&mut given.as_object().unwrap().clone());
        assert_eq!(found.unwrap_err().to_string(), expected);
    }
}

#[test]
fn servers_check_requests_as_the_reference_does() {
    let cases = [
        ("get_fact", json!({"fact": "os", "process_results": true}), ""),
        ("get_fact", json!({}), "input 'fact' is required"),
        (
            "get_fact",
            json!({"fact": ""}),
            "validation failed for input 'fact': input does not match '.+'",
        ),
        ("get_facts", json!({"facts": "a, b.c"}), ""),
        (
            "get_fact",
            json!({"fact": "os", "x": 1}),
            "request contains an input 'x' that is not declared in the DDL. Valid inputs are: fact",
        ),
        ("ping", json!({"x": 1}), "request contains inputs while none are declared in the DDL"),
        ("ping", json!({"process_results": true}), ""),
        (
            "get_data",
            json!({"source": "a b"}),
            "validation failed for input 'source': input does not match '^\\w+$'",
        ),
    ];
    for (name, data, expected) in cases {
        let found = rpcutil(name).validate_request(data.as_object().unwrap()).err();
        assert_eq!(
            found.map(|fault| fault.to_string()).unwrap_or_default(),
            expected,
            "{name} {data}"
        );
    }
}

#[test]
fn a_default_does_not_satisfy_the_server() {
    let act = action(json!({"a": {"type": "string", "default": "x"}}), json!({}));
    assert_eq!(act.validate_request(&Map::new()).unwrap_err().to_string(), "input 'a' is required");
}

#[test]
fn output_defaults_fill_gaps_only() {
    let mut data = json!({"version": "1"}).as_object().unwrap().clone();
    rpcutil("inventory").apply_output_defaults(&mut data);
    assert_eq!(Value::Object(data), json!({"version": "1", "upgradable": false}));
    let mut data = json!({"upgradable": null}).as_object().unwrap().clone();
    rpcutil("inventory").apply_output_defaults(&mut data);
    assert_eq!(data["upgradable"], Value::Null);
}

#[test]
fn documents_are_refused_with_a_reason() {
    let twice = json!({"metadata": {"name": "x"}, "actions": [{"action": "a"}, {"action": "a"}]});
    let cases = [
        (json!({"metadata": {"name": ""}}), "invalid agent name ''"),
        (json!({"metadata": {"name": "a.b"}}), "invalid agent name 'a.b'"),
        (
            json!({"metadata": {"name": "x"}, "actions": [{"action": "a b"}]}),
            "invalid action name 'a b'",
        ),
        (twice, "action 'a' is declared twice"),
    ];
    for (document, expected) in cases {
        let fault = Agent::parse(document.to_string().as_bytes()).unwrap_err();
        assert_eq!(fault.to_string(), expected);
    }
    for document in ["", "[]", "{}", "{\"metadata\":{\"name\":1}}"] {
        let text = Agent::parse(document.as_bytes()).unwrap_err().to_string();
        assert!(text.starts_with("the document is not a valid agent description: "), "{text}");
    }
    let long = Agent::parse(&vec![b' '; DOCUMENT_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(long, Fault::TooLong { .. }));
}

#[test]
fn null_counts_as_missing_and_unknown_fields_are_ignored() {
    let document = json!({
        "$schema": null, "x": 1,
        "metadata": {"name": "x", "timeout": null, "service": true, "provider": null},
        "actions": [{"action": "a", "display": "sometimes", "input": null, "output": null, "aggregate": null}]
    });
    let agent = Agent::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(agent.timeout(), std::time::Duration::from_secs(10));
    assert!(agent.metadata.service);
    assert_eq!(agent.actions[0].display, Display::Failed);
}

#[test]
fn rpcutil_is_what_clients_expect() {
    let agent = builtin::agent("rpcutil").unwrap();
    assert_eq!(agent.timeout(), std::time::Duration::from_secs(2));
    assert!(agent.actions.iter().all(|action| action.display == Display::Always));
    assert_eq!(agent.action_names().count(), 9);
    assert_eq!(agent.nearest_action("pign"), Some("ping"));
    assert_eq!(rpcutil("ping").label("pong"), "Timestamp");
    assert_eq!(rpcutil("ping").label("nosuch"), "nosuch");
    let get_fact = &rpcutil("get_fact").inputs["fact"];
    assert_eq!(
        (get_fact.maxlength, get_fact.validation.as_str(), get_fact.is_required()),
        (512, ".+", true)
    );
}
