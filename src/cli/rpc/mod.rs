//! `choria rpc`: an action of an agent on many nodes.
//!
//! [`Rpc::run`](options::Rpc) reads top to bottom: everything that can be wrong is found before the network is used,
//! then nodes are discovered, then the request runs and [`output::Output`] shows it.

mod bar;
pub mod options;
pub mod output;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use smol::Timer;
use smol::future::or;

use options::{Form, Options, Rpc, inputs};
use output::Output;

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::render::document::Line;
use crate::cli::render::{help, value};
use crate::cli::session::{Selection, connect, failure, nobody, unless_interrupted};
use crate::config::Config;
use crate::ddl::{Action, Agent};
use crate::rpc::{Client, NodeReply, ReplyStream, RequestOptions, Stats, ddl_files};

/// How often the clock of the progress bar is looked at.
const TICK: Duration = Duration::from_millis(100);

impl Subcommand for Rpc {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut is_told = false;
        let result = self.perform(context, &mut is_told).await;
        // Whoever reads lines learns from them what went wrong, mistakes on the command line included.
        if let (Err(failure), true, false) = (&result, self.form() == Form::JsonLines, is_told) {
            print(&format!("{}\n", Line::Error { err: &failure.message }.render()))?;
        }
        result
    }

    fn help_about(positionals: &[String], context: &Context) -> Result<Option<String>, Failure> {
        let config = context.client_config()?;
        let Some(name) = positionals.first() else { return Ok(None) };
        let agent = resolve(&config, name)?;
        Ok(Some(match positionals.get(1) {
            Some(action) => help::action(&agent, find(&agent, action)?),
            None => help::agent(&agent),
        }))
    }
}

impl Rpc {
    /// Does everything; `is_told` is whether a failure has been put into the result.
    async fn perform(&self, context: &Context, is_told: &mut bool) -> Result<Exit, Failure> {
        let config = context.client_config()?;
        let options = self.options()?;
        let (agent, action) = match self.words() {
            (None, ..) => return list_agents(&config, self.wants_json()),
            (Some(agent), None, _) => return list_actions(&config, agent, self.wants_json()),
            (Some(agent), Some(action), _) => (resolve(&config, agent)?, action),
        };
        let action = find(&agent, action)?;
        let call = Call {
            context,
            config: &config,
            options: &options,
            agent: &agent,
            action,
            inputs: typed(&agent, action, self.words().2)?,
            selection: Selection::read(
                &config,
                &self.filter_words(),
                &self.selection_words(),
                Some(&agent.metadata.name),
            )?,
        };
        if call.selection.has_silent_input {
            eprintln!(
                "choria: standard input is an open pipe and is not read; --nodes - takes nodes from it"
            );
        }
        let federations = self.selection_words().federations;
        let mut output =
            Output::new(&agent.metadata.name, action, &options, context.colour && config.color)?;
        let result = call.run(&mut output, federations.as_deref(), self.reply_to()).await;
        if let Err(failure) = &result {
            output.failed(failure);
            *is_told = true;
        }
        result
    }
}

/// One request, checked and ready to be made.
struct Call<'a> {
    context: &'a Context,
    config: &'a Config,
    options: &'a Options,
    agent: &'a Agent,
    action: &'a Action,
    inputs: Map<String, Value>,
    selection: Selection,
}

impl Call<'_> {
    async fn run(
        &self,
        output: &mut Output<'_>,
        federations: Option<&str>,
        reply_to: Option<&str>,
    ) -> Result<Exit, Failure> {
        let client = connect(self.context, self.config, federations).await?;
        let (name, action) = (&self.agent.metadata.name, &self.action.name);
        log::debug!("rpc: connected agent={name} action={action}");
        let request = self.request(&client, output).await?;
        if let Some(subject) = reply_to {
            let sent = client.send(self.agent, action, self.inputs.clone(), request, subject);
            let id = unless_interrupted(self.context, sent).await?.map_err(failure)?;
            writeln!(std::io::stdout(), "{id}")?;
            return Ok(Exit::Success);
        }
        let replies = client
            .request(self.agent, action, self.inputs.clone(), request)
            .await
            .map_err(failure)?;
        let (_, total) = replies.progress();
        output.begin(total);
        let (stats, is_interrupted) = self.collect(replies, output).await?;
        client.close().await;
        output.end(&stats)?;
        if let Some(reason) = &stats.failure {
            return Err(Failure::new(format!("the request did not end well: {reason}")));
        }
        Ok(match is_interrupted {
            true => Exit::Interrupted,
            false => self.options.fail_on.exit(&stats, !self.selection.is_listed),
        })
    }

    /// Finds the nodes, unless the agent is a service, which finds itself.
    async fn request(
        &self,
        client: &Client,
        output: &mut Output<'_>,
    ) -> Result<RequestOptions, Failure> {
        let mut request = if self.agent.metadata.service {
            RequestOptions::service()
        } else {
            let (method, started) = (&self.selection.method, Instant::now());
            output.discovering(method)?;
            let found =
                unless_interrupted(self.context, client.discover(&self.selection.discovery))
                    .await?
                    .map_err(failure)?;
            output.discovered(method, found.nodes.len(), started.elapsed())?;
            if found.nodes.is_empty() {
                return Err(nobody());
            }
            RequestOptions::from(found)
        };
        request.collective = self.selection.discovery.collective.clone();
        request.limit = self.options.limit(self.config.rpc_limit_method == "random");
        request.batch = self.options.batch;
        request.batch_sleep = self.options.batch_sleep.unwrap_or(request.batch_sleep);
        request.timeout = self.options.timeout;
        request.ttl = self.options.ttl;
        Ok(request)
    }

    /// Shows replies until the request is over or the user has seen enough.
    async fn collect(
        &self,
        mut replies: ReplyStream,
        output: &mut Output<'_>,
    ) -> Result<(Stats, bool), Failure> {
        let mut is_interrupted = false;
        loop {
            let reply = async { Event::Reply(replies.next().await.map(Box::new)) };
            let tick = async {
                Timer::after(TICK).await;
                Event::Tick
            };
            let interrupt = async {
                if is_interrupted {
                    return std::future::pending().await;
                }
                self.context.interrupt.wait().await;
                Event::Interrupt
            };
            match or(reply, or(interrupt, tick)).await {
                Event::Reply(Some(reply)) => output.reply(*reply)?,
                Event::Reply(None) => return Ok((replies.stats(), is_interrupted)),
                Event::Tick => output.tick(),
                Event::Interrupt => {
                    is_interrupted = true;
                    replies.cancel();
                }
            }
        }
    }
}

enum Event {
    Reply(Option<Box<NodeReply>>),
    Tick,
    Interrupt,
}

fn resolve(config: &Config, agent: &str) -> Result<Arc<Agent>, Failure> {
    ddl_files::resolve(agent, &config.libdir).map_err(|err| {
        let failure = Failure::new(err.to_string());
        match err.suggestion() {
            Some(name) => failure.hint(format!("did you mean {name}?")),
            None => failure.hint("'choria rpc' lists the agents known here"),
        }
    })
}

fn find<'a>(agent: &'a Agent, name: &str) -> Result<&'a Action, Failure> {
    agent.action(name).ok_or_else(|| {
        let about = &agent.metadata.name;
        let failure = Failure::new(format!("unknown action {about}#{name}"));
        match agent.nearest_action(name) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure.hint(format!("'choria rpc {about}' lists its actions")),
        }
    })
}

fn typed(agent: &Agent, action: &Action, words: &[String]) -> Result<Map<String, Value>, Failure> {
    action.typed_inputs(inputs(words)?).map_err(|err| {
        let failure = Failure::new(format!("invalid input: {err}"));
        let failure = match err.suggestion() {
            Some(name) => failure.hint(format!("did you mean {name}?")),
            None => failure,
        };
        let command = format!("choria rpc {} {} --help", agent.metadata.name, action.name);
        failure.hint(format!("'{command}' shows the inputs"))
    })
}

fn list_agents(config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let describe = |name: String| {
        let about = ddl_files::resolve(&name, &config.libdir).map_or_else(
            |err| format!("unusable: {err}"),
            |agent| agent.metadata.description.clone(),
        );
        (name, about)
    };
    let list: Vec<(String, String)> =
        ddl_files::names(&config.libdir).into_iter().map(describe).collect();
    if as_json {
        let entries = list.iter().map(|(name, about)| json!({"agent": name, "description": about}));
        return print(&format!("{}\n", value::indented(&entries.collect::<Vec<_>>(), 2)));
    }
    print(&help::agents(&list))
}

fn list_actions(config: &Config, agent: &str, as_json: bool) -> Result<Exit, Failure> {
    let agent = resolve(config, agent)?;
    print(&if as_json { format!("{}\n", value::indented(&*agent, 2)) } else { help::agent(&agent) })
}

fn print(text: &str) -> Result<Exit, Failure> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}
