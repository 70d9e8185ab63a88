//! From registration requests and replies to a stream.

use choria::protocol::{Request, Transport, Version, v1};
use choria::util::time;
use data_encoding::BASE64;
use serde_json::json;

use super::super::support::{Broker, Folder, Pki, wait_for};
use super::world::{
    Running, Streams, TOPIC, adapter, make_stream, reader, registration, registration_v2,
    tls_files, until, url,
};

/// What has to be in the stream for a request.
fn expected(request: &Request) -> String {
    json!({
        "id": format!("{}-{}", request.id, request.sender),
        "subject": format!("choria.data.{}", request.sender),
        "protocol": "choria:adapters:choria_streams:output:1",
        "data": String::from_utf8_lossy(&request.message),
        "sender": request.sender,
        "time": time::rfc3339_nano(request.time),
        "requestid": request.id,
    })
    .to_string()
}

/// Requests of both versions, as lines to publish and lines to expect.
fn requests(count: u64) -> (String, String) {
    let (mut publish, mut expect) = (String::new(), String::new());
    for number in 0..count {
        let data = format!(r#"{{"n":{number},"text":"<a> & \u00fc ü \" \\ \u2028"}}"#);
        let (transport, request) = match number % 2 {
            0 => registration(number, data.as_bytes()),
            _ => registration_v2(number, data.as_bytes()),
        };
        publish += &format!("{TOPIC} {}\n", BASE64.encode(&transport.encode()));
        expect += &format!("{}\n", expected(&request));
    }
    (publish, expect)
}

#[test]
fn requests_reach_a_stream_over_tls_with_every_field() {
    let folder = Folder::new("adapt_streams_tls");
    let streams = Streams::start(&folder, "both", true);
    make_stream(streams.port, true);
    let lines = format!(
        "plugin.choria.middleware_hosts = localhost:{port}\nplugin.choria.adapters = inv\n{}",
        adapter("inv", streams.port, "stream.name = DATA"),
        port = streams.port
    );
    let mut adapter = Running::start(&folder, true, &lines);
    let (publish, expect) = requests(100);
    let (publish, expect) = (folder.write("publish", &publish), folder.write("expect", &expect));
    let (publish, expect) = (publish.display().to_string(), expect.display().to_string());
    let (url, files) = (url(streams.port, true), tls_files());
    let [ca, certificate, key] = &files;
    reader(&["publish", &url, &publish, ca, certificate, key]);
    until("messages delivered", 100, || adapter.delivered("inv"));
    let said = reader(&["compare", &url, &expect, ca, certificate, key]);
    assert_eq!(said, "100 messages are right\n");
    assert_eq!((adapter.received("inv", "input"), adapter.errors("inv", "input")), (100, 0));
    adapter.process.signal("TERM");
    assert_eq!(adapter.process.wait(), 0);
}

#[test]
fn a_broker_runs_adapters_that_read_from_it() {
    let folder = Folder::new("adapt_in_broker");
    let streams = Streams::start(&folder, "target", true);
    make_stream(streams.port, true);
    let lines = format!(
        "plugin.choria.adapters = inv, broken\nplugin.choria.adapter.broken.type = kafak\n\
         plugin.choria.stats_port = 0\n{}",
        adapter("inv", streams.port, "")
    );
    let mut broker = Broker::start_with(&folder, &lines);
    broker.process.wait_for_line("adapt: reading ");
    let (publish, expect) = requests(20);
    let (publish, expect) = (folder.write("publish", &publish), folder.write("expect", &expect));
    let files = tls_files();
    let [ca, certificate, key] = &files;
    let from = url(broker.port, true);
    reader(&["publish", &from, &publish.display().to_string(), ca, certificate, key]);
    let to = url(streams.port, true);
    wait_for("the messages", || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/interop/stream_reader.py");
        let mut command =
            std::process::Command::new(super::super::support::peers().join("venv/bin/python"));
        command.args([script, "compare", &to, &expect.display().to_string(), ca, certificate, key]);
        let output = command.output().expect("python runs");
        output.status.success().then_some(())
    });
    let said = broker.process.output();
    assert!(said.contains("the adapter does not run") && said.contains("kafak"), "{said}");
    broker.process.signal("TERM");
    assert_eq!(broker.process.wait(), 0);
    let _ = Pki::shared();
}

#[test]
fn replies_and_anything_else_reach_streams_of_their_own_subjects() {
    let folder = Folder::new("adapt_replies");
    let streams = Streams::start(&folder, "both", false);
    make_stream(streams.port, false);
    let reply_lines = "type = jetstream\ningest.topic = mcollective.reply.>\nstream.topic = choria.data.{collective}.{agent}.{sender}\n";
    let raw_lines = "type = nats\ningest.topic = weather.*\ningest.protocol = raw\nstream.topic = choria.data.raw.{time:%Y}\n";
    let own = |name: &str, lines: &str| -> String {
        let to = format!("stream.servers = 127.0.0.1:{}\n", streams.port);
        (lines.to_owned() + &to)
            .lines()
            .map(|line| format!("plugin.choria.adapter.{name}.{line}\n"))
            .collect()
    };
    let lines = format!(
        "plugin.choria.middleware_hosts = 127.0.0.1:{}\nplugin.choria.adapters = replies, raw\n{}{}",
        streams.port,
        own("replies", reply_lines),
        own("raw", raw_lines)
    );
    let adapter = Running::start(&folder, false, &lines);
    wait_for("both adapters", || {
        (adapter.process.output().matches("adapt: reading ").count() == 2).then_some(())
    });
    let (_, request) = registration(7, b"x");
    let reply = request.reply("n1.example.net", br#"{"statuscode":0}"#.to_vec(), request.time);
    let data = v1::SecureReply::seal(reply.encode().expect("text")).encode();
    let transport = Transport::new(Version::V1, data, "n1.example.net");
    let publish = format!(
        "mcollective.reply.abc.1 {}\nweather.malta {}\n",
        BASE64.encode(&transport.encode()),
        BASE64.encode(b"sun\xff")
    );
    let publish = folder.write("publish", &publish).display().to_string();
    let url = url(streams.port, false);
    reader(&["publish", &url, &publish]);
    until("replies", 1, || adapter.delivered("replies"));
    until("raw", 1, || adapter.delivered("raw"));
    // Published without acknowledgement, so without an id: it is read on its own below.
    let stored = super::world::with_client(streams.port, async |client| {
        let question = br#"{"last_by_subj":"choria.data.mcollective.registration.n1.example.net"}"#;
        let subject = "$JS.API.STREAM.MSG.GET.DATA";
        let asked = client.request(subject, question, std::time::Duration::from_secs(5)).await;
        let reply: serde_json::Value =
            serde_json::from_slice(&asked.expect("answer").payload).expect("JSON");
        let asked = client
            .request(
                subject,
                br#"{"last_by_subj":"choria.data.raw.*"}"#,
                std::time::Duration::from_secs(5),
            )
            .await;
        let raw: serde_json::Value =
            serde_json::from_slice(&asked.expect("answer").payload).expect("JSON");
        [reply, raw].map(|message| {
            let data = message["message"]["data"].as_str().expect("data").to_owned();
            let data = BASE64.decode(data.as_bytes()).expect("base64");
            serde_json::from_slice::<serde_json::Value>(&data).expect("JSON")
        })
    });
    assert_eq!(stored[0]["data"], "{\"statuscode\":0}");
    assert_eq!(
        (&stored[0]["sender"], &stored[0]["requestid"]),
        (&json!("n1.example.net"), &json!(reply.request_id))
    );
    assert_eq!(
        (&stored[1]["data"], &stored[1]["sender"]),
        (&json!("sun\u{fffd}"), &json!("localhost"))
    );
}
