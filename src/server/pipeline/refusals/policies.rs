//! What policies deny: each with file, line and rule in log and audit line.

use std::fs;

use super::*;
use crate::policy::{Authorizer, Kind, Settings};

/// Line 1 of a rule that would allow alice everything.
const ALLOW_ALL: &str = "allow\tchoria=alice.mcollective\t*\t*\t*\n";

/// Policy file, file of groups, and the reason; `FILE` and `GROUPS` stand for their names.
struct Row {
    name: &'static str,
    policy: Option<&'static str>,
    groups: Option<&'static str>,
    reason: &'static str,
}

const fn row(name: &'static str, policy: &'static str, reason: &'static str) -> Row {
    Row { name, policy: Some(policy), groups: None, reason }
}

const fn grouped(
    name: &'static str,
    policy: &'static str,
    groups: &'static str,
    reason: &'static str,
) -> Row {
    Row { name, policy: Some(policy), groups: Some(groups), reason }
}

const ROWS: &[Row] = &[
    Row {
        name: "no policy",
        policy: None,
        groups: None,
        reason: "there is no policy for the agent probe",
    },
    row("an empty policy", "", "FILE: no rule matches and there is no default"),
    row(
        "a default of deny",
        "# all\npolicy default deny\n",
        "FILE:2: no rule matches and the default denies: \"policy default deny\"",
    ),
    row(
        "a default of another word",
        "policy default yes\n",
        "FILE:1: no rule matches and the default denies: \"policy default yes\"",
    ),
    row(
        "the last of two defaults",
        "policy default allow\npolicy default deny\n",
        "FILE:2: no rule matches and the default denies: \"policy default deny\"",
    ),
    row(
        "denied by name",
        "policy default allow\ndeny\tchoria=alice.mcollective\t*\t*\t*\n",
        "FILE:2: denied by a rule: \"deny choria=alice.mcollective * * *\"",
    ),
    row(
        "denied by pattern",
        "deny\t/^choria=al/\trun stop\t*\t*\nallow\t*\t*\t*\t*\n",
        "FILE:1: denied by a rule: \"deny /^choria=al/ run stop * *\"",
    ),
    row("everybody is denied", "deny\t*\t*\t*\t*\n", "FILE:1: denied by a rule: \"deny * * * *\""),
    row(
        "denied by a fact",
        "deny\t*\t*\tcountry=mt\t*\nallow\t*\t*\t*\t*\n",
        "FILE:1: denied by a rule: \"deny * * country=mt *\"",
    ),
    row(
        "denied by a class",
        "deny\t*\t*\t*\t/^role::/\nallow\t*\t*\t*\t*\n",
        "FILE:1: denied by a rule: \"deny * * * /^role::/\"",
    ),
    row(
        "another caller is allowed",
        "allow\tchoria=bob.mcollective\t*\t*\t*\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "the beginning of the caller is allowed",
        "allow\tchoria=alice\t*\t*\t*\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "the name without its kind is allowed",
        "allow\talice.mcollective\t*\t*\t*\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "another action is allowed",
        "allow\t*\tstop\t*\t*\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "patterns are no actions",
        "allow\t*\t/run/\t*\t*\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "another fact is allowed",
        "allow\t*\t*\tcountry=de\t*\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "one of two facts is allowed",
        "allow\t*\t*\tcountry=mt os.family=RedHat\t*\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "a fact that is not there is allowed",
        "allow\t*\t*\tplanet=earth\t*\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "another class is allowed",
        "allow\t*\t*\t*\tmysql\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "one of two classes is allowed",
        "allow\t*\t*\t*\tapache mysql\n",
        "FILE: no rule matches and there is no default",
    ),
    row(
        "blanks between columns",
        "allow * * * *\n",
        "FILE:1: the policy cannot be read: the columns of a rule are not separated by tabs: \"allow * * * *\"",
    ),
    row(
        "a line that is none, behind the one that allows",
        "allow\t*\t*\t*\t*\npermit\t*\t*\t*\t*\n",
        "FILE:2: the policy cannot be read: a line is neither a comment nor a default nor a rule: \"permit * * * *\"",
    ),
    row(
        "an indented line",
        "allow\t*\t*\t*\t*\n deny\t*\t*\t*\t*\n",
        "FILE:2: the policy cannot be read: a line begins with white space: \"deny * * * *\"",
    ),
    row(
        "a comment that is indented",
        " # allow all\n",
        "FILE:1: the policy cannot be read: a line begins with white space: \"# allow all\"",
    ),
    row(
        "too few columns",
        "allow\t*\t*\n",
        "FILE:1: the policy cannot be read: a rule has fewer than the columns caller, actions, facts, classes: \"allow * *\"",
    ),
    row(
        "no column of classes",
        "allow\t*\t*\t*\n",
        "FILE:1: the rule cannot be applied: it has no column of classes: \"allow * * *\"",
    ),
    row(
        "too many columns",
        "allow\t*\t*\t*\t*\t*\n",
        "FILE:1: the rule cannot be applied: it has 5 columns instead of caller, actions, facts and classes: \"allow * * * * *\"",
    ),
    row(
        "compound facts",
        "allow\t*\t*\tcountry=mt and os.family=Debian\t*\n",
        "FILE:1: the rule cannot be applied: compound expressions are not supported, as in its facts: \"allow * * country=mt and os.family=Debian *\"",
    ),
    row(
        "compound classes of a rule that denies",
        "deny\t*\t*\t*\tnot apache\nallow\t*\t*\t*\t*\n",
        "FILE:1: the rule cannot be applied: compound expressions are not supported, as in its classes: \"deny * * * not apache\"",
    ),
    row(
        "a pattern that is none",
        "deny\t/(/\t*\t*\t*\nallow\t*\t*\t*\t*\n",
        "FILE:1: the rule cannot be applied: \"/(/\" in its callers is no usable pattern: REGEX: \"deny /(/ * * *\"",
    ),
    row(
        "a condition that is none",
        "allow\t*\t*\tcountry\t*\n",
        "FILE:1: the rule cannot be applied: \"country\" is no condition on a fact: \"allow * * country *\"",
    ),
    row(
        "a fact among the classes",
        "allow\t*\t*\t*\tcountry=mt\n",
        "FILE:1: the rule cannot be applied: \"country=mt\" in its classes is a condition on a fact: \"allow * * * country=mt\"",
    ),
    grouped(
        "not in the group",
        "allow\tadmins\t*\t*\t*\n",
        "admins choria=bob.mcollective\n",
        "FILE: no rule matches and there is no default",
    ),
    grouped(
        "in a group that is denied",
        "deny\tguests\t*\t*\t*\nallow\t*\t*\t*\t*\n",
        "guests choria=bob.mcollective choria=alice.mcollective\n",
        "FILE:1: denied by a rule: \"deny guests * * *\"",
    ),
    grouped(
        "a group of patterns",
        "allow\tadmins\t*\t*\t*\n",
        "admins /alice/\n",
        "FILE: no rule matches and there is no default",
    ),
    grouped(
        "a group that is not there is denied",
        "deny\tguests\t*\t*\t*\nallow\t*\t*\t*\t*\n",
        "admins choria=alice.mcollective\n",
        "FILE:1: denied by a rule that may match: there is no group guests: \"deny guests * * *\"",
    ),
    grouped(
        "groups that cannot be read",
        "allow\tadmins\t*\t*\t*\n",
        "admins choria=alice.mcollective\nad!mins choria=bob.mcollective\n",
        "FILE:1: the rule cannot be applied: GROUPS:2: a group has a name with other characters than letters, digits, _ . and -: \"allow admins * * *\"",
    ),
];

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases: Vec<Case> = ROWS.iter().map(|row| of_row(world, row)).collect();
    cases.extend(of_files(world));
    cases.extend(of_providers(world));
    cases.push(of_another_agent(world));
    cases.extend(without_rego(world));
    cases
}

/// A build without the feature, asked for what it cannot read.
fn without_rego(world: &World) -> Option<Case> {
    if crate::policy::rego::IS_BUILT_IN {
        return None;
    }
    let folder = Arc::new(TempDir::new());
    let file = folder.path().join("rego/probe.rego");
    fs::create_dir(folder.path().join("rego")).unwrap();
    fs::write(&file, "package io.choria.mcorpc.authpolicy\nallow = true\n").unwrap();
    let reason = format!(
        "{}: the Rego policy gives no decision: this program was built without the feature rego",
        file.display()
    );
    let settings = |settings: &mut Settings| settings.kind = Kind::Rego;
    Some(denied(world, "Rego in a build without it", &reason, folder, settings))
}

fn of_row(world: &World, row: &Row) -> Case {
    let folder = Arc::new(TempDir::new());
    let (file, groups) = (folder.path().join("probe.policy"), folder.path().join("groups"));
    if let Some(policy) = row.policy {
        fs::write(&file, policy).unwrap();
    }
    if let Some(text) = row.groups {
        fs::write(&groups, text).unwrap();
    }
    let regex = crate::util::pattern::Regex::new("(").unwrap_err().reason;
    let reason = row
        .reason
        .replace("FILE", &file.display().to_string())
        .replace("GROUPS", &groups.display().to_string())
        .replace("REGEX", &regex);
    denied(world, row.name, &reason, folder, |_| ())
}

/// The usual request, at a server with the policies of this folder.
pub(super) fn denied(
    world: &World,
    name: &str,
    reason: &str,
    folder: Arc<TempDir>,
    change: impl FnOnce(&mut Settings),
) -> Case {
    let mut settings = Settings::action_policy(folder.path());
    change(&mut settings);
    let authorizer = Arc::new(Authorizer::new(settings));
    let server = Arrangement {
        authorization: Some(Authorization::Policies(authorizer)),
        folder: Some(folder),
        ..Arrangement::default()
    };
    let request = world.request();
    let message = world.message(&request);
    let trace = Trace::Judged(Box::new(request), Outcome::Denied, reason.to_owned());
    Case::new(format!("policy: {name}"), message, trace).answered(1, DENIED).at(server)
}

/// Files that are no policies.
fn of_files(world: &World) -> Vec<Case> {
    let with = |name: &str, make: &dyn Fn(&Path), reason: &str| {
        let folder = Arc::new(TempDir::new());
        let file = folder.path().join("probe.policy");
        make(&file);
        let reason = reason.replace("FILE", &file.display().to_string());
        denied(world, name, &reason, folder, |_| ())
    };
    vec![
        with(
            "a file that is no text",
            &|file| fs::write(file, b"allow\t*\t*\t*\t*\n\xff\n").unwrap(),
            "FILE:2: the policy cannot be read: a line is not UTF-8 text: \"\"",
        ),
        with(
            "a link that leads nowhere",
            &|file| std::os::unix::fs::symlink("/nonexistent/policy", file).unwrap(),
            "FILE: the policy cannot be read: No such file or directory (os error 2)",
        ),
        with(
            "a folder in place of a file",
            &|file| fs::create_dir(file).unwrap(),
            "FILE: the policy cannot be read: not a regular file",
        ),
    ]
}

/// What the configuration names.
fn of_providers(world: &World) -> Vec<Case> {
    let with = |name: &str, change: fn(&mut Settings), files: &[(&str, &str)], reason: &str| {
        let folder = Arc::new(TempDir::new());
        for (file, text) in files {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let reason = reason.replace("FOLDER", &folder.path().display().to_string());
        denied(world, name, &reason, folder, change)
    };
    let allow = ("probe.policy", ALLOW_ALL);
    vec![
        with(
            "a provider that does not exist",
            |settings| settings.kind = Kind::named("no_policy"),
            &[allow],
            "\"no_policy\" is not a kind of policy",
        ),
        with(
            "a provider without a name",
            |settings| settings.kind = Kind::named(""),
            &[allow],
            "\"\" is not a kind of policy",
        ),
        with(
            "a default policy that is off",
            |_| (),
            &[("default.policy", ALLOW_ALL)],
            "there is no policy for the agent probe",
        ),
        with(
            "a default policy that denies",
            |settings| settings.default_name = Some("rest".to_owned()),
            &[("rest.policy", "policy default deny\n")],
            "FOLDER/rest.policy:1: no rule matches and the default denies: \"policy default deny\"",
        ),
        with(
            "a default policy beside one that denies",
            |settings| settings.default_name = Some("rest".to_owned()),
            &[("rest.policy", ALLOW_ALL), ("probe.policy", "policy default deny\n")],
            "FOLDER/probe.policy:1: no rule matches and the default denies: \"policy default deny\"",
        ),
        with(
            "what is not configured is allowed, and there is no policy",
            |settings| settings.allow_unconfigured = true,
            &[],
            "there is no policy for the agent probe",
        ),
    ]
}

/// The policy is that of the agent that would act, and the body names another.
fn of_another_agent(world: &World) -> Case {
    let folder = Arc::new(TempDir::new());
    fs::write(folder.path().join("probe.policy"), ALLOW_ALL).unwrap();
    fs::write(folder.path().join("rpcutil.policy"), ALLOW_ALL).unwrap();
    let mut case = denied(world, "a body for another agent", "", folder, |_| ());
    let mut request = world.request();
    request.message = json!({"agent": "rpcutil", "action": "run", "data": {"text": "a"}})
        .to_string()
        .into_bytes();
    case.messages = vec![world.message(&request)];
    let reason = "the body is for agent \"rpcutil\" and its envelope for \"probe\"";
    case.trace = Trace::Judged(Box::new(request), Outcome::Denied, reason.to_owned());
    case
}

#[test]
fn the_same_request_is_served_when_a_policy_allows_it() {
    let world = world();
    let folder = Arc::new(TempDir::new());
    fs::write(folder.path().join("probe.policy"), ALLOW_ALL).unwrap();
    let authorizer = Arc::new(Authorizer::new(Settings::action_policy(folder.path())));
    let scene = Scene::new(&Arrangement {
        authorization: Some(Authorization::Policies(authorizer)),
        folder: Some(folder.clone()),
        ..Arrangement::default()
    });
    let request = world.request();
    assert_eq!(scene.feed(world.message(&request)), [""; 0]);
    assert_eq!((scene.answers(), scene.probe.calls()), (vec![(0, "OK".to_owned())], 1));
    let file = folder.path().join("probe.policy");
    let reason = format!(
        "{}:1: allowed by a rule: \"allow choria=alice.mcollective * * *\"",
        file.display()
    );
    let trace = Trace::Judged(Box::new(request), Outcome::Allowed, reason);
    assert_eq!(scene.audited(), [trace.audit_line().unwrap()]);
    // A change counts from the next request on.
    fs::write(&file, "deny\t*\t*\t*\t*\n").unwrap();
    assert_eq!(scene.feed(world.message(&world.request())).len(), 1);
    assert_eq!((scene.answers(), scene.probe.calls()), (vec![(1, DENIED.to_owned())], 1));
}
