//! The policy that the token of a caller carries: a list of agents, or Rego.

use serde_json::{Value, json};

use super::authorizer::rego_decision;
use super::decision::{Because, Decision};
use super::question::Question;
use super::rego::{self, Foreign, RegoFault};

/// Where a policy in a token is evaluated; the AAA service asks the same ones with another word.
const SITE: &str = "server";
/// What stands in reasons for the place of a Rego policy.
const PLACE: &str = "opa_policy of the token";

/// Asks the policy in the token of the caller.
pub(super) fn decide(question: &Question<'_>, foreign: &Foreign) -> Decision {
    let Some(claims) = question.claims else { return Decision::deny(Because::NoToken) };
    match (claims.agents.as_slice(), claims.opa_policy.as_str()) {
        ([], "") => Decision::deny(Because::NoTokenPolicy),
        (list, "") => by_agents(list, question.agent, question.action),
        ([], policy) => by_rego(policy, question, foreign),
        _ => Decision::deny(Because::TwoTokenPolicies),
    }
}

/// What a list of agents says: `*`, `agent.*` and `agent.action` allow, an item of another form denies when it is
/// reached.
fn by_agents(list: &[String], agent: &str, action: &str) -> Decision {
    for item in list {
        if item == "*" {
            return Decision::allow(Because::TokenAllows(item.clone()));
        }
        let mut parts = item.split('.');
        let (Some(wanted), Some(wanted_action), None) = (parts.next(), parts.next(), parts.next())
        else {
            return Decision::deny(Because::TokenItem(item.clone()));
        };
        if wanted == agent && (wanted_action == "*" || wanted_action == action) {
            return Decision::allow(Because::TokenAllows(item.clone()));
        }
    }
    Decision::deny(Because::TokenDenies)
}

fn by_rego(policy: &str, question: &Question<'_>, foreign: &Foreign) -> Decision {
    let answer = input(question)
        .and_then(|input| foreign.ask(policy, rego::TOKEN_PACKAGE, input, Some(question.filter)));
    let mut decision = rego_decision(answer);
    decision.reason.rule = Some(PLACE.to_owned());
    decision
}

/// What a policy in a token is asked with.
fn input(question: &Question<'_>) -> Result<Value, RegoFault> {
    let claims = serde_json::to_value(question.claims)
        .map_err(|error| RegoFault::Policy { line: None, text: error.to_string() })?;
    Ok(json!({
        "agent": question.agent,
        "action": question.action,
        "data": question.data,
        "sender": question.sender,
        "collective": question.collective,
        "ttl": question.ttl_secs,
        "time": question.time_text(),
        "site": SITE,
        "claims": claims,
    }))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::protocol::filter::Filter;
    use crate::tokens::ClientClaims;

    fn ask(claims: Option<&ClientClaims>) -> (bool, String) {
        let (data, mut filter) = (json!({"component": "frontend"}), Filter::default());
        filter.add_class("apache");
        let decision = decide(
            &Question {
                caller: "up=ann",
                agent: "myco",
                action: "deploy",
                data: &data,
                facts: None,
                classes: None,
                agents: &[],
                collective: "ops",
                sender: "shell",
                ttl_secs: 60,
                time: SystemTime::UNIX_EPOCH,
                filter: &filter,
                claims,
            },
            &Foreign::default(),
        );
        (decision.allow, decision.reason.to_string())
    }

    fn claims(agents: &[&str], opa_policy: &str) -> ClientClaims {
        ClientClaims {
            caller: "up=ann".to_owned(),
            agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
            opa_policy: opa_policy.to_owned(),
            user_properties: [("group".to_owned(), "admins".to_owned())].into(),
            ..ClientClaims::default()
        }
    }

    #[test]
    fn exactly_one_policy() {
        for (claims, reason) in [
            (None, "the request carries no token of its caller"),
            (Some(claims(&[], "")), "the token of the caller has no policy"),
            (Some(claims(&["*"], "package x")), "the token of the caller has two policies"),
        ] {
            assert_eq!(ask(claims.as_ref()), (false, reason.to_owned()));
        }
    }

    #[test]
    fn lists_of_agents() {
        for (list, allow, reason) in [
            (&["*"][..], true, "allowed by the token of the caller: \"*\""),
            (&["other.*", "myco.*"], true, "allowed by the token of the caller: \"myco.*\""),
            (
                &["myco.status", "myco.deploy"],
                true,
                "allowed by the token of the caller: \"myco.deploy\"",
            ),
            (&["myco.status"], false, "the token of the caller does not list the agent and action"),
            (
                &["other.deploy"],
                false,
                "the token of the caller does not list the agent and action",
            ),
            (
                &["myco", "*"],
                false,
                "the token of the caller has an agent list with the item \"myco\", which is no agent.action",
            ),
            (
                &["a.b.c"],
                false,
                "the token of the caller has an agent list with the item \"a.b.c\", which is no agent.action",
            ),
            (&["*.deploy"], false, "the token of the caller does not list the agent and action"),
        ] {
            assert_eq!(ask(Some(&claims(list, ""))), (allow, reason.to_owned()), "{list:?}");
        }
    }

    #[cfg(feature = "rego")]
    #[test]
    fn rego_in_tokens() {
        let head = "package io.choria.aaasvc\n\ndefault allow = false\n\n";
        for (body, allow) in [
            ("allow if input.agent == \"myco\"\n", true),
            ("allow if input.data.component == \"backend\"\n", false),
            (
                "allow if {\n  requires_filter()\n  requires_class_filter(\"apache\")\n  input.collective == \"ops\"\n  \
                 input.ttl == 60\n  input.sender == \"shell\"\n  input.site == \"server\"\n  \
                 input.claims.callerid == \"up=ann\"\n  input.claims.user_properties.group == \"admins\"\n}\n",
                true,
            ),
            ("allow if requires_identity_filter(\"n1\")\n", false),
            ("allow if input.facts.a\n", false),
            ("allow if {", false),
        ] {
            let (allowed, reason) = ask(Some(&claims(&[], &format!("{head}{body}"))));
            assert_eq!(allowed, allow, "{body}: {reason}");
            assert!(reason.contains("opa_policy of the token"), "{reason}");
        }
        assert!(!ask(Some(&claims(&[], "package io.choria.mcorpc.authpolicy\nallow = true"))).0);
    }
}
