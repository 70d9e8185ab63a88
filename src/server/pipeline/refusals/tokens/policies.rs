//! What the policy in the token of the caller denies: the list of agents, or Rego.

use super::*;
use crate::policy::{self, Authorizer};

/// What the policy in the token denies.
pub(super) fn cases() -> Vec<Case> {
    type Change = fn(&mut ClientClaims);
    let not_listed = "the token of the caller does not list the agent and action";
    let changes: &[(&str, Change, &str)] = &[
        ("no policy", |_| (), "the token of the caller has no policy"),
        (
            "two policies",
            |c| (c.agents, c.opa_policy) = (vec!["*".to_owned()], "package x".to_owned()),
            "the token of the caller has two policies",
        ),
        ("another agent", |c| c.agents.push("rpcutil.*".to_owned()), not_listed),
        ("another action", |c| c.agents.push("probe.stop".to_owned()), not_listed),
        ("the agent in capitals", |c| c.agents.push("Probe.*".to_owned()), not_listed),
        ("an action of all agents", |c| c.agents.push("*.run".to_owned()), not_listed),
        (
            "an agent without action, before all",
            |c| c.agents.extend(["probe".to_owned(), "*".to_owned()]),
            "the token of the caller has an agent list with the item \"probe\", which is no agent.action",
        ),
    ];
    let mut cases: Vec<Case> =
        changes.iter().map(|(name, change, why)| case(name, change, why)).collect();
    let v1 = world().request();
    let message = world().message(&v1);
    let reason = "the request carries no token of its caller";
    cases.push(denied("a request of v1", v1, message, reason).at(asks(None)));
    // The policy is that of the caller, whatever the token of who signed allows.
    let signer = {
        let mut claims = may_ask("aaa=login", SIGNER);
        claims.permissions.authentication_delegator = true;
        claims.agents.push("*".to_owned());
        tokens::sign(&claims, &organization(ORG)).unwrap()
    };
    let asked = request();
    let caller = token(|claims| claims.agents.push("rpcutil.*".to_owned()));
    let message = wrap(&secure(&asked, SIGNER, &caller, Some(&signer)));
    cases.push(
        denied("another agent, signed", asked, message, not_listed).at(asks(Some(by_issuer()))),
    );
    cases
}

/// Policies in Rego, in tokens.
pub(super) fn rego() -> Vec<Case> {
    let rows = if policy::rego::IS_BUILT_IN { REGO } else { WITHOUT_REGO };
    rows.iter()
        .map(|(name, text, reason)| {
            let reason = format!("{reason}: \"opa_policy of the token\"");
            case(
                &format!("Rego: {name}"),
                &|claims| claims.opa_policy = (*text).to_owned(),
                &reason,
            )
        })
        .collect()
}

type Row = (&'static str, &'static str, &'static str);

const WITHOUT_REGO: &[Row] = &[(
    "in a build without it",
    "package io.choria.aaasvc\nallow = true\n",
    "the Rego policy gives no decision: this program was built without the feature rego",
)];

const REGO: &[Row] = &[
    (
        "the default alone",
        "package io.choria.aaasvc\ndefault allow = false\n",
        "denied by a Rego policy",
    ),
    (
        "another caller",
        "package io.choria.aaasvc\ndefault allow = false\nallow if input.claims.callerid == \"up=bob\"\n",
        "denied by a Rego policy",
    ),
    (
        "another action",
        "package io.choria.aaasvc\ndefault allow = false\nallow if input.action == \"stop\"\n",
        "denied by a Rego policy",
    ),
    (
        "a filter that is not there",
        "package io.choria.aaasvc\ndefault allow = false\nallow if requires_filter()\n",
        "denied by a Rego policy",
    ),
    (
        "a condition that is not in the filter",
        "package io.choria.aaasvc\ndefault allow = false\nallow if requires_fact_filter(\"country=mt\")\n",
        "denied by a Rego policy",
    ),
    (
        "facts of the node, which it is not told",
        "package io.choria.aaasvc\ndefault allow = false\nallow if input.facts.country == \"mt\"\n",
        "denied by a Rego policy",
    ),
    (
        "no rule",
        "package io.choria.aaasvc\n",
        "the Rego policy gives no decision: allow has no value",
    ),
    (
        "a rule that does not hold",
        "package io.choria.aaasvc\nallow if false\n",
        "the Rego policy gives no decision: allow has no value",
    ),
    (
        "a word",
        "package io.choria.aaasvc\nallow = \"yes\"\n",
        "the Rego policy gives no decision: allow is neither true nor false",
    ),
    (
        "a condition that is none",
        "package io.choria.aaasvc\nallow if requires_fact_filter(\"country\")\n",
        "the Rego policy gives no decision: could not parse fact country it does not appear to be in a valid format",
    ),
    (
        "the package of files",
        "package io.choria.mcorpc.authpolicy\nallow = true\n",
        "the Rego policy gives no decision: the policy is not of the package io.choria.aaasvc",
    ),
    (
        "words",
        "let me in",
        "the Rego policy gives no decision: expecting `package` Missing package declaration",
    ),
    (
        "a rule that ends early",
        "package io.choria.aaasvc\nallow if {",
        "the Rego policy gives no decision: expecting expression",
    ),
    (
        "a function that reaches out",
        "package io.choria.aaasvc\nallow if http.send({\"url\": \"https://x\"}).ok\n",
        "the Rego policy gives no decision: could not find function http.send",
    ),
    (
        "an evaluation without end",
        "package io.choria.aaasvc\nallow if count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a == b + 1]) > 0\n",
        "the Rego policy gives no decision: the evaluation takes too long",
    ),
];

/// The request of ann under a token with this change, at a server that asks the token.
fn case(name: &str, change: &dyn Fn(&mut ClientClaims), reason: &str) -> Case {
    let request = request();
    let message = wrap(&secure(&request, OWN, &token(change), None));
    denied(name, request, message, reason).at(asks(Some(by_issuer())))
}

fn denied(name: &str, request: Request, message: Vec<u8>, reason: &str) -> Case {
    let trace = Trace::Judged(Box::new(request), Outcome::Denied, reason.to_owned());
    Case::new(format!("token policy: {name}"), message, trace).answered(1, DENIED)
}

fn asks(trust: Option<Trust>) -> Arrangement {
    Arrangement {
        authorization: Some(Authorization::Policies(Arc::new(Authorizer::new(policy::Settings {
            kind: policy::Kind::Token,
            ..policy::Settings::action_policy("/")
        })))),
        ..trust.map(server).unwrap_or_default()
    }
}
