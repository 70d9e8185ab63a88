//! A network without Puppet: an authority of its own, join tokens, revocation, renewal.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::support::{Finished, Folder, Process, Raw, choria, run, wait_for};

/// The folder of the authority, a broker that has it, and what else the test makes.
struct Network {
    broker: Process,
    port: u16,
    folder: Folder,
}

/// `choria ARGS` with nothing of the user who runs the test.
fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = choria();
    command.args(args).env("HOME", folder.file("home")).env_remove("USER");
    command
}

impl Network {
    /// As the documentation says it: an authority, a certificate for the broker, the broker.
    fn start(name: &str, more: &str) -> Network {
        let folder = Folder::new(name);
        let (ca, ssl) = (folder.file("ca"), folder.file("broker-ssl"));
        let (ca, ssl) = (ca.to_str().expect("text"), ssl.to_str().expect("text"));
        succeed(run(command(&folder, &["ca", "init", "--dir", ca]), ""));
        let sign = ["ca", "sign", "--dir", ca, "--for", "broker", "--out", ssl, "localhost"];
        succeed(run(command(&folder, &sign), ""));
        let config = folder.write(
            "broker.conf",
            &format!(
                "identity = localhost\nloglevel = debug\nplugin.choria.broker_network = true\n\
                 plugin.choria.network.listen_address = 127.0.0.1\n\
                 plugin.choria.network.client_port = 0\nplugin.choria.ssldir = {ssl}\n\
                 plugin.choria.broker_ca = true\nplugin.choria.ca.dir = {ca}\n{more}"
            ),
        );
        let mut broker = choria();
        broker.args(["broker", "run", "--config"]).arg(config);
        let mut broker = Process::start(broker, folder.file("broker.log"));
        let address = broker.wait_for_line("listening for clients on ");
        let port: String = address.rsplit(':').next().unwrap_or_default().to_owned();
        let port = port.chars().take_while(char::is_ascii_digit).collect::<String>();
        Network { broker, port: port.parse().expect("a port"), folder }
    }

    fn ca(&self, words: &[&str]) -> Finished {
        let folder = self.folder.file("ca");
        let (name, rest) = words.split_first().expect("a command");
        let mut all = vec!["ca", *name, "--dir", folder.to_str().expect("text")];
        all.extend(rest);
        run(command(&self.folder, &all), "")
    }

    fn token(&self, words: &[&str]) -> String {
        let broker = format!("localhost:{}", self.port);
        let done = succeed(self.ca(&[&["token", "--broker", &broker], words].concat()));
        done.stdout.trim().to_owned()
    }

    /// `choria enroll` as the node or person of this name, into a folder of its own.
    fn enroll(&self, token: &str, name: &str) -> Finished {
        let ssl = self.folder.file(&format!("{name}-ssl"));
        let config = self.folder.file(&format!("{name}.conf"));
        let mut enroll = command(&self.folder, &["enroll", "--token", "-", "--certname", name]);
        enroll.arg("--ssldir").arg(ssl).arg("--write-config").arg(config);
        run(enroll, token)
    }

    /// A server with the configuration that its enrolment has written.
    fn server(&self, name: &str, more: &str) -> Process {
        let config = self.folder.file(&format!("{name}.conf"));
        let text = fs::read_to_string(&config).expect("the configuration was written");
        let status = self.folder.file(&format!("{name}.status.json"));
        let more = format!(
            "{text}loglevel = debug\nrpcauthorization = false\nplugin.choria.status_file_path = {}\n\
             plugin.choria.status_update_interval = 1\n{more}",
            status.display()
        );
        fs::write(&config, more).expect("the configuration can be written");
        let mut server = choria();
        server.args(["server", "run", "--config"]).arg(config);
        let mut server = Process::start(server, self.folder.file(&format!("{name}.log")));
        server.wait_for_line("server: started");
        server
    }

    fn rpc(&self, person: &str, words: &[&str]) -> Finished {
        let mut rpc = command(&self.folder, words);
        rpc.arg("--config").arg(self.folder.file(&format!("{person}.conf")));
        rpc.env("MCOLLECTIVE_CERTNAME", person);
        run(rpc, "")
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.file(path)
    }
}

fn succeed(done: Finished) -> Finished {
    assert_eq!(done.code, 0, "{done:?}");
    done
}

#[test]
fn a_person_without_puppet_has_a_secure_network_in_a_minute() {
    let begun = Instant::now();
    let network = Network::start("ca-minute", "");
    let node = network.token(&["--name", "*.example.net", "--uses", "2"]);
    succeed(network.enroll(&node, "web1.example.net"));
    let policies = network.file("policies");
    fs::create_dir(&policies).expect("a folder");
    let policy = "policy default deny\nallow\tchoria=alice.mcollective\t*\t*\t*\n";
    fs::write(policies.join("default.policy"), policy).expect("a policy");
    let authorized = "rpcauthorization = true\nplugin.actionpolicy.enable_default = y\n";
    let _server = network.server("web1.example.net", authorized);
    let person = network.token(&["--name", "alice.mcollective"]);
    succeed(network.enroll(&person, "alice.mcollective"));
    let done = succeed(network.rpc("alice.mcollective", &["rpc", "rpcutil", "ping", "--json"]));
    let took = begun.elapsed();
    let document: Value = serde_json::from_str(&done.stdout).expect("stdout is one document");
    assert_eq!(document["replies"][0]["sender"], "web1.example.net");
    println!("from nothing to the first reply: {took:?}");
    assert!(took.as_secs() < 60, "{took:?}");
    // Who is who: the key of a person is RSA, and nobody but its owner can read a key.
    let listed = succeed(network.ca(&["list", "--json"])).stdout;
    let listed: Value = serde_json::from_str(&listed).expect("a list");
    let find = |name: &str| {
        let mut records = listed.as_array().expect("a list").iter();
        records.find(|record| record["name"] == name).expect("it is listed").clone()
    };
    assert_eq!(
        (&find("localhost")["for"], &find("localhost")["key"]),
        (&"broker".into(), &"P-256".into())
    );
    assert_eq!(find("web1.example.net")["for"], "server");
    assert_eq!(find("alice.mcollective")["key"], "RSA");
    let key = network.file("alice.mcollective-ssl/private_keys/alice.mcollective.pem");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(key).expect("a key").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn tokens_that_let_nobody_in() {
    let network = Network::start("ca-tokens", "");
    let refused = |token: &str, name: &str| {
        let done = network.enroll(token, name);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(!network.file(&format!("{name}-ssl/certs/{name}.pem")).exists());
        done.stderr
    };
    // Used up: whoever has it is told so, and nothing more.
    let once = network.token(&["--name", "*.example.net"]);
    succeed(network.enroll(&once, "n1.example.net"));
    let text = refused(&once, "n2.example.net");
    assert!(
        text.contains(
            "the certificate authority refused: the token was used as often as it may be"
        ),
        "{text}"
    );
    // The same node may ask again, and gets the same.
    fs::remove_file(network.file("n1.example.net.conf")).expect("it was written");
    succeed(network.enroll(&once, "n1.example.net"));
    // Another name than the token allows; the node notices before it asks.
    let text = refused(&once, "n1.example.com");
    assert!(
        text.contains("the join token is not for n1.example.com but for *.example.net"),
        "{text}"
    );
    // Somebody else's name.
    let two = network.token(&["--name", "*.example.net", "--uses", "9"]);
    fs::remove_dir_all(network.file("n1.example.net-ssl")).expect("it was written");
    fs::remove_file(network.file("n1.example.net.conf")).expect("it was written");
    let text = refused(&two, "n1.example.net");
    assert!(text.contains("n1.example.net has a certificate for another key"), "{text}");
    // Of another authority: neither side believes the other.
    let stranger = Network::start("ca-stranger", "");
    let ours = format!("localhost:{}", network.port);
    let foreign = stranger.ca(&["token", "--broker", &ours, "--name", "*.example.net"]);
    let foreign_first = succeed(foreign).stdout.trim().to_owned();
    drop(stranger);
    let text = refused(&foreign_first, "n4.example.net");
    assert!(
        text.contains("does not show the CA certificate of the expected fingerprint"),
        "{text}"
    );
    // With a signature that does not fit.
    let (head, _) = two.rsplit_once('.').expect("a token");
    let forged = format!("{head}.{}", "A".repeat(86));
    let text = refused(&forged, "n5.example.net");
    assert!(text.contains("Authorization Violation"), "{text}");
    let log = network.broker.output();
    assert!(log.contains("join token: "), "{log}");
}

#[test]
fn a_join_token_reaches_the_authority_and_nothing_else() {
    let network = Network::start("ca-narrow", "");
    let token = network.token(&["--name", "*.example.net"]);
    let id = choria::ca::join::read(&token).expect("a join token").id;
    let mut raw = Raw::connect_anonymous(network.port, &network.file("ca/ca.pem"));
    let connect = serde_json::json!({"user": "enrollment", "auth_token": token, "verbose": false, "pedantic": false, "headers": true});
    raw.send(&format!("CONNECT {connect}\r\nPING\r\n"));
    raw.expect_within("PONG");
    for (line, violation) in [
        ("SUB > 1", "Permissions Violation for Subscription to \">\""),
        ("SUB choria.ca.reply.> 2", "Permissions Violation for Subscription"),
        ("SUB mcollective.broadcast.agent.discovery 3", "Permissions Violation for Subscription"),
        ("SUB $SYS.> 4", "Permissions Violation for Subscription"),
        ("PUB mcollective.broadcast.agent.discovery 0\r\n", "Permissions Violation for Publish"),
        ("PUB choria.ca.renew 0\r\n", "Permissions Violation for Publish"),
        ("PUB $SYS.REQ.USER.INFO 0\r\n", "Permissions Violation for Publish"),
        ("PUB choria.lifecycle.event.startup.server 0\r\n", "Permissions Violation for Publish"),
    ] {
        raw.send(&format!("{line}\r\n"));
        raw.expect_within(violation);
    }
    raw.send(&format!(
        "SUB choria.ca.reply.{id}.x 5\r\nPUB choria.ca.enroll choria.ca.reply.{id}.x 2\r\n{{}}\r\n"
    ));
    raw.expect_within("the question cannot be read");
    // Four subscriptions are enough for everybody.
    for sid in 6..10 {
        raw.send(&format!("SUB choria.ca.reply.{id}.y{sid} {sid}\r\n"));
    }
    raw.expect_within("maximum subscriptions exceeded");
    raw.send(&format!("PUB choria.ca.enroll {}\r\n", 40 * 1024));
    raw.expect_within("Maximum Payload Violation");
    // Without a token, nobody.
    let mut raw = Raw::connect_anonymous(network.port, &network.file("ca/ca.pem"));
    raw.send("CONNECT {\"user\": \"enrollment\"}\r\nPING\r\n");
    raw.expect_within("Authorization Violation");
}

#[test]
fn what_is_revoked_is_out_at_once() {
    let network = Network::start("ca-revoked", "");
    let node = network.token(&["--name", "*.example.net", "--uses", "2"]);
    for name in ["n1.example.net", "n2.example.net"] {
        succeed(network.enroll(&node, name));
    }
    let fast = "plugin.choria.ca.interval = 1s\n";
    let mut one = network.server("n1.example.net", fast);
    let _two = network.server("n2.example.net", fast);
    for name in ["alice.mcollective", "bob.mcollective"] {
        let token = network.token(&["--name", name]);
        succeed(network.enroll(&token, name));
        succeed(network.rpc(name, &["ping", "--expect", "2"]));
    }
    // The broker closes what is open, and lets it in no more.
    succeed(network.ca(&["revoke", "--reason", "key-compromise", "n1.example.net"]));
    one.wait_for_line("Authorization Violation");
    let found = wait_for("n1 to be gone", || {
        let done = network.rpc("alice.mcollective", &["find"]);
        (done.stdout.trim() == "n2.example.net").then_some(done)
    });
    assert_eq!(found.code, 0, "{found:?}");
    let log = network.broker.output();
    assert!(log.contains("its certificate was revoked"), "{log}");
    // The connection of a revoked person ends at the broker.
    succeed(network.ca(&["revoke", "bob.mcollective"]));
    let done = wait_for("bob to be refused", || {
        let done = network.rpc("bob.mcollective", &["ping"]);
        (done.code != 0).then_some(done)
    });
    assert!(done.stderr.contains("revoked") || done.stderr.contains("certificate"), "{done:?}");
    // Servers get the list by themselves.
    wait_for("the list to arrive", || {
        let theirs = fs::read(network.file("n2.example.net-ssl/crl.pem")).ok()?;
        (theirs == fs::read(network.file("ca/crl.pem")).ok()?).then_some(())
    });
    let text = succeed(network.ca(&["list"])).stdout;
    assert!(!text.contains("bob.mcollective") && text.contains("alice.mcollective"), "{text}");
    let all = succeed(network.ca(&["list", "--all"])).stdout;
    assert!(all.contains("revoked (key-compromise)"), "{all}");
}

#[test]
fn a_pair_that_somebody_replaced_is_used_without_a_restart() {
    let network = Network::start("ca-replaced", "");
    for name in ["n1.example.net", "alice.mcollective"] {
        let token = network.token(&["--name", name]);
        succeed(network.enroll(&token, name));
    }
    let mut server = network.server("n1.example.net", "");
    succeed(network.rpc("alice.mcollective", &["ping", "--expect", "1"]));
    // Another key. What the node had is revoked, and its connection ends.
    let elsewhere = network.file("elsewhere");
    let place = elsewhere.to_str().expect("text");
    succeed(network.ca(&["sign", "--replace", "--out", place, "n1.example.net"]));
    server.wait_for_line("Authorization Violation");
    let ssl = network.file("n1.example.net-ssl");
    for file in ["crl.pem", "certs/n1.example.net.pem", "private_keys/n1.example.net.pem"] {
        fs::copy(elsewhere.join(file), ssl.join("new")).expect("it can be read");
        fs::rename(ssl.join("new"), ssl.join(file)).expect("it can be replaced");
    }
    server.signal("HUP");
    server.wait_for_line("reloading the configuration");
    wait_for("n1 to be back", || {
        let done = network.rpc("alice.mcollective", &["find"]);
        (done.stdout.trim() == "n1.example.net").then_some(())
    });
}

#[test]
fn servers_renew_their_certificates() {
    let network = Network::start("ca-renewal", "");
    // Certificates begin an hour before they are made, so this one is due at once.
    let token = network.token(&["--name", "*.example.net", "--life", "10m"]);
    succeed(network.enroll(&token, "n1.example.net"));
    let path = network.file("n1.example.net-ssl/certs/n1.example.net.pem");
    let first = fs::read(&path).expect("a certificate");
    let mut server = network.server("n1.example.net", "plugin.choria.ca.interval = 1s\n");
    server.wait_for_line("the certificate was renewed until=");
    assert_ne!(fs::read(&path).expect("a certificate"), first);
    let listed = succeed(network.ca(&["list", "--json"])).stdout;
    assert!(listed.contains("renewal of "), "{listed}");
    let status = network.file("n1.example.net.status.json");
    wait_for("the status file", || {
        let text = fs::read_to_string(&status).ok()?;
        let status: Value = serde_json::from_str(&text).ok()?;
        let expires = status["certificate_expires"].as_str()?;
        (!expires.starts_with("0001")).then_some(())
    });
}
