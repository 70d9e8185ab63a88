//! What all commands that ask nodes something have in common: choosing nodes, connecting, being interrupted.

use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::filters::{FilterWords, SelectionWords};
use crate::cli::nodes::{self, Offer};
use crate::cli::rpc::options::time;
use crate::config::Config;
use crate::nats::client::ErrorKind;
use crate::rpc::flatfile::Format;
use crate::rpc::{Client, Discovery, DiscoveryMethod, Error};
use crate::settings;

/// Which nodes a command will ask, and how they are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// What the client library is to do.
    pub discovery: Discovery,
    /// The word users know the method by.
    pub method: String,
    /// Whether the user has listed the nodes.
    pub is_listed: bool,
    /// Whether standard input is a pipe that had nothing to read, so that a list may have been missed.
    pub has_silent_input: bool,
}

impl Selection {
    /// Reads node lists and checks options; uses no network. Nodes must have `agent` when one is named.
    ///
    /// # Errors
    /// When an option is wrong or not supported, or a node list cannot be read.
    pub fn read(
        config: &Config,
        filters: &FilterWords,
        words: &SelectionWords,
        agent: Option<&str>,
    ) -> Result<Selection, Failure> {
        let filter = filters.filter(agent)?;
        let collective = filters.collective(&config.collectives, &config.main_collective)?;
        let mut method =
            words.method.clone().unwrap_or_else(|| config.default_discovery_method.clone());
        let mut has_silent_input = false;
        let listed = match (&words.nodes, &words.method) {
            (Some(source), _) => Some(nodes::listed(source)?),
            (None, None) => match nodes::offered()? {
                Offer::Names(names) => Some(names),
                Offer::Waiting => {
                    has_silent_input = true;
                    None
                }
                Offer::Nothing => None,
            },
            (None, Some(_)) => None,
        };
        let is_listed = listed.is_some();
        let how = match listed {
            Some(names) => {
                if !filter.facts.is_empty()
                    || !filter.classes.is_empty()
                    || !filters.agents.is_empty()
                {
                    return Err(Failure::new(
                        "a list of nodes can only be narrowed by identity (-I)",
                    )
                    .hint("leave the other filters out, or leave the list out"));
                }
                method = "flatfile".to_owned();
                DiscoveryMethod::Fixed(names)
            }
            None => discovery_method(&method, &method_options(config, words))?,
        };
        let timeout =
            words.timeout.as_deref().map(|text| time("--discovery-timeout", text)).transpose()?;
        let discovery = Discovery {
            method: how,
            filter,
            collective: Some(collective),
            timeout,
            window: words.window,
        };
        Ok(Selection { discovery, method, is_listed, has_silent_input })
    }
}

/// The options of the method: those typed, else those configured.
fn method_options<'a>(config: &'a Config, words: &'a SelectionWords) -> Vec<(&'a str, &'a str)> {
    let typed = &words.method_options;
    let list = if typed.is_empty() { &config.default_discovery_options } else { typed };
    list.iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect()
}

fn discovery_method(name: &str, options: &[(&str, &str)]) -> Result<DiscoveryMethod, Failure> {
    let option = |wanted: &str| {
        options.iter().rfind(|(key, _)| *key == wanted).map(|(_, value)| (*value).to_owned())
    };
    match name {
        "" | "mc" | "broadcast" => Ok(DiscoveryMethod::Broadcast),
        "flatfile" | "file" => {
            let missing = || {
                Failure::new("could not determine file to use as discovery source")
                    .hint("give it with --do file=NAME, or use --nodes NAME")
            };
            let path = PathBuf::from(option("file").ok_or_else(missing)?);
            let format = option("format")
                .map(|name| Format::named(&name).map_err(|err| Failure::new(err.to_string())))
                .transpose()?;
            Ok(DiscoveryMethod::FlatFile { path, format, filter: option("filter") })
        }
        "choria" | "puppetdb" | "external" | "inventory" => {
            Err(Failure::new(format!("the discovery method {name} is not supported yet"))
                .hint("use --dm mc, or list nodes with --nodes"))
        }
        _ => {
            Err(Failure::new(format!("unknown discovery method '{name}'"))
                .hint("use mc or flatfile"))
        }
    }
}

/// Connects to the broker; Ctrl-C ends the attempt.
///
/// # Errors
/// When there is no connection within 5 seconds, or the broker refuses us.
pub async fn connect(
    context: &Context,
    config: &Config,
    federations: Option<&str>,
) -> Result<Client, Failure> {
    let mut config = config.clone();
    // The environment wins over the option, as with the reference.
    let is_fixed = std::env::var_os("CHORIA_FED_COLLECTIVE").is_some_and(|value| !value.is_empty());
    if let Some(names) = federations.filter(|_| !is_fixed) {
        // Federated clients have brokers of their own: this decides where to connect as well.
        config.choria.federation_collectives = names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
    }
    let env = context.environment();
    let insecure = settings::Insecure::of(context.globals.switches(), &env);
    let options = settings::rpc_client(&config, &env, insecure, &context.executor)?;
    unless_interrupted(context, Client::connect(options)).await?.map_err(failure)
}

/// Does something, unless the user interrupts it.
///
/// # Errors
/// When the user interrupts.
pub async fn unless_interrupted<T>(
    context: &Context,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let interrupted = async {
        context.interrupt.wait().await;
        Err(interrupted())
    };
    smol::future::or(async { Ok(work.await) }, interrupted).await
}

/// What a command that is interrupted with nothing to show ends with.
pub fn interrupted() -> Failure {
    Failure::new("interrupted").exit(Exit::Interrupted)
}

/// An error of the client library for the user.
pub fn failure(err: Error) -> Failure {
    let failure = Failure::new(err.to_string());
    let failure = match err.suggestion() {
        Some(name) => failure.hint(format!("did you mean {name}?")),
        None => failure,
    };
    match err {
        Error::Network(error) => match error.kind() {
            ErrorKind::Authorization => failure.hint("the log of the broker says why"),
            ErrorKind::Credentials => failure.hint(
                "choria login gets a token from the service of the network, choria jwt makes one",
            ),
            _ => failure,
        },
        Error::FilterRequired => failure.hint("choose nodes with -F, -C, -A, -I or -W"),
        Error::NoTargets => failure.hint(NOBODY),
        _ => failure,
    }
}

/// What to do when nobody was found.
pub const NOBODY: &str = "check the filters; 'choria ping' shows which nodes are there";

/// The failure of a command that found nobody.
pub fn nobody() -> Failure {
    Failure::new("did not discover any nodes").hint(NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_methods() {
        assert_eq!(discovery_method("mc", &[]).unwrap(), DiscoveryMethod::Broadcast);
        let options = [("file", "a.txt"), ("file", "b.json"), ("format", "rpc")];
        let DiscoveryMethod::FlatFile { path, format, filter } =
            discovery_method("file", &options).unwrap()
        else {
            panic!("not a file");
        };
        assert_eq!((path, format, filter), (PathBuf::from("b.json"), Some(Format::Results), None));
        for (name, part) in [
            ("flatfile", "could not determine file"),
            ("puppetdb", "not supported yet"),
            ("sorcery", "unknown discovery method"),
        ] {
            assert!(discovery_method(name, &[]).unwrap_err().message.contains(part), "{name}");
        }
    }
}
