use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::json;

use super::*;
use crate::protocol::filter::Filter;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("choria-authz-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether `choria=ann` may `status` an agent, and why.
fn ask(authorizer: &Authorizer, agent: &str) -> (bool, String) {
    let (data, facts, filter) = (json!({}), json!({}), Filter::default());
    let decision = authorizer.decide(&Question {
        caller: "choria=ann",
        agent,
        action: "status",
        data: &data,
        facts: Some(&facts),
        classes: Some(&[]),
        agents: &[],
        collective: "mcollective",
        sender: "shell",
        ttl_secs: 60,
        time: SystemTime::UNIX_EPOCH,
        filter: &filter,
        claims: None,
    });
    (decision.allow, decision.reason.to_string())
}

#[test]
fn the_file_of_the_agent_then_the_default() {
    let folder = Folder::new("lookup");
    let settings = Settings::action_policy(&folder.0);
    let strict = Authorizer::new(settings.clone());
    let with_default =
        Authorizer::new(Settings { default_name: Some("rest".to_owned()), ..settings });
    let none = (false, "there is no policy for the agent service".to_owned());
    assert_eq!(ask(&strict, "service"), none);
    assert_eq!(ask(&with_default, "service"), none);
    folder.write("rest.policy", "allow\t*\t*\t*\t*\n");
    assert_eq!(ask(&strict, "service"), none);
    let place = folder.0.display();
    let (allowed, reason) = ask(&with_default, "service");
    assert_eq!(
        (allowed, reason),
        (true, format!("{place}/rest.policy:1: allowed by a rule: \"allow * * * *\""))
    );
    folder.write("service.policy", "policy default deny\n");
    for authorizer in [&strict, &with_default] {
        let (allowed, reason) = ask(authorizer, "service");
        let text = "no rule matches and the default denies: \"policy default deny\"";
        assert_eq!((allowed, reason), (false, format!("{place}/service.policy:1: {text}")));
    }
}

#[test]
fn what_cannot_be_read_denies() {
    let folder = Folder::new("unreadable");
    let authorizer = Authorizer::new(Settings {
        default_name: Some("default".to_owned()),
        allow_unconfigured: true,
        ..Settings::action_policy(&folder.0)
    });
    folder.write("default.policy", "allow\t*\t*\t*\t*\n");
    assert!(ask(&authorizer, "any").0);
    fs::create_dir(folder.0.join("folder.policy")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.0.join("link.policy")).unwrap();
    folder.write("huge.policy", &"#\n".repeat(600_000));
    for (agent, part) in [
        ("folder", "folder.policy: the policy cannot be read: not a regular file"),
        ("link", "link.policy: the policy cannot be read: "),
        ("huge", "huge.policy: the policy cannot be read: larger than 1048576 bytes"),
        ("../default", "\"../default\" cannot be the name of an agent with a policy"),
        ("", "\"\" cannot be the name of an agent with a policy"),
    ] {
        let (allowed, reason) = ask(&authorizer, agent);
        assert!(!allowed && reason.contains(part), "{agent}: {reason}");
    }
}

#[test]
fn groups_are_read_beside_the_policies() {
    let folder = Folder::new("groups");
    let authorizer = Authorizer::new(Settings::action_policy(&folder.0));
    folder.write("service.policy", "allow\tops\t*\t*\t*\n");
    assert!(!ask(&authorizer, "service").0);
    folder.write("groups", "ops choria=ann\n");
    assert!(ask(&authorizer, "service").0);
    folder.write("groups", "ops choria=ann\nbroken\n");
    let (allowed, reason) = ask(&authorizer, "service");
    let text = format!(
        "the rule cannot be applied: {}/groups:2: a group has no members",
        folder.0.display()
    );
    assert!(!allowed && reason.contains(&text), "{reason}");
}

#[test]
fn edits_count_at_once() {
    let folder = Folder::new("edits");
    let authorizer = Authorizer::new(Settings::action_policy(&folder.0));
    for round in 0..6 {
        let verdict = if round % 2 == 0 { "allow" } else { "deny " };
        folder.write("service.policy", &format!("policy default {verdict}\n"));
        assert_eq!(ask(&authorizer, "service").0, round % 2 == 0);
    }
    fs::remove_file(folder.0.join("service.policy")).unwrap();
    assert!(!ask(&authorizer, "service").0);
}

#[test]
fn an_unknown_kind_denies() {
    let settings = Settings { kind: Kind::named("Nosuch"), ..Settings::action_policy("/") };
    let (allowed, reason) = ask(&Authorizer::new(settings), "service");
    assert_eq!((allowed, reason.as_str()), (false, "\"Nosuch\" is not a kind of policy"));
    for (name, kind) in [
        ("Action_Policy", Kind::ActionPolicy),
        ("rego_policy", Kind::Rego),
        ("aaasvc", Kind::Token),
        ("aaasvc_policy", Kind::Token),
    ] {
        assert_eq!(Kind::named(name), kind);
    }
}

#[cfg(feature = "rego")]
#[test]
fn rego_files() {
    let folder = Folder::new("rego");
    let settings = Settings { kind: Kind::Rego, ..Settings::action_policy(&folder.0) };
    let authorizer = Authorizer::new(settings);
    assert_eq!(
        ask(&authorizer, "service"),
        (false, "there is no policy for the agent service".to_owned())
    );
    fs::create_dir(folder.0.join("rego")).unwrap();
    let head = "package io.choria.mcorpc.authpolicy\ndefault allow = false\n";
    folder.write("rego/default.rego", &format!("{head}allow if input.agent == \"other\"\n"));
    let place = folder.0.join("rego");
    let place = place.display();
    let denied = |file| (false, format!("{place}/{file}: denied by a Rego policy"));
    assert_eq!(ask(&authorizer, "service"), denied("default.rego"));
    assert_eq!(
        ask(&authorizer, "other"),
        (true, format!("{place}/default.rego: allowed by a Rego policy"))
    );
    folder.write("rego/other.rego", head);
    assert_eq!(ask(&authorizer, "other"), denied("other.rego"));
    folder.write("rego/other.rego", "allow if {");
    let (allowed, reason) = ask(&authorizer, "other");
    let text = format!("{place}/other.rego:1: the Rego policy gives no decision: ");
    assert!(!allowed && reason.starts_with(&text), "{reason}");
}
