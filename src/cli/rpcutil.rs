//! Asking built-in agents, as `choria facts`, `choria inventory` and `choria policy` do.

use serde_json::{Map, Value};

use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::session::{Selection, failure, nobody, unless_interrupted};
use crate::ddl::builtin;
use crate::rpc::{Client, NodeReply, RequestOptions, Stats};

/// Finds the nodes of a selection and makes a request to their `rpcutil`, as [`ask`] does.
///
/// # Errors
/// When no node is found, or the request cannot be made.
pub(super) async fn ask_found(
    context: &Context,
    client: &Client,
    selection: &Selection,
    action: &str,
    inputs: Map<String, Value>,
) -> Result<(Vec<NodeReply>, Stats, bool), Failure> {
    ask_agent_found(context, client, selection, "rpcutil", action, inputs).await
}

/// Finds the nodes of a selection and makes a request to a built-in agent of them, as [`ask`] does.
///
/// # Errors
/// When no node is found, or the request cannot be made.
pub(super) async fn ask_agent_found(
    context: &Context,
    client: &Client,
    selection: &Selection,
    agent: &str,
    action: &str,
    inputs: Map<String, Value>,
) -> Result<(Vec<NodeReply>, Stats, bool), Failure> {
    let found = unless_interrupted(context, client.discover(&selection.discovery))
        .await?
        .map_err(failure)?;
    if found.nodes.is_empty() {
        return Err(nobody());
    }
    let mut request = RequestOptions::from(found);
    request.collective = selection.discovery.collective.clone();
    ask_agent(context, client, agent, action, inputs, request).await
}

/// Makes a request to `rpcutil` and collects the replies; tells whether the user has interrupted it.
///
/// # Errors
/// When the request cannot be made.
pub(super) async fn ask(
    context: &Context,
    client: &Client,
    action: &str,
    inputs: Map<String, Value>,
    request: RequestOptions,
) -> Result<(Vec<NodeReply>, Stats, bool), Failure> {
    ask_agent(context, client, "rpcutil", action, inputs, request).await
}

async fn ask_agent(
    context: &Context,
    client: &Client,
    agent: &str,
    action: &str,
    inputs: Map<String, Value>,
    request: RequestOptions,
) -> Result<(Vec<NodeReply>, Stats, bool), Failure> {
    let agent = builtin::agent(agent)
        .ok_or_else(|| Failure::new(format!("the description of {agent} is missing")))?;
    let mut stream = client.request(agent, action, inputs, request).await.map_err(failure)?;
    let (mut replies, mut is_interrupted) = (Vec::new(), false);
    loop {
        let next = if is_interrupted {
            Ok(stream.next().await)
        } else {
            unless_interrupted(context, stream.next()).await
        };
        match next {
            Ok(Some(reply)) => replies.push(reply),
            Ok(None) => return Ok((replies, stream.stats(), is_interrupted)),
            Err(_) => {
                is_interrupted = true;
                stream.cancel();
            }
        }
    }
}
