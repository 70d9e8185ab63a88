//! Shows the value of one fact on every node that a fact filter matches, as the replies arrive.
//!
//! ```text
//! cargo run --example fleet_facts -- os.family kernel=Linux
//! CHORIA_CONFIG=./client.conf cargo run --example fleet_facts -- os.family kernel=Linux
//! ```
//!
//! The configuration is the one the `choria` command uses, unless `CHORIA_CONFIG` names another.

use std::error::Error;
use std::path::PathBuf;

use choria::Choria;
use choria::protocol::Filter;
use choria::protocol::filter::FactFilter;
use choria::rpc::Discovery;
use serde::Deserialize;
use serde_json::{Value, json};

/// What `rpcutil#get_fact` answers.
#[derive(Deserialize)]
struct Fact {
    fact: String,
    value: Value,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let fact = words.next().unwrap_or_else(|| "os.family".to_owned());
    smol::block_on(show(&fact, words.next()))
}

async fn show(fact: &str, wanted: Option<String>) -> Result<(), Box<dyn Error>> {
    // Connect as the person whose configuration this is.
    let config = std::env::var_os("CHORIA_CONFIG").map(PathBuf::from);
    let choria = Choria::from_config(config.as_deref()).await?;

    // Ask the network which nodes have the fact, and the agent that will be used.
    let mut filter = Filter::default();
    filter.add_agent("rpcutil");
    if let Some(wanted) = wanted {
        filter.facts.push(FactFilter::parse(&wanted)?);
    }
    let found = choria.discover(&Discovery::broadcast(filter)).await?;
    eprintln!("{} nodes in {:.1?}", found.nodes.len(), found.elapsed);

    // Inputs are checked against the agent's description before anything is sent.
    let mut replies = choria.request("rpcutil", "get_fact", json!({"fact": fact}), found).await?;
    while let Some(reply) = replies.next().await {
        if reply.is_ok() {
            let answer: Fact = reply.data_as()?;
            println!("{:<40} {} = {}", reply.sender, answer.fact, answer.value);
        } else {
            eprintln!("{}: {}", reply.sender, reply.message);
        }
    }

    // Who is missing, and how long it took.
    let stats = replies.finish().await;
    eprintln!("{} of {} answered in {:.1?}", stats.responses, stats.discovered, stats.request);
    for node in &stats.no_responses {
        eprintln!("no answer from {node}");
    }
    choria.close().await;
    Ok(())
}
