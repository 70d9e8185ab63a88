//! Configuration: file format, the table of keys, typed settings.
//!
//! [`Config::load`] reads every file once. A bad value is an error that names file, line, key and
//! what is allowed; an unknown key is a warning with the nearest known one. The formats, the files
//! and their order are those of go-choria.

mod environment;
mod error;
mod file;
pub mod keys;
mod logins;
mod registration;
mod section;
mod store;
mod tokens;
mod typed;
mod unsupported;
mod value;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;

use crate::util::secret::MASK;
use store::Store;

pub use environment::{Environment, VARIABLES, Variable};
pub use error::{Error, Warning};
pub use logins::Logins;
pub use registration::Registration;
pub use section::{BadSetting, Section};
pub use store::Origin;
pub use tokens::{Issuer, Tokens};
pub use typed::{Audit, Choria, Enrolment, Nats, Network, Security};
pub use unsupported::{Severity, Unsupported, about as about_unsupported};
pub use value::Value;

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A command at a terminal.
    Client,
    /// The process on a managed node.
    Server,
    /// The message router.
    Broker,
}

/// Which file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The file of a client; without a path the first default one that exists.
    Client {
        /// The file, when one was named.
        path: Option<PathBuf>,
    },
    /// The file of a server.
    Server {
        /// The file.
        path: PathBuf,
    },
    /// The file of a broker.
    Broker {
        /// The file.
        path: PathBuf,
    },
}

impl Source {
    /// What the configuration is for.
    pub fn role(&self) -> Role {
        match self {
            Self::Client { .. } => Role::Client,
            Self::Server { .. } => Role::Server,
            Self::Broker { .. } => Role::Broker,
        }
    }
}

/// A loaded configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it is for.
    pub role: Role,
    /// The main file; none when a client has no file at all.
    pub file: Option<PathBuf>,
    /// The name of this node.
    pub identity: String,
    /// The collectives this node belongs to; never empty.
    pub collectives: Vec<String>,
    /// The collective used when none is named.
    pub main_collective: String,
    /// Folders with agent descriptions.
    pub libdir: Vec<PathBuf>,
    /// The file with the classes of this node.
    pub classes_file: PathBuf,
    /// The files with the facts of this node; later ones win.
    pub facts_files: Vec<PathBuf>,
    /// How long a message is valid.
    pub ttl: Duration,
    /// How long to wait for answers to a discovery.
    pub discovery_timeout: Duration,
    /// `mc`, `broadcast`, `puppetdb`, `choria`, `external`, `inventory` or `flatfile`.
    pub default_discovery_method: String,
    /// Options of that method.
    pub default_discovery_options: Vec<String>,
    /// `first` or `random`.
    pub rpc_limit_method: String,
    /// The audit log.
    pub audit: Audit,
    /// Ask the authorization policy before every action.
    pub rpc_authorization: bool,
    /// The kind of policy, in lower case.
    pub rpc_auth_provider: String,
    /// `stdout`, `stderr`, `discard` or a file.
    pub log_file: String,
    /// `auto`, `text`, `json` or `nats`.
    pub log_format: String,
    /// The most detailed level that is logged.
    pub log_level: String,
    /// Colour on a terminal.
    pub color: bool,
    /// Time a process gets to end after a signal.
    pub soft_shutdown_timeout: Duration,
    /// What a server publishes about itself.
    pub registration: Registration,
    /// Keys under `plugin.choria.`.
    pub choria: Choria,
    /// Keys under `plugin.choria.network.`.
    pub network: Network,
    /// Keys of identities and certificates.
    pub security: Security,
    /// Keys of authorities that issue certificates.
    pub enrolment: Enrolment,
    /// Whose tokens are trusted.
    pub tokens: Tokens,
    /// The own token, and who signs.
    pub logins: Logins,
    /// The login of brokers.
    pub nats: Nats,
    store: Store,
}

/// The folder-less name of the collective that everybody is in by default.
const DEFAULT_COLLECTIVE: &str = "mcollective";
/// The same under the `choria` security provider.
const DEFAULT_COLLECTIVE_CHORIA: &str = "choria";

impl Config {
    /// Reads the configuration of a role. `cwd` is where project files of clients are looked for.
    pub fn load(
        source: &Source,
        env: &Environment,
        cwd: &Path,
    ) -> Result<(Self, Vec<Warning>), Error> {
        let mut warnings = Vec::new();
        let mut store = Store::new(env);
        let main = match source {
            Source::Client { path } => path.clone().or_else(|| default_client_file(env)),
            Source::Server { path } | Source::Broker { path } => Some(path.clone()),
        };
        if let Some(main) = &main {
            store.add_file(main, &mut warnings)?;
            if !is_below_home(main, cwd, env) {
                for (plugin, path) in file::plugin_files(main) {
                    store.add_plugin_file(&plugin, &path, &mut warnings)?;
                }
            }
        }
        if source.role() == Role::Client {
            for path in file::project_files(cwd) {
                store.add_file(&path, &mut warnings)?;
            }
        }
        store.add_environment(env)?;
        derive(&mut store, env);
        Ok((Self::from_store(store, source.role(), main), warnings))
    }

    fn from_store(store: Store, role: Role, file: Option<PathBuf>) -> Self {
        Self {
            role,
            file,
            identity: store.text("identity"),
            collectives: store.list("collectives"),
            main_collective: store.text("main_collective"),
            libdir: store.paths("libdir"),
            classes_file: PathBuf::from(store.text("classesfile")),
            facts_files: std::env::split_paths(&store.text("plugin.yaml"))
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            ttl: store.seconds("ttl"),
            discovery_timeout: store.seconds("discovery_timeout"),
            default_discovery_method: store.text("default_discovery_method"),
            default_discovery_options: store.list("default_discovery_options"),
            rpc_limit_method: store.text("rpclimitmethod"),
            audit: Audit::from(&store),
            rpc_authorization: store.flag("rpcauthorization"),
            rpc_auth_provider: store.text("rpcauthprovider").to_ascii_lowercase(),
            log_file: store.text("logfile"),
            log_format: store.text("plugin.choria.log_format"),
            log_level: store.text("loglevel"),
            color: store.flag("color"),
            soft_shutdown_timeout: store.seconds("soft_shutdown_timeout"),
            registration: Registration::from(&store),
            choria: Choria::from(&store),
            network: Network::from(&store),
            security: Security::from(&store),
            enrolment: Enrolment::from(&store),
            tokens: Tokens::from(&store),
            logins: Logins::from(&store),
            nats: Nats::from(&store),
            store,
        }
    }

    /// The value of any key in its native JSON type, for the `rpcutil` agent: secrets are masked,
    /// lengths of time are nanoseconds. Nothing for a key that is neither known nor set.
    pub fn lookup(&self, key: &str) -> Option<Json> {
        let value = self.store.value(key)?;
        if keys::is_secret(key) && !value.is_off() {
            return Some(Json::from(MASK));
        }
        Some(value.to_json())
    }

    /// The text of a key of an agent or plugin, which the table does not know.
    pub fn raw(&self, key: &str) -> Option<String> {
        self.store.value(key).map(|value| value.to_text())
    }

    /// The value of any key: what is set, else its default. Nothing for a key that is neither known nor set.
    pub fn value(&self, key: &str) -> Option<Value> {
        self.store.value(key)
    }

    /// Whether a file or the environment sets the key.
    pub fn is_set(&self, key: &str) -> bool {
        self.store.is_set(key)
    }

    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.store.origin(key)
    }

    /// The keys that are set, known or not, in order.
    pub fn set_keys(&self) -> Vec<String> {
        self.store.names().filter(|name| self.store.is_set(name)).map(str::to_owned).collect()
    }

    /// Keys that ask for something this program does not do yet, worst first.
    pub fn unsupported_keys(&self) -> Vec<Unsupported> {
        unsupported::find(&self.store, self.role)
    }
}

/// The first default file of a client that exists.
fn default_client_file(env: &Environment) -> Option<PathBuf> {
    client_files(env).into_iter().find(|path| path.is_file())
}

/// The files of a client, in the order in which they are looked for; `~` is the home folder.
pub const CLIENT_FILES: [&str; 5] = [
    "~/.choriarc",
    "~/.mcollective",
    "/etc/choria/client.conf",
    "/usr/local/etc/choria/client.conf",
    "/etc/puppetlabs/mcollective/client.cfg",
];

/// Where the file of a client is looked for, in order.
pub fn client_files(env: &Environment) -> Vec<PathBuf> {
    let place = |file: &str| match file.strip_prefix("~/") {
        Some(name) => env.home().map(|home| home.join(name)),
        None => Some(PathBuf::from(file)),
    };
    CLIENT_FILES.into_iter().filter_map(place).collect()
}

/// Files of a user have no `plugin.d`.
fn is_below_home(main: &Path, cwd: &Path, env: &Environment) -> bool {
    env.home().is_some_and(|home| cwd.join(main).starts_with(home))
}

/// Fills in what depends on other keys or on the host.
fn derive(store: &mut Store, env: &Environment) {
    if store.list("collectives").is_empty() {
        let choria = store.text("plugin.security.provider") == "choria";
        let name = if choria { DEFAULT_COLLECTIVE_CHORIA } else { DEFAULT_COLLECTIVE };
        store.derive("collectives", Value::List(vec![name.to_owned()]), "default");
    }
    if store.text("main_collective").is_empty() {
        // The list has just been given an element if it had none.
        let first = store.list("collectives").into_iter().next().unwrap_or_default();
        store.derive("main_collective", Value::Text(first), "first of collectives");
    }
    if store.text("registration_collective").is_empty() {
        let main = Value::Text(store.text("main_collective"));
        store.derive("registration_collective", main, "main_collective");
    }
    if store.text("identity").is_empty() {
        store.derive("identity", Value::Text(env.full_host_name()), "host name");
    }
}
