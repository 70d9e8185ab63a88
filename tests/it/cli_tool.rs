//! `choria tool config` and `choria tool status` as a monitoring system or an operator sees them.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::cli_usage::{Ran, choria, command};

/// How many files there were: each is in a folder of its own, because what it is for shows in its name.
static FILES: AtomicU32 = AtomicU32::new(0);

/// A file of its own for one test, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("choria-tool-{}", std::process::id()));
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let folder = folder.join(number.to_string());
        fs::create_dir_all(&folder).expect("folder");
        let path = folder.join(name);
        fs::write(&path, text).expect("file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn ran(code: i32, stdout: String) -> Ran {
    Ran { code: Some(code), stdout, stderr: String::new() }
}

#[test]
fn a_healthy_server_is_ok() {
    let file = File::new("ok.json", r#"{"uptime":10,"connected_server":"nats://b:4222"}"#);
    let got = choria(&["tool", "status", "--status-file", file.path()]);
    assert_eq!(got, ran(0, format!("{} OK\n", file.path())));
}

#[test]
fn the_first_fault_of_a_server_is_told_on_standard_output() {
    let file = File::new("lost.json", r#"{"uptime":10,"connected_server":""}"#);
    let got = choria(&["tool", "status", &format!("--status-file={}", file.path())]);
    let expected = format!("{} connection check failed: not connected\n", file.path());
    assert_eq!(got, ran(1, expected));
    let got = choria(&["t", "status", "--no-disconnected", "--status-file", file.path()]);
    assert_eq!(got, ran(0, format!("{} OK\n", file.path())));
    let got = choria(&["tool", "status", "--json", "--status-file", file.path()]);
    let document: serde_json::Value = serde_json::from_str(&got.stdout).expect("one document");
    assert_eq!((got.code, &document["ok"]), (Some(1), &false.into()));
    assert_eq!(document["reason"], "connection check failed: not connected");
    assert_eq!(document["uptime"], 10);
    let got = choria(&["tool", "status", "--status-file", "/no/such/file"]);
    assert_eq!(got.code, Some(1));
    assert!(got.stdout.starts_with("/no/such/file could not be read: "), "{got:?}");
}

#[test]
fn the_configuration_in_effect_is_shown_with_its_origin() {
    let file = File::new("client.conf", "# mine\nidentity = me.example.net\nttl = 90\n");
    let got = choria(&["tool", "config", "--config", file.path()]);
    let path = file.path();
    let expected = format!(
        "Configuration file: {path}\n\n\
         collectives     = mcollective  (default)\n\
         identity        = me.example.net  ({path}:2)\n\
         main_collective = mcollective  (first of collectives)\n\
         ttl             = 90  ({path}:3)\n\n\
         All other keys have their defaults; give a pattern to see them.\n"
    );
    assert_eq!(got, ran(0, expected));
    let got = choria(&["tool", "config", "--list", "^rpca"]);
    assert_eq!(got, ran(0, "rpcaudit\nrpcauthorization\nrpcauthprovider\n".to_owned()));
}

#[test]
fn secrets_are_masked_and_the_environment_is_an_origin() {
    let output = command(&["tool", "config", "--json", "^plugin.nats.pass$"])
        .env("MCOLLECTIVE_NATS_PASSWORD", "hunter2")
        .output()
        .expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json[0]["value"], "*****");
    assert_eq!(json[0]["origin"], "environment variable MCOLLECTIVE_NATS_PASSWORD");
    assert!(!text.contains("hunter2"));
}

#[test]
fn a_broken_file_is_named_and_the_documentation_still_shown() {
    let file = File::new("broken.conf", "ttl = soon\n");
    let got = choria(&["tool", "config", "^ttl$", "--config", file.path()]);
    let warning = format!(
        "choria: warning: {}:1: ttl = soon is not allowed, it has to be a number from 0 to \
         31536000; only defaults are shown\n",
        file.path()
    );
    assert_eq!((got.code, got.stderr), (Some(0), warning));
    assert!(got.stdout.starts_with("ttl\n  description  "), "{}", got.stdout);
}

#[test]
fn a_pattern_that_fits_nothing_is_an_error() {
    let got = choria(&["tool", "config", "no_such_key"]);
    let stderr = "choria: no configuration key matches no_such_key\n".to_owned();
    assert_eq!(got, Ran { code: Some(1), stdout: String::new(), stderr });
}

#[test]
fn a_check_says_what_a_process_refuses_and_warns_about() {
    let text = "plugin.choria.broker_network = true\n\
                plugin.choria.network.leafnode_port = 7422\n\
                plugin.choria.netwrk.client_port = 4222\n";
    let file = File::new("broker.conf", text);
    let path = file.path();
    let got = choria(&["tool", "config", "--check", "--config", path]);
    let refused = format!(
        "{path}:2: plugin.choria.network.leafnode_port is not supported yet: leaf nodes could not connect"
    );
    let (first, second) = got.stdout.split_once('\n').expect("lines");
    assert_eq!((got.code, first, &*got.stderr), (Some(1), &*format!("refused: {refused}"), ""));
    assert!(second.starts_with(&format!("warning: {path}:3: ")), "{second}");
    assert!(second.contains("plugin.choria.network.client_port"), "{second}");
    let got = choria(&["tool", "config", "--check", "--json", "--config", path]);
    let json: serde_json::Value = serde_json::from_str(&got.stdout).expect("JSON");
    assert_eq!((got.code, &json["starts"], &json["file"]), (Some(1), &false.into(), &path.into()));
    assert_eq!(json["refused"], serde_json::json!([refused]));
    assert_eq!(json["warnings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_check_ends_well_where_a_process_starts() {
    let file = File::new("server.conf", "plugin.choria.machine.store = /etc/choria/machines\n");
    let path = file.path();
    let got = choria(&["tool", "config", "--check", "--config", path]);
    let expected = format!(
        "warning: {path}:1: plugin.choria.machine.store is not supported yet: autonomous agents do not run\n"
    );
    assert_eq!(got, ran(0, expected));
    let file = File::new("server.conf", "loglevel = info\n");
    let got = choria(&["tool", "config", "--check", "--config", file.path()]);
    assert_eq!(got, ran(0, format!("{} OK\n", file.path())));
}

#[test]
fn a_check_refuses_what_cannot_be_read() {
    let file = File::new("server.conf", "ttl = soon\n");
    let got = choria(&["tool", "config", "--check", "--config", file.path()]);
    let expected = format!(
        "refused: {}:1: ttl = soon is not allowed, it has to be a number from 0 to 31536000\n",
        file.path()
    );
    assert_eq!(got, ran(1, expected));
    let got = choria(&["tool", "config", "--check", "ttl", "--config", file.path()]);
    assert_eq!((got.code, &*got.stdout), (Some(1), ""));
}
