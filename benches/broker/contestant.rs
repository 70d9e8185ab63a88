//! The brokers under test: black boxes with a command line, an address and a process id.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::connection::{self, Target};
use crate::failure::{Doing, Failure};
use crate::pki::Certificates;
use crate::wire::Wire;

const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a broker that starts is asked whether it is there.
const START_STEP: Duration = Duration::from_micros(250);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Linux reports CPU time to programs in this unit whatever the kernel's own tick is (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// Ids of the brokers that run now, for the signal handler.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// How a program wants its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Choria,
    NatsServer,
}

/// A program that can be started as a broker.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// Name and version, as the program itself gives them.
    pub label: String,
    /// Where the program is.
    pub program: PathBuf,
    kind: Kind,
}

impl Contestant {
    /// Asks the program who it is.
    pub fn identify(program: &Path) -> Result<Contestant, Failure> {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| {
            Failure::Usage(format!("cannot run {}: {error}", program.display()))
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version =
            text.split_whitespace().next_back().unwrap_or_default().trim_start_matches('v');
        if !output.status.success() || version.is_empty() {
            return Err(Failure::Usage(format!(
                "{} --version gives no version",
                program.display()
            )));
        }
        let is_nats = text.starts_with("nats-server");
        let (kind, name) =
            if is_nats { (Kind::NatsServer, "nats-server") } else { (Kind::Choria, "choria") };
        Ok(Contestant { label: format!("{name} {version}"), program: program.to_owned(), kind })
    }

    /// Starts the broker on a free port of the loopback interface and waits until it answers.
    /// Its output and its configuration go to `directory`.
    pub fn start(&self, setup: &Setup, directory: &Path) -> Result<Running, Failure> {
        let port = free_port()?;
        let statistics = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let log = directory.join(format!("broker-{port}.log"));
        let output = File::create(&log).doing("create a log file")?;
        let errors = output.try_clone().doing("create a log file")?;
        let config = directory.join(format!("broker-{port}.conf"));
        let mut command = Command::new(&self.program);
        let text = match self.kind {
            Kind::NatsServer => {
                command.arg("-c").arg(&config);
                setup.nats_config(port, statistics.port())
            }
            Kind::Choria => {
                command.args(["broker", "--config"]).arg(&config);
                if setup.certificates().is_none() {
                    command.arg("--disable-tls");
                }
                setup.choria_config(port, statistics.port())
            }
        };
        fs::write(&config, text).doing("write a configuration file")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let start = Instant::now();
        let child = command.spawn().doing("start a broker")?;
        let target = Target {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            connect: connection::connect_line(setup.login()),
            tls: setup.certificates().map(|certificates| certificates.clients.clone()),
        };
        let mut running = Running { child, target, statistics, log, ready_after: Duration::ZERO };
        lock_running().push(running.child.id());
        running.wait_ready(start)?;
        Ok(running)
    }
}

/// How a broker is configured.
#[derive(Debug, Clone)]
pub enum Setup {
    /// As it is without any configuration; no TLS.
    Plain,
    /// Mutual TLS.
    Tls(Certificates),
    /// As the other, with statistics over HTTP.
    Observed(Box<Setup>),
    /// No TLS; statistics over HTTP, accounts, and users whose permissions are those of a Choria server.
    Secured {
        /// The users in the form of Choria.
        users: PathBuf,
    },
    /// No TLS; one broker of a cluster.
    Member {
        /// Where other brokers of the cluster connect.
        port: u16,
        /// The same of all of them.
        cluster: Vec<u16>,
    },
}

impl Setup {
    fn certificates(&self) -> Option<&Certificates> {
        match self {
            Setup::Tls(certificates) => Some(certificates),
            Setup::Observed(other) => other.certificates(),
            Setup::Plain | Setup::Secured { .. } | Setup::Member { .. } => None,
        }
    }

    /// Fields of CONNECT that tell who connects.
    fn login(&self) -> &'static str {
        match self {
            Setup::Observed(other) => other.login(),
            Setup::Secured { .. } => "\"user\":\"bench\",\"pass\":\"bench\",",
            _ => "",
        }
    }

    /// Writes the users file that the broker of Choria takes.
    pub fn secured(directory: &Path) -> Result<Setup, Failure> {
        let users = directory.join("users.json");
        let text = json!({
            "users": [{
                "user": "bench",
                "password": "bench",
                "account": "choria",
                "certificate": "optional",
                "permissions": permissions(),
            }],
        });
        fs::write(&users, text.to_string()).doing("write a users file")?;
        fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).doing("protect a file")?;
        Ok(Setup::Secured { users })
    }

    fn nats_config(&self, port: u16, statistics: u16) -> String {
        let listen = format!("listen: \"127.0.0.1:{port}\"\n");
        let http = format!("http: \"127.0.0.1:{statistics}\"\n");
        match self {
            Setup::Plain => listen,
            Setup::Observed(other) => format!("{http}{}", other.nats_config(port, statistics)),
            Setup::Tls(files) => format!(
                "{listen}tls {{\n cert_file: {:?}\n key_file: {:?}\n ca_file: {:?}\n verify: true\n}}\n",
                files.certificate, files.key, files.ca
            ),
            Setup::Secured { .. } => format!(
                "{listen}{http}system_account: system\naccounts {{\n\
                 choria {{ users: [{{ user: bench, password: bench, permissions: {} }}] }}\n\
                 system {{ users: [{{ user: system, password: system }}] }}\n}}\n",
                permissions()
            ),
            Setup::Member { port, cluster } => {
                let routes =
                    cluster.iter().map(|port| format!("\"nats-route://127.0.0.1:{port}\""));
                format!(
                    "{listen}cluster {{\n name: CHORIA\n listen: \"127.0.0.1:{port}\"\n routes: [{}]\n}}\n",
                    routes.collect::<Vec<_>>().join(", ")
                )
            }
        }
    }

    fn choria_config(&self, port: u16, statistics: u16) -> String {
        let http = format!("plugin.choria.stats_port = {statistics}\n");
        let general = format!(
            "identity = localhost\nloglevel = warn\nplugin.choria.use_srv = false\n\
             plugin.choria.broker_network = true\nplugin.choria.network.listen_address = 127.0.0.1\n\
             plugin.choria.network.client_port = {port}\n"
        );
        match self {
            Setup::Plain => general,
            Setup::Observed(other) => format!("{http}{}", other.choria_config(port, statistics)),
            Setup::Tls(files) => format!(
                "{general}plugin.security.provider = file\nplugin.security.file.certificate = {}\n\
                 plugin.security.file.key = {}\nplugin.security.file.ca = {}\n",
                files.certificate.display(),
                files.key.display(),
                files.ca.display()
            ),
            Setup::Secured { users } => {
                format!("{general}{http}plugin.choria.network.users = {}\n", users.display())
            }
            Setup::Member { port, cluster } => {
                let peers = cluster.iter().map(|port| format!("nats://127.0.0.1:{port}"));
                format!(
                    "{general}plugin.choria.network.peer_port = {port}\n\
                     plugin.choria.network.peers = {}\n",
                    peers.collect::<Vec<_>>().join(", ")
                )
            }
        }
    }
}

/// What a server may do that is known by its certificate only; JSON, which nats-server reads as well.
fn permissions() -> Value {
    json!({
        "publish": {
            "allow": [">"],
            "deny": [
                "*.broadcast.agent.>", "*.broadcast.service.>", "*.node.>",
                "choria.federation.*.federation",
            ],
        },
        "subscribe": {
            "allow": [">"],
            "deny": ["*.reply.>", "choria.federation.>", "choria.lifecycle.>"],
        },
    })
}

/// A port of the loopback interface that nobody listens on now.
pub fn free_port() -> Result<u16, Failure> {
    let listener =
        choria::sys::listen((Ipv4Addr::LOCALHOST, 0).into(), 1).doing("find a free port")?;
    Ok(listener.local_addr().doing("find a free port")?.port())
}

/// What a broker used since it started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Resident memory now, in KiB.
    pub resident_kib: u64,
    /// The part of it that is no file's, in KiB: code comes and goes whatever the connections do.
    pub own_kib: u64,
}

/// A started broker; dropping it ends the process.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// How to connect to it.
    pub target: Target,
    /// Where its statistics are, if its setup has them.
    pub statistics: SocketAddr,
    /// From its start to its first INFO.
    pub ready_after: Duration,
    log: PathBuf,
}

impl Running {
    fn wait_ready(&mut self, start: Instant) -> Result<(), Failure> {
        loop {
            if let Some(status) = self.child.try_wait().doing("watch a broker")? {
                return Err(self.ended(status));
            }
            match Wire::open(self.target.address, None)
                .and_then(|mut wire| connection::wait_info(&mut wire))
            {
                Ok(()) => break,
                Err(error) if start.elapsed() > START_TIMEOUT => return Err(error),
                Err(_) => thread::sleep(START_STEP),
            }
        }
        self.ready_after = start.elapsed();
        Ok(())
    }

    fn ended(&self, status: ExitStatus) -> Failure {
        Failure::Broker(format!("ended at its start with {status}: {}", self.last_words()))
    }

    /// The last line of its log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("it said nothing").to_owned()
    }

    /// CPU time and memory of the process.
    pub fn usage(&self) -> Result<Usage, Failure> {
        let directory = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat =
            fs::read_to_string(directory.join("stat")).doing("read the CPU time of a broker")?;
        let status =
            fs::read_to_string(directory.join("status")).doing("read the memory of a broker")?;
        let figures = (cpu_ticks(&stat), kib(&status, "VmRSS:"), kib(&status, "RssAnon:"));
        let (Some(ticks), Some(resident_kib), Some(own_kib)) = figures else {
            return Err(Failure::Broker(format!("it has ended: {}", self.last_words())));
        };
        let cpu = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
        Ok(Usage { cpu, resident_kib, own_kib })
    }
}

/// User and system time in `/proc/PID/stat`: fields 14 and 15, counted behind the command name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// A figure of memory in `/proc/PID/status`; a process that has ended has none.
fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Drop for Running {
    fn drop(&mut self) {
        lock_running().retain(|id| *id != self.child.id());
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Ends every broker at once: what an interrupt does before the program goes.
pub fn kill_all() {
    for id in lock_running().drain(..) {
        if let Some(pid) = Pid::from_raw(id as i32) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn lock_running() -> std::sync::MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
