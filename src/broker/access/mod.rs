//! Who comes in and what they may do, as an operator says it.
//!
//! This is configuration: what stands in keys and files, checked. [`super::login`] decides by it.

mod rules;
mod users;

pub use rules::{AllowResponses, PermissionRules, SubjectRules};
pub use users::{
    AccountEntry, BadUsers, CertificateRule, ConnectionType, UserEntry, UserList, Violations,
};
