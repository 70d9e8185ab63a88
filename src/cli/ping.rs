//! `choria ping`: who is there, and how fast they answer.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::{FilterWords, filtering};
use crate::cli::render::ping::{histogram, line, statistics};
use crate::cli::render::style::printable;
use crate::cli::render::value::indented;
use crate::cli::rpc::options::{count, time};
use crate::cli::session::{connect, failure, unless_interrupted};
use crate::rpc::{Discovery, Pings};

filtering! {
    /// Ask nodes whether they are there and show how long each took to answer.
    #[argh(example = "[runnable] {command_name}\n\
        [runnable] {command_name} -F os.family=Debian --graph\n\
        [runnable] {command_name} --names | sort\n\
        {command_name} --expect 10 --timeout 30")]
    #[argh(note = "Exit codes:\n\
        0 somebody answered; with --names: nodes could be asked\n\
        1 nobody answered or could be asked; with --expect: fewer answered")]
    pub struct Ping {
        /// only the statistics
        #[argh(switch)]
        silent: bool,
        /// only the names
        #[argh(switch)]
        names: bool,
        /// one JSON document
        #[argh(switch, short = 'j')]
        json: bool,
        /// stop after so many answers
        #[argh(option, arg_name = "n", from_str_fn(count))]
        expect: Option<usize>,
        /// how long to wait for answers, in seconds or like 500ms; the discovery timeout when not given
        #[argh(option, short = 't', arg_name = "time")]
        timeout: Option<String>,
        /// draw how many nodes answered when
        #[argh(switch)]
        graph: bool,
        /// federations to ask in instead of those configured, separated by commas
        #[argh(option, arg_name = "names")]
        federations: Option<String>,
        /// accepted for compatibility, does nothing
        #[argh(option, long = "workers", hidden_help)]
        _workers: Option<usize>,
    }
}

/// Who answered, in the order of the answers.
type Answers = Vec<(String, Duration)>;

impl Subcommand for Ping {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let started = Instant::now();
        let config = context.client_config()?;
        let filters = self.filter_words();
        let mut discovery = Discovery::broadcast(filters.filter(None)?);
        discovery.collective =
            Some(filters.collective(&config.collectives, &config.main_collective)?);
        discovery.timeout =
            self.timeout.as_deref().map(|text| time("--timeout", text)).transpose()?;
        discovery.timeout = discovery.timeout.filter(|timeout| !timeout.is_zero());
        let client = connect(context, &config, self.federations.as_deref()).await?;
        let published = Instant::now();
        let pings = unless_interrupted(context, client.ping(&discovery)).await?.map_err(failure)?;
        let (answers, is_interrupted) = self.collect(context, pings).await?;
        client.close().await;
        let code = self.conclude(&answers, published - started)?;
        Ok(if is_interrupted { Exit::Interrupted } else { code })
    }
}

impl Ping {
    /// Shows answers as they come.
    async fn collect(
        &self,
        context: &Context,
        mut pings: Pings,
    ) -> Result<(Answers, bool), Failure> {
        let mut answers = Answers::new();
        let shows_lines = !self.silent && !self.json;
        while self.expect.is_none_or(|expected| answers.len() < expected) {
            let Ok(next) = unless_interrupted(context, pings.next()).await else {
                return Ok((answers, true));
            };
            let Some(pong) = next else { break };
            if shows_lines {
                let text = if self.names {
                    format!("{}\n", printable(&pong.sender))
                } else {
                    line(&pong.sender, pong.delay)
                };
                std::io::stdout().write_all(text.as_bytes())?;
            }
            answers.push((pong.sender, pong.delay));
        }
        Ok((answers, false))
    }

    /// What to look at when nobody answers.
    fn advice(&self) -> &'static str {
        if self.filter_words() == FilterWords::default() {
            "are servers running, in the same collective and connected to the same brokers?"
        } else {
            "try without filters, or with a longer --timeout"
        }
    }

    fn conclude(
        &self,
        answers: &[(String, Duration)],
        overhead: Duration,
    ) -> Result<Exit, Failure> {
        let delays: Vec<Duration> = answers.iter().map(|(_, delay)| *delay).collect();
        if self.json {
            std::io::stdout().write_all(document(answers, overhead).as_bytes())?;
        } else if !self.names && !delays.is_empty() {
            let gap = if self.silent { "" } else { "\n\n" };
            let mut text = format!("{gap}{}", statistics(&delays, overhead));
            if self.graph {
                text.push_str(&format!("\n{}\n\n", histogram(&delays)));
            }
            std::io::stdout().write_all(text.as_bytes())?;
        }
        match self.expect {
            Some(expected) if answers.len() < expected => Err(Failure::new(format!(
                "{} of {expected} expected nodes answered",
                answers.len()
            ))),
            _ if answers.is_empty() && !self.names => {
                Err(Failure::new("no responses received").hint(self.advice()))
            }
            _ => Ok(Exit::Success),
        }
    }
}

/// Times are whole nanoseconds, as in the other documents.
fn document(answers: &[(String, Duration)], overhead: Duration) -> String {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let replies: Vec<_> = answers
        .iter()
        .map(|(sender, delay)| json!({"sender": sender, "time": nanos(*delay)}))
        .collect();
    let document =
        json!({"replies": replies, "responses": answers.len(), "overhead": nanos(overhead)});
    format!("{}\n", indented(&document, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_answer() {
        let answers = [("n1".to_string(), Duration::from_millis(2))];
        let text = document(&answers, Duration::from_millis(1));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"replies": [{"sender": "n1", "time": 2_000_000}], "responses": 1, "overhead": 1_000_000});
        assert_eq!(value, expected);
    }
}
