//! `choria adapt --check`: mistakes with their place, both sides, one sample; nothing is written.

use super::super::support::{Finished, Folder, choria, free_port, run};
use super::world::{Streams, adapter, config, make_stream, reader, url};

fn check(folder: &Folder, lines: &str, json: bool) -> Finished {
    let file = folder.write("check.conf", &config(false, 0, lines));
    let mut command = choria();
    command.args(["adapt", "--disable-tls", "--check"]).arg(file);
    if json {
        command.arg("--json");
    }
    run(command, "")
}

#[test]
fn a_good_adapter_is_shown_with_a_sample_and_nothing_is_written() {
    let folder = Folder::new("adapt_check_good");
    let streams = Streams::start(&folder, "both", false);
    make_stream(streams.port, false);
    let hosts = format!("plugin.choria.middleware_hosts = 127.0.0.1:{}\n", streams.port);
    let spool = format!("spool.dir = {}", folder.file("spool").display());
    let lines =
        format!("{hosts}plugin.choria.adapters = inv\n{}", adapter("inv", streams.port, &spool));
    let good = check(&folder, &lines, false);
    assert_eq!(good.code, 0, "{}{}", good.stdout, good.stderr);
    for text in [
        "adapter inv: ok\n",
        "  source   connected to nats://127.0.0.1:",
        "the stream DATA takes choria.data.node1.example.net",
        "  sample   subject choria.data.node1.example.net",
        "{\"protocol\":\"choria:adapters:choria_streams:output:1\",\"data\":\"{\\\"mtime\\\"",
    ] {
        assert!(good.stdout.contains(text), "{text}: {}", good.stdout);
    }
    assert_eq!(reader(&["count", &url(streams.port, false), "0"]), "0 messages, 0 of them twice\n");
    assert!(!folder.file("spool").exists());
    let report: serde_json::Value =
        serde_json::from_str(&check(&folder, &lines, true).stdout).expect("JSON");
    assert_eq!((&report["ok"], &report["adapters"][0]["ok"]), (&true.into(), &true.into()));
    assert_eq!(report["adapters"][0]["sample"]["output"]["sender"], "node1.example.net");

    let elsewhere = lines.replace("choria.data.%s", "other.%s");
    let bad = check(&folder, &elsewhere, false);
    assert_eq!(bad.code, 1);
    assert!(
        bad.stdout.contains("problem  target: no stream takes other.node1.example.net"),
        "{}",
        bad.stdout
    );
    assert!(bad.stdout.contains("--subjects 'other.>'"), "{}", bad.stdout);
}

#[test]
fn mistakes_are_named_with_file_line_key_and_what_is_allowed() {
    let folder = Folder::new("adapt_check_bad");
    let port = free_port();
    for (lines, expected) in [
        ("", "there are no adapters: plugin.choria.adapters is not set"),
        (
            "plugin.choria.adapters = a\nplugin.choria.adapter.a.type = kafak\n",
            "check.conf:12: plugin.choria.adapter.a.type = kafak has to be one of choria_streams",
        ),
        (
            "plugin.choria.adapters = a\nplugin.choria.adapter.a.queue_len = many\n",
            "check.conf:12: plugin.choria.adapter.a.queue_len = many is not allowed, it has to be a number from 1",
        ),
        (
            "plugin.choria.adapters = a\nplugin.choria.adapter.a.ingest.protocol = requests\n",
            "it has to be one of request, reply, lifecycle, raw",
        ),
        (
            "plugin.choria.adapters = a\nplugin.choria.adapter.a.stream.workers = 0\n",
            "plugin.choria.adapter.a.stream.workers = 0 is not allowed",
        ),
        (
            "plugin.choria.adapters = a\nplugin.choria.adapter.a.igest.topic = x\n",
            "unknown key plugin.choria.adapter.a.igest.topic",
        ),
        (
            "plugin.choria.adapters = a\nplugin.choria.adapter.b.type = nats\n",
            "plugin.choria.adapter.b.type has no effect: b is not in plugin.choria.adapters",
        ),
    ] {
        let bad = check(&folder, lines, false);
        assert_eq!(bad.code, 1, "{lines}");
        assert!(bad.stdout.contains(expected), "{expected}\n{}{}", bad.stdout, bad.stderr);
    }
    let nobody = format!(
        "plugin.choria.middleware_hosts = 127.0.0.1:{port}\nplugin.choria.adapters = inv\n{}",
        adapter("inv", port, "")
    );
    let bad = check(&folder, &nobody, false);
    assert_eq!(bad.code, 1);
    for text in [
        "problem  target: cannot connect to nats://localhost:",
        "problem  source: cannot connect to nats://127.0.0.1:",
    ] {
        assert!(bad.stdout.contains(text), "{text}: {}", bad.stdout);
    }
}
