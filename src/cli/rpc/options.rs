//! The options of `rpc`: what was typed, and what it means once checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::selecting;
use crate::cli::render::reply::Display;
use crate::rpc::{Limit, LimitMethod, LimitSize, Stats};
use crate::util::duration;

selecting! {
    /// Run an action of an agent on many nodes and show their replies. Inputs are written key=value.
    ///
    /// Without an action it lists the actions of the agent; with an action and --help it shows what the action takes
    /// and answers.
    #[argh(example = "[runnable] {command_name} rpcutil ping\n\
        {command_name} package status package=zsh -F os.family=RedHat\n\
        {command_name} service restart service=httpd -C /apache/ --batch 10 --batch-sleep 30\n\
        [runnable] {command_name} rpcutil get_fact --help\n\
        [runnable] {command_name} rpcutil get_fact fact=os.name -F country=uk --table\n\
        {command_name} rpcutil ping --json | jq '.replies[].sender'")]
    #[argh(note = "Replies go to standard output, progress and notices to standard error.")]
    #[argh(note = "Exit codes:\n\
        0 every node that was asked answered well\n\
        1 no node was found, or the request could not be made\n\
        2 some nodes failed or did not answer\n\
        3 nodes were found and none answered\n\
        4 nodes were listed, not discovered, and none answered\n\
        130 interrupted; what had arrived was shown")]
    pub struct Rpc {
        /// one JSON document
        #[argh(switch, short = 'j')]
        json: bool,
        /// one JSON object a line, as things happen
        #[argh(switch)]
        jsonl: bool,
        /// a table of the replies that went well
        #[argh(switch)]
        table: bool,
        /// only the names of the nodes that did well
        #[argh(switch)]
        senders: bool,
        /// ask so many of the nodes, or so many in a hundred: 10 or 10%
        #[argh(option, arg_name = "n")]
        limit: Option<String>,
        /// ask one node only, the same as --limit 1
        #[argh(switch, short = '1')]
        one: bool,
        /// make a random choice of nodes repeatable
        #[argh(option, arg_name = "number")]
        limit_seed: Option<i64>,
        /// ask so many nodes at a time
        #[argh(option, arg_name = "size", from_str_fn(count))]
        batch: Option<usize>,
        /// pause between batches, in seconds or like 500ms; 1 second when not given
        #[argh(option, arg_name = "time")]
        batch_sleep: Option<String>,
        /// how long to wait for replies, in seconds or like 500ms
        #[argh(option, short = 't', arg_name = "time")]
        timeout: Option<String>,
        /// how long nodes may still act on the request, in seconds or like 5m
        #[argh(option, arg_name = "time")]
        ttl: Option<String>,
        /// accepted for compatibility, does nothing
        #[argh(option, long = "workers", hidden_help)]
        _workers: Option<usize>,
        /// no progress bar
        #[argh(switch)]
        np: bool,
        /// replies as JSON, all figures at the end
        #[argh(switch, short = 'v')]
        verbose: bool,
        /// which replies to show instead of what the action suggests
        #[argh(option, arg_name = "ok|failed|all|none")]
        display: Option<String>,
        /// sort replies by node; they show when all have arrived
        #[argh(switch)]
        sort: bool,
        /// write the result to a file instead of standard output
        #[argh(option, short = 'o', arg_name = "file")]
        output_file: Option<PathBuf>,
        /// when to report failure: any (the default: one node failed or is missing), all (no node did well) or none
        #[argh(option, arg_name = "any|all|none")]
        fail_on: Option<String>,
        /// only replies that match an expression; not supported yet
        #[argh(option, arg_name = "expr")]
        filter_replies: Option<String>,
        /// send only, let replies go to a subject of your own; shows the id of the request
        #[argh(option, short = 'r', arg_name = "subject")]
        reply_to: Option<String>,
        /// agent, action and inputs
        #[argh(positional, greedy, arg_name = "AGENT ACTION KEY=VALUE")]
        words: Vec<String>,
    }
}

/// What the result looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Blocks of text.
    Text,
    /// A table of good replies.
    Table,
    /// Names of nodes that did well.
    Senders,
    /// Those names as a JSON array.
    SendersJson,
    /// One document.
    Json,
    /// One object a line.
    JsonLines,
}

impl Form {
    /// Whether a person reads along, so that progress is worth showing.
    pub fn is_for_people(self) -> bool {
        matches!(self, Form::Text | Form::Table)
    }
}

/// What makes the exit code say that something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    /// Nothing that nodes do.
    None,
    /// One node that fails or does not answer.
    Any,
    /// Only when no node did well.
    All,
}

impl FailOn {
    /// The exit code of a request that has been made. `discovered` is whether nodes were looked for rather than listed.
    pub fn exit(self, stats: &Stats, discovered: bool) -> Exit {
        let is_enough = match self {
            FailOn::None => true,
            FailOn::All => stats.ok > 0,
            FailOn::Any => {
                stats.responses > 0 && stats.failed == 0 && stats.no_responses.is_empty()
            }
        };
        if is_enough {
            Exit::Success
        } else if stats.responses > 0 || stats.failed > 0 {
            Exit::SomeFailed
        } else if discovered {
            Exit::NoAnswer
        } else {
            Exit::NobodyThere
        }
    }
}

/// The options that were checked without looking at the network or at a description.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What the result looks like.
    pub form: Form,
    /// Which replies show, when the user said so.
    pub display: Option<Display>,
    /// How many nodes to ask.
    pub limit: Option<LimitSize>,
    /// Seed of a random choice.
    pub limit_seed: Option<u64>,
    /// Size of batches.
    pub batch: Option<usize>,
    /// Pause between batches.
    pub batch_sleep: Option<Duration>,
    /// Time for each batch.
    pub timeout: Option<Duration>,
    /// Time a request stays valid.
    pub ttl: Option<Duration>,
    /// Progress bar wanted.
    pub progress: bool,
    /// All figures.
    pub verbose: bool,
    /// Sort by node.
    pub sort: bool,
    /// Where the result goes.
    pub output_file: Option<PathBuf>,
    /// What counts as failure.
    pub fail_on: FailOn,
}

impl Rpc {
    /// The agent, the action, and the words behind them.
    pub fn words(&self) -> (Option<&str>, Option<&str>, &[String]) {
        let word = |index: usize| self.words.get(index).map(String::as_str);
        (word(0), word(1), self.words.get(2..).unwrap_or_default())
    }

    /// Whether JSON was asked for.
    pub fn wants_json(&self) -> bool {
        self.json
    }

    /// The subject replies go to instead of here.
    pub fn reply_to(&self) -> Option<&str> {
        self.reply_to.as_deref()
    }

    /// Checks everything that can be checked by itself.
    ///
    /// # Errors
    /// When an option has a value it cannot have, or is not supported yet.
    pub fn options(&self) -> Result<Options, Failure> {
        if self.filter_replies.is_some() {
            let failure = Failure::new("--filter-replies is not supported yet");
            return Err(failure.hint("nothing was sent"));
        }
        Ok(Options {
            form: self.form(),
            display: self.display.as_deref().map(display).transpose()?,
            limit: self.limit_size()?,
            limit_seed: self
                .limit_seed
                .and_then(|seed| u64::try_from(seed).ok())
                .filter(|seed| *seed > 0),
            batch: self.batch.filter(|size| *size > 0),
            batch_sleep: self
                .batch_sleep
                .as_deref()
                .map(|text| time("--batch-sleep", text))
                .transpose()?,
            timeout: self.timeout.as_deref().map(|text| time("--timeout", text)).transpose()?,
            ttl: self.ttl.as_deref().map(|text| time("--ttl", text)).transpose()?,
            progress: !self.np && self.reply_to.is_none(),
            verbose: self.verbose,
            sort: self.sort,
            output_file: self.output_file.clone(),
            fail_on: self.fail_on.as_deref().map_or(Ok(FailOn::Any), fail_on)?,
        })
    }

    /// What the result looks like; of several options the strongest counts.
    pub fn form(&self) -> Form {
        match (self.senders, self.json, self.jsonl, self.table) {
            (true, true, _, _) => Form::SendersJson,
            (true, false, _, _) => Form::Senders,
            (_, true, _, _) => Form::Json,
            (_, _, true, _) => Form::JsonLines,
            (_, _, _, true) => Form::Table,
            _ => Form::Text,
        }
    }

    fn limit_size(&self) -> Result<Option<LimitSize>, Failure> {
        match (&self.limit, self.one) {
            (Some(_), true) => Err(Failure::new("--one and --limit exclude each other")),
            (Some(text), false) => text.parse().map(Some).map_err(|err| {
                Failure::new(format!("{err}: '{text}'")).hint("write --limit 10 or --limit 10%")
            }),
            (None, one) => Ok(one.then_some(LimitSize::Count(1))),
        }
    }
}

impl Options {
    /// The limit on targets; `random` is the configured method.
    pub fn limit(&self, random: bool) -> Option<Limit> {
        let seed = self.limit_seed;
        let method = if random || seed.is_some() {
            LimitMethod::Random { seed }
        } else {
            LimitMethod::First
        };
        self.limit.map(|size| Limit { size, method })
    }
}

fn display(word: &str) -> Result<Display, Failure> {
    let unknown =
        || Failure::new(format!("--display cannot be '{word}', use ok, failed, all or none"));
    Display::from_flag(word).ok_or_else(unknown)
}

fn fail_on(word: &str) -> Result<FailOn, Failure> {
    match word {
        "none" => Ok(FailOn::None),
        "any" => Ok(FailOn::Any),
        "all" => Ok(FailOn::All),
        _ => Err(Failure::new(format!("--fail-on cannot be '{word}', use none, any or all"))),
    }
}

/// A number of nodes given to an option.
///
/// # Errors
/// When it is none.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "that is not a whole number".to_owned())
}

/// A span of time given to an option.
///
/// # Errors
/// When it is none.
pub fn time(option: &str, text: &str) -> Result<Duration, Failure> {
    duration::parse(text).map_err(|err| Failure::new(format!("{option} cannot be '{text}': {err}")))
}

/// Splits `key=value` at the first `=` or `:`.
///
/// # Errors
/// When there is neither.
pub fn inputs(words: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    let pair = |word: &String| match word.find(['=', ':']) {
        Some(at) => Ok(at),
        None => Err(Failure::new(format!("expected KEY=VALUE got '{word}'"))
            .hint("options may stand anywhere, inputs are written key=value")),
    };
    words.iter().map(|word| pair(word).map(|at| (&word[..at], &word[at + 1..]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use argh::FromArgs;
    use std::time::SystemTime;

    fn typed(line: &str) -> Result<Options, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rpc = Rpc::from_args(&["rpc"], &words).map_err(|early| early.output)?;
        rpc.options().map_err(|failure| failure.message)
    }

    #[test]
    fn options_become_values() {
        let options =
            typed("--limit 10% --batch 5 --batch-sleep 500ms -t 3 --fail-on all -v").unwrap();
        assert_eq!(options.limit, Some(LimitSize::Percent(10)));
        assert_eq!(options.batch_sleep, Some(Duration::from_millis(500)));
        assert_eq!(options.timeout, Some(Duration::from_secs(3)));
        assert_eq!((options.fail_on, options.verbose, options.progress), (FailOn::All, true, true));
        assert_eq!(typed("-1").unwrap().limit, Some(LimitSize::Count(1)));
    }

    #[test]
    fn the_form_by_precedence() {
        for (line, form) in [
            ("", Form::Text),
            ("--table", Form::Table),
            ("--jsonl --table", Form::JsonLines),
            ("-j --jsonl", Form::Json),
            ("--senders", Form::Senders),
            ("--senders -j", Form::SendersJson),
        ] {
            assert_eq!(typed(line).unwrap().form, form, "{line}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        for (line, part) in [
            ("--limit ten", "could not parse limit as either number or percent: 'ten'"),
            ("--display some", "--display cannot be 'some'"),
            ("--fail-on x", "--fail-on cannot be 'x'"),
            ("-t soon", "--timeout cannot be 'soon'"),
            ("-1 --limit 2", "exclude each other"),
            ("--filter-replies ok()", "--filter-replies is not supported yet"),
        ] {
            let message = typed(line).unwrap_err();
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn inputs_are_split_at_the_first_separator() {
        let words: Vec<String> = ["a=b=c", "d:e=f", "g="].map(String::from).to_vec();
        assert_eq!(inputs(&words).unwrap(), [("a", "b=c"), ("d", "e=f"), ("g", "")]);
        assert_eq!(inputs(&["x".to_string()]).unwrap_err().message, "expected KEY=VALUE got 'x'");
    }

    #[test]
    fn exit_codes() {
        let stats = |ok: usize, failed: usize, missing: usize| {
            let mut stats = Stats::new("id", "a", "b", SystemTime::UNIX_EPOCH);
            (stats.ok, stats.failed, stats.responses) = (ok, failed, ok + failed);
            stats.no_responses = (0..missing).map(|n| n.to_string()).collect();
            stats
        };
        for (fail_on, ok, failed, missing, discovered, code) in [
            (FailOn::Any, 2, 0, 0, true, 0),
            (FailOn::Any, 1, 1, 0, true, 2),
            (FailOn::Any, 1, 0, 1, true, 2),
            (FailOn::Any, 0, 2, 0, true, 2),
            (FailOn::Any, 0, 0, 2, true, 3),
            (FailOn::Any, 0, 0, 2, false, 4),
            (FailOn::All, 1, 5, 5, true, 0),
            (FailOn::All, 0, 1, 1, true, 2),
            (FailOn::All, 0, 0, 1, true, 3),
            (FailOn::None, 0, 0, 1, true, 0),
        ] {
            let exit = fail_on.exit(&stats(ok, failed, missing), discovered);
            assert_eq!(exit.code(), code, "{fail_on:?} {ok} {failed} {missing} {discovered}");
        }
    }
}
