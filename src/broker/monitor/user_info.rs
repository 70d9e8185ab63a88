//! `$SYS.REQ.USER.INFO`: what a connection is told about itself. Only its own broker and event loop know that, so no
//! service answers it (nats-server `server/events.go`, userInfoReq).

use std::time::Duration;

use serde::Serialize;

use super::ServerStamp;
use crate::broker::access::SubjectRules;
use crate::broker::permissions::Permissions;
use crate::broker::shared::Shared;

/// The subject of the question.
pub(in crate::broker) const USER_INFO: &[u8] = b"$SYS.REQ.USER.INFO";

#[derive(Serialize)]
struct Answer<'a> {
    server: ServerStamp,
    data: UserInfo<'a>,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    user: &'a str,
    account: &'a str,
    account_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Granted>,
    /// Nanoseconds until the login ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

/// Permissions in the form of nats-server (`server/auth.go`, type Permissions).
#[derive(Serialize)]
struct Granted {
    publish: Subjects,
    subscribe: Subjects,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<Responses>,
}

#[derive(Serialize)]
struct Subjects {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

impl From<SubjectRules> for Subjects {
    fn from(rules: SubjectRules) -> Subjects {
        Subjects { allow: rules.allow.unwrap_or_default(), deny: rules.deny }
    }
}

#[derive(Serialize)]
struct Responses {
    max: i64,
    ttl: i64,
}

/// The answer for a user with these rights, whose login ends after some time if it does.
pub(in crate::broker) fn user_info(
    shared: &Shared,
    user: &str,
    account: &str,
    permissions: &Permissions,
    expires: Option<Duration>,
) -> Vec<u8> {
    let permissions = permissions.rules().map(|rules| Granted {
        publish: rules.publish().into(),
        subscribe: rules.subscribe().into(),
        responses: rules.responses.map(|responses| Responses {
            max: responses.max.and_then(|max| i64::try_from(max).ok()).unwrap_or(-1),
            ttl: responses.expires.map_or(-1, |ttl| i64::try_from(ttl.as_nanos()).unwrap_or(-1)),
        }),
    });
    let expires = expires.map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
    let data = UserInfo { user, account, account_name: account, permissions, expires };
    serde_json::to_vec(&Answer { server: ServerStamp::next(shared), data }).unwrap_or_default()
}
