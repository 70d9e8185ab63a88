mod oracle;

use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::policy::{Because, Decision, Question};
use crate::protocol::filter::Filter;

/// A node in Malta, a web server; its caller and action vary.
struct Asked<'a> {
    caller: &'a str,
    action: &'a str,
    facts: Option<Value>,
    classes: Option<Vec<String>>,
}

impl<'a> Asked<'a> {
    fn new(caller: &'a str, action: &'a str) -> Asked<'a> {
        let facts = json!({"country": "mt", "cpus": 4, "virtual": true, "os": {"name": "Debian"}});
        let classes = ["apache", "role::web"].map(str::to_owned).to_vec();
        Asked { caller, action, facts: Some(facts), classes: Some(classes) }
    }

    fn decide(&self, policy: &[u8], groups: Result<&Groups, &str>, unconfigured: bool) -> Decision {
        let (data, filter) = (json!({}), Filter::default());
        let question = Question {
            caller: self.caller,
            agent: "service",
            action: self.action,
            data: &data,
            facts: self.facts.as_ref(),
            classes: self.classes.as_deref(),
            agents: &[],
            collective: "mcollective",
            sender: "shell.example.net",
            ttl_secs: 60,
            time: SystemTime::UNIX_EPOCH,
            filter: &filter,
            claims: None,
        };
        Policy::parse(policy).decide(&question, groups, unconfigured)
    }
}

const GROUPS: &str = "# who is who\n\nops choria=ann choria=bob\nnight-shift_1.x choria=eve\n";

/// What alice and others get for `restart`; `|` stands for a tab.
fn decide(policy: &str, caller: &str) -> Decision {
    let groups = Groups::parse(GROUPS.as_bytes());
    assert_eq!(groups.faults(), []);
    Asked::new(caller, "restart").decide(policy.replace('|', "\t").as_bytes(), Ok(&groups), false)
}

/// Asks as `choria=ann`: whether it is allowed, and the line that decides.
#[track_caller]
fn check(policy: &str, allow: bool, line: Option<usize>, because: &str) {
    let decision = decide(policy, "choria=ann");
    let found = (decision.allow, decision.reason.line, decision.reason.because.to_string());
    assert_eq!(found, (allow, line, because.to_owned()), "{policy}");
}

const ALLOWED: &str = "allowed by a rule";
const DENIED: &str = "denied by a rule";
const DEFAULT: &str = "no rule matches and the default denies";
const NOTHING: &str = "no rule matches and there is no default";

#[test]
fn lines_and_defaults() {
    check("", false, None, NOTHING);
    check("\n\n", false, None, NOTHING);
    check("# only words\n", false, None, NOTHING);
    check("policy default deny\n", false, Some(1), DEFAULT);
    check("policy default allow", true, Some(1), "no rule matches and the default allows");
    check("policy \tdefault  allow # x", true, Some(1), "no rule matches and the default allows");
    check("policy default allowed\n", false, Some(1), DEFAULT);
    check("policy default allow\npolicy default deny\n", false, Some(2), DEFAULT);
    check("policy default deny\r\nallow|*|*|*|*\r\n", true, Some(2), ALLOWED);
    check("policy default deny\nallow||*|||*||*|||||*\n", true, Some(2), ALLOWED);
    check("allow|choria=eve|*|*|*\ndeny|*|*|*|*\nallow|*|*|*|*", false, Some(2), DENIED);
    check("allow|*|*|*|*\npolicy default deny", true, Some(1), ALLOWED);
}

#[test]
fn what_no_line_is_about_is_as_configured() {
    for (policy, unconfigured, allow) in [
        ("", true, true),
        ("", false, false),
        ("policy default deny", true, false),
        ("policy default allow", false, true),
        ("deny\tchoria=eve\t*\t*\t*", true, true),
        ("nonsense", true, false),
    ] {
        let none = Groups::default();
        let asked = Asked::new("choria=ann", "restart");
        let decision = asked.decide(policy.as_bytes(), Ok(&none), unconfigured);
        assert_eq!(decision.allow, allow, "{policy}");
    }
}

#[test]
fn callers() {
    for (callers, ann, other) in [
        ("*", true, true),
        ("choria=ann", true, false),
        ("choria=eve choria=ann", true, false),
        ("choria=eve  choria=ann ", true, false),
        ("/^choria=a/", true, false),
        ("/ANN/", false, false),
        ("/(?i)ANN/ up=x", true, false),
        ("/=[ab]nn$/", true, false),
        ("ops", true, false),
        ("night-shift_1.x", false, false),
        ("night-shift_1.x ops", true, false),
        ("choria=an", false, false),
        ("Choria=ann", false, false),
    ] {
        let policy = format!("allow|{callers}|*|*|*");
        assert_eq!(decide(&policy, "choria=ann").allow, ann, "{callers}");
        assert_eq!(decide(&policy, "choria=other").allow, other, "{callers}");
    }
}

#[test]
fn actions_are_exact() {
    for (actions, allow) in [
        ("*", true),
        ("restart", true),
        ("status restart", true),
        ("status  restart", true),
        ("Restart", false),
        ("rest", false),
        ("/restart/", false),
    ] {
        assert_eq!(
            decide(&format!("allow|*|{actions}|*|*"), "choria=ann").allow,
            allow,
            "{actions}"
        );
    }
}

#[test]
fn facts_and_classes() {
    for (facts, classes, allow) in [
        ("country=mt", "*", true),
        ("country=MT cpus>=4", "*", true),
        ("country=mt cpus>4", "*", false),
        ("os.name=~/^deb/", "*", true),
        ("country!=mt", "*", false),
        ("absent!=x", "*", false),
        ("*", "apache", true),
        ("*", "apache /^role::/", true),
        ("*", "APACHE", true),
        ("*", "apache nginx", false),
        ("country=mt", "apache", true),
        ("country=us", "apache", false),
        // Makes no sense for the fact: it does not allow.
        ("virtual>1", "*", false),
    ] {
        let policy = format!("allow|*|*|{facts}|{classes}");
        assert_eq!(decide(&policy, "choria=ann").allow, allow, "{policy}");
    }
}

#[test]
fn a_line_that_cannot_be_read_denies_everything() {
    for (line, why) in [
        ("allow * * * *", "the columns of a rule are not separated by tabs"),
        ("allow|* * * *", "the columns of a rule are not separated by tabs"),
        ("deny", "a rule has fewer than the columns caller, actions, facts, classes"),
        ("deny|", "a rule ends with a tab"),
        ("deny|*|*", "a rule has fewer than the columns caller, actions, facts, classes"),
        ("deny|*|*|*|*|", "a rule ends with a tab"),
        (" # indented", "a line begins with white space"),
        ("|deny|*|*|*|*", "a line begins with white space"),
        ("Deny|*|*|*|*", "a line is neither a comment nor a default nor a rule"),
        ("policy default", "a line is neither a comment nor a default nor a rule"),
        ("policy default -", "a line is neither a comment nor a default nor a rule"),
        ("policydefault allow", "a line is neither a comment nor a default nor a rule"),
        ("\u{feff}policy default allow", "a line is neither a comment nor a default nor a rule"),
    ] {
        let policy = format!("policy default allow\nallow|*|*|*|*\n{line}\n# end\n");
        check(&policy, false, Some(3), &format!("the policy cannot be read: {why}"));
    }
    let asked = Asked::new("choria=ann", "restart");
    let groups = Groups::default();
    let long = format!("allow\t*\t*\t*\t*\n#{}", "x".repeat(LINE_BYTES_MAX));
    let many = "#\n".repeat(LINES_MAX + 1);
    let patterns = format!("allow\t{}\t*\t*\t*\n", "/a/ ".repeat(PATTERNS_MAX + 1));
    for (policy, line) in [
        (b"allow\t*\t*\t*\t*\n\xff\n".as_slice(), 2),
        (long.as_bytes(), 2),
        (many.as_bytes(), LINES_MAX + 1),
        (patterns.as_bytes(), 1),
    ] {
        let decision = asked.decide(policy, Ok(&groups), true);
        assert_eq!((decision.allow, decision.reason.line), (false, Some(line)));
    }
}

#[test]
fn a_rule_that_cannot_be_applied_denies_what_reaches_it() {
    for (columns, why) in [
        ("*|*|*", "it has no column of classes"),
        ("*|*|*|*|*", "it has 5 columns instead of caller, actions, facts and classes"),
        ("*|*|a=b and c=d|*", "compound expressions are not supported, as in its facts"),
        ("*|*|!a=b|*", "compound expressions are not supported, as in its facts"),
        ("*|*|os=~/(a|b)/|*", "it has 5 columns instead of caller, actions, facts and classes"),
        ("*|*|os=~/(ab)/|*", "compound expressions are not supported, as in its facts"),
        ("*|*|*|one or two", "compound expressions are not supported, as in its classes"),
        ("*|*|*|(one)", "compound expressions are not supported, as in its classes"),
        ("*|*|nofact|*", "\"nofact\" is no condition on a fact"),
        ("*|*|a=b  c=d|*", "there is extra white space in its facts"),
        ("*|*|* |*", "* does not stand alone in its facts"),
        ("*|*|*|a=b", "\"a=b\" in its classes is a condition on a fact"),
        ("*|*|*|* ", "* does not stand alone in its classes"),
        ("* choria=x|*|*|*", "* does not stand alone in its callers"),
        (" |*|*|*", "there is extra white space in its callers"),
        ("*|* x|*|*", "* does not stand alone in its actions"),
        ("/x|*|*|*", "\"/x\" in its callers is no usable pattern: it is not /pattern/"),
        ("//|*|*|*", "\"//\" in its callers is no usable pattern: it is not /pattern/"),
        ("/(/|*|*|*", "\"/(/\" in its callers is no usable pattern: unclosed group"),
        ("*|*|a=/[/|*", "\"a=/[/\" in its facts is no usable pattern: unclosed character class"),
        ("*|*|*|/[/", "\"/[/\" in its classes is no usable pattern: unclosed character class"),
    ] {
        let because = format!("the rule cannot be applied: {why}");
        for verdict in ["allow", "deny"] {
            let policy = format!("policy default allow\n{verdict}|{columns}\nallow|*|*|*|*");
            check(&policy, false, Some(2), &because);
            let before = format!("allow|choria=ann|*|*|*\n{verdict}|{columns}");
            check(&before, true, Some(1), ALLOWED);
        }
    }
    // It is not about this caller or action.
    for columns in ["choria=eve|*|a=b or c=d|*", "*|status|a=b or c=d|*", "choria=eve|*|*"] {
        check(&format!("deny|{columns}\nallow|*|*|*|*"), true, Some(2), ALLOWED);
    }
}

#[test]
fn what_cannot_be_decided_denies_and_never_allows() {
    let groups = Groups::parse(GROUPS.as_bytes());
    let rest = "allow\t*\t*\t*\t*\n";
    for (rule, facts, classes, reason) in [
        ("country=mt\t*", false, true, "the facts of the node cannot be read"),
        ("*\tapache", true, false, "the classes of the node cannot be read"),
        (
            "virtual>1\t*",
            true,
            true,
            "cannot match fact virtual > 1: only text and numbers have an order",
        ),
    ] {
        let mut asked = Asked::new("choria=ann", "restart");
        asked.facts = asked.facts.filter(|_| facts);
        asked.classes = asked.classes.filter(|_| classes);
        let deny =
            asked.decide(format!("deny\t*\t*\t{rule}\n{rest}").as_bytes(), Ok(&groups), false);
        assert_eq!((deny.allow, deny.reason.line), (false, Some(1)), "{rule}");
        assert_eq!(deny.reason.because, Because::Undecided(reason.to_owned()));
        let allow =
            asked.decide(format!("allow\t*\t*\t{rule}\n{rest}").as_bytes(), Ok(&groups), false);
        assert_eq!((allow.allow, allow.reason.line), (true, Some(2)), "{rule}");
        // What is not met outweighs what is not known.
        let both = format!("deny\t*\t*\tcountry=us\tnosuch\n{rest}");
        asked.facts = Some(json!({}));
        assert!(asked.decide(both.as_bytes(), Ok(&groups), false).allow);
    }
    check(
        "deny|nosuch|*|*|*\nallow|*|*|*|*",
        false,
        Some(1),
        "denied by a rule that may match: there is no group nosuch",
    );
    check("allow|nosuch|*|*|*\ndeny|*|*|*|*", false, Some(2), DENIED);
    check("allow|nosuch choria=ann|*|*|*", true, Some(1), ALLOWED);
}

#[test]
fn groups_that_cannot_be_read_deny_where_one_is_named() {
    let asked = Asked::new("choria=ann", "restart");
    for (policy, allow) in [
        ("allow\tops\t*\t*\t*\nallow\t*\t*\t*\t*", false),
        ("allow\tops choria=ann\t*\t*\t*", true),
        ("allow\t*\t*\t*\t*", true),
        ("allow\tops\tstatus\t*\t*\nallow\t*\t*\t*\t*", true),
    ] {
        let decision =
            asked.decide(policy.as_bytes(), Err("groups:5: a group has no members"), false);
        assert_eq!(decision.allow, allow, "{policy}");
        if !allow {
            let text = "the rule cannot be applied: groups:5: a group has no members";
            assert_eq!(decision.reason.because.to_string(), text);
        }
    }
    for (text, line, why) in [
        ("ops choria=a\nalone\n", 2, Unread::NoMembers),
        ("a=b choria=a", 1, Unread::GroupName),
        ("a\tchoria=a", 1, Unread::GroupName),
        (" ops choria=a", 1, Unread::Indented),
    ] {
        let groups = Groups::parse(text.as_bytes());
        let found: Vec<_> = groups.faults().iter().map(|fault| (fault.line, fault.why)).collect();
        assert_eq!(found, [(line, why)], "{text}");
    }
    let groups = Groups::parse(b"a choria=x\na choria=y choria=z\n");
    assert_eq!(
        (groups.has("a", "choria=x"), groups.has("a", "choria=z")),
        (Some(false), Some(true))
    );
    assert_eq!(groups.has("b", "choria=x"), None);
}

#[test]
fn reasons_are_one_line() {
    let decision = decide("policy default deny\ndeny||*||status  restart|*|*", "choria=ann");
    let named = decision.in_file("/etc/choria/policies/service.policy");
    assert_eq!(
        named.reason.to_string(),
        "/etc/choria/policies/service.policy:2: denied by a rule: \"deny * status  restart * *\""
    );
    let decision = decide("nonsense\u{1b}[2J", "choria=ann").in_file("p");
    assert_eq!(
        decision.reason.to_string(),
        "p:1: the policy cannot be read: a line is neither a comment nor a default nor a rule: \"nonsense\\u{1b}[2J\""
    );
}

#[test]
fn findings() {
    let known = Known {
        agents: [("service".to_owned(), vec!["restart".to_owned(), "status".to_owned()])].into(),
        groups: Some(Groups::parse(GROUPS.as_bytes())),
    };
    let find = |policy: &str, agent| {
        let policy = Policy::parse(policy.replace('|', "\t").as_bytes());
        lint(&policy, agent, &known)
            .into_iter()
            .map(|finding| {
                let hint = finding.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                format!("{}: {}{hint}", finding.line, finding.text)
            })
            .collect::<Vec<_>>()
    };
    let service = Some("service");
    let fine = "policy default deny\nallow|ops|restart|*|*\nallow|*|status|country=mt|*\n\
                allow|choria=x|*|*|apache\nallow|/^up=/|*|*|*\ndeny|*|*|*|*\n";
    assert_eq!(find(fine, service), [""; 0]);
    for (policy, agent, expected) in [
        (
            "allow * * * *",
            service,
            vec![
                "1: the columns of a rule are not separated by tabs; every request to the agent is denied \
             (put tabs between the columns, and spaces only inside one)",
            ],
        ),
        (
            "policy default allow\npolicy default deny",
            service,
            vec!["1: this default does not count: line 2 has another"],
        ),
        ("policy default yes", service, vec!["1: \"yes\" is neither allow nor deny, so it denies"]),
        (
            "allow|*|restrat|*|*",
            service,
            vec!["1: the agent has no action restrat (did you mean restart?)"],
        ),
        ("allow|opps|*|*|*", service, vec!["1: there is no group opps (did you mean ops?)"]),
        ("", Some("servise"), vec!["0: no agent servise is known here (did you mean service?)"]),
        (
            "allow|*|restart|*|*\n#\ndeny|choria=a|restart|a=b|x",
            service,
            vec![
                "3: nothing reaches this rule: line 1 decides before (put it above that line if it is to count)",
            ],
        ),
        (
            "allow|/^up=/|*|a=b|x\nallow|up=bob|status|a=b c=d|x y",
            service,
            vec!["2: nothing reaches this rule: line 1 decides before (it can be left out)"],
        ),
        (
            "allow|*|*|a=b or c=d|*\nallow|*|*|*|*",
            service,
            vec![
                "1: compound expressions are not supported, as in its facts; requests that reach it are denied (write several rules)",
            ],
        ),
        ("allow|*|nosuch|*|*", None, vec![]),
    ] {
        assert_eq!(find(policy, agent), expected, "{policy}");
    }
}

#[test]
fn any_bytes_can_be_read() {
    const PIECES: [&[u8]; 24] = [
        b"allow",
        b"deny",
        b"\t",
        b"\t\t",
        b" ",
        b"\n",
        b"\r\n",
        b"*",
        b"/",
        b"/^a/",
        b"/(/",
        b"(",
        b")",
        b"policy default ",
        b"#",
        b"choria=ann",
        b"a=b",
        b"a=~/x/",
        b"!",
        b"and",
        b"=",
        b"\xff",
        b"\0",
        "ü".as_bytes(),
    ];
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let count = random.usize(..24);
        let bytes: Vec<u8> =
            (0..count).flat_map(|_| PIECES[random.usize(..PIECES.len())]).copied().collect();
        let groups = Groups::parse(&bytes);
        let decision = Asked::new("choria=ann", "restart").decide(&bytes, Ok(&groups), false);
        let policy = Policy::parse(&bytes);
        if !policy.faults().is_empty() {
            assert!(!decision.allow, "seed {seed}: {bytes:?}");
        }
        assert!(!decision.reason.to_string().contains('\n'), "seed {seed}: {bytes:?}");
        let _ = (lint(&policy, Some("service"), &Known::default()), lint_groups(&groups));
    }
}
