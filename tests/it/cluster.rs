//! Clusters of real brokers: two of ours, and a stock nats-server as the third.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::{
    Broker, Client, DEADLINE, Folder, NatsServer, Pki, Process, Server, ServerOptions, choria,
    free_port, peers, program, run, wait_for,
};

/// A client that speaks the protocol by hand.
struct Peer {
    socket: TcpStream,
    kept: String,
}

impl Peer {
    fn connect(port: u16) -> Peer {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        socket.set_read_timeout(Some(DEADLINE)).expect("timeout");
        let mut peer = Peer { socket, kept: String::new() };
        assert!(peer.line().starts_with("INFO "));
        peer.send(
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\
             \"user\":\"c\",\"pass\":\"c\"}\r\n",
        );
        peer.sync();
        peer
    }

    fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).expect("send");
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let count = self.socket.read(&mut buffer).unwrap_or(0);
        self.kept.push_str(std::str::from_utf8(&buffer[..count]).expect("text"));
        count > 0
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.kept.find("\r\n") {
                let line = self.kept[..end].to_owned();
                self.kept.drain(..end + 2);
                return line;
            }
            assert!(self.fill(), "closed or silent: {:?}", self.kept);
        }
    }

    /// The next line that is neither housekeeping nor a probe of somebody who waits.
    fn next(&mut self) -> String {
        loop {
            let line = self.line();
            if line == "PING" {
                self.send("PONG\r\n");
            } else if line.ends_with(" probe.1 0") {
                assert_eq!(self.line(), "");
            } else if !line.starts_with("INFO ") {
                return line;
            }
        }
    }

    /// Waits for the answer to a PING; the lines before it.
    fn sync(&mut self) -> Vec<String> {
        self.send("PING\r\n");
        let mut lines = Vec::new();
        loop {
            match self.next().as_str() {
                "PONG" => return lines,
                line => lines.push(line.to_owned()),
            }
        }
    }

    fn expect(&mut self, text: &str) {
        for wanted in text.split_terminator("\r\n") {
            assert_eq!(self.next(), wanted);
        }
    }

    /// Whether somebody anywhere hears a request on this subject.
    fn is_heard(&mut self, subject: &str) -> bool {
        self.send(&format!("SUB probe.* probe\r\nPUB {subject} probe.1 0\r\n\r\nUNSUB probe\r\n"));
        !self.sync().iter().any(|line| line.starts_with("HMSG probe.1"))
    }

    /// Waits until a subject is wanted somewhere, or is no longer.
    fn wait_until(&mut self, subject: &str, heard: bool) {
        wait_for(&format!("{subject} heard: {heard}"), || {
            (self.is_heard(subject) == heard).then_some(())
        });
    }
}

/// A broker without TLS, so that raw clients can talk to it.
struct Member {
    process: Process,
    port: u16,
    routes: u16,
}

impl Member {
    fn start(folder: &Folder, name: &str, port: u16, routes: u16, seeds: &[u16]) -> Member {
        let peers: Vec<String> = seeds.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let config = folder.write(
            &format!("{name}.conf"),
            &format!(
                "identity = {name}\nloglevel = debug\nplugin.choria.use_srv = false\n\
                 plugin.choria.broker_network = true\nplugin.choria.network.listen_address = 127.0.0.1\n\
                 plugin.choria.network.client_port = {port}\nplugin.choria.network.peer_port = {routes}\n\
                 plugin.choria.network.peers = {}\n",
                peers.join(", ")
            ),
        );
        let mut command = choria();
        command.args(["broker", "--disable-tls", "--config"]).arg(config);
        let log = folder.file(&format!("{name}.log"));
        let _ = std::fs::remove_file(&log);
        let mut process = Process::start(command, log);
        process.wait_for_line("listening for clients on ");
        Member { process, port, routes }
    }
}

/// Debian's nats-server, or the current one, with the accounts of Choria.
fn nats_server(folder: &Folder, program: &str, port: u16, routes: u16, seed: u16) -> Process {
    let config = folder.write(
        "nats.conf",
        &format!(
            "listen: 127.0.0.1:{port}\nserver_name: stock\n\
             accounts {{ choria {{ users: [{{user: c, password: c}}] }}, system {{}}, provisioning {{}} }}\n\
             system_account: system\n\
             cluster {{ name: CHORIA, listen: 127.0.0.1:{routes}, routes: [nats://127.0.0.1:{seed}] }}\n"
        ),
    );
    let mut command = Command::new(peers().join(program));
    command.arg("-c").arg(config);
    let mut process = Process::start(command, folder.file("nats-server.log"));
    process.wait_for_line("Server is ready");
    process
}

#[test]
fn with_the_nats_server_of_the_system() {
    works_with("cluster_system", NatsServer::SYSTEM);
}

#[test]
fn with_the_current_nats_server() {
    works_with("cluster_current", NatsServer::CURRENT);
}

fn works_with(name: &str, program: &str) {
    let folder = Folder::new(name);
    let [p1, p2, p3, r1, r2, r3] = [(); 6].map(|()| free_port());
    let one = Member::start(&folder, "one", p1, r1, &[r1]);
    // The others know the first only: the rest is told.
    let two = Member::start(&folder, "two", p2, r2, &[r1]);
    let stock = nats_server(&folder, program, p3, r3, r1);
    let ports = [p1, p2, p3];
    let mut peers = ports.map(Peer::connect);
    mesh(&mut peers);
    everybody_hears_everybody(&mut peers);
    groups_are_balanced(&mut peers);
    requests_cross(&mut peers);
    // A late client gets what was wanted before, from any node.
    let mut late = ports.map(Peer::connect);
    late.iter_mut().for_each(|peer| assert!(peer.is_heard("news.x")));
    drop((late, peers));
    loses_and_regains(&folder, [one, two], stock, ports, r1);
}

/// Waits until there is a route from each to each.
fn mesh(peers: &mut [Peer; 3]) {
    for (at, peer) in peers.iter_mut().enumerate() {
        peer.send(&format!("SUB mesh.{at} m\r\n"));
        peer.sync();
    }
    for peer in peers.iter_mut() {
        (0..3).for_each(|at| peer.wait_until(&format!("mesh.{at}"), true));
    }
    peers.iter_mut().for_each(|peer| {
        peer.send("UNSUB m\r\n");
        peer.sync();
    });
}

fn everybody_hears_everybody(peers: &mut [Peer; 3]) {
    for peer in peers.iter_mut() {
        peer.send("SUB news.* n\r\n");
        peer.sync();
    }
    // Interest travels behind nothing: who publishes may be quicker than it.
    for at in 0..3 {
        let [a, b] = [(at + 1) % 3, (at + 2) % 3];
        for other in [a, b] {
            let subject = format!("ready.{at}.{other}");
            peers[other].send(&format!("SUB {subject} r\r\n"));
            peers[other].sync();
            peers[at].wait_until(&subject, true);
            peers[other].send("UNSUB r\r\n");
            peers[other].sync();
        }
    }
    for at in 0..3 {
        peers[at].send(&format!(
            "PUB news.plain 2\r\nx{at}\r\nPUB news.reply back 2\r\ny{at}\r\n\
             HPUB news.headers 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nz{at}\r\n"
        ));
        for peer in peers.iter_mut() {
            peer.expect(&format!(
                "MSG news.plain n 2\r\nx{at}\r\nMSG news.reply n back 2\r\ny{at}\r\n\
                 HMSG news.headers n 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nz{at}\r\n"
            ));
        }
    }
}

fn groups_are_balanced(peers: &mut [Peer; 3]) {
    const COUNT: usize = 300;
    for (at, peer) in peers.iter_mut().enumerate() {
        // As many members as the number of the node, and one.
        (0..=at)
            .for_each(|sid| peer.send(&format!("SUB work group w{sid}\r\nSUB done.{at} d\r\n")));
        peer.sync();
    }
    for at in 0..3 {
        (0..3).for_each(|other| peers[at].wait_until(&format!("done.{other}"), true));
        peers[at].send(&"PUB work 1\r\nw\r\n".repeat(COUNT));
        (0..3).for_each(|other| peers[at].send(&format!("PUB done.{other} 1\r\nd\r\n")));
        let mut got = [0; 3];
        for (node, peer) in peers.iter_mut().enumerate() {
            loop {
                let line = peer.next();
                got[node] += usize::from(line.starts_with("MSG work "));
                if line.starts_with("MSG done.") {
                    break;
                }
            }
            peer.sync();
        }
        assert_eq!(got.iter().sum::<usize>(), COUNT, "from {at}: {got:?}");
        for (node, got) in got.iter().enumerate() {
            let fair = COUNT * (node + 1) / 6;
            assert!((fair / 2..fair * 3 / 2).contains(got), "from {at}: {got} of {fair}");
        }
    }
}

fn requests_cross(peers: &mut [Peer; 3]) {
    for service in 0..3 {
        peers[service].send(&format!("SUB ask.{service} service s\r\n"));
        peers[service].sync();
        for client in 0..3 {
            let subject = format!("ask.{service}");
            peers[client].send(&format!("SUB inbox.{client}.* i\r\n"));
            wait_for("the service", || {
                peers[client].send(&format!("PUB {subject} inbox.{client}.1 1\r\n?\r\n"));
                let lines = peers[client].sync();
                let is_refused = lines.iter().any(|line| line.starts_with("HMSG inbox"));
                (!is_refused).then_some(())
            });
            if client != service {
                peers[service].expect(&format!("MSG {subject} s inbox.{client}.1 1\r\n?\r\n"));
            }
            peers[service].send(&format!("PUB inbox.{client}.1 6\r\nanswer\r\n"));
            peers[client].expect(&format!("MSG inbox.{client}.1 i 6\r\nanswer\r\n"));
            peers[client].send("UNSUB i\r\n");
            peers[client].sync();
        }
    }
    peers.iter_mut().for_each(|peer| assert!(!peer.is_heard("nobody.is.here")));
}

/// Kills nodes without warning; the others forget what was wanted there, and take them back.
fn loses_and_regains(
    folder: &Folder,
    [one, two]: [Member; 2],
    stock: Process,
    ports: [u16; 3],
    seed: u16,
) {
    let mut here = Peer::connect(one.port);
    let mut there = Peer::connect(ports[1]);
    let mut foreign = Peer::connect(ports[2]);
    there.send("SUB lost.two 1\r\n");
    foreign.send("SUB lost.stock 1\r\n");
    there.sync();
    foreign.sync();
    here.wait_until("lost.two", true);
    here.wait_until("lost.stock", true);
    let (port, routes) = (two.port, two.routes);
    drop(two.process);
    here.wait_until("lost.two", false);
    foreign.wait_until("lost.two", false);
    assert!(here.is_heard("lost.stock"));
    let _two = Member::start(folder, "two", port, routes, &[seed]);
    let mut there = Peer::connect(port);
    there.send("SUB again.* 1\r\n");
    there.sync();
    for (peer, name) in [(&mut here, "here"), (&mut foreign, "foreign")] {
        let subject = format!("again.{name}");
        peer.wait_until(&subject, true);
        peer.send(&format!("PUB {subject} 2\r\nhi\r\n"));
    }
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let line = there.next();
        seen[0] |= line == "MSG again.here 1 2";
        seen[1] |= line == "MSG again.foreign 1 2";
    }
    stock.signal("KILL");
    here.wait_until("lost.stock", false);
    there.wait_until("lost.stock", false);
}

#[test]
fn a_fleet_behind_two_brokers_with_encrypted_routes() {
    let folder = Folder::new("cluster_tls");
    let [r1, r2] = [(); 2].map(|()| free_port());
    let lines = |own: u16| {
        format!(
            "plugin.choria.network.peer_port = {own}\n\
             plugin.choria.network.peers = localhost:{r1}, localhost:{r2}\n"
        )
    };
    let (first, second) = (Folder::new("cluster_tls_one"), Folder::new("cluster_tls_two"));
    let mut one = Broker::start_with(&first, &lines(r1));
    let two = Broker::start_with(&second, &lines(r2));
    one.process.wait_for_line("cluster: route is up");
    let options = ServerOptions::default();
    let _near = Server::start(&folder, "near.example.net", one.port, &options);
    let _far = Server::start(&folder, "far.example.net", two.port, &options);
    for port in [one.port, two.port] {
        let client = Client::alice(&folder, port);
        wait_for("both servers to answer", || {
            let found = client.run(&["ping"]);
            let text = format!("{}{}", found.stdout, found.stderr);
            (text.contains("near.example.net") && text.contains("far.example.net")).then_some(())
        });
    }
}

#[test]
fn a_certificate_of_a_mere_server_does_not_open_a_route() {
    let folder = Folder::new("cluster_stranger");
    let (inside, outside) = (Folder::new("cluster_inside"), Folder::new("cluster_outside"));
    let [r1, r2] = [(); 2].map(|()| free_port());
    let mut member = Broker::start_with(
        &inside,
        &format!(
            "plugin.choria.network.peer_port = {r1}\nplugin.choria.network.peers = localhost:{r1}\n"
        ),
    );
    let leaf = Pki::shared().leaf("node.example.net");
    let lines = |routes: u16, more: &str| {
        format!(
            "plugin.choria.network.peer_port = {routes}\n\
             plugin.choria.network.peers = localhost:{r1}\n{}{more}",
            Pki::shared().security_lines(&leaf)
        )
    };
    let mut stranger = Broker::start_with(&outside, &lines(r2, ""));
    member.process.wait_for_line("its certificate is not that of a peer");
    stranger.process.wait_for_line("the other broker reported");
    drop(stranger);
    // One that does not encrypt is told which key to look at, on both sides.
    let mut plain =
        Broker::start_with(&folder, &lines(r2, "plugin.choria.network.peer_tls = false\n"));
    member.process.wait_for_line("does not use TLS between brokers");
    plain.process.wait_for_line("cluster: routes are not encrypted");
}

#[test]
fn a_partition_heals_without_a_restart() {
    let folder = Folder::new("cluster_partition");
    let probe = run(
        {
            let mut command = Command::new("unshare");
            command.args(["-rn", "sh", "-c", "ip link add name near type veth peer name far"]);
            command
        },
        "",
    );
    if probe.code != 0 {
        println!("left out: this system allows no network namespaces: {}", probe.stderr.trim());
        return;
    }
    let mut command = Command::new("unshare");
    command
        .arg("-rn")
        .arg(peers().join("venv/bin/python"))
        .arg(format!("{}/testdata/interop/cluster_partition.py", env!("CARGO_MANIFEST_DIR")))
        .arg(program())
        .arg(folder.file("."));
    let start = Instant::now();
    let outcome = run(command, "");
    assert!(
        outcome.code == 0 && outcome.stdout.ends_with("all passed\n"),
        "{outcome:#?} after {:?}",
        start.elapsed()
    );
    assert!(start.elapsed() < Duration::from_secs(60));
}
