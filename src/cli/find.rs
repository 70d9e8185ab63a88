//! `choria find`: which nodes match.

use std::io::Write;
use std::time::Instant;

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::selecting;
use crate::cli::render::style::printable;
use crate::cli::render::value::indented;
use crate::cli::session::{Selection, connect, failure, unless_interrupted};

/// The agent nodes must have to be found, so that they can be asked something.
const AGENT: &str = "rpcutil";

selecting! {
    /// Find nodes and show their names, one a line.
    #[argh(example = "[runnable] {command_name} -F country=mt\n\
        [runnable] {command_name} -C /apache/ -A service --json\n\
        [runnable] {command_name} -I /^web/ | wc -l")]
    #[argh(note = "Exit codes:\n\
        0 nodes could be asked; nothing is shown when none matches\n\
        1 nodes could not be looked for")]
    pub struct Find {
        /// a JSON array of names
        #[argh(switch, short = 'j')]
        json: bool,
        /// say on standard error how nodes are looked for and how long it took
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// accepted for compatibility: notices never mix with the names
        #[argh(switch, hidden_help)]
        silent: bool,
    }
}

impl Subcommand for Find {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let config = context.client_config()?;
        let words = self.selection_words();
        let selection = Selection::read(&config, &self.filter_words(), &words, Some(AGENT))?;
        let client = connect(context, &config, words.federations.as_deref()).await?;
        let is_told = self.verbose && !self.json && !self.silent;
        if is_told {
            eprint!("Discovering nodes using the {} method .... ", selection.method);
        }
        let started = Instant::now();
        let found = unless_interrupted(context, client.discover(&selection.discovery))
            .await?
            .map_err(failure)?;
        let took = started.elapsed();
        client.close().await;
        if is_told {
            eprintln!("{}", found.nodes.len());
        }
        std::io::stdout().write_all(names(&found.nodes, self.json).as_bytes())?;
        if is_told {
            let (count, method, seconds) =
                (found.nodes.len(), &selection.method, took.as_secs_f64());
            eprintln!(
                "\nDiscovered {count} nodes using the {method} method in {seconds:.2} seconds"
            );
        }
        Ok(Exit::Success)
    }
}

fn names(nodes: &[String], as_json: bool) -> String {
    if as_json {
        return format!("{}\n", indented(&nodes, 2));
    }
    nodes.iter().map(|node| format!("{}\n", printable(node))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_one_a_line_or_as_an_array() {
        let nodes = ["n1".to_string(), "n2".to_string()];
        assert_eq!(names(&nodes, false), "n1\nn2\n");
        assert_eq!(names(&nodes, true), "[\n  \"n1\",\n  \"n2\"\n]\n");
        assert_eq!(names(&[], false), "");
        assert_eq!(names(&[], true), "[]\n");
    }
}
