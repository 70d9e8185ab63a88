//! `choria inventory`: all about one node, or which collectives there are.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Map, Value, json};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::selecting;
use crate::cli::render::inventory::{collectives, node};
use crate::cli::render::statistics::footer;
use crate::cli::render::style::{Style, printable};
use crate::cli::render::value::indented;
use crate::cli::rpcutil::{ask, ask_found};
use crate::cli::session::{Selection, connect};
use crate::config::Config;
use crate::rpc::{Client, NodeReply, RequestOptions};

selecting! {
    /// Show all about one node: agents, classes, facts, counters. Or count the nodes of each collective.
    #[argh(example = "{command_name} n1.example.net\n\
        {command_name} n1.example.net --json | jq .facts.os\n\
        [runnable] {command_name} --collectives -F country=uk")]
    #[argh(note = "Filters and discovery options are for --collectives; one node is asked directly.")]
    pub struct Inventory {
        /// count the nodes of each collective
        #[argh(switch)]
        collectives: bool,
        /// show facts; this is the default
        #[argh(switch, hidden_help)]
        facts: bool,
        /// leave facts out
        #[argh(switch)]
        no_facts: bool,
        /// one JSON document
        #[argh(switch, short = 'j')]
        json: bool,
        /// the node
        #[argh(positional)]
        identity: Option<String>,
    }
}

impl Subcommand for Inventory {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.client_config()?;
        match (&self.identity, self.collectives) {
            (Some(_), true) => Err(Failure::new("a node and --collectives exclude each other")),
            (Some(identity), false) => self.node(context, &config, identity).await,
            (None, true) => self.report(context, &config).await,
            (None, false) => Err(Failure::new("please specify a node to retrieve inventory for")
                .hint("'choria find' lists the nodes; --collectives counts them by collective")),
        }
    }
}

impl Inventory {
    async fn node(
        &self,
        context: &Context,
        config: &Config,
        identity: &str,
    ) -> Result<Exit, Failure> {
        let words = self.filter_words();
        let collective = words.collective(&config.collectives, &config.main_collective)?;
        let client =
            connect(context, config, self.selection_words().federations.as_deref()).await?;
        let request = || {
            let mut request = RequestOptions::nodes(vec![identity.to_owned()]);
            request.collective = Some(collective.clone());
            request
        };
        let inventory = one(context, &client, "inventory", request()).await?;
        let Some(inventory) = inventory else {
            return Err(Failure::new(format!("no inventory received from {identity}"))
                .hint(format!("'choria ping -I {identity}' tells whether it is there")));
        };
        // The figures are an addition: a node that does not give them is still shown.
        let statistics =
            one(context, &client, "daemon_stats", request()).await?.unwrap_or(Value::Null);
        client.close().await;
        let shows_facts = !self.no_facts || self.facts;
        let text = if self.json {
            document(identity, inventory, statistics, shows_facts)
        } else {
            node(identity, &inventory, &statistics, shows_facts)
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(Exit::Success)
    }

    async fn report(&self, context: &Context, config: &Config) -> Result<Exit, Failure> {
        let words = self.selection_words();
        let selection = Selection::read(config, &self.filter_words(), &words, Some("rpcutil"))?;
        let client = connect(context, config, words.federations.as_deref()).await?;
        let asked = ask_found(context, &client, &selection, "collective_info", Map::new()).await?;
        let (replies, stats, is_interrupted) = asked;
        client.close().await;
        let members = members(&replies);
        let text = if self.json {
            format!("{}\n", indented(&json!({"nodes": stats.ok, "collectives": members}), 2))
        } else {
            collectives(stats.ok, &members)
        };
        std::io::stdout().write_all(text.as_bytes())?;
        if !stats.no_responses.is_empty() && !self.json {
            eprint!("\n{}", footer(&stats, Style::PLAIN, false));
        }
        Ok(if is_interrupted { Exit::Interrupted } else { Exit::Success })
    }
}

/// Nodes by collective; nodes that failed are told on standard error.
fn members(replies: &[NodeReply]) -> BTreeMap<String, usize> {
    let mut members = BTreeMap::new();
    for reply in replies {
        if !reply.is_ok() {
            eprintln!("{}: {}", printable(&reply.sender), printable(&reply.message));
        }
        let names =
            reply.data["collectives"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in names.filter(|_| reply.is_ok()) {
            *members.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    members
}

/// The inventory with the figures of the server process in it.
fn document(identity: &str, mut inventory: Value, statistics: Value, shows_facts: bool) -> String {
    if let Value::Object(map) = &mut inventory {
        map.insert("identity".to_owned(), Value::from(identity));
        map.insert("daemon_stats".to_owned(), statistics);
        if !shows_facts {
            map.remove("facts");
        }
    }
    format!("{}\n", indented(&inventory, 2))
}

/// What one node answers to an action of `rpcutil`; nothing when it does not answer. A failure is told.
async fn one(
    context: &Context,
    client: &Client,
    action: &str,
    request: RequestOptions,
) -> Result<Option<Value>, Failure> {
    let (replies, _, is_interrupted) = ask(context, client, action, Map::new(), request).await?;
    if is_interrupted {
        return Err(crate::cli::session::interrupted());
    }
    match replies.into_iter().next() {
        Some(reply) if reply.is_ok() => Ok(Some(reply.data)),
        Some(reply) => {
            Err(Failure::new(format!("{action} failed on {}: {}", reply.sender, reply.message)))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_joins_inventory_and_figures() {
        let text =
            document("n1", json!({"agents": ["a"], "facts": {"x": 1}}), json!({"pid": 5}), false);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!({"identity": "n1", "agents": ["a"], "daemon_stats": {"pid": 5}}));
    }
}
