//! Processes, files and messages of a measurement.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use choria::nats::client::{Client, Options};
use choria::net::servers::{Server, ServerList};
use choria::protocol::{Request, Transport, Version, v1};

/// What a registration transport has on the wire.
pub const WIRE_BYTES: usize = 2048;
/// Where registration data is published.
pub const TOPIC: &str = "mcollective.broadcast.agent.registration";
/// Longest a measurement waits for anything.
pub const LIMIT: Duration = Duration::from_secs(300);

/// A folder that is removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("choria-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with this one.
pub struct Peer(pub Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Peer {
    /// CPU time of all its threads.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
    }

    pub fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let done = Command::new("kill").args(["-s", name, &id]).status().expect("kill runs");
        assert!(done.success());
    }
}

/// A port that was free a moment ago.
#[allow(clippy::disallowed_methods)] // it accepts nothing
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Starts a nats-server with streams in memory.
pub fn nats_server(folder: &Path) -> (Peer, u16) {
    let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/target/interop/nats-server").to_owned()
    });
    let port = free_port();
    let child = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder.join(format!("js-{port}")))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts");
    let peer = Peer(child);
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < LIMIT, "nats-server does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    (peer, port)
}

/// Starts an adapter from one server to another, with further lines.
pub fn adapter(folder: &Path, from: u16, to: u16, pages: u16, extra: &str) -> Peer {
    let config = folder.join("adapt.conf");
    let text = format!(
        "identity = adapter.example.net\nloglevel = warn\nplugin.choria.use_srv = false\n\
         plugin.choria.middleware_hosts = 127.0.0.1:{from}\nplugin.choria.stats_port = {pages}\n\
         plugin.security.provider = file\nplugin.security.file.certificate = /nosuch\n\
         plugin.security.file.key = /nosuch\nplugin.security.file.ca = /nosuch\n\
         plugin.choria.adapters = bench\nplugin.choria.adapter.bench.type = choria_streams\n\
         plugin.choria.adapter.bench.ingest.topic = {TOPIC}\n\
         plugin.choria.adapter.bench.ingest.protocol = request\n\
         plugin.choria.adapter.bench.stream.servers = 127.0.0.1:{to}\n\
         plugin.choria.adapter.bench.stream.topic = bench.data\n{extra}"
    );
    fs::write(&config, text).expect("can be written");
    let log = fs::File::create(folder.join("adapt.log")).expect("a log");
    let child = Command::new(env!("CARGO_BIN_EXE_choria"))
        .args(["adapt", "--disable-tls", "--config"])
        .arg(config)
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("the adapter starts");
    Peer(child)
}

/// A figure on a page of metrics, summed over its series.
pub fn figure(pages: u16, start: &str) -> u64 {
    let base = choria::http::Base::parse(&format!("127.0.0.1:{pages}")).expect("an address");
    let Ok((_, body)) = smol::block_on(base.get("/metrics", Duration::from_secs(10))) else {
        return 0;
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    let lines = text.lines().filter(|line| line.starts_with(start));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// A registration transport of [`WIRE_BYTES`], unsigned as go-choria servers without a certificate send it.
pub fn transport(number: u64) -> Vec<u8> {
    let made = |size: usize| {
        let sender = format!("node{}.example.net", number % 1000);
        let now = SystemTime::now();
        let mut request =
            Request::new("registration", "mcollective", &sender, &format!("choria={sender}"), now);
        let facts: String = (0..size / 16).map(|n| format!(r#""f{n:04}":"v{n:04}","#)).collect();
        let fill = "x".repeat(size % 16);
        request.message = format!(r#"{{"n":{number},{facts}"fill":"{fill}"}}"#).into_bytes();
        let word = "insecure registration".to_owned();
        let secure = v1::SecureRequest {
            message: request.encode().expect("valid"),
            signature: word.clone(),
            pubcert: word,
        };
        let mut transport = Transport::new(Version::V1, secure.encode().expect("valid"), &sender);
        transport.reply_to = Some("dev.null".to_owned());
        transport.encode()
    };
    let mut size = 16;
    while made(size + 16).len() <= WIRE_BYTES {
        size += 16;
    }
    while made(size + 1).len() <= WIRE_BYTES && size % 16 != 15 {
        size += 1;
    }
    made(size)
}

/// Runs work with an executor of its own.
pub fn with_client<T>(port: u16, work: impl AsyncFnOnce(Client) -> T) -> T {
    let executor = Arc::new(smol::Executor::new());
    let servers = ServerList::fixed(vec![Server::nats("127.0.0.1", port)]);
    let options = Options::new(servers, executor.clone());
    smol::block_on(executor.run(async {
        let client = Client::connect(options).await.expect("connects");
        work(client).await
    }))
}

/// Makes the stream that takes `bench.data`.
pub async fn make_stream(client: &Client) {
    let config = serde_json::json!({
        "name": "BENCH", "subjects": ["bench.data"], "storage": "memory", "retention": "limits",
        "max_bytes": 268_435_456, "discard": "old", "num_replicas": 1, "max_consumers": -1,
        "max_msgs": -1, "max_age": 0, "duplicate_window": 120_000_000_000_u64,
    });
    let config = config.to_string();
    let asked = client.request("$JS.API.STREAM.CREATE.BENCH", config.as_bytes(), LIMIT).await;
    let answer = asked.expect("an answer");
    let text = String::from_utf8_lossy(&answer.payload);
    assert!(!text.contains("\"error\""), "{text}");
}

/// The last number of the stream: how many messages it ever took.
pub async fn stored(client: &Client) -> u64 {
    let asked = client.request("$JS.API.STREAM.INFO.BENCH", b"", Duration::from_secs(30)).await;
    let Ok(answer) = asked else { return 0 };
    let info: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
    info["state"]["last_seq"].as_u64().unwrap_or(0)
}
