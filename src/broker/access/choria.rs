//! The permissions that Choria gives to kinds of connections (go-choria `broker/network/choria_auth.go`).

use super::rules::{PermissionRules, SubjectRules};

/// Where requests to the fleet go.
pub(in crate::broker) const REQUESTS: &[&str] =
    &["*.broadcast.agent.>", "*.broadcast.service.>", "*.node.>", "choria.federation.*.federation"];

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn all_but(denied: &[&str]) -> SubjectRules {
    SubjectRules { allow: None, deny: texts(denied) }
}

impl PermissionRules {
    /// Rights of servers that show a certificate: they answer and announce, and neither make requests nor read what
    /// others are answered.
    pub fn servers() -> PermissionRules {
        PermissionRules {
            publish: all_but(REQUESTS),
            subscribe: all_but(&["*.reply.>", "choria.federation.>", "choria.lifecycle.>"]),
            allow_responses: None,
        }
    }

    /// Rights of certificates beside tokens: everything but what Choria uses itself.
    pub fn publish_subscribe() -> PermissionRules {
        let subjects = all_but(&[
            "*.broadcast.>",
            "*.node.>",
            "*.reply.>",
            "choria.federation.>",
            "choria.lifecycle.>",
            "choria.machine.>",
        ]);
        PermissionRules { publish: subjects.clone(), subscribe: subjects, allow_responses: None }
    }

    /// No rights at all.
    pub fn nothing() -> PermissionRules {
        let subjects = all_but(&[">"]);
        PermissionRules { publish: subjects.clone(), subscribe: subjects, allow_responses: None }
    }
}
