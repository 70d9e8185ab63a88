//! The process on a managed node: hosts agents and answers requests.
//!
//! [`run`] connects and subscribes; each message then goes through [`pipeline`], and if it may, to
//! an action of an [`agent`]. A server never exits, grows without bound or falls silent because of
//! what one peer sends.

mod action;
pub mod agent;
pub mod agents;
pub mod audit;
pub mod authorization;
pub mod classes;
pub mod counters;
pub mod facts;
pub mod gate;
mod judge;
mod lifecycle;
pub mod link;
pub mod node;
pub mod pipeline;
mod presence;
pub mod registration;
pub mod registry;
mod run;
pub mod settings;
mod status;
pub mod workers;

#[cfg(test)]
mod testing;

pub use authorization::Authorization;
pub use presence::Presence;
pub use run::{Error, run};
pub use settings::{ConfigItems, Settings, StatusFile};
