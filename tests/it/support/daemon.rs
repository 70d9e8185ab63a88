//! `choria broker` and `choria server` as processes.

use std::path::PathBuf;
use std::process::Command;

use super::{Folder, Pki, Process};

/// The binary under test: the one that cargo built with the tests, or another one that CHORIA_TEST_BINARY names.
pub fn program() -> PathBuf {
    let other = std::env::var_os("CHORIA_TEST_BINARY").filter(|path| !path.is_empty());
    other.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_choria")), PathBuf::from)
}

/// A call of the binary under test.
pub fn choria() -> Command {
    let mut command = Command::new(program());
    for name in ["CHORIA_SRV_DOMAIN", "CHORIA_FED_COLLECTIVE", "MCOLLECTIVE_CERTNAME", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
}

/// A running broker with TLS.
pub struct Broker {
    pub process: Process,
    pub port: u16,
}

impl Broker {
    pub fn start(folder: &Folder) -> Broker {
        Broker::start_with(folder, "")
    }

    /// Starts a broker with further configuration lines; later lines win.
    pub fn start_with(folder: &Folder, extra: &str) -> Broker {
        let config = folder.write(
            "broker.conf",
            &format!(
                "identity = localhost\nloglevel = debug\nplugin.choria.use_srv = false\n\
                 plugin.choria.broker_network = true\nplugin.choria.network.listen_address = 127.0.0.1\n\
                 plugin.choria.network.client_port = 0\n{}{extra}",
                Pki::shared().security_lines(&Pki::shared().leaf("localhost"))
            ),
        );
        let mut command = choria();
        command.args(["broker", "run", "--config"]).arg(config);
        Broker::spawn(folder, command)
    }

    /// Starts a laboratory broker without TLS.
    pub fn start_plain(folder: &Folder) -> Broker {
        Broker::start_plain_with(folder, "")
    }

    /// Starts a laboratory broker with further configuration lines; later lines win.
    pub fn start_plain_with(folder: &Folder, extra: &str) -> Broker {
        let config = folder.write(
            "plain-broker.conf",
            &format!(
                "identity = localhost\nplugin.choria.broker_network = true\n\
                 plugin.choria.network.listen_address = 127.0.0.1\n\
                 plugin.choria.network.client_port = 0\n{extra}"
            ),
        );
        let mut command = choria();
        command.args(["broker", "--disable-tls", "--config"]).arg(config);
        Broker::spawn(folder, command)
    }

    fn spawn(folder: &Folder, command: Command) -> Broker {
        let mut process = Process::start(command, folder.file("broker.log"));
        let address = process.wait_for_line("listening for clients on ");
        let port = address
            .split(|c: char| c.is_whitespace() || c == '"')
            .next()
            .and_then(|address| address.rsplit(':').next())
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("no port in `{address}`"));
        Broker { process, port }
    }

    /// Kills the broker and starts it again with the same configuration, on the same port.
    pub fn restart(self, folder: &Folder) -> Broker {
        let port = self.port;
        drop(self);
        let _ = std::fs::remove_file(folder.file("broker.log"));
        Broker::start_with(folder, &format!("plugin.choria.network.client_port = {port}\n"))
    }
}

/// What differs between the servers of a test.
#[derive(Default)]
pub struct ServerOptions<'a> {
    /// Facts as YAML.
    pub facts: &'a str,
    /// One class a line.
    pub classes: &'a str,
    /// Further configuration lines; later lines win.
    pub extra: &'a str,
}

/// A running server.
pub struct Server {
    pub process: Process,
}

impl Server {
    /// Starts a server that answers without authorization and waits until it does.
    pub fn start(folder: &Folder, identity: &str, port: u16, options: &ServerOptions) -> Server {
        let mut server = Server::spawn(folder, identity, port, options);
        server.process.wait_for_line("server: started");
        server
    }

    /// Starts a server and does not wait.
    pub fn spawn(folder: &Folder, identity: &str, port: u16, options: &ServerOptions) -> Server {
        let facts = folder.write(&format!("{identity}.facts.yaml"), options.facts);
        let classes = folder.write(&format!("{identity}.classes"), options.classes);
        let config = folder.write(
            &format!("{identity}.conf"),
            &format!(
                "identity = {identity}\nloglevel = debug\nplugin.choria.use_srv = false\n\
                 plugin.choria.middleware_hosts = localhost:{port}\nrpcauthorization = false\n\
                 plugin.yaml = {}\nclassesfile = {}\nplugin.choria.status_file_path = {}\n{}{}",
                facts.display(),
                classes.display(),
                folder.file(&format!("{identity}.status.json")).display(),
                Pki::shared().security_lines(&Pki::shared().leaf(identity)),
                options.extra
            ),
        );
        let mut command = choria();
        command.args(["server", "run", "--config"]).arg(config);
        Server { process: Process::start(command, folder.file(&format!("{identity}.log"))) }
    }
}
