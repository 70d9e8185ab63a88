//! Stock `nats-server` programs, as peers.

use std::net::TcpListener;
use std::process::Command;

use super::{Folder, Pki, Process, peers};

/// A running nats-server with mutual TLS from the test certificates.
pub struct NatsServer {
    _process: Process,
    pub port: u16,
}

impl NatsServer {
    /// Debian's program where the machine has it, else the current one.
    pub const SYSTEM: &str = "nats-server";
    /// The current release.
    pub const CURRENT: &str = "venv/bin/nats-server";

    /// Starts one of the programs that `scripts/test-peers` installs.
    pub fn start(folder: &Folder, program: &str) -> NatsServer {
        let leaf = Pki::shared().leaf("localhost");
        let port = free_port();
        let config = folder.write(
            "nats.conf",
            &format!(
                "listen: 127.0.0.1:{port}\ntls {{\n cert_file: \"{}\"\n key_file: \"{}\"\n ca_file: \"{}\"\n verify: true\n}}\n",
                leaf.certificate.display(),
                leaf.key.display(),
                Pki::shared().ca.display()
            ),
        );
        let mut command = Command::new(peers().join(program));
        command.arg("-c").arg(config);
        let mut process = Process::start(command, folder.file("nats-server.log"));
        process.wait_for_line("Server is ready");
        NatsServer { _process: process, port }
    }
}

/// A port nobody listens on now. Another process may take it first: only for peers that cannot choose their own.
pub fn free_port() -> u16 {
    #[allow(clippy::disallowed_methods)] // its backlog does not matter: it accepts nothing
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
