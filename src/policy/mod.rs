//! Who may call what: the authorization that a server asks before every action.
//!
//! A [`Question`] describes one request on one node, [`Authorizer::decide`] answers it with a
//! [`Decision`] that names the file, the line and the rule it comes from. Three kinds of policy are
//! understood: ActionPolicy files ([`action`]), Rego files ([`rego`]) and the policy in the caller's token.
//!
//! Everything fails closed. A policy that cannot be read as a whole denies every request it is asked
//! about; a rule of a kind that is not supported denies the requests that reach it; a condition that
//! cannot be decided counts as met where a rule denies and as not met where it allows.
//!
//! Files are looked at on every request and read again when they have changed. Nothing here ever
//! writes one.

pub mod action;
mod authorizer;
mod decision;
mod folder;
mod question;
pub mod rego;
mod token;

pub use authorizer::{Authorizer, Kind, Settings};
pub use decision::{Because, Decision, Reason};
pub use folder::{FILE_BYTES_MAX, GROUPS_FILE, policy_folder};
pub use question::Question;
