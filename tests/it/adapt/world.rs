//! Servers with streams, adapters, and messages as nodes send them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use choria::http::Base;
use choria::nats::client::{Client, Options};
use choria::net::servers::{Server, ServerList};
use choria::protocol::{Request, Transport, Version, v1, v2};

use super::super::support::{Folder, NatsServer, Pki, Process, choria, free_port, peers, wait_for};

/// Where registration data is published.
pub const TOPIC: &str = "mcollective.broadcast.agent.registration";

/// A nats-server with streams in a folder; TLS when `tls`.
pub struct Streams {
    process: Process,
    pub port: u16,
}

impl Streams {
    pub fn start(folder: &Folder, name: &str, tls: bool) -> Streams {
        Streams::start_on(folder, name, tls, free_port())
    }

    /// On a port that was used before: the same server again.
    pub fn start_on(folder: &Folder, name: &str, tls: bool, port: u16) -> Streams {
        let leaf = Pki::shared().leaf("localhost");
        let store = folder.file(&format!("{name}-js"));
        let mut text = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\" }}\n",
            store.display()
        );
        if tls {
            text += &format!(
                "tls {{\n cert_file: \"{}\"\n key_file: \"{}\"\n ca_file: \"{}\"\n verify: true\n}}\n",
                leaf.certificate.display(),
                leaf.key.display(),
                Pki::shared().ca.display()
            );
        }
        let config = folder.write(&format!("{name}.conf"), &text);
        let log = folder.file(&format!("{name}.log"));
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new(peers().join(NatsServer::SYSTEM));
        command.arg("-c").arg(config);
        let mut process = Process::start(command, log);
        process.wait_for_line("Server is ready");
        Streams { process, port }
    }

    /// Ends it without a chance to tidy up.
    pub fn kill(self) -> u16 {
        self.process.signal("KILL");
        self.port
    }
}

/// A running adapter process with its metrics.
pub struct Running {
    pub process: Process,
    pages: u16,
}

impl Running {
    /// Starts `choria adapt` with these lines; plain connections unless they say how to secure them.
    pub fn start(folder: &Folder, tls: bool, lines: &str) -> Running {
        let pages = free_port();
        let config = folder.write("adapt.conf", &config(tls, pages, lines));
        let log = folder.file("adapt.log");
        let _ = std::fs::rename(&log, folder.file("adapt-before.log"));
        let mut command = choria();
        command.arg("adapt");
        if !tls {
            command.arg("--disable-tls");
        }
        command.arg("--config").arg(config);
        let mut process = Process::start(command, log);
        process.wait_for_line("adapt: reading ");
        Running { process, pages }
    }

    /// The sum of the figures that begin so.
    pub fn figure(&self, start: &str) -> u64 {
        let base = Base::parse(&format!("127.0.0.1:{}", self.pages)).expect("an address");
        let Ok((_, body)) = smol::block_on(base.get("/metrics", Duration::from_secs(5))) else {
            return 0;
        };
        let text = String::from_utf8_lossy(&body).into_owned();
        let lines = text.lines().filter(|line| line.starts_with(start));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Messages that came to this side of this adapter.
    pub fn received(&self, name: &str, role: &str) -> u64 {
        self.figure(&format!("choria_adapter_received_msgs{{name=\"{name}.0\",role=\"{role}\""))
    }

    /// Messages its target has confirmed.
    pub fn delivered(&self, name: &str) -> u64 {
        self.figure(&format!("choria_adapter_published_msgs{{name=\"{name}.0\",role=\"output\""))
    }

    /// Messages that could not be handled by this side.
    pub fn errors(&self, name: &str, role: &str) -> u64 {
        self.figure(&format!("choria_adapter_errors{{name=\"{name}.0\",role=\"{role}\""))
    }
}

/// A configuration with these lines.
pub fn config(tls: bool, pages: u16, lines: &str) -> String {
    let security = match tls {
        true => Pki::shared().security_lines(&Pki::shared().leaf("localhost")),
        false => "plugin.security.provider = file\nplugin.security.file.certificate = /nosuch\n\
                  plugin.security.file.key = /nosuch\nplugin.security.file.ca = /nosuch\n"
            .to_owned(),
    };
    format!(
        "identity = localhost\nloglevel = info\nplugin.choria.use_srv = false\nsoft_shutdown_timeout = 2\n\
         plugin.choria.network.soft_shutdown_timeout = 2\nplugin.choria.stats_port = {pages}\n{security}{lines}"
    )
}

/// The lines of an adapter from one server to another.
pub fn adapter(name: &str, to: u16, lines: &str) -> String {
    let text = format!(
        "type = choria_streams\ningest.topic = {TOPIC}\ningest.protocol = request\n\
         stream.servers = localhost:{to}\nstream.topic = choria.data.%s\n{lines}"
    );
    text.lines().map(|line| format!("plugin.choria.adapter.{name}.{line}\n")).collect()
}

/// Runs work with a plain connection.
pub fn with_client<T>(port: u16, work: impl AsyncFnOnce(Client) -> T) -> T {
    let executor = Arc::new(smol::Executor::new());
    let servers = ServerList::fixed(vec![Server::nats("127.0.0.1", port)]);
    let options = Options::new(servers, executor.clone());
    smol::block_on(
        executor.run(async { work(Client::connect(options).await.expect("connects")).await }),
    )
}

/// A registration request as a server without a certificate sends it.
pub fn registration(number: u64, data: &[u8]) -> (Transport, Request) {
    let sender = format!("node{}.example.net", number % 100);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number);
    let mut request =
        Request::new("registration", "mcollective", &sender, &format!("choria={sender}"), now);
    request.id = format!("{number:032x}");
    request.message = data.to_vec();
    let word = "insecure registration".to_owned();
    let secure = v1::SecureRequest {
        message: request.encode().expect("valid"),
        signature: word.clone(),
        pubcert: word,
    };
    let transport = Transport::new(Version::V1, secure.encode().expect("valid"), &sender);
    (transport, request)
}

/// The same in the second version, with nanoseconds.
pub fn registration_v2(number: u64, data: &[u8]) -> (Transport, Request) {
    let (_, mut request) = registration(number, data);
    request.version = Version::V2;
    request.time += Duration::from_nanos(123_456_000);
    let secure = v2::SecureRequest {
        request: request.encode().expect("valid").into_bytes(),
        signature: b"insecure".to_vec(),
        caller: "token".to_owned(),
        signer: None,
    };
    (Transport::new(Version::V2, secure.encode().expect("valid"), &request.sender), request)
}

/// Runs the foreign reader of streams; it has to end well.
pub fn reader(words: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/interop/stream_reader.py");
    let mut command = Command::new(peers().join("venv/bin/python"));
    command.arg(script).args(words);
    let output = command.output().expect("python runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {text}{errors}");
    text
}

/// Makes the stream that takes `choria.data.>`.
pub fn make_stream(port: u16, tls: bool) {
    let url = url(port, tls);
    let files = tls_files();
    let mut words = vec!["make", url.as_str()];
    if tls {
        words.extend(files.iter().map(String::as_str));
    }
    reader(&words);
}

pub fn url(port: u16, tls: bool) -> String {
    format!("{}://localhost:{port}", if tls { "tls" } else { "nats" })
}

pub fn tls_files() -> [String; 3] {
    let leaf = Pki::shared().leaf("alice.mcollective");
    let text = |path: &Path| path.display().to_string();
    [text(&Pki::shared().ca), text(&leaf.certificate), text(&leaf.key)]
}

/// Waits for a figure to reach a value.
pub fn until(what: &str, expected: u64, figure: impl Fn() -> u64) {
    let mut last = 0;
    wait_for(&format!("{what} to be {expected}"), || {
        std::thread::sleep(Duration::from_millis(40));
        last = figure();
        (last >= expected).then_some(())
    });
}
