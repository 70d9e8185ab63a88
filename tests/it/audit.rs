//! The audit log of a running server: what stands in it, where it goes, and what happens without it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use serde_json::Value;

use super::support::{Broker, Client, Folder, Pki, Server, ServerOptions, wait_for};

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
    let extra = "rpcauthorization = true\nplugin.rpcaudit.logfile.mode = 0640\n";
    let mut scene = Scene::new("audit_lines", extra);
    // Policies are looked at for each request: this one is made behind the server's back.
    fs::create_dir(scene.folder.file("policies")).expect("a folder can be made");
    let rule = "allow\tchoria=alice.mcollective\tget_fact\t*\t*\n";
    let policy = scene.folder.write("policies/rpcutil.policy", rule);
    assert_eq!(scene.call(&["rpcutil", "get_fact", "fact=os.<family>"]).0, 0);
    let (code, output) = scene.call(&["rpcutil", "ping"]);
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("You are not authorized to call this agent or action"), "{output}");
    let mallory = Pki::shared().leaf("mallory.mcollective");
    let port = scene.broker.port;
    let forger = Client::new(&scene.folder, port, "alice.mcollective", Pki::shared(), &mallory);
    assert_eq!(forger.run(&["ping", "--timeout", "1"]).code, 1);

    let text = fs::read_to_string(&scene.log).expect("the audit log can be read");
    let order = "timestamp request_id request_time caller sender agent action data outcome reason";
    let first = text.lines().next().expect("there is a line");
    let at = order.split(' ').map(|key| first.find(&format!("\"{key}\":")).expect(key));
    assert!(at.is_sorted(), "{text}");
    assert!(first.contains(r#""data":{"fact":"os.\u003cfamily\u003e"}"#), "{text}");
    let told = |line: &Value| ["agent", "action", "outcome"].map(|key| line[key].clone());
    let lines = scene.lines();
    let expected = [
        ["rpcutil", "get_fact", "allowed"],
        ["rpcutil", "ping", "denied"],
        ["discovery", "", "unverified"],
    ];
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        expected.map(|line| line.map(Value::from))
    );
    let policy = policy.display();
    let reasons = [
        format!("{policy}:1: allowed by a rule: \"allow choria=alice.mcollective get_fact * *\""),
        format!("{policy}: no rule matches and there is no default"),
        "refused caller alice.mcollective: the certificate is for mallory.mcollective".to_owned(),
    ];
    for (line, reason) in lines.iter().zip(&reasons) {
        assert_eq!(line["caller"], "choria=alice.mcollective");
        assert_eq!(line["reason"], *reason);
    }
    scene.server.process.wait_for_line(&reasons[1]);
    let metadata = fs::metadata(&scene.log).expect("the audit log is there");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    // Discovery that is answered leaves no line.
    let found = Client::alice(&scene.folder, port).run(&["find"]);
    assert_eq!(found.stdout, format!("{NODE}\n"));
    assert_eq!(scene.lines().len(), 3);
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
