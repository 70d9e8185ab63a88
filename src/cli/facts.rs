//! `choria facts`: how many nodes have which value of a fact.

use std::io::Write;

use serde_json::{Map, Value};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::selecting;
use crate::cli::render::facts::{Options, Report};
use crate::cli::render::statistics::footer;
use crate::cli::render::style::{Style, printable};
use crate::cli::rpcutil::ask_found;
use crate::cli::session::{Selection, connect};
use crate::rpc::{NodeReply, Stats};

selecting! {
    /// Count the values that a fact has on many nodes.
    #[argh(example = "[runnable] {command_name} os.name\n\
        [runnable] {command_name} os.release.major -F os.name=Debian --show-nodes\n\
        {command_name} virtual --json | jq 'map_values(.count)'")]
    #[argh(note = "Exit codes:\n\
        0 there are values\n\
        1 no nodes, answers or values\n\
        130 interrupted")]
    pub struct Facts {
        /// a table
        #[argh(switch, short = 't')]
        table: bool,
        /// one JSON document: count and identities of each value
        #[argh(switch, short = 'j')]
        json: bool,
        /// names of nodes, all figures at the end
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// show which nodes have the value
        #[argh(switch, short = 'n')]
        show_nodes: bool,
        /// the most frequent value first
        #[argh(switch, short = 'r')]
        reverse: bool,
        /// the fact, with dots for facts inside facts: os.release.major
        #[argh(positional)]
        fact: String,
    }
}

impl Subcommand for Facts {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.client_config()?;
        let words = self.selection_words();
        let selection = Selection::read(&config, &self.filter_words(), &words, Some("rpcutil"))?;
        let inputs = Map::from_iter([("fact".to_owned(), Value::from(self.fact.as_str()))]);
        let client = connect(context, &config, words.federations.as_deref()).await?;
        let (replies, stats, is_interrupted) =
            ask_found(context, &client, &selection, "get_fact", inputs).await?;
        client.close().await;
        let report = report(&replies);
        if report.is_empty() && !is_interrupted {
            let message = if stats.ok == 0 { "no responses received" } else { "no facts returned" };
            return Err(Failure::new(message).hint("'choria ping' shows which nodes are there"));
        }
        let style = Style::new(context.colour && config.color);
        self.show(&report, &stats, style)?;
        Ok(if is_interrupted { Exit::Interrupted } else { Exit::Success })
    }
}

impl Facts {
    fn show(&self, report: &Report, stats: &Stats, style: Style) -> Result<(), Failure> {
        let options = Options { nodes: self.show_nodes || self.verbose, reverse: self.reverse };
        let closing = footer(stats, style, self.verbose);
        let text = if self.json {
            format!("{}\n", report.json())
        } else if self.table {
            report.table(options)
        } else {
            format!("{}{closing}", report.text(&self.fact, options))
        };
        std::io::stdout().write_all(text.as_bytes())?;
        if self.table && !self.json && !stats.no_responses.is_empty() {
            eprint!("{closing}");
        }
        Ok(())
    }
}

/// The values in the replies; nodes that failed are told on standard error.
fn report(replies: &[NodeReply]) -> Report {
    let mut report = Report::default();
    for reply in replies {
        if reply.is_ok() {
            report.add(&reply.sender, &reply.data["value"]);
        } else {
            eprintln!("{}: {}", printable(&reply.sender), printable(&reply.message));
        }
    }
    report
}
