//! Requests of a proven caller that do not get past body, action, authorization, inputs or audit.

use super::*;

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = bodies(world);
    cases.extend(inputs(world));
    cases.extend(audit(world));
    cases
}

fn judged(world: &World, name: &str, message: &str, outcome: Outcome, reason: &str) -> Case {
    let mut request = world.request();
    request.message = message.as_bytes().to_vec();
    let message = world.message(&request);
    Case::new(name, message, Trace::Judged(Box::new(request), outcome, reason.to_owned()))
}

fn bodies(world: &World) -> Vec<Case> {
    let start = "Could not process request: could not parse incoming message as a MCollective SimpleRPC Request: ";
    let case = |name: &str, message: &str, reason: &str| {
        let reason = format!("cannot read the request body: {reason}");
        judged(world, name, message, Outcome::Refused, &reason)
            .answered(4, format!("{start}{reason}"))
    };
    let unknown = |name: &str, action: &str| {
        let message =
            json!({"agent": "probe", "action": action, "data": {"text": "x"}}).to_string();
        let reason = format!("agent probe has no action {action}");
        judged(world, name, &message, Outcome::Refused, &reason)
            .answered(2, format!("Unknown action {action} for agent probe"))
    };
    vec![
        case("a body that is no JSON", "run!", "expected value at line 1 column 1"),
        case(
            "a body that ends early",
            r#"{"action":"run""#,
            "EOF while parsing an object at line 1 column 15",
        ),
        case(
            "a list for a body",
            "[]",
            "invalid type: sequence, expected an object at line 1 column 0",
        ),
        case(
            "a number for an action",
            r#"{"agent":"probe","action":5}"#,
            "invalid type: integer `5`, expected a string at line 1 column 27",
        ),
        case(
            "two actions",
            r#"{"agent":"probe","action":"stop","action":"run"}"#,
            "duplicate field `action` at line 1 column 41",
        ),
        unknown("an action that is not there", "stop"),
        unknown("an action in capitals", "RUN"),
        unknown("no action", ""),
    ]
}

fn inputs(world: &World) -> Vec<Case> {
    let case = |name: &str, data: Value, code: i64, text: &str| {
        let message = json!({"agent": "probe", "action": "run", "data": data}).to_string();
        judged(world, name, &message, Outcome::Refused, text).answered(code, text)
    };
    let failed = |text: &str| format!("Validation failed: {text}");
    vec![
        case("no input", json!({}), 3, &failed("input 'text' is required")),
        case("an input of nothing", json!({"text": null}), 3, &failed("input 'text' is required")),
        case(
            "an input of another type",
            json!({"text": 5}),
            4,
            &failed("validation failed for input 'text': is not a string"),
        ),
        case(
            "an input that is too long",
            json!({"text": "abcdefghijk"}),
            4,
            &failed("validation failed for input 'text': is longer than 10 characters"),
        ),
        case(
            "an input with a command",
            json!({"text": "a; reboot"}),
            4,
            &failed("validation failed for input 'text': input does not match '^[a-z]+$'"),
        ),
        case(
            "a list of inputs",
            json!(["text"]),
            4,
            "Could not parse request data for probe#run: the data is not a hash map",
        ),
    ]
}

/// What cannot be written down does not run.
fn audit(world: &World) -> Vec<Case> {
    let request = world.request();
    let text = "cannot write audit log /dev/full: No space left on device (os error 28)";
    let full = Arrangement { audit_file: Some("/dev/full"), ..Arrangement::default() };
    let reason = format!("it could not be audited: {text}");
    let trace = Trace::Judged(Box::new(request.clone()), Outcome::Refused, reason);
    vec![Case::new("a full disk", world.message(&request), trace).answered(1, NOT_AUDITED).at(full)]
}
