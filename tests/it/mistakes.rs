//! Mistakes of operators with daemons: each message says what is wrong, where, and what to do.

use std::fs;

use super::support::{Broker, Folder, Pki, Process, choria, run};

const SERVER: &str = "identity = n1.example.net\nplugin.choria.use_srv = false\n\
                      plugin.choria.middleware_hosts = localhost:1\nrpcauthorization = false\n";

/// The lines for a broker on this port.
fn broker(port: u16) -> String {
    format!(
        "identity = localhost\nplugin.choria.broker_network = true\n\
         plugin.choria.network.listen_address = 127.0.0.1\n\
         plugin.choria.network.client_port = {port}\n{}",
        Pki::shared().security_lines(&Pki::shared().leaf("localhost"))
    )
}

/// Waits until the log of a daemon with this configuration holds all of these texts.
fn check_log(folder: &Folder, role: &str, text: &str, expected: &[&str]) {
    let mut command = choria();
    command.args([role, "--config"]).arg(folder.write("mistake.conf", text));
    let log = folder.file("mistake.log");
    let _ = fs::remove_file(&log);
    let mut process = Process::start(command, log);
    for text in expected {
        process.wait_for_line(text);
    }
}

#[test]
fn files_that_cannot_be_read_are_named_at_the_start() {
    let folder = Folder::new("mistakes-files");
    let security = Pki::shared().security_lines(&Pki::shared().leaf("n1.example.net"));
    let facts = folder.write("facts.yaml", "a: [1\nb: }\n");
    let text = format!(
        "{SERVER}{security}plugin.yaml = {}:/no/such/facts.json\nclassesfile = /no/such/classes\n",
        facts.display()
    );
    check_log(
        &folder,
        "server",
        &text,
        &[
            "cannot read classesfile = /no/such/classes, so there are no classes",
            "facts.yaml err=cannot parse it",
            "file=/no/such/facts.json err=cannot read it",
        ],
    );
}

#[test]
fn certificates_that_peers_would_refuse_are_doubted_at_the_start() {
    let folder = Folder::new("mistakes-doubts");
    let (pki, other) = (Pki::shared(), Pki::new("mistakes"));
    let strange = other.leaf("n2.example.net");
    check_log(
        &folder,
        "server",
        &format!("{SERVER}{}", pki.security_lines(&strange)),
        &[
            "it was issued by \\\"Test CA mistakes\\\", not by the configured CA",
            "it is for n2.example.net, not for the identity n1.example.net",
        ],
    );
    let expired = pki.expired_leaf("n1.example.net");
    check_log(
        &folder,
        "server",
        &format!("{SERVER}{}", pki.security_lines(&expired)),
        &["it expired on "],
    );
    let named = pki.security_lines(&pki.leaf("n1.example.net"));
    let text = format!("{}{named}identity = b1.example.net\n", broker(0));
    check_log(
        &folder,
        "broker",
        &text,
        &["it is for n1.example.net, not for the identity b1.example.net"],
    );
}

#[test]
fn daemons_without_mistakes_warn_of_nothing() {
    let folder = Folder::new("mistakes-none");
    let mut command = choria();
    command.args(["broker", "--config"]).arg(folder.write("broker.conf", &broker(0)));
    let mut process = Process::start(command, folder.file("broker.log"));
    process.wait_for_line("listening for clients on ");
    assert!(!process.output().contains("level=warning"), "{}", process.output());
}

#[test]
fn a_port_in_use_is_told_once_with_a_remedy() {
    let folder = Folder::new("mistakes-port");
    let first = Broker::start(&folder);
    let mut command = choria();
    command.args(["broker", "--config"]).arg(folder.write("second.conf", &broker(first.port)));
    let mut process = Process::start(command, folder.file("second.log"));
    assert_eq!(process.wait(), 1);
    let output = process.output();
    assert_eq!(output.matches("cannot listen on").count(), 1, "{output}");
    assert!(output.contains("set plugin.choria.network.client_port"), "{output}");
}

#[test]
fn a_failure_is_in_the_log_file_and_so_are_warnings() {
    let folder = Folder::new("mistakes-logfile");
    let log = folder.file("choria.log");
    let text = format!("{SERVER}logfile = {}\nloglevle = debug\n", log.display());
    let mut command = choria();
    command.args(["server", "--config"]).arg(folder.write("server.conf", &text));
    command.env("HOME", folder.file("home"));
    let finished = run(command, "");
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("choria: "), "{finished:?}");
    let log = fs::read_to_string(log).expect("there is a log");
    for text in ["unknown key loglevle, did you mean loglevel?", "\"error\""] {
        assert!(log.contains(text), "{text}: {log}");
    }
}
