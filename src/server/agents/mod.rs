//! The agents every server has.

pub mod choria_policy;
pub mod choria_util;
mod data;
pub mod rpcutil;

use std::sync::Arc;

use super::agent::Metadata;
use super::registry::{Hosted, Registry, Unfit};

/// The version that servers report.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const AUTHOR: &str = "R.I.Pienaar <rip@devco.net>";
const LICENSE: &str = "Apache-2.0";

/// Seconds that answering a discovery ping may take.
const DISCOVERY_TIMEOUT_SECS: u64 = 2;

/// The built-in agents.
///
/// # Errors
/// When two of them have the same name.
pub fn built_in() -> Result<Registry, Unfit> {
    let mut agents = Registry::default();
    agents.register(Hosted::Discovery(Arc::new(discovery())))?;
    if let Some(agent) = choria_policy::ChoriaPolicy::new() {
        agents.register(Hosted::Rpc(Arc::new(agent)))?;
    }
    if let Some(agent) = choria_util::ChoriaUtil::new() {
        agents.register(Hosted::Rpc(Arc::new(agent)))?;
    }
    if let Some(agent) = rpcutil::RpcUtil::new() {
        agents.register(Hosted::Rpc(Arc::new(agent)))?;
    }
    Ok(agents)
}

fn discovery() -> Metadata {
    metadata("discovery", "Discovery Agent", DISCOVERY_TIMEOUT_SECS, "http://choria.io")
}

/// The metadata of a built-in agent, as the inventory shows it.
pub(super) fn metadata(name: &str, description: &str, timeout: u64, url: &str) -> Metadata {
    Metadata {
        license: LICENSE.to_owned(),
        author: AUTHOR.to_owned(),
        timeout,
        name: name.to_owned(),
        version: VERSION.to_owned(),
        url: url.to_owned(),
        description: description.to_owned(),
        provider: None,
        service: false,
    }
}
