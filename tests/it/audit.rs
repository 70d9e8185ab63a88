//! The audit log of a running server: what stands in it, where it goes, and what happens without it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::support::{Broker, Client, Folder, Server, ServerOptions, wait_for};

const NODE: &str = "n1.example.net";

/// A broker, a server that audits, and alice.
struct Scene {
    log: PathBuf,
    server: Server,
    broker: Broker,
    folder: Folder,
}

impl Scene {
    fn new(test: &str, extra: &str) -> Scene {
        let folder = Folder::new(test);
        let broker = Broker::start(&folder);
        let log = folder.file("audit.log");
        let lines = format!("rpcaudit = true\nplugin.rpcaudit.logfile = {}\n", log.display());
        let extra = format!("{lines}{extra}");
        let options = ServerOptions { extra: &extra, ..ServerOptions::default() };
        let server = Server::start(&folder, NODE, broker.port, &options);
        Scene { log, server, broker, folder }
    }

    /// Alice calls an action; gives exit code and output.
    fn call(&self, args: &[&str]) -> (i32, String) {
        let all = [&["rpc"], args, &["-I", NODE]].concat();
        let done = Client::alice(&self.folder, self.broker.port).run(&all);
        (done.code, done.stdout + &done.stderr)
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).expect("the audit log can be read");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }
}

#[test]
fn allowed_and_refused_requests_are_on_record() {
    let scene = Scene::new("audit_lines", "plugin.rpcaudit.logfile.mode = 0640\n");
    assert_eq!(scene.call(&["rpcutil", "get_fact", "fact=os.<family>"]).0, 0);
    let (code, output) = scene.call(&["choria_util", "machine_state", "name=a b;c"]);
    assert_eq!(code, 2, "{output}");
    let lines = scene.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let keys = [
        "timestamp",
        "request_id",
        "request_time",
        "caller",
        "sender",
        "agent",
        "action",
        "data",
        "outcome",
        "reason",
    ];
    let text = fs::read_to_string(&scene.log).expect("the audit log can be read");
    let at = keys.map(|key| text.find(&format!("\"{key}\":")).expect("every key is there"));
    assert!(at.is_sorted(), "{text}");
    assert!(text.contains(r#""data":{"fact":"os.\u003cfamily\u003e"}"#), "{text}");
    let told = |line: &Value| ["caller", "agent", "action", "outcome"].map(|key| line[key].clone());
    let alice = "choria=alice.mcollective";
    assert_eq!(told(&lines[0]), [alice, "rpcutil", "get_fact", "allowed"].map(|t| json!(t)));
    assert_eq!(
        told(&lines[1]),
        [alice, "choria_util", "machine_state", "refused"].map(|t| json!(t))
    );
    let metadata = fs::metadata(&scene.log).expect("the audit log is there");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    // Discovery leaves no line, and neither does a request for others.
    let found = Client::alice(&scene.folder, scene.broker.port).run(&["find"]);
    assert_eq!(found.stdout, format!("{NODE}\n"));
    assert_eq!(scene.lines().len(), 2);
}

#[test]
fn the_audit_log_survives_rotation() {
    let scene = Scene::new("audit_rotation", "");
    let old = scene.folder.file("audit.log.1");
    assert_eq!(scene.call(&["rpcutil", "ping"]).0, 0);
    let before = fs::metadata(&scene.log).expect("the audit log is there").ino();
    fs::rename(&scene.log, &old).expect("it can be moved");
    assert_eq!(scene.call(&["rpcutil", "ping"]).0, 0);
    assert_ne!(fs::metadata(&scene.log).expect("there is a new one").ino(), before);
    assert_eq!(scene.lines().len(), 1);
    assert_eq!(fs::read_to_string(&old).expect("the old one is there").lines().count(), 1);
}

#[test]
fn what_cannot_be_audited_does_not_run() {
    let mut scene = Scene::new("audit_lost", "");
    assert_eq!(scene.call(&["rpcutil", "ping"]).0, 0);
    fs::remove_file(&scene.log).expect("it can be removed");
    fs::create_dir(&scene.log).expect("a folder can take its place");
    let (code, output) = scene.call(&["rpcutil", "ping"]);
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("The request could not be audited and was not run"), "{output}");
    scene.server.process.wait_for_line("server: audit failed err=cannot open audit log ");
    fs::remove_dir(&scene.log).expect("it can be removed");
    assert_eq!(scene.call(&["rpcutil", "ping"]).0, 0);
    assert_eq!(scene.lines().len(), 1);
}

#[test]
fn a_server_that_should_audit_and_cannot_does_not_start() {
    let folder = Folder::new("audit_start");
    let missing = folder.file("missing/audit.log");
    for (lines, reason) in [
        (
            "rpcaudit = true\n".to_owned(),
            "rpcaudit is on and plugin.rpcaudit.logfile is not set".to_owned(),
        ),
        (
            format!("rpcaudit = true\nplugin.rpcaudit.logfile = {}\n", missing.display()),
            format!("cannot open audit log {}", missing.display()),
        ),
    ] {
        let options = ServerOptions { extra: &lines, ..ServerOptions::default() };
        let mut server = Server::spawn(&folder, NODE, 1, &options);
        assert_eq!(server.process.wait(), 1, "{}", server.process.output());
        assert!(server.process.output().contains(&reason), "{}", server.process.output());
    }
}

#[test]
fn a_server_goes_on_at_sighup_and_reads_its_log_level_again() {
    let mut scene = Scene::new("server_sighup", "loglevel = info\n");
    let config = scene.folder.file(&format!("{NODE}.conf"));
    let text = fs::read_to_string(&config).expect("the configuration can be read");
    fs::write(&config, text + "loglevel = debug\nmain_collective = mcollective\n")
        .expect("it can be written");
    scene.server.process.signal("HUP");
    scene.server.process.wait_for_line("server: reload: loglevel is changed");
    wait_for("an answer", || (scene.call(&["rpcutil", "ping"]).0 == 0).then_some(()));
}
