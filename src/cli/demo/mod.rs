//! `choria demo`: a broker and a fleet of servers in one process, to try things out.
//!
//! Everything listens on loopback, has certificates of an authority made for the occasion, and is
//! gone when the process ends.

mod files;
mod fleet;
mod organization;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use argh::{ArgsInfo, FromArgs};

use crate::broker::{self, Broker};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::config::Environment;
use crate::crypto::issue::KeyKind;
use crate::nats::client::{Initial, Options};
use crate::net::servers::{Server, ServerList};
use crate::protocol::subject;
use crate::security::{Provider, Settings};
use crate::server::classes::Classes;
use crate::server::facts::Facts;
use crate::server::gate::Limits;
use crate::server::workers::Workers;
use crate::server::{self, Authorization, ConfigItems, Presence};
use crate::settings::{TokenLogin, provider};
use crate::sys;
use crate::util::shutdown::Shutdown;
use files::Folder;
use fleet::Node;
use organization::Organization;

/// Try Choria out: a broker and a fleet of servers in this one process. Shows the commands to type
/// in another shell. Ctrl-C ends it and removes what it made.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name}\n{command_name} --servers 1000\n{command_name} --dir /tmp/demo")]
pub struct Demo {
    /// how many servers, 5 by default
    #[argh(option, short = 'n', arg_name = "count", default = "5")]
    servers: usize,
    /// put certificates and configurations into this new folder and leave them there
    #[argh(option, arg_name = "folder")]
    dir: Option<PathBuf>,
    /// the port of the broker; a free one by default
    #[argh(option, arg_name = "port", default = "0")]
    port: u16,
    /// no servers, only the broker
    #[argh(switch)]
    broker_only: bool,
    /// tokens instead of certificates, and protocol version 2
    #[argh(switch)]
    v2: bool,
}

/// More servers in one process say nothing new about a fleet.
const SERVERS_MAX: usize = 20_000;
/// Files that a process has open besides connections.
const SPARE_FILES: u64 = 200;
/// Every server of the process costs two files: its end of the connection and the broker's.
const FILES_A_SERVER: u64 = 2;
/// Thousands of connections at once take their time.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);
/// How long the fleet has to come up before the demo gives up.
const START_LIMIT: Duration = Duration::from_secs(180);
/// How long the subscriptions of the fleet have to stay the same to count as complete.
const SETTLE: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(50);
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

impl Subcommand for Demo {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.set_grace(Duration::from_secs(15));
        let count = if self.broker_only { 0 } else { self.servers };
        check_size(count)?;
        let folder = Folder::create(self.dir, self.v2)?;
        let demo = Running::start(&folder, self.port, count, context).await?;
        if !context.interrupt.is_triggered() {
            demo.write_files(&folder)?;
            std::io::stdout().write_all(demo.instructions(&folder).as_bytes())?;
            std::io::stdout().flush()?;
            context.interrupt.wait().await;
        }
        demo.stop().await;
        Ok(Exit::Success)
    }
}

fn check_size(count: usize) -> Result<(), Failure> {
    if count > SERVERS_MAX {
        return Err(Failure::new(format!("a demo has at most {SERVERS_MAX} servers")));
    }
    let needed = count as u64 * FILES_A_SERVER + SPARE_FILES;
    match sys::raise_nofile_limit() {
        Ok(limit) if limit < needed => {
            let most = limit.saturating_sub(SPARE_FILES) / FILES_A_SERVER;
            Err(Failure::new(format!("{count} servers need {needed} open files, {limit} may be"))
                .hint(format!("ask for at most {most} servers, or raise the limit: ulimit -n")))
        }
        _ => Ok(()),
    }
}

/// A demo that is up.
struct Running {
    broker: Broker,
    nodes: Vec<Node>,
    client: Settings,
    shutdown: Shutdown,
}

impl Running {
    async fn start(
        folder: &Folder,
        port: u16,
        count: usize,
        context: &Context,
    ) -> Result<Self, Failure> {
        let client = client_name(&context.environment());
        let client = folder.client(&client)?;
        let broker = start_broker(folder, port, count)?;
        let nodes: Vec<Node> = (0..count).map(fleet::node).collect();
        let shutdown = Shutdown::new();
        let demo = Self { broker, nodes, client, shutdown };
        let providers = demo.issue(folder, context).await?;
        demo.start_servers(providers, folder.collective(), context)?;
        demo.wait_for_fleet(context).await?;
        Ok(demo)
    }

    /// Certificates or tokens for every server, made on as many threads as there are cores.
    async fn issue(
        &self,
        folder: &Folder,
        context: &Context,
    ) -> Result<Vec<Arc<Provider>>, Failure> {
        let done = AtomicUsize::new(0);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let part = self.nodes.len().div_ceil(threads).max(1);
        let make = |nodes: &[Node]| -> Result<Vec<Arc<Provider>>, Failure> {
            let mut providers = Vec::with_capacity(nodes.len());
            for node in nodes {
                if context.interrupt.is_triggered() {
                    break;
                }
                let mut settings = folder.server(&node.identity)?;
                settings.allow_list = vec![exactly(&self.client.identity)];
                providers.push(provider(settings)?);
                progress("identities", done.fetch_add(1, Ordering::Relaxed) + 1, self.nodes.len());
            }
            Ok(providers)
        };
        std::thread::scope(|scope| {
            let parts: Vec<_> =
                self.nodes.chunks(part).map(|nodes| scope.spawn(move || make(nodes))).collect();
            let mut providers = Vec::with_capacity(self.nodes.len());
            for part in parts {
                let part = part.join().map_err(|_| Failure::new("cannot make certificates"))?;
                providers.extend(part?);
            }
            Ok(providers)
        })
    }

    fn start_servers(
        &self,
        providers: Vec<Arc<Provider>>,
        collective: &str,
        context: &Context,
    ) -> Result<(), Failure> {
        let workers = Workers::start_default()
            .map_err(|error| Failure::new(format!("cannot start worker threads: {error}")))?;
        for (node, security) in self.nodes.iter().zip(providers) {
            let settings = self.server(node, security, &workers, collective, context)?;
            let run = server::run(settings, context.executor.clone(), self.shutdown.clone());
            let identity = node.identity.clone();
            let task = async move {
                if let Err(error) = run.await {
                    log::error!("demo: server {identity}: {error}");
                }
            };
            context.executor.spawn(task).detach();
        }
        Ok(())
    }

    fn server(
        &self,
        node: &Node,
        security: Arc<Provider>,
        workers: &Workers,
        collective: &str,
        context: &Context,
    ) -> Result<server::Settings, Failure> {
        let address = self.broker.local_addr();
        let broker = Server::nats(address.ip().to_string(), address.port());
        let mut connection =
            Options::new(ServerList::fixed(vec![broker]), context.executor.clone());
        connection.name = node.identity.clone();
        connection.tls = Some(
            security
                .client_tls()
                .map_err(|error| Failure::new(format!("TLS is not set up: {error}")))?,
        );
        let caller = security.has_login().then(|| security.caller());
        connection.inbox_prefix = subject::inbox_prefix(collective, caller.as_deref());
        if security.has_login() {
            connection.credentials = Some(Arc::new(TokenLogin(security.clone())));
        }
        connection.connect_timeout = CONNECT_LIMIT;
        connection.initial = Initial::Forever;
        Ok(server::Settings {
            identity: node.identity.clone(),
            collectives: vec![collective.to_owned()],
            main_collective: collective.to_owned(),
            config_file: PathBuf::from("choria demo"),
            facts: Facts::fixed(node.facts.clone()),
            classes: Classes::fixed(node.classes.clone()),
            config_items: ConfigItems::new(|_| None),
            authorization: Authorization::Off,
            audit: None,
            status: None,
            registration: None,
            legacy_lifecycle_format: false,
            presence: Presence::default(),
            service_host: false,
            renewal: None,
            soft_shutdown: SHUTDOWN_LIMIT,
            limits: Limits::default(),
            connection,
            security,
            workers: workers.clone(),
        })
    }

    /// Waits until every server is connected and has made its subscriptions.
    async fn wait_for_fleet(&self, context: &Context) -> Result<(), Failure> {
        let started = Instant::now();
        let mut last = (0, 0, Instant::now());
        while !context.interrupt.is_triggered() {
            let now = self.broker.statistics();
            progress("connected", now.admitted as usize, self.nodes.len());
            if (now.admitted, now.subscriptions) != (last.0, last.1) {
                last = (now.admitted, now.subscriptions, Instant::now());
            }
            let is_complete = now.admitted >= self.nodes.len() as u64;
            if is_complete && (self.nodes.is_empty() || last.2.elapsed() >= SETTLE) {
                break;
            }
            if started.elapsed() > START_LIMIT {
                let (up, all) = (now.admitted, self.nodes.len());
                return Err(Failure::new(format!("only {up} of {all} servers came up")));
            }
            smol::Timer::after(TICK).await;
        }
        Ok(())
    }

    fn write_files(&self, folder: &Folder) -> Result<(), Failure> {
        let broker = self.broker.local_addr();
        folder.write("client.conf", &folder.configuration(&self.client, broker))?;
        let extra = folder.server(files::EXTRA_SERVER)?;
        let mut text = folder.configuration(&extra, broker);
        text.push_str("rpcauthorization = false\n");
        if folder.organization().is_none() {
            text.push_str("plugin.choria.security.certname_whitelist = ");
            text.push_str(&exactly(&self.client.identity));
            text.push('\n');
        }
        folder.write("server.conf", &text)
    }

    fn instructions(&self, folder: &Folder) -> String {
        let program = std::env::current_exe()
            .map_or_else(|_| "choria".to_owned(), |path| path.display().to_string());
        let config = folder.file("client.conf");
        let config = config.display();
        let first = self.nodes.first().map_or(files::EXTRA_SERVER, |node| &node.identity);
        format!(
            "\nA broker on {address} and {count} servers are up. In another shell:\n\n  \
             {program} ping --config {config}\n  \
             {program} rpc rpcutil inventory -I {first} --config {config}\n  \
             {program} rpc rpcutil get_fact fact=os.release.full -F os.family=Debian --config {config}\n  \
             {program} facts role --config {config}\n  \
             {program} find -C nginx -F country=uk --config {config}\n\n\
             One more server of your own:\n\n  \
             {program} server run --config {server}\n\n\
             Files are in {path}. Authorization is off here: whoever has the client's key may \
             call every action. Everything listens on loopback only.\nCtrl-C ends the demo.\n",
            address = self.broker.local_addr(),
            count = self.nodes.len(),
            server = folder.file("server.conf").display(),
            path = folder.path().display(),
        )
    }

    async fn stop(self) {
        progress_end();
        self.shutdown.trigger();
        let broker = self.broker;
        // The servers say goodbye to a broker that still listens.
        let started = Instant::now();
        while broker.statistics().connections > 0 && started.elapsed() < SHUTDOWN_LIMIT {
            smol::Timer::after(TICK).await;
        }
        smol::unblock(move || broker.shutdown(SHUTDOWN_LIMIT)).await;
    }
}

/// The name that commands of this user will call themselves by: see the file provider.
fn client_name(env: &Environment) -> String {
    let is_root = rustix::process::geteuid().is_root();
    match (env.var("MCOLLECTIVE_CERTNAME"), env.var("USER")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(user)) if !is_root => format!("{user}.mcollective"),
        _ => "demo.mcollective".to_owned(),
    }
}

/// A pattern for this name and no other.
fn exactly(name: &str) -> String {
    format!("^{}$", regex::escape(name))
}

fn start_broker(folder: &Folder, port: u16, count: usize) -> Result<Broker, Failure> {
    let security = provider(folder.issue("broker", "broker.example.net", KeyKind::P256)?)?;
    let tls = security
        .server_tls()
        .map_err(|error| Failure::new(format!("TLS is not set up: {error}")))?;
    let default = broker::Settings::default();
    let settings = broker::Settings {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        server_name: "broker.example.net".to_owned(),
        tls: Some(tls),
        access: folder.organization().map(Organization::access).unwrap_or_default(),
        connections_max: default.connections_max.max(count * 2),
        unadmitted_max: default.unadmitted_max.max(count),
        tls_timeout: CONNECT_LIMIT,
        auth_timeout: CONNECT_LIMIT,
        ..default
    };
    Broker::start(settings).map_err(|error| Failure::new(error.to_string()))
}

/// Shows how far something has come, on one line of standard error when that is a terminal.
fn progress(what: &str, done: usize, all: usize) {
    use std::io::IsTerminal;
    let mut error = std::io::stderr();
    let step = (all / 100).max(1);
    if all >= 50 && (done.is_multiple_of(step) || done == all) && error.is_terminal() {
        // Progress that cannot be shown is no loss.
        let _ = write!(error, "\r\x1b[K{what}: {done} of {all}");
        if done == all {
            let _ = write!(error, "\r\x1b[K");
        }
    }
}

fn progress_end() {
    use std::io::IsTerminal;
    let mut error = std::io::stderr();
    if error.is_terminal() {
        let _ = write!(error, "\r\x1b[K");
    }
}
