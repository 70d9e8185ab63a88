//! `choria policy test`: what policies say to a request that nobody makes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::check::{agents, config, read};
use super::fleet;
use super::local::{Machine, Words, typed};
use super::report::{self, Answer};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::selecting;
use crate::cli::render::style::{Style, printable};
use crate::cli::render::value::indented;
use crate::cli::session::unless_interrupted;
use crate::policy::{Authorizer, Kind, Question};
use crate::protocol::filter::Filter;

/// Bytes of a policy that nodes are asked to try.
const CANDIDATE_BYTES_MAX: usize = 64 * 1024;

selecting! {
    /// Say whether a caller may run an action, with the file, the line and the rule that decide. Nothing runs. Without
    /// filters the policies of this machine are asked: those of the server's configuration, or those in --policy-dir.
    /// With a filter the nodes are asked over the network; each answers by its own policies, facts and classes.
    #[argh(example = "{command_name} --caller choria=ann.mcollective --agent service --action restart\n\
        {command_name} --policy-dir ./policies --caller choria=ann --agent service --action restart --fact country=mt\n\
        {command_name} --caller choria=ann.mcollective --agent service --action restart -C apache\n\
        {command_name} --caller choria=ann.mcollective --agent service --action restart -I /./ --what-if service.policy")]
    #[argh(note = "Exit codes:\n\
        0 allowed, on all nodes that were asked; with --what-if: nothing would change\n\
        1 denied somewhere, or an error; with --what-if: something would change\n\
        2 some nodes could not say")]
    pub struct Test {
        /// who asks, like choria=ann.mcollective
        #[argh(option, arg_name = "id")]
        caller: String,
        /// the agent that is asked
        #[argh(option, arg_name = "name")]
        agent: String,
        /// the action that is asked for
        #[argh(option, arg_name = "name")]
        action: String,
        /// an input of the action, for policies that look at them; may be repeated
        #[argh(option, arg_name = "k=v")]
        input: Vec<String>,
        /// a fact of the node that is asked about, like os.name=Debian; may be repeated
        #[argh(option, arg_name = "k=v")]
        fact: Vec<String>,
        /// a class of the node that is asked about; may be repeated
        #[argh(option, arg_name = "name")]
        class: Vec<String>,
        /// facts of the node that is asked about, from a JSON or YAML file
        #[argh(option, arg_name = "file")]
        facts: Option<PathBuf>,
        /// the folder of policies, instead of that of the configuration
        #[argh(option, arg_name = "folder")]
        policy_dir: Option<PathBuf>,
        /// the kind of policies, instead of that of the configuration
        #[argh(option, arg_name = "action_policy|rego_policy")]
        provider: Option<String>,
        /// the policy of agents that have none, without .policy
        #[argh(option, arg_name = "name")]
        default_policy: Option<String>,
        /// ask as if this file were the policy of the agent, and show what changes; nothing is stored
        #[argh(option, arg_name = "file")]
        what_if: Option<PathBuf>,
        /// one JSON document
        #[argh(switch, short = 'j')]
        json: bool,
    }
}

impl Subcommand for Test {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        self.warn_of_action(context)?;
        if self.asks_nodes() {
            return self.ask_nodes(context).await;
        }
        // Files are read here, which nothing else waits for.
        let (text, exit) = unless_interrupted(context, async { self.ask_here(context) }).await??;
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(exit)
    }
}

impl Test {
    /// Whether any option chooses nodes.
    fn asks_nodes(&self) -> bool {
        let (filters, words) = (self.filter_words(), self.selection_words());
        filters != Default::default() || words.nodes.is_some() || words.method.is_some()
    }

    fn ask_here(&self, context: &Context) -> Result<(String, Exit), Failure> {
        let words = Words {
            policy_dir: self.policy_dir.as_ref(),
            provider: self.provider.as_deref(),
            default: self.default_policy.as_deref(),
            facts_file: self.facts.as_ref(),
            facts: &self.fact,
            classes: &self.class,
        };
        let machine = words.machine(context)?;
        self.warn(&machine)?;
        let (data, filter) = (Value::Object(self.inputs()?), Filter::default());
        let question = Question {
            caller: &self.caller,
            agent: &self.agent,
            action: &self.action,
            data: &data,
            facts: Some(&machine.facts),
            classes: Some(&machine.classes),
            agents: &[],
            collective: "mcollective",
            sender: "localhost",
            ttl_secs: 60,
            time: SystemTime::now(),
            filter: &filter,
            claims: None,
        };
        let authorizer = Authorizer::new(machine.settings);
        let now = authorizer.decide(&question);
        let subject = format!("{} for {}#{}", self.caller, self.agent, self.action);
        let style = Style::new(context.colour);
        let answer = Answer { allow: now.allow, reason: now.reason.to_string() };
        let Some(file) = &self.what_if else {
            let exit = if now.allow { Exit::Success } else { Exit::Failed };
            let text = if self.json {
                format!("{}\n", indented(&now.to_json(), 2))
            } else {
                report::one(&subject, &answer, style)
            };
            return Ok((text, exit));
        };
        let then = authorizer.decide_if(&read(file)?, &question).in_file(file);
        let differs = then.allow != now.allow;
        let text = if self.json {
            let mut document = now.to_json();
            document["candidate"] = then.to_json();
            document["differs"] = json!(differs);
            format!("{}\n", indented(&document, 2))
        } else {
            let then = Answer { allow: then.allow, reason: then.reason.to_string() };
            let now = report::one(&format!("{subject} now"), &answer, style);
            let then = report::one(&format!("{subject} then"), &then, style);
            format!("{now}{then}")
        };
        Ok((text, if differs { Exit::Failed } else { Exit::Success }))
    }

    /// Policies may speak of actions that no agent has.
    fn warn_of_action(&self, context: &Context) -> Result<(), Failure> {
        let agents = agents(config(context).as_ref());
        let Some(actions) = agents.get(&self.agent).filter(|them| !them.contains(&self.action))
        else {
            return Ok(());
        };
        let text = format!(
            "the agent {} has no action {}: no request for it comes as far as a policy; there are {}",
            printable(&self.agent),
            printable(&self.action),
            actions.join(", ")
        );
        writeln!(std::io::stderr(), "choria: warning: {text}")?;
        Ok(())
    }

    /// Says what makes the answer another one than was meant.
    fn warn(&self, machine: &Machine) -> Result<(), Failure> {
        let mut err = std::io::stderr();
        if !self.caller.contains('=') {
            let text = "a caller id is kind=name, such as choria=ann.mcollective";
            writeln!(err, "choria: warning: {text}")?;
        }
        let settings = &machine.settings;
        let has = |name: &str| settings.folder.join(format!("{name}.policy")).exists();
        let is_action = settings.kind == Kind::ActionPolicy;
        if is_action && settings.default_name.is_none() && !has(&self.agent) && has("default") {
            let text = "default.policy counts with plugin.actionpolicy.enable_default = y only";
            writeln!(err, "choria: warning: {text}; here with --default-policy default")?;
        }
        Ok(())
    }

    async fn ask_nodes(&self, context: &Context) -> Result<Exit, Failure> {
        self.refuse_local_options()?;
        let mut inputs = Map::new();
        for (name, value) in
            [("caller", &self.caller), ("agent", &self.agent), ("action", &self.action)]
        {
            inputs.insert(name.to_owned(), Value::from(value.as_str()));
        }
        if !self.input.is_empty() {
            inputs.insert("inputs".to_owned(), Value::Object(self.inputs()?));
        }
        if let Some(file) = &self.what_if {
            inputs.insert("candidate".to_owned(), Value::from(candidate(file)?));
        }
        let (mut answers, _, is_interrupted) =
            fleet::ask(context, &self.filter_words(), &self.selection_words(), inputs).await?;
        let is_what_if = self.what_if.is_some();
        let style = Style::new(context.colour);
        let text = if self.json { answers.json() } else { answers.text(is_what_if, style) };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(if is_interrupted { Exit::Interrupted } else { answers.exit(is_what_if) })
    }

    /// Nodes answer for themselves: what is said about a node must not seem to count.
    fn refuse_local_options(&self) -> Result<(), Failure> {
        let local = [
            ("--fact", !self.fact.is_empty()),
            ("--facts", self.facts.is_some()),
            ("--class", !self.class.is_empty()),
            ("--policy-dir", self.policy_dir.is_some()),
            ("--provider", self.provider.is_some()),
            ("--default-policy", self.default_policy.is_some()),
        ];
        match local.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => {
                Err(Failure::new(format!("{option} is not for questions to nodes"))
                    .hint("each node answers by its own policies, facts and classes"))
            }
        }
    }

    fn inputs(&self) -> Result<Map<String, Value>, Failure> {
        let pairs = self.input.iter().map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), typed(value))),
            _ => Err(Failure::new(format!("{text:?} is not an input")).hint("--input name=value")),
        });
        pairs.collect()
    }
}

/// The text of a policy to be sent.
fn candidate(file: &Path) -> Result<String, Failure> {
    let bytes = read(file)?;
    if bytes.len() > CANDIDATE_BYTES_MAX {
        let text = format!("{} is larger than {CANDIDATE_BYTES_MAX} bytes", file.display());
        return Err(Failure::new(text));
    }
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(format!("{} is not UTF-8 text", file.display())))
}
