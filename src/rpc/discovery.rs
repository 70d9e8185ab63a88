//! Finding the set of nodes for a filter.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Client;
use super::error::Error;
use super::flatfile::{self, Format};
use super::identity::is_addressable;
use super::options::{Discovery, DiscoveryMethod};
use super::reply::open;
use super::wait::next_before;
use crate::nats::client::Subscription;
use crate::protocol::rpc::DISCOVERY_PING;
use crate::protocol::{Filter, Hop, subject};
use crate::security::Provider;
use crate::util::pattern::{Regex, slashed};

/// How long after an answer the next one is waited for when discovery stops early (client notes 1.4).
pub const WINDOW: Duration = Duration::from_millis(300);
/// The agent that answers discovery.
const AGENT: &str = "discovery";

/// The nodes of a discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Their names, each once, in the order they became known.
    pub nodes: Vec<String>,
    /// The word for the method that found them.
    pub method: &'static str,
    /// How long it took.
    pub elapsed: Duration,
}

/// One node's answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// The node.
    pub sender: String,
    /// From the publish to the arrival of the answer.
    pub delay: Duration,
    /// The way that the request and the answer took, as they record it.
    pub(super) hops: Vec<Hop>,
}

/// Answers to a ping as they arrive.
pub struct Pings {
    subscription: Subscription,
    security: Arc<Provider>,
    request_id: String,
    published: Instant,
    last_moment: Instant,
    until: Instant,
    window: bool,
    seen: HashSet<String>,
}

impl Client {
    /// Finds nodes.
    ///
    /// # Errors
    /// When the network cannot be asked, or a node list cannot be used. Finding nobody is not an error.
    pub async fn discover(&self, discovery: &Discovery) -> Result<Found, Error> {
        let started = Instant::now();
        let nodes = match &discovery.method {
            DiscoveryMethod::Broadcast => self.discover_broadcast(discovery).await?,
            DiscoveryMethod::FlatFile { path, format, filter } => {
                let names = read_names(path.clone(), *format, filter.clone()).await?;
                by_identity(names, &discovery.filter, "flatfile")?
            }
            DiscoveryMethod::Fixed(names) => {
                by_identity(names.clone(), &discovery.filter, "fixed")?
            }
        };
        Ok(Found { nodes, method: discovery.method.name(), elapsed: started.elapsed() })
    }

    /// Asks the nodes a filter matches to answer. The method of `discovery` does not matter.
    ///
    /// # Errors
    /// When the network cannot be asked.
    pub async fn ping(&self, discovery: &Discovery) -> Result<Pings, Error> {
        self.ask(discovery, discovery.window.unwrap_or(false)).await
    }

    async fn discover_broadcast(&self, discovery: &Discovery) -> Result<Vec<String>, Error> {
        if let Some(names) = named_identities(&discovery.filter) {
            return checked_names(names);
        }
        let window = discovery.window.unwrap_or(self.settings().windowed_discovery);
        let mut pings = self.ask(discovery, window).await?;
        let mut nodes = Vec::new();
        while let Some(pong) = pings.next().await {
            nodes.push(pong.sender);
        }
        Ok(nodes)
    }

    async fn ask(&self, discovery: &Discovery, window: bool) -> Result<Pings, Error> {
        self.ask_with(discovery, window, None, None).await
    }

    /// Sends a ping, to everybody unless there are `targets`. `processor` stands in the first hop in place of the
    /// name of this client.
    pub(super) async fn ask_with(
        &self,
        discovery: &Discovery,
        window: bool,
        targets: Option<Vec<String>>,
        processor: Option<String>,
    ) -> Result<Pings, Error> {
        let settings = self.settings();
        if settings.require_filter && is_unfiltered(&discovery.filter) {
            return Err(Error::FilterRequired);
        }
        let collective = self.collective(discovery.collective.as_deref())?;
        let mut request = self.new_request(AGENT, collective, None);
        request.filter = discovery.filter.clone();
        request.message = DISCOVERY_PING.to_vec();
        let reply_to = self.reply_subject(collective, &request.id);
        let mut transport = self.seal(&request, &reply_to).await?;
        if let (Some([_, name, _]), Some(processor)) = (transport.hops.first_mut(), processor) {
            *name = processor;
        }
        let targets = targets.unwrap_or_else(|| vec![subject::broadcast_agent(collective, AGENT)]);
        let subscription = self.nats().subscribe(&reply_to, None)?;
        let published = Instant::now();
        self.publish(&transport, &request.id, &targets).await?;
        let last_moment = Instant::now() + discovery.timeout.unwrap_or(settings.discovery_timeout);
        Ok(Pings {
            subscription,
            security: Arc::clone(&settings.security),
            request_id: request.id,
            published,
            last_moment,
            until: last_moment,
            window,
            seen: HashSet::new(),
        })
    }
}

impl Pings {
    /// The id of the request.
    pub(super) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The next answer; nothing when the time is over. A node that answers twice is reported once.
    pub async fn next(&mut self) -> Option<Pong> {
        loop {
            let message = next_before(&mut self.subscription, self.until).await?;
            let now = Instant::now();
            match open(&self.security, &message.payload, &self.request_id) {
                Ok(reply) if self.seen.contains(&reply.sender) => {
                    log::debug!("discovery: second answer sender={}", reply.sender);
                }
                Ok(reply) => {
                    if self.window {
                        self.until = self.last_moment.min(now + WINDOW);
                    }
                    self.seen.insert(reply.sender.clone());
                    let delay = now - self.published;
                    return Some(Pong { sender: reply.sender, delay, hops: reply.hops });
                }
                Err(fault) => log::warn!("discovery: unusable answer err={fault}"),
            }
        }
    }
}

/// The identities of a filter that names nodes and nothing else: nobody has to be asked for those. The agent filter
/// does not count, because every request has one.
pub(super) fn named_identities(filter: &Filter) -> Option<&[String]> {
    let names_nodes = !filter.identities.is_empty()
        && filter.identities.iter().all(|identity| slashed(identity).is_none())
        && filter.facts.is_empty()
        && filter.classes.is_empty()
        && filter.compound.is_empty();
    names_nodes.then_some(&filter.identities)
}

/// Whether a discovery reaches every node, one agent filter notwithstanding (protocol notes 6.1).
pub(super) fn is_unfiltered(filter: &Filter) -> bool {
    filter.facts.is_empty()
        && filter.classes.is_empty()
        && filter.identities.is_empty()
        && filter.compound.is_empty()
        && filter.agents.len() <= 1
}

/// Names that can be addressed, each once.
pub(super) fn checked_names(names: &[String]) -> Result<Vec<String>, Error> {
    let mut seen = HashSet::with_capacity(names.len());
    if let Some(bad) = names.iter().find(|name| !is_addressable(name)) {
        return Err(Error::Identity(bad.chars().take(100).collect()));
    }
    Ok(names.iter().filter(|name| seen.insert(name.as_str())).cloned().collect())
}

/// Narrows a list of names by the identity filters. The documentation promises that these work with node lists; the
/// other kinds of filter cannot be decided here and are refused rather than ignored.
fn by_identity(
    names: Vec<String>,
    filter: &Filter,
    method: &'static str,
) -> Result<Vec<String>, Error> {
    if !filter.facts.is_empty() || !filter.classes.is_empty() || !filter.compound.is_empty() {
        return Err(Error::FilterUnsupported { method });
    }
    let names = checked_names(&names)?;
    if filter.identities.is_empty() {
        return Ok(names);
    }
    let mut exact = HashSet::new();
    let mut patterns = Vec::new();
    for identity in &filter.identities {
        match slashed(identity) {
            Some(text) => {
                patterns.push(Regex::new(text).map_err(|_| Error::BadPattern(text.to_owned()))?)
            }
            None => drop(exact.insert(identity.as_str())),
        }
    }
    let fits =
        |name: &String| exact.contains(name.as_str()) || patterns.iter().any(|p| p.is_match(name));
    Ok(names.into_iter().filter(fits).collect())
}

async fn read_names(
    path: std::path::PathBuf,
    format: Option<Format>,
    filter: Option<String>,
) -> Result<Vec<String>, Error> {
    smol::unblock(move || {
        let format = format.unwrap_or_else(|| Format::of_path(&path));
        let text =
            read_bounded(&path).map_err(|err| Error::NodeFile { path: path.clone(), err })?;
        flatfile::parse(&text, format, filter.as_deref())
            .map_err(|err| Error::NodeList { path: path.clone(), err })
    })
    .await
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    // One byte more than allowed, so that the parser can say that it is too long.
    std::fs::File::open(path)?.take(flatfile::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn nodes_that_are_named_need_no_network() {
        let mut filter = Filter::default();
        assert_eq!(named_identities(&filter), None);
        filter.add_identity("n1");
        filter.add_agent("rpcutil");
        assert_eq!(named_identities(&filter), Some(&names(&["n1"])[..]));
        filter.add_identity("/web/");
        assert_eq!(named_identities(&filter), None);
        filter.identities.pop();
        filter.add_class("apache");
        assert_eq!(named_identities(&filter), None);
    }

    #[test]
    fn one_agent_filter_is_no_filter() {
        let mut filter = Filter::default();
        assert!(is_unfiltered(&filter));
        filter.add_agent("rpcutil");
        assert!(is_unfiltered(&filter));
        filter.add_agent("service");
        assert!(!is_unfiltered(&filter));
    }

    #[test]
    fn lists_are_narrowed_by_identity() {
        let mut filter = Filter::default();
        filter.add_agent("rpcutil");
        let list = || names(&["web1", "web2", "db1", "web1"]);
        let narrowed = |filter: &Filter| {
            by_identity(list(), filter, "flatfile").map_err(|err| err.to_string())
        };
        assert_eq!(narrowed(&filter), Ok(names(&["web1", "web2", "db1"])));
        filter.add_identity("/^web/");
        assert_eq!(narrowed(&filter), Ok(names(&["web1", "web2"])));
        filter.add_identity("db1");
        assert_eq!(narrowed(&filter), Ok(names(&["web1", "web2", "db1"])));
        filter.add_identity("/(/");
        assert_eq!(narrowed(&filter), Err("invalid regular expression '('".into()));
        let mut filter = Filter::default();
        filter.add_class("apache");
        let refused = narrowed(&filter).unwrap_err();
        assert!(
            refused.starts_with("the flatfile discovery method can only filter by identity"),
            "{refused}"
        );
        assert!(by_identity(names(&["a b"]), &Filter::default(), "fixed").is_err());
    }
}
