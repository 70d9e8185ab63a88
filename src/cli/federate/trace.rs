//! `choria federate trace`: the way of one request, hop by hop.

use std::io::Write;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::filtering;
use crate::cli::render::style::printable;
use crate::cli::render::value::indented;
use crate::cli::rpc::options::{count, time};
use crate::cli::session::{connect, failure, unless_interrupted};
use crate::protocol::passage::{Passage, Processor};
use crate::rpc::{Discovery, Path};

filtering! {
    /// Show the way of a request to a node and of its reply back, hop by hop, and how long it took. Without a node
    /// the nodes that the filters match are asked, and the first that answer are shown.
    #[argh(example = "{command_name} web1.example.net\n\
        {command_name} web1.example.net --federations eu --json\n\
        {command_name} -A puppet -F country=mt --limit 3")]
    #[argh(note = "Times are recorded by this version's federation brokers and servers only, each by its own clock.")]
    #[argh(note = "Exit codes:\n\
        0 somebody answered\n\
        1 nobody answered or could be asked")]
    pub struct TracePath {
        /// one JSON document
        #[argh(switch, short = 'j')]
        json: bool,
        /// show so many nodes, 1 by default
        #[argh(option, arg_name = "n", default = "1", from_str_fn(count))]
        limit: usize,
        /// how long to wait for answers, in seconds or like 500ms; the discovery timeout when not given
        #[argh(option, short = 't', arg_name = "time")]
        timeout: Option<String>,
        /// federations to ask in instead of those configured, separated by commas
        #[argh(option, arg_name = "names")]
        federations: Option<String>,
        /// the node
        #[argh(positional)]
        identity: Option<String>,
    }
}

impl Subcommand for TracePath {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.client_config()?;
        let discovery = self.discovery(&config.collectives, &config.main_collective)?;
        let client = connect(context, &config, self.federations.as_deref()).await?;
        let federations = client.federations().to_vec();
        let asked = unless_interrupted(context, client.trace(&discovery)).await?;
        let mut paths = asked.map_err(failure)?;
        let id = paths.request_id().to_owned();
        let mut found = Vec::new();
        while found.len() < self.limit {
            let Some(path) = unless_interrupted(context, paths.next()).await? else { break };
            found.push(path);
        }
        client.close().await;
        let text = match self.json {
            true => document(&id, &federations, &found),
            false => found.iter().map(|path| shown(&id, path)).collect(),
        };
        std::io::stdout().write_all(text.as_bytes())?;
        match (found.is_empty(), federations.is_empty()) {
            (false, _) => Ok(Exit::Success),
            (true, true) => Err(Failure::new("no node has answered").hint(
                "this client is in no federation: use --federations, or set \
                       plugin.choria.federation.collectives",
            )),
            (true, false) => Err(Failure::new("no node has answered").hint(format!(
                "is a federation broker of {} running, and connected to both sides?",
                federations.join(", ")
            ))),
        }
    }
}

impl TracePath {
    fn discovery(&self, collectives: &[String], main: &str) -> Result<Discovery, Failure> {
        let words = self.filter_words();
        let mut filter = words.filter(None)?;
        if let Some(identity) = &self.identity {
            if !filter.is_empty() {
                return Err(Failure::new("a node and filters exclude each other"));
            }
            filter.add_identity(identity);
        }
        let mut discovery = Discovery::broadcast(filter);
        discovery.collective = Some(words.collective(collectives, main)?);
        let timeout = self.timeout.as_deref().map(|text| time("--timeout", text)).transpose()?;
        discovery.timeout = timeout.filter(|timeout| !timeout.is_zero());
        Ok(discovery)
    }
}

/// One step of a way.
#[derive(Debug, PartialEq, Eq)]
struct Step<'p> {
    incoming: &'p str,
    outgoing: &'p str,
    by: Processor<'p>,
    role: &'static str,
    is_reply: bool,
}

/// The steps of a path with what each of them is.
fn steps(path: &Path) -> Vec<Step<'_>> {
    let read =
        path.hops.iter().map(|[incoming, by, outgoing]| (incoming, Processor::read(by), outgoing));
    let mut has_turned = false;
    read.enumerate()
        .map(|(index, (incoming, by, outgoing))| {
            let is_node = !has_turned && by.name == path.sender;
            let is_reply = has_turned;
            has_turned |= is_node;
            let role = match (is_node, index) {
                (true, _) => "server",
                (false, 0) => "client",
                _ => "federation broker",
            };
            Step { incoming, outgoing, by, role, is_reply }
        })
        .collect()
}

/// How long after `sent` a moment was; negative when clocks differ by more.
fn micros_after(sent: SystemTime, at: SystemTime) -> i128 {
    let micros = |span: Duration| i128::try_from(span.as_micros()).unwrap_or(i128::MAX);
    match at.duration_since(sent) {
        Ok(span) => micros(span),
        Err(error) => -micros(error.duration()),
    }
}

fn millis(micros: i128) -> String {
    format!(
        "{}{}.{:03}",
        if micros < 0 { "-" } else { "" },
        micros.abs() / 1000,
        micros.abs() % 1000
    )
}

/// The text about one node.
fn shown(id: &str, path: &Path) -> String {
    let total = i128::try_from(path.total.as_micros()).unwrap_or(i128::MAX);
    let mut text =
        format!("Request {id} to {} and back: {} ms\n\n", printable(&path.sender), millis(total));
    for (index, step) in steps(path).iter().enumerate() {
        let arrow = if step.is_reply { "<-" } else { "->" };
        let way = match step.incoming == step.outgoing {
            true => printable(step.incoming),
            false => format!("{} -> {}", printable(step.incoming), printable(step.outgoing)),
        };
        let passed = step.by.passage.filter(|_| index > 0);
        let times = passed.map(|Passage { at, took }| {
            let at = millis(micros_after(path.sent, at));
            format!("  at {at} ms, took {} ms", millis(took.as_micros() as i128))
        });
        text.push_str(&format!(
            "{arrow} {:<18} {}\n   {:<18} {way}{}\n",
            step.role,
            printable(step.by.name),
            "",
            times.unwrap_or_default()
        ));
    }
    text.push('\n');
    text
}

fn document(id: &str, federations: &[String], paths: &[Path]) -> String {
    let nodes: Vec<Value> = paths.iter().map(node).collect();
    let document = json!({"request": id, "federations": federations, "nodes": nodes});
    format!("{}\n", indented(&document, 2))
}

/// Times are whole microseconds.
fn node(path: &Path) -> Value {
    let hops: Vec<Value> = steps(path)
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let passed = step.by.passage.filter(|_| index > 0);
            let number = |micros: i128| i64::try_from(micros).unwrap_or_default();
            json!({
                "in": step.incoming,
                "by": step.by.name,
                "via": step.by.entries,
                "out": step.outgoing,
                "role": step.role,
                "direction": if step.is_reply { "reply" } else { "request" },
                "at_us": passed.map(|passage| number(micros_after(path.sent, passage.at))),
                "took_us": passed.map(|passage| number(passage.took.as_micros() as i128)),
            })
        })
        .collect();
    json!({"sender": path.sender, "total_us": path.total.as_micros() as u64, "hops": hops})
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn path() -> Path {
        let hop = |incoming: &str, by: &str, outgoing: &str| {
            [incoming.to_owned(), by.to_owned(), outgoing.to_owned()]
        };
        Path {
            sender: "n1".to_owned(),
            hops: vec![
                hop("nats://f:1", "shell (choria_trace:1000000+0)", "nats://f:1"),
                hop(
                    "nats://f:1",
                    "fed1 (choria_nats_ingest:0, choria_request_transformer:0, choria_nats_egest:0, choria_trace:1001500+250)",
                    "nats://c:1",
                ),
                hop("nats://c:1", "n1", "nats://c:1"),
                hop("nats://c:1", "fed2 (choria_nats_ingest:3)", "nats://f:1"),
            ],
            total: Duration::from_micros(4_321),
            sent: UNIX_EPOCH + Duration::from_secs(1),
        }
    }

    #[test]
    fn a_way_is_shown_hop_by_hop() {
        assert_eq!(
            shown("a1", &path()),
            "Request a1 to n1 and back: 4.321 ms\n\n\
             -> client             shell\n                      nats://f:1\n\
             -> federation broker  fed1\n                      nats://f:1 -> nats://c:1  at 1.500 ms, took 0.250 ms\n\
             -> server             n1\n                      nats://c:1\n\
             <- federation broker  fed2\n                      nats://c:1 -> nats://f:1\n\n"
        );
        assert_eq!((millis(-1_500), millis(7)), ("-1.500".to_owned(), "0.007".to_owned()));
    }

    #[test]
    fn the_document_has_every_hop() {
        let value: Value =
            serde_json::from_str(&document("a1", &["eu".to_owned()], &[path()])).unwrap();
        assert_eq!((&value["request"], &value["federations"][0]), (&json!("a1"), &json!("eu")));
        let node = &value["nodes"][0];
        assert_eq!((&node["sender"], &node["total_us"]), (&json!("n1"), &json!(4_321)));
        let hops = node["hops"].as_array().unwrap();
        let of = |key: &str| hops.iter().map(|hop| hop[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("role"), ["client", "federation broker", "server", "federation broker"]);
        assert_eq!(of("direction"), ["request", "request", "request", "reply"]);
        assert_eq!(of("took_us"), [Value::Null, json!(250), Value::Null, Value::Null]);
        assert_eq!(hops[1]["via"].as_array().unwrap().len(), 3);
    }
}
