//! The entry point for programs: a connected client from the same configuration the `choria` command uses.
//!
//! [`Choria::from_config`] reads the configuration, connects and looks after the tasks of the connection on a thread
//! of its own, so that it works under any executor. Everything else is [`crate::rpc`]. The guide is
//! `docs/rust-api.md`, a whole program `examples/fleet_facts.rs`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{self, Config, Environment, Source};
use crate::ddl::{Agent, InputError};
use crate::rpc::ddl_files::{self, DdlError};
use crate::rpc::{self, Client, Discovery, Found, ReplyStream, RequestOptions};
use crate::settings::{self, Insecure, Switches};
use crate::sys;
use crate::util::shutdown::Shutdown;

/// A connection to the network with what is needed to use it.
pub struct Choria {
    client: Client,
    config: Config,
    agents: Mutex<HashMap<String, Arc<Agent>>>,
    // Last, so that the connection is gone before the thread that serves it.
    _worker: Worker,
}

/// Why a program cannot use the network.
#[derive(Debug)]
pub enum Error {
    /// The configuration cannot be read.
    Config(config::Error),
    /// The configuration asks for what cannot be done, or certificates are missing.
    Settings(settings::Problem),
    /// The thread of the connection cannot be started.
    Thread(io::Error),
    /// The network or the request is at fault.
    Rpc(rpc::Error),
    /// The agent has no usable description.
    Agent(DdlError),
    /// The inputs do not fit the description of the action.
    Inputs(InputError),
    /// The inputs are not a JSON object.
    InputsShape,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(err) => write!(f, "{err}"),
            Self::Settings(err) => write!(f, "{err}"),
            Self::Thread(err) => write!(f, "cannot start a thread: {err}"),
            Self::Rpc(err) => write!(f, "{err}"),
            Self::Agent(err) => write!(f, "{err}"),
            Self::Inputs(err) => write!(f, "invalid input: {err}"),
            Self::InputsShape => f.write_str("invalid input: the inputs are not an object"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(err) => Some(err),
            Self::Settings(err) => Some(err),
            Self::Thread(err) => Some(err),
            Self::Rpc(err) => Some(err),
            Self::Agent(err) => Some(err),
            Self::Inputs(err) => Some(err),
            Self::InputsShape => None,
        }
    }
}

impl From<rpc::Error> for Error {
    fn from(err: rpc::Error) -> Self {
        Self::Rpc(err)
    }
}

impl Choria {
    /// Connects with the configuration in `path`, or in the file the `choria` command would take: `~/.choriarc` and
    /// its successors, then the project files above the current folder. The `INSECURE_` variables count as well.
    ///
    /// # Errors
    /// When the configuration is unusable, certificates are missing, or no broker answers within 5 seconds.
    pub async fn from_config(path: Option<&Path>) -> Result<Self, Error> {
        let env = Environment::of_process(sys::hostname());
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let source = Source::Client { path: path.map(Path::to_owned) };
        let (config, warnings) = Config::load(&source, &env, &cwd).map_err(Error::Config)?;
        for warning in warnings {
            log::warn!("config: {warning}");
        }
        Self::with(config, &env).await
    }

    async fn with(config: Config, env: &Environment) -> Result<Self, Error> {
        let worker = Worker::start().map_err(Error::Thread)?;
        let insecure = Insecure::of(Switches::default(), env);
        let options = settings::rpc_client(&config, env, insecure, &worker.executor)
            .map_err(Error::Settings)?;
        let client = Client::connect(options).await?;
        Ok(Self { client, config, agents: Mutex::default(), _worker: worker })
    }

    /// The client library below, for what this type has no method for.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The configuration in effect.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Finds nodes.
    ///
    /// # Errors
    /// As [`Client::discover`].
    pub async fn discover(&self, discovery: &Discovery) -> Result<Found, Error> {
        Ok(self.client.discover(discovery).await?)
    }

    /// Sends a request and hands out the replies as they arrive. `inputs` is anything that becomes a JSON object; it
    /// is checked against the description of the action, whose defaults are added, before anything is sent.
    ///
    /// # Errors
    /// When agent, action or inputs do not exist or do not fit, or as [`Client::request`].
    pub async fn request(
        &self,
        agent: &str,
        action: &str,
        inputs: impl Serialize,
        options: impl Into<RequestOptions>,
    ) -> Result<ReplyStream, Error> {
        let agent = self.agent(agent).await?;
        let mut inputs = object(inputs)?;
        if let Some(action) = agent.action(action) {
            action.complete_inputs(&mut inputs).map_err(Error::Inputs)?;
        }
        // An action that does not exist is the client's error.
        Ok(self.client.request(&agent, action, inputs, options.into()).await?)
    }

    /// The description of an agent: a built-in one, or a file below the configured `libdir`.
    ///
    /// # Errors
    /// When there is none that can be used.
    pub async fn agent(&self, name: &str) -> Result<Arc<Agent>, Error> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        let (wanted, libdirs) = (name.to_owned(), self.config.libdir.clone());
        let found = smol::unblock(move || ddl_files::resolve(&wanted, &libdirs)).await;
        let agent = found.map_err(Error::Agent)?;
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.insert(name.to_owned(), Arc::clone(&agent));
        Ok(agent)
    }

    fn known(&self, name: &str) -> Option<Arc<Agent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Sends what is pending and closes the connection.
    pub async fn close(self) {
        self.client.close().await;
    }
}

fn object(inputs: impl Serialize) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(inputs) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(Error::InputsShape),
    }
}

/// The thread that runs the tasks of the connection; ends when dropped.
struct Worker {
    executor: Arc<smol::Executor<'static>>,
    over: Shutdown,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn start() -> io::Result<Self> {
        let executor = Arc::new(smol::Executor::new());
        let over = Shutdown::new();
        let (runner, until) = (Arc::clone(&executor), over.clone());
        let thread = thread::Builder::new()
            .name("choria-client".to_owned())
            .spawn(move || smol::block_on(runner.run(until.wait())))?;
        Ok(Self { executor, over, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.over.trigger();
        if let Some(thread) = self.thread.take() {
            // A panic of a task has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inputs_are_objects() {
        assert_eq!(object(()).ok(), Some(Map::new()));
        assert_eq!(object(json!({"a": 1})).unwrap()["a"], 1);
        assert!(matches!(object("text"), Err(Error::InputsShape)));
    }

    #[test]
    fn the_worker_runs_tasks_and_ends() {
        let worker = Worker::start().unwrap();
        let task = worker.executor.spawn(async { 7 });
        assert_eq!(smol::block_on(task), 7);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let missing =
            smol::block_on(Choria::from_config(Some(Path::new("/nonexistent/client.conf"))));
        let text = missing.err().map(|err| err.to_string()).unwrap_or_default();
        assert!(text.contains("/nonexistent/client.conf"), "{text}");
    }
}
