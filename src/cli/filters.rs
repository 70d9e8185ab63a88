//! The options that choose nodes, the same for every command that asks nodes something.
//!
//! argh cannot share options between structures, so two macros add them: [`filtering!`] adds the filters,
//! [`selecting!`] the filters and how to discover.

use crate::cli::exit::Failure;
use crate::protocol::filter::{FactFilter, Filter, Operator};
use crate::util::pattern::{Regex, slashed};

/// What was typed behind the filter options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterWords {
    /// `-F`: conditions on facts.
    pub facts: Vec<String>,
    /// `-C`: classes.
    pub classes: Vec<String>,
    /// `-A`: agents.
    pub agents: Vec<String>,
    /// `-I`: identities.
    pub identities: Vec<String>,
    /// `-W`: facts and classes mixed.
    pub combined: Vec<String>,
    /// `-S`: an expression.
    pub compound: Option<String>,
    /// `-T`: the collective.
    pub target: Option<String>,
}

impl FilterWords {
    /// The filter these words make, with `agent` added to the agents a node must have.
    ///
    /// # Errors
    /// When a filter is empty, which would ask everybody, when a fact condition or pattern cannot be read, or when an
    /// expression is given, which is not supported yet.
    pub fn filter(&self, agent: Option<&str>) -> Result<Filter, Failure> {
        if self.compound.as_ref().is_some_and(|expression| !expression.is_empty()) {
            return Err(Failure::new("compound filters (-S, --select) are not supported yet")
                .hint("combine -F, -C, -A, -I and -W instead; nothing was sent"));
        }
        self.refuse_empty()?;
        let mut filter = Filter::default();
        for text in &self.facts {
            filter.facts.push(fact(text)?);
        }
        for part in self.combined.iter().flat_map(|text| text.split_whitespace()) {
            match FactFilter::parse(part) {
                Ok(fact) => filter.facts.push(fact),
                Err(_) => filter.add_class(part),
            }
        }
        self.classes.iter().for_each(|class| filter.add_class(class));
        self.agents
            .iter()
            .map(String::as_str)
            .chain(agent)
            .for_each(|agent| filter.add_agent(agent));
        self.identities.iter().for_each(|identity| filter.add_identity(identity));
        check_patterns(&filter)?;
        Ok(filter)
    }

    /// An empty filter is a variable of a script that is not set: it must not widen a request to everybody.
    fn refuse_empty(&self) -> Result<(), Failure> {
        for (option, texts) in [
            ("-F", &self.facts),
            ("-C", &self.classes),
            ("-A", &self.agents),
            ("-I", &self.identities),
            ("-W", &self.combined),
        ] {
            if texts.iter().any(|text| text.trim().is_empty()) {
                return Err(Failure::new(format!("the filter of {option} is empty"))
                    .hint("leave the option out to ask every node; nothing was sent"));
            }
        }
        Ok(())
    }

    /// The collective to ask in: the one typed, else the main one.
    ///
    /// # Errors
    /// When the one typed is not among those configured.
    pub fn collective(&self, known: &[String], main: &str) -> Result<String, Failure> {
        match self.target.as_deref().filter(|target| !target.is_empty()) {
            None => Ok(main.to_string()),
            Some(target) if known.iter().any(|name| name == target) => Ok(target.to_string()),
            Some(target) => {
                let failure =
                    Failure::new(format!("'{target}' is not on the list of known collectives"));
                Err(failure.hint(format!("known are: {}", known.join(", "))))
            }
        }
    }
}

/// A pattern that cannot be used would match no node, silently.
fn check_patterns(filter: &Filter) -> Result<(), Failure> {
    let in_facts = filter
        .facts
        .iter()
        .filter(|fact| fact.operator == Operator::Match)
        .map(|fact| fact.value.trim_matches('/'));
    let lists = [&filter.classes, &filter.agents, &filter.identities];
    for text in in_facts.chain(lists.into_iter().flatten().filter_map(|text| slashed(text))) {
        Regex::new(text).map_err(|error| {
            Failure::new(format!("could not parse filters: {error}"))
                .hint("write a \\ before a character that is to stand for itself")
        })?;
    }
    Ok(())
}

fn fact(text: &str) -> Result<FactFilter, Failure> {
    FactFilter::parse(text).map_err(|err| {
        Failure::new(format!("could not parse filters: {err}"))
            .hint("write facts like -F os.name=Debian or -F 'uptime>=10'")
    })
}

/// What was typed behind the options that say how nodes are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectionWords {
    /// `--dm`
    pub method: Option<String>,
    /// `--do`
    pub method_options: Vec<String>,
    /// `--discovery-timeout`
    pub timeout: Option<String>,
    /// `--discovery-window` or `--no-discovery-window`
    pub window: Option<bool>,
    /// `--nodes`
    pub nodes: Option<String>,
    /// `--federations`
    pub federations: Option<String>,
}

/// Declares the argh structure of a command that has filters, with a method `filter_words`.
macro_rules! filtering {
    ($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* }) => {
        #[derive(argh::FromArgs, argh::ArgsInfo, Debug)]
        $(#[$meta])*
        pub struct $name {
            $($body)*
            /// only nodes with this fact, like os.name=Debian; operators = != =~ < > <= >=; may be repeated, all must match
            #[argh(option, short = 'F', long = "wf", arg_name = "fact")]
            wf: Vec<String>,
            /// only nodes with this class, or classes matching /regex/; may be repeated, all must match
            #[argh(option, short = 'C', long = "wc", arg_name = "class")]
            wc: Vec<String>,
            /// only nodes with this agent; may be repeated, all must match
            #[argh(option, short = 'A', long = "wa", arg_name = "agent")]
            wa: Vec<String>,
            /// only nodes of this name, or names matching /regex/; may be repeated, one must match
            #[argh(option, short = 'I', long = "wi", arg_name = "identity")]
            wi: Vec<String>,
            /// facts and classes in one, separated by spaces; may be repeated
            #[argh(option, short = 'W', long = "with", arg_name = "filter")]
            with: Vec<String>,
            /// compound filter expression; not supported yet
            #[argh(option, short = 'S', long = "select", arg_name = "expr")]
            select: Option<String>,
            /// the collective to ask in, instead of the main one
            #[argh(option, short = 'T', long = "target", arg_name = "collective")]
            target: Option<String>,
            /// old name of --wf
            #[argh(option, long = "with-fact", hidden_help)]
            with_fact: Vec<String>,
            /// old name of --wc
            #[argh(option, long = "with-class", hidden_help)]
            with_class: Vec<String>,
            /// old name of --wa
            #[argh(option, long = "with-agent", hidden_help)]
            with_agent: Vec<String>,
            /// old name of --wi
            #[argh(option, long = "with-identity", hidden_help)]
            with_identity: Vec<String>,
        }

        impl $name {
            /// The filter options that were typed.
            pub(crate) fn filter_words(&self) -> $crate::cli::filters::FilterWords {
                $crate::cli::filters::FilterWords {
                    facts: [&self.wf[..], &self.with_fact].concat(),
                    classes: [&self.wc[..], &self.with_class].concat(),
                    agents: [&self.wa[..], &self.with_agent].concat(),
                    identities: [&self.wi[..], &self.with_identity].concat(),
                    combined: self.with.clone(),
                    compound: self.select.clone(),
                    target: self.target.clone(),
                }
            }
        }
    };
}

/// As [`filtering!`], with the options that say how nodes are found and a method `selection_words`.
macro_rules! selecting {
    ($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* }) => {
        $crate::cli::filters::filtering! {
            $(#[$meta])*
            pub struct $name {
                $($body)*
                /// nodes from a file instead of discovery: names, JSON, YAML or the result of rpc --json; - reads
                /// standard input
                #[argh(option, arg_name = "file")]
                nodes: Option<String>,
                /// how to find nodes: mc, which is the default and the same as broadcast, or from a file
                #[argh(option, arg_name = "mc|broadcast|flatfile")]
                dm: Option<String>,
                /// option for the discovery method, like file=nodes.txt; may be repeated
                #[argh(option, long = "do", arg_name = "k=v")]
                method_options: Vec<String>,
                /// longest time to wait for nodes to report, in seconds or like 500ms
                #[argh(option, arg_name = "time")]
                discovery_timeout: Option<String>,
                /// stop discovery soon after the last node reported; this is the default
                #[argh(switch, hidden_help)]
                discovery_window: bool,
                /// wait the whole discovery timeout, even when no more nodes report
                #[argh(switch)]
                no_discovery_window: bool,
                /// federations to ask in instead of those configured, separated by commas
                #[argh(option, arg_name = "names")]
                federations: Option<String>,
            }
        }

        impl $name {
            /// The options about discovery that were typed.
            pub(crate) fn selection_words(&self) -> $crate::cli::filters::SelectionWords {
                $crate::cli::filters::SelectionWords {
                    method: self.dm.clone(),
                    method_options: self.method_options.clone(),
                    timeout: self.discovery_timeout.clone(),
                    window: (self.no_discovery_window || self.discovery_window)
                        .then_some(self.discovery_window),
                    nodes: self.nodes.clone(),
                    federations: self.federations.clone(),
                }
            }
        }
    };
}

pub(crate) use {filtering, selecting};

#[cfg(test)]
mod tests {
    use argh::FromArgs;

    selecting! {
        /// Tries the options.
        pub struct Line {
            /// a word
            #[argh(positional, greedy)]
            _words: Vec<String>,
        }
    }

    fn words(list: &[&str]) -> Line {
        Line::from_args(&["x"], list).expect("these are valid options")
    }

    fn json(list: &[&str]) -> Result<serde_json::Value, String> {
        let filter = words(list)
            .filter_words()
            .filter(Some("rpcutil"))
            .map_err(|failure| failure.message)?;
        serde_json::to_value(filter).map_err(|err| err.to_string())
    }

    #[test]
    fn options_make_a_filter() {
        let line = [
            "-F",
            "os.name=CentOS",
            "--with-fact",
            "x>=1",
            "-C",
            "/apache/",
            "-A",
            "service",
            "-A",
            "service",
            "-I",
            "n1",
            "--wi",
            "n2",
            "-W",
            "country=mt web",
        ];
        let expected = serde_json::json!({
            "fact": [
                {"fact": "os.name", "operator": "==", "value": "CentOS"},
                {"fact": "x", "operator": ">=", "value": "1"},
                {"fact": "country", "operator": "==", "value": "mt"}],
            "cf_class": ["web", "/apache/"], "agent": ["service", "rpcutil"], "identity": ["n1", "n2"],
            "compound": []});
        assert_eq!(json(&line), Ok(expected));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        assert!(json(&["-S", "with('a')"]).unwrap_err().contains("not supported yet"));
        for line in
            [["-F", "nonsense"], ["-F", "os=~["], ["-C", "/[/"], ["-I", "/*/"], ["-A", "/(/"]]
        {
            let message = json(&line).unwrap_err();
            assert!(message.starts_with("could not parse filters: "), "{line:?} {message}");
        }
        for option in ["-F", "-C", "-A", "-I", "-W"] {
            let expected = format!("the filter of {option} is empty");
            assert_eq!(json(&[option, ""]).unwrap_err(), expected);
            assert_eq!(json(&[option, " "]).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_collective_must_be_known() {
        let known = ["mcollective".to_string(), "eu".to_string()];
        let choose = |list: &[&str]| {
            words(list).filter_words().collective(&known, "mcollective").map_err(|f| f.message)
        };
        assert_eq!(choose(&[]), Ok("mcollective".to_string()));
        assert_eq!(choose(&["-T", "eu"]), Ok("eu".to_string()));
        assert_eq!(
            choose(&["-T", "us"]),
            Err("'us' is not on the list of known collectives".to_string())
        );
    }

    #[test]
    fn selection_options_are_read() {
        let typed = words(&["--nodes", "f", "--dm", "mc", "--do", "a=b", "--no-discovery-window"])
            .selection_words();
        assert_eq!(typed.nodes.as_deref(), Some("f"));
        assert_eq!(typed.method_options, ["a=b"]);
        assert_eq!(typed.window, Some(false));
        assert_eq!(words(&["--discovery-window"]).selection_words().window, Some(true));
        assert_eq!(words(&[]).selection_words().window, None);
    }
}
