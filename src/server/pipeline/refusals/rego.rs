//! What Rego policies deny, in files and in tokens: false, no value, no policy, and whatever goes wrong.

use std::fs;

use super::policies::denied;
use super::*;
use crate::policy::Kind;

/// Lines 1 to 4 of a policy.
const HEAD: &str = "package io.choria.mcorpc.authpolicy\n\ndefault allow = false\n\n";
/// Line 1 of a policy that allows only what a rule allows.
const BARE: &str = "package io.choria.mcorpc.authpolicy\n";

/// What stands behind [`HEAD`] or [`BARE`], and the reason; `FILE` stands for the name of the file.
type Row = (&'static str, &'static str, &'static str);

/// Policies that say no.
const NO: &[Row] = &[
    ("the default alone", "", "FILE: denied by a Rego policy"),
    ("a rule that is false", "allow = false\n", "FILE: denied by a Rego policy"),
    (
        "another caller",
        "allow if input.callerid == \"choria=bob.mcollective\"\n",
        "FILE: denied by a Rego policy",
    ),
    ("another action", "allow if input.action == \"stop\"\n", "FILE: denied by a Rego policy"),
    ("another agent", "allow if input.agent == \"rpcutil\"\n", "FILE: denied by a Rego policy"),
    ("another fact", "allow if input.facts.country == \"de\"\n", "FILE: denied by a Rego policy"),
    ("a fact that is not there", "allow if input.facts.planet\n", "FILE: denied by a Rego policy"),
    ("another class", "allow if \"mysql\" in input.classes\n", "FILE: denied by a Rego policy"),
    ("another input", "allow if input.data.text == \"bye\"\n", "FILE: denied by a Rego policy"),
    ("a time that is over", "allow if time.now_ns() < 1\n", "FILE: denied by a Rego policy"),
    ("a rule of another name", "Allow = true\n", "FILE: denied by a Rego policy"),
];

/// Policies that say neither yes nor no.
const NEITHER: &[Row] = &[
    ("no rule", "", "FILE: the Rego policy gives no decision: allow has no value"),
    (
        "a rule that does not hold",
        "allow if false\n",
        "FILE: the Rego policy gives no decision: allow has no value",
    ),
    (
        "a number",
        "allow = 1\n",
        "FILE: the Rego policy gives no decision: allow is neither true nor false",
    ),
    (
        "a word",
        "allow = \"true\"\n",
        "FILE: the Rego policy gives no decision: allow is neither true nor false",
    ),
    (
        "nothing",
        "allow = null\n",
        "FILE: the Rego policy gives no decision: allow is neither true nor false",
    ),
    (
        "a list",
        "allow = [true]\n",
        "FILE: the Rego policy gives no decision: allow is neither true nor false",
    ),
    (
        "a set",
        "allow contains true\n",
        "FILE: the Rego policy gives no decision: allow is neither true nor false",
    ),
    (
        "an object",
        "allow = {\"allow\": true}\n",
        "FILE: the Rego policy gives no decision: allow is neither true nor false",
    ),
    (
        "a function",
        "allow(x) = true\n",
        "FILE: the Rego policy gives no decision: allow has no value",
    ),
    (
        "yes and no",
        "allow = true\nallow = false\n",
        "FILE:3: the Rego policy gives no decision: rule conflicts with the following rule",
    ),
    (
        "rules in a circle",
        "allow if a\na if b\nb if a\n",
        "FILE:3: the Rego policy gives no decision: recursion detected when evaluating rule",
    ),
    (
        "a rule that is not there",
        "allow if nosuch\n",
        "FILE:2: the Rego policy gives no decision: use of undefined variable `nosuch` is unsafe",
    ),
    (
        "a function that is not there",
        "allow if nosuch(1)\n",
        "FILE:2: the Rego policy gives no decision: could not find function nosuch",
    ),
    (
        "a function about the filter",
        "allow if requires_filter()\n",
        "FILE:2: the Rego policy gives no decision: could not find function requires_filter",
    ),
    (
        "a function that reaches out",
        "allow if http.send({\"url\": \"https://x\"}).ok\n",
        "FILE:2: the Rego policy gives no decision: could not find function http.send",
    ),
    (
        "a division by zero",
        "allow if 1 / 0 == 1\n",
        "FILE:2: the Rego policy gives no decision: divide by zero",
    ),
    (
        "too many numbers",
        "allow if count(numbers.range(1, 1000000)) > 0\n",
        "FILE:2: the Rego policy gives no decision: a range has 100000 numbers at most",
    ),
    (
        "a number with too many bits",
        "allow if bits.lsh(1, 4000000000) > 0\n",
        "FILE:2: the Rego policy gives no decision: bits.lsh is not supported",
    ),
    (
        "an evaluation without end",
        "allow if {\n  count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a == b + 1]) > 0\n}\n",
        "FILE: the Rego policy gives no decision: the evaluation takes too long",
    ),
];

/// Whole files that are no policies.
const NO_POLICIES: &[Row] = &[
    (
        "an empty file",
        "",
        "FILE:1: the Rego policy gives no decision: expecting `package` Missing package declaration",
    ),
    (
        "no package",
        "allow = true\n",
        "FILE:1: the Rego policy gives no decision: expecting `package` Missing package declaration",
    ),
    (
        "another package",
        "package io.choria.aaasvc\nallow = true\n",
        "FILE: the Rego policy gives no decision: the policy is not of the package io.choria.mcorpc.authpolicy",
    ),
    (
        "a package below",
        "package io.choria.mcorpc.authpolicy.more\nallow = true\n",
        "FILE: the Rego policy gives no decision: the policy is not of the package io.choria.mcorpc.authpolicy",
    ),
    (
        "a rule that ends early",
        "package io.choria.mcorpc.authpolicy\nallow if {\n",
        "FILE:3: the Rego policy gives no decision: expecting expression",
    ),
    (
        "the syntax of OPA 0",
        "package io.choria.mcorpc.authpolicy\nallow { true }\n",
        "FILE:2: the Rego policy gives no decision: `if` keyword is required before rule body",
    ),
    (
        "rules of ActionPolicy",
        "policy default allow\n",
        "FILE:1: the Rego policy gives no decision: expecting `package` Missing package declaration",
    ),
    (
        "words",
        "package io.choria.mcorpc.authpolicy\nlet alice in\n",
        "FILE:2: the Rego policy gives no decision: rule must have a body or assignment",
    ),
];

pub(super) fn cases(world: &World) -> Vec<Case> {
    let no = NO.iter().map(|row| of_row(world, HEAD, row));
    let neither = NEITHER.iter().map(|row| of_row(world, BARE, row));
    let none = NO_POLICIES.iter().map(|row| of_row(world, "", row));
    no.chain(neither).chain(none).chain(of_size(world)).chain(of_files(world)).collect()
}

fn of_row(world: &World, head: &str, (name, text, reason): &Row) -> Case {
    of_text(world, name, format!("{head}{text}").as_bytes(), reason)
}

/// The agent has this policy.
fn of_text(world: &World, name: &str, text: &[u8], reason: &str) -> Case {
    of_folder(world, name, reason, |rego| fs::write(rego.join("probe.rego"), text).unwrap())
}

/// The usual request, at a server whose folder of Rego policies this fills.
fn of_folder(world: &World, name: &str, reason: &str, fill: impl Fn(&Path)) -> Case {
    let folder = Arc::new(TempDir::new());
    let rego = folder.path().join("rego");
    fs::create_dir(&rego).unwrap();
    fill(&rego);
    let file = rego.join("probe.rego").display().to_string();
    let reason = reason.replace("FILE", &file).replace("FOLDER", &rego.display().to_string());
    denied(world, &format!("Rego: {name}"), &reason, folder, |settings| settings.kind = Kind::Rego)
}

fn of_size(world: &World) -> Vec<Case> {
    let good = format!("{BARE}allow = true\n");
    vec![
        of_text(
            world,
            "too many lines",
            format!("{good}{}", "# more\n".repeat(2_000)).as_bytes(),
            "FILE: the Rego policy gives no decision: policy exceeds maximum allowed line count 2000",
        ),
        of_text(
            world,
            "too many bytes",
            format!("{good}{}", format!("# {}\n", "x".repeat(1_000)).repeat(300)).as_bytes(),
            "FILE: the Rego policy gives no decision: policy exceeds maximum allowed policy file size 262144 bytes",
        ),
        of_text(
            world,
            "a line that is too long",
            format!("{BARE}allow if input.action == \"{}\"\n", "x".repeat(1_100)).as_bytes(),
            "FILE:2: the Rego policy gives no decision: line exceeds maximum column width of 1024",
        ),
        of_text(
            world,
            "too many parentheses",
            format!("{BARE}allow if {}true{}\n", "(".repeat(400), ")".repeat(400)).as_bytes(),
            "FILE:2: the Rego policy gives no decision: expression nesting too deep (>32)",
        ),
        of_text(
            world,
            "a huge file",
            &vec![b'#'; 1024 * 1024 + 1],
            "FILE: the policy cannot be read: larger than 1048576 bytes",
        ),
    ]
}

fn of_files(world: &World) -> Vec<Case> {
    let good = format!("{BARE}allow = true\n");
    let write = |path: &Path, text: &[u8]| fs::write(path, text).unwrap();
    vec![
        of_text(
            world,
            "no text",
            b"package io.choria.mcorpc.authpolicy\n# \xff\n",
            "FILE: the Rego policy gives no decision: the policy is not UTF-8 text",
        ),
        of_folder(world, "no file", "there is no policy for the agent probe", |_| ()),
        of_folder(
            world,
            "the policy of another agent",
            "there is no policy for the agent probe",
            |rego| {
                write(&rego.join("rpcutil.rego"), good.as_bytes());
            },
        ),
        of_folder(
            world,
            "an ActionPolicy beside",
            "there is no policy for the agent probe",
            |rego| {
                write(&rego.join("../probe.policy"), b"allow\t*\t*\t*\t*\n");
            },
        ),
        of_folder(
            world,
            "a folder in place of the file",
            "FILE: the policy cannot be read: not a regular file",
            |rego| {
                fs::create_dir(rego.join("probe.rego")).unwrap();
            },
        ),
        of_folder(
            world,
            "a default that denies",
            "FOLDER/default.rego: denied by a Rego policy",
            |rego| {
                write(&rego.join("default.rego"), HEAD.as_bytes());
            },
        ),
        of_folder(
            world,
            "a default beside one that denies",
            "FILE: denied by a Rego policy",
            |rego| {
                write(&rego.join("default.rego"), good.as_bytes());
                write(&rego.join("probe.rego"), HEAD.as_bytes());
            },
        ),
    ]
}

#[test]
fn the_same_request_is_served_when_a_rego_policy_allows_it() {
    let world = world();
    let folder = Arc::new(TempDir::new());
    let file = folder.path().join("rego/probe.rego");
    fs::create_dir(folder.path().join("rego")).unwrap();
    let rule = "allow if {\n  input.callerid == \"choria=alice.mcollective\"\n  input.action == \"run\"\n  \
                input.data.text == \"hello\"\n  input.facts.country == \"mt\"\n  \"apache\" in input.classes\n}\n";
    fs::write(&file, format!("{HEAD}{rule}")).unwrap();
    let mut settings = crate::policy::Settings::action_policy(folder.path());
    settings.kind = Kind::Rego;
    let authorizer = Arc::new(crate::policy::Authorizer::new(settings));
    let scene = Scene::new(&Arrangement {
        authorization: Some(Authorization::Policies(authorizer)),
        folder: Some(folder.clone()),
        ..Arrangement::default()
    });
    let request = world.request();
    assert_eq!(scene.feed(world.message(&request)), [""; 0]);
    assert_eq!((scene.answers(), scene.probe.calls()), (vec![(0, "OK".to_owned())], 1));
    let reason = format!("{}: allowed by a Rego policy", file.display());
    let trace = Trace::Judged(Box::new(request), Outcome::Allowed, reason);
    assert_eq!(scene.audited(), [trace.audit_line().unwrap()]);
}
