//! What a user may publish and subscribe to, as it stands in a file.

use serde::{Deserialize, Serialize};

/// Permissions of a user. Without any, everything is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PermissionRules {
    /// Subjects messages may be published on.
    #[serde(skip_serializing_if = "SubjectRules::is_empty")]
    pub publish: SubjectRules,
    /// Subjects that may be subscribed to. An entry may have a queue pattern behind a blank: `orders.> worker.*`.
    #[serde(skip_serializing_if = "SubjectRules::is_empty")]
    pub subscribe: SubjectRules,
    /// Answers may be published on the reply subjects of requests that were received. Unless `publish.allow` is there,
    /// nothing else may be published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_responses: Option<AllowResponses>,
}

/// Subjects that are allowed and denied, with `*` and `>` as in subscriptions. What is denied is denied even if it is
/// allowed as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubjectRules {
    /// Nothing else is allowed. Absent, everything is; empty, nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Not allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

impl SubjectRules {
    fn is_empty(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }
}

/// How often and how long a request may be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllowResponses {
    /// Answers to one request; negative for any number.
    pub max: i64,
    /// Time for them, like `2m`, or `never` for no limit.
    pub expires: String,
}

impl Default for AllowResponses {
    fn default() -> Self {
        AllowResponses { max: 1, expires: "2m".to_owned() }
    }
}
