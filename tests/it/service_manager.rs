//! What daemons tell the service manager that started them, over the socket that NOTIFY_SOCKET names (`sd_notify(3)`).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::support::{Broker, Client, DEADLINE, Folder, Pki, Process, choria, wait_for};

/// A service manager that listens on a name of the abstract namespace.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn new() -> Manager {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("choria-test-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a free name");
        socket.set_read_timeout(Some(DEADLINE)).expect("a limit of time");
        Manager { socket, name }
    }

    /// Starts a daemon with further variables in its environment.
    fn start(&self, folder: &Folder, role: &str, lines: &str, env: &[(&str, &str)]) -> Process {
        let config = folder.write(&format!("{role}.conf"), lines);
        let mut command: Command = choria();
        command.arg(role).arg("--config").arg(config);
        command.env("NOTIFY_SOCKET", format!("@{}", self.name)).envs(env.iter().copied());
        Process::start(command, folder.file(&format!("{role}.log")))
    }

    /// The next datagram.
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a datagram in time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// What comes up to the first datagram that begins with `wanted`, and that one.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|text: &String| text.starts_with(wanted)) {
            seen.push(self.next());
            assert!(seen.len() < 1000, "no {wanted} in {seen:?}");
        }
        seen
    }

    /// Has a daemon reload: it says so, by the clock of the system, and says when it is ready again.
    fn check_reload(&self, process: &Process) {
        let before = monotonic_micros();
        process.signal("HUP");
        let text = self.until("RELOADING=1").pop().expect("one");
        let at: u128 = text
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|micros| micros.parse().ok())
            .unwrap_or_else(|| panic!("{text}"));
        assert!((before..=monotonic_micros()).contains(&at), "{before} {at}");
        self.until("READY=1");
    }

    /// Ends a daemon: it says so first.
    fn check_end(&self, mut process: Process) {
        process.signal("TERM");
        self.until("STOPPING=1");
        assert_eq!(process.wait(), 0, "{}", process.output());
    }
}

/// CLOCK_MONOTONIC, which the manager compares with.
fn monotonic_micros() -> u128 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u128::try_from(time.tv_sec).expect("positive") * 1_000_000
        + u128::try_from(time.tv_nsec).expect("positive") / 1_000
}

fn secured(identity: &str, lines: &str) -> String {
    let pki = Pki::shared();
    format!(
        "identity = {identity}\nloglevel = debug\nplugin.choria.use_srv = false\n{}{lines}",
        pki.security_lines(&pki.leaf(identity))
    )
}

fn broker_lines(port: u16) -> String {
    let lines =
        "plugin.choria.broker_network = true\nplugin.choria.network.listen_address = 127.0.0.1\n";
    secured("localhost", &format!("{lines}plugin.choria.network.client_port = {port}\n"))
}

fn server_lines(folder: &Folder, port: u16) -> String {
    let status = folder.file("status.json");
    let lines = format!(
        "rpcauthorization = false\nplugin.choria.middleware_hosts = localhost:{port}\n\
         plugin.choria.status_file_path = {}\n",
        status.display()
    );
    secured("n1.example.net", &lines)
}

#[test]
fn a_broker_is_ready_when_it_listens_and_tells_who_is_connected() {
    let (folder, manager) = (Folder::new("manager_broker"), Manager::new());
    let mut broker = manager.start(&folder, "broker", &broker_lines(0), &[]);
    manager.until("READY=1");
    let line = broker.wait_for_line("listening for clients on ");
    let port = line.rsplit(':').next().expect("a port").trim_matches('"').to_owned();
    let status = manager.until("STATUS=").pop().expect("one");
    assert_eq!(status, format!("STATUS=serving, 0 connections on 127.0.0.1:{port}"));

    let port = port.parse().expect("a number");
    let config = folder.write("n1.conf", &server_lines(&folder, port));
    let mut command = choria();
    command.args(["server", "--config"]).arg(config);
    let server = Process::start(command, folder.file("n1.log"));
    let status = manager.until("STATUS=").pop().expect("one");
    assert!(status.starts_with("STATUS=serving, 1 connections"), "{status}");
    drop(server);
    manager.check_reload(&broker);
    manager.check_end(broker);
}

#[test]
fn a_server_is_ready_without_its_broker_and_tells_when_it_finds_one() {
    let folder = Folder::new("manager_server");
    let manager = Manager::new();
    let first = Broker::start(&folder);
    let port = first.port;
    drop(first);
    let server = manager.start(&folder, "server", &server_lines(&folder, port), &[]);
    let lost = "STATUS=not connected, looking for a broker";
    let mut seen = [manager.next(), manager.next()];
    seen.sort();
    assert_eq!(seen, ["READY=1", lost]);

    let _ = std::fs::remove_file(folder.file("broker.log"));
    let port_line = format!("plugin.choria.network.client_port = {port}\n");
    let broker = Broker::start_with(&folder, &port_line);
    let found = format!("STATUS=connected to nats://localhost:{port}");
    assert_eq!(manager.until("STATUS=connected").pop(), Some(found));
    let client = Client::alice(&folder, port);
    assert_eq!(client.run(&["rpc", "rpcutil", "ping", "-I", "n1.example.net"]).code, 0);
    manager.check_reload(&server);
    drop(broker);
    assert_eq!(manager.until("STATUS=not").pop().as_deref(), Some(lost));
    manager.check_end(server);
}

#[test]
fn roles_without_a_router_tell_what_they_lack() {
    let lines = "plugin.choria.federation.cluster = one\n\
                 plugin.choria.federation_middleware_hosts = localhost:1\n\
                 plugin.choria.middleware_hosts = localhost:1\n\
                 plugin.choria.adapters = one\nplugin.choria.adapter.one.type = file\n\
                 plugin.choria.adapter.one.ingest.topic = choria.node.>\n\
                 plugin.choria.adapter.one.ingest.protocol = request\n";
    let (folder, manager) = (Folder::new("manager_roles"), Manager::new());
    let federation = manager.start(&folder, "federate", &secured("f1.example.net", lines), &[]);
    let status = "STATUS=the federation broker has no connection to its federation side";
    assert_eq!(manager.until("STATUS=").pop().as_deref(), Some(status));
    manager.check_reload(&federation);
    manager.check_end(federation);

    let lines =
        format!("{lines}plugin.choria.adapter.one.file.dir = {}\n", folder.file("out").display());
    let adapter = manager.start(&folder, "adapt", &secured("a1.example.net", &lines), &[]);
    manager.until("READY=1");
    manager.check_reload(&adapter);
    manager.check_end(adapter);
}

#[test]
fn signs_of_life_come_twice_as_often_as_needed_and_only_when_wanted() {
    let folder = Folder::new("manager_watchdog");
    for (role, lines) in [("broker", broker_lines(0)), ("server", server_lines(&folder, 1))] {
        let manager = Manager::new();
        let process = manager.start(&folder, role, &lines, &[("WATCHDOG_USEC", "1000000")]);
        manager.until("WATCHDOG=1");
        let mut last = Instant::now();
        for _ in 0..4 {
            manager.until("WATCHDOG=1");
            assert!(last.elapsed() < Duration::from_secs(1), "{role}: {:?}", last.elapsed());
            last = Instant::now();
        }
        // A process that does not run gives none.
        process.signal("STOP");
        let limit = |limit| manager.socket.set_read_timeout(Some(limit)).expect("a limit of time");
        limit(Duration::from_secs(2));
        while manager.socket.recv(&mut [0; 4096]).is_ok() {}
        limit(DEADLINE);
        process.signal("CONT");
        manager.until("WATCHDOG=1");
        drop(process);

        // Another process is meant.
        let manager = Manager::new();
        let env = [("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", "1")];
        let process = manager.start(&folder, role, &lines, &env);
        manager.until("READY=1");
        std::thread::sleep(Duration::from_secs(1));
        process.signal("TERM");
        let seen = manager.until("STOPPING=1");
        assert!(!seen.iter().any(|text| text.contains("WATCHDOG")), "{role}: {seen:?}");
    }
}

#[test]
fn a_manager_that_is_gone_harms_nobody() {
    let (folder, manager) = (Folder::new("manager_gone"), Manager::new());
    let mut broker = manager.start(&folder, "broker", &broker_lines(0), &[]);
    manager.until("READY=1");
    drop(manager);
    broker.signal("HUP");
    broker.wait_for_line("the service manager was not told");
    wait_for("the reload", || broker.output().contains("reloading").then_some(()));
    broker.signal("TERM");
    assert_eq!(broker.wait(), 0, "{}", broker.output());

    let config = folder.write("other.conf", &broker_lines(0));
    let mut command = choria();
    command.args(["broker", "--config"]).arg::<PathBuf>(config);
    command.env("NOTIFY_SOCKET", "/no/such/socket");
    let mut broker = Process::start(command, folder.file("other.log"));
    broker.wait_for_line("listening for clients on ");
    assert!(broker.output().contains("cannot reach the service manager"), "{}", broker.output());
}
