//! Policies on real nodes, and what `choria policy` says about them before they bite.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{Broker, Client, Folder, Organization, Pki, Server, ServerOptions};

const ALICE: &str = "choria=alice.mcollective";
const PREVIEW: &str = "policy default deny\nallow\tchoria=alice.mcollective\t*\t*\t*\n";

/// A node with policies of its own.
struct Node {
    server: Server,
    folder: Folder,
}

impl Node {
    fn start(name: &str, port: u16, options: &ServerOptions) -> Node {
        let folder = Folder::new(name);
        fs::create_dir(folder.file("policies")).expect("a folder for policies");
        let extra = format!("rpcauthorization = true\n{}", options.extra);
        let options = ServerOptions { extra: &extra, ..*options };
        let server = Server::start(&folder, name, port, &options);
        let node = Node { server, folder };
        node.policy("choria_policy.policy", PREVIEW);
        node
    }

    fn policy(&self, name: &str, text: &str) {
        self.folder.write(&format!("policies/{name}"), text);
    }
}

struct Scene {
    client: Client,
    nodes: Vec<Node>,
    broker: Broker,
    folder: Folder,
}

fn scene(test: &str, nodes: &[(&str, &str, &str)], extra: &str) -> Scene {
    let folder = Folder::new(test);
    let broker = Broker::start(&folder);
    let start = |(name, facts, classes): &(&str, &str, &str)| {
        Node::start(name, broker.port, &ServerOptions { facts, classes, extra })
    };
    let nodes = nodes.iter().map(start).collect();
    let client = Client::alice(&folder, broker.port);
    Scene { client, nodes, broker, folder }
}

impl Scene {
    /// The status of `rpcutil ping` on a node and what it says.
    fn ping(&self, node: &str) -> (i64, String) {
        ping(&self.client, node)
    }
}

fn ping(client: &Client, node: &str) -> (i64, String) {
    let done = client.run(&["rpc", "rpcutil", "ping", "-I", node, "--json"]);
    let document: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    let reply = &document["replies"][0];
    let message = reply["statusmsg"].as_str().unwrap_or_default().to_owned();
    (reply["statuscode"].as_i64().unwrap_or(-1), message)
}

const DENIED: &str = "You are not authorized to call this agent or action";

#[test]
fn a_server_follows_its_policies_and_every_change_of_them() {
    let mut scene = scene("policy_server", &[("p1.example.net", "country: mt\n", "web\n")], "");
    let node = "p1.example.net";
    assert_eq!(scene.ping(node), (1, DENIED.to_owned()));
    scene.nodes[0].server.process.wait_for_line("there is no policy for the agent rpcutil");
    // Nothing is summed up of what nobody has answered.
    let denied = scene.client.run(&["rpc", "rpcutil", "daemon_stats", "-I", node]);
    assert!(denied.stdout.contains(DENIED) && !denied.stdout.contains("Summary of"), "{denied:?}");
    for (policy, allowed) in [
        ("policy default deny\nallow\tchoria=alice.mcollective\tping\tcountry=mt\tweb\n", true),
        ("policy default deny\nallow\tchoria=alice.mcollective\tping\tcountry=us\tweb\n", false),
        ("policy default allow\ndeny\tops\t*\t*\t*\n", false),
        ("policy default deny\nallow\tadmins\tping\t*\t*\n", true),
        ("policy default allow\nallow * * * *\n", false),
        ("policy default allow\ndeny\tchoria=bob\t*\ta or b\t*\n", true),
        ("policy default allow\ndeny\t*\t*\ta or b\t*\n", false),
        ("", false),
    ] {
        scene.nodes[0].policy("groups", "admins choria=alice.mcollective\n");
        scene.nodes[0].policy("rpcutil.policy", policy);
        let (code, message) = scene.ping(node);
        let expected = if allowed { (0, "OK") } else { (1, DENIED) };
        assert_eq!((code, message.as_str()), expected, "{policy}");
    }
    // Somebody else is not alice.
    scene.nodes[0].policy("rpcutil.policy", "allow\tchoria=alice.mcollective\t*\t*\t*\n");
    let leaf = Pki::shared().leaf("bob.mcollective");
    let bob =
        Client::new(&scene.folder, scene.broker.port, "bob.mcollective", Pki::shared(), &leaf);
    assert_eq!(ping(&bob, node), (1, DENIED.to_owned()));
    assert_eq!(scene.ping(node).0, 0);
}

#[test]
#[cfg(feature = "rego")]
fn a_server_follows_rego_policies() {
    let extra = "rpcauthprovider = rego_policy\n";
    let mut scene = scene("policy_rego", &[("p2.example.net", "country: mt\n", "web\n")], extra);
    let node = "p2.example.net";
    let head = "package io.choria.mcorpc.authpolicy\n\ndefault allow = false\n\n";
    fs::create_dir(scene.nodes[0].folder.file("policies/rego")).expect("a folder for Rego");
    assert_eq!(scene.ping(node), (1, DENIED.to_owned()));
    for (body, allowed) in [
        ("allow if {\n  input.facts.country == \"mt\"\n  \"web\" in input.classes\n}\n", true),
        ("allow if input.callerid == \"choria=bob\"\n", false),
        ("allow if startswith(input.callerid, \"choria=alice\")\n", true),
        ("allow if {\n", false),
        ("allow = \"yes\"\n", false),
    ] {
        scene.nodes[0].policy("rego/default.rego", &format!("{head}{body}"));
        let expected = if allowed { (0, "OK") } else { (1, DENIED) };
        let (code, message) = scene.ping(node);
        assert_eq!((code, message.as_str()), expected, "{body}");
    }
    scene.nodes[0].server.process.wait_for_line("the Rego policy gives no decision");
}

#[test]
#[cfg(not(feature = "rego"))]
fn a_build_without_rego_refuses_what_needs_it() {
    use super::support::wait_for;

    const REASON: &str = "this program was built without the feature rego";
    let folder = Folder::new("policy_no_rego");
    let extra = "rpcauthorization = true\nrpcauthprovider = rego_policy\n";
    let options = ServerOptions { extra, ..ServerOptions::default() };
    let server = Server::spawn(&folder, "p3.example.net", 1, &options);
    let said = wait_for("the end of the server", || {
        let output = server.process.output();
        output.contains("choria: ").then_some(output)
    });
    assert!(said.contains(&format!("rpcauthprovider = rego_policy: {REASON}")), "{said}");
    let text = "package io.choria.mcorpc.authpolicy\nallow = true\n";
    let file = folder.write("rpcutil.rego", text).display().to_string();
    let done = offline(&folder, &["policy", "check", &file]);
    assert!(done.code == 1 && done.stdout.contains(REASON), "{done:?}");
}

#[test]
fn a_server_follows_the_policy_in_the_token_of_the_caller() {
    let folder = Folder::new("policy_token");
    let organization = Organization::new();
    let broker = organization.broker(&folder);
    let node = "t1.example.net";
    let extra = organization.server_lines(&folder, node)
        + &organization.issuer_lines()
        + "rpcauthorization = true\nrpcauthprovider = aaasvc\n";
    let options = ServerOptions { extra: &extra, ..ServerOptions::default() };
    let mut server = Server::start(&folder, node, broker.port, &options);
    let rego = |body: &str| {
        format!("package io.choria.aaasvc\n\ndefault allow = false\n\nallow if {body}\n")
    };
    let cases: [(&[&str], String, bool); 7] = [
        (&[], String::new(), false),
        (&["*"], String::new(), true),
        (&["service.*", "rpcutil.ping"], String::new(), true),
        (&["rpcutil.inventory"], String::new(), false),
        (&["rpcutil"], String::new(), false),
        (&[], rego("input.claims.callerid == \"up=user5\""), cfg!(feature = "rego")),
        (&[], rego("requires_fact_filter(\"country=mt\")"), false),
    ];
    for (index, (agents, opa_policy, allowed)) in cases.into_iter().enumerate() {
        let caller = format!("up=user{index}");
        let client = organization.client(&folder, broker.port, &caller, |claims| {
            claims.agents = agents.iter().map(|agent| (*agent).to_owned()).collect();
            claims.opa_policy = opa_policy;
        });
        let expected = if allowed { (0, "OK") } else { (1, DENIED) };
        let (code, message) = ping(&client, node);
        assert_eq!((code, message.as_str()), expected, "case {index}");
    }
    server.process.wait_for_line("the token of the caller does not list the agent and action");
}

#[test]
fn nodes_are_asked_without_running_anything() {
    let nodes = [
        ("a1.example.net", "country: mt\n", "web\n"),
        ("a2.example.net", "country: de\n", "web\n"),
        ("a3.example.net", "country: mt\n", "db\n"),
    ];
    let scene = scene("policy_fleet", &nodes, "");
    for node in &scene.nodes {
        node.policy(
            "service.policy",
            "policy default deny\nallow\tchoria=bob\trestart\tcountry=mt\t*\n",
        );
    }
    let ask = |more: &[&str]| {
        let words = [
            "policy",
            "test",
            "--caller",
            "choria=bob",
            "--agent",
            "service",
            "--action",
            "restart",
        ];
        scene.client.run(&[&words, more].concat())
    };
    let done = ask(&["-I", "/^a/"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.stdout.contains("denied on 1 node\n"), "{done:?}");
    assert!(
        done.stdout.contains("service.policy:1: no rule matches and the default denies"),
        "{done:?}"
    );
    assert!(done.stdout.contains("service.policy:2: allowed by a rule"), "{done:?}");
    assert!(done.stdout.contains("        a2.example.net\n"), "{done:?}");
    let done = ask(&["-F", "country=mt", "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let document: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(document["replies"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["replies"][0]["data"]["line"], 2);

    let candidate = "policy default deny\nallow\tchoria=bob\trestart\t*\tweb\n";
    let candidate = scene.folder.write("candidate.policy", candidate);
    let before = files(&scene.nodes[0].folder.file("policies"));
    let what_if = ["-I", "/^a/", "--what-if", candidate.to_str().expect("UTF-8")];
    let done = ask(&what_if);
    assert_eq!(done.code, 1, "{done:?}");
    for part in [
        "denied, would be allowed on 1 node\n",
        "allowed, would be denied on 1 node\n",
        "2 nodes would decide otherwise, 1 node as now\n",
    ] {
        assert!(done.stdout.contains(part), "{part}: {done:?}");
    }
    assert_eq!(files(&scene.nodes[0].folder.file("policies")), before, "a candidate was stored");
    // Neither does what is not meant for nodes count, nor may everybody ask.
    let done = ask(&["-I", "/^a/", "--fact", "a=b"]);
    assert!(
        done.code == 1 && done.stderr.contains("--fact is not for questions to nodes"),
        "{done:?}"
    );
    for node in &scene.nodes {
        node.policy("choria_policy.policy", "policy default deny\n");
    }
    let done = ask(&["-I", "/^a/"]);
    assert!(done.code == 2 && done.stdout.contains(DENIED), "{done:?}");
    assert!(done.stdout.contains("no decision on 3 nodes"), "{done:?}");
    drop(scene.broker);
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("policies")
        .flatten()
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    files.sort();
    files
}

/// Runs a command that needs no network.
fn offline(folder: &Folder, args: &[&str]) -> super::support::Finished {
    Client::alice(folder, 1).run(args)
}

#[test]
fn policies_of_this_machine_are_asked_without_network() {
    let folder = Folder::new("policy_local");
    fs::create_dir(folder.file("policies")).expect("a folder for policies");
    folder.write("policies/groups", &format!("admins {ALICE}\n"));
    folder.write(
        "policies/service.policy",
        "policy default deny\nallow\tadmins\trestart\tos.name=Debian cpus>=4\tweb\n",
    );
    let place = folder.file("policies");
    let place = place.to_str().expect("UTF-8");
    let base = ["policy", "test", "--policy-dir", place, "--caller", ALICE, "--agent", "service"];
    let ask = |more: &[&str]| offline(&folder, &[&base, more].concat());
    let node = ["--fact", "os.name=Debian", "--fact", "cpus=8", "--class", "web"];
    let done = ask(&[&["--action", "restart"], &node[..]].concat());
    let text = format!(
        "allowed: {ALICE} for service#restart\n    {place}/service.policy:2: allowed by a rule: \
         \"allow admins restart os.name=Debian cpus>=4 web\"\n"
    );
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, text.as_str(), ""));
    let done = ask(&[&["--action", "status"], &node[..]].concat());
    assert!(done.code == 1 && done.stdout.starts_with("denied: "), "{done:?}");
    // The action of an agent that is described here has to be one of it.
    let unknown = ["policy", "test", "--policy-dir", place, "--caller", ALICE];
    let about = |action: &str| {
        offline(&folder, &[&unknown[..], &["--agent", "rpcutil", "--action", action]].concat())
    };
    let done = about("pong");
    assert!(done.code == 1 && done.stdout.starts_with("denied: "), "{done:?}");
    let warning = "choria: warning: the agent rpcutil has no action pong: no request for it comes as \
                   far as a policy; there are ";
    assert!(done.stderr.starts_with(warning) && done.stderr.contains("ping"), "{done:?}");
    assert_eq!(about("ping").stderr, "");
    folder.write("policies/default.policy", "policy default allow\n");
    let done = offline(
        &folder,
        &[
            "policy",
            "test",
            "--policy-dir",
            place,
            "--caller",
            "ann",
            "--agent",
            "other",
            "--action",
            "x",
        ],
    );
    assert_eq!(
        done.stderr,
        "choria: warning: a caller id is kind=name, such as choria=ann.mcollective\n\
         choria: warning: default.policy counts with plugin.actionpolicy.enable_default = y only; here \
         with --default-policy default\n"
    );
    fs::remove_file(folder.file("policies/default.policy")).expect("it was written");
    let done = ask(&["--action", "restart", "--input", "x"]);
    assert_eq!(done.stderr, "choria: \"x\" is not an input\nhint: --input name=value\n");
    let done = ask(&["--action", "restart", "--json"]);
    let document: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(
        (done.code, &document["allow"], &document["line"]),
        (1, &Value::from(false), &Value::from(1))
    );
    let candidate = folder.write("new.policy", "policy default allow\n");
    let done = ask(&["--action", "status", "--what-if", candidate.to_str().expect("UTF-8")]);
    assert!(
        done.code == 1
            && done.stdout.contains("new.policy:1: no rule matches and the default allows"),
        "{done:?}"
    );
}

#[test]
fn mistakes_in_policies_are_found() {
    let folder = Folder::new("policy_check");
    folder.write("groups", "ops choria=ann\n");
    let fine = folder.write("rpcutil.policy", "policy default deny\nallow\tops\tping\t*\t*\n");
    let fine = fine.to_str().expect("UTF-8");
    let done = offline(&folder, &["policy", "check", fine]);
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "1 file checked, nothing found\n"),
        "{done:?}"
    );
    let bad = folder.write(
        "rpcutl.policy",
        "allow * * * *\nallow\topps\tping\ta\t*\nallow\t*\t*\t*\t*\ndeny\t*\tping\t*\t*\n",
    );
    let bad = bad.to_str().expect("UTF-8");
    let done = offline(&folder, &["policy", "check", fine, bad]);
    assert_eq!(done.code, 1, "{done:?}");
    for part in [
        format!("{bad}: no agent rpcutl is known here\n    hint: did you mean rpcutil?\n"),
        format!("{bad}:1: the columns of a rule are not separated by tabs"),
        format!("{bad}:2: \"a\" is no condition on a fact"),
        format!("{bad}:2: there is no group opps\n    hint: did you mean ops?\n"),
        format!("{bad}:4: nothing reaches this rule: line 3 decides before"),
        "\n2 files checked, 5 findings\n".to_owned(),
    ] {
        assert!(done.stdout.contains(&part), "{part}\n{}", done.stdout);
    }
    let done = offline(&folder, &["policy", "check", "--json", bad]);
    let list: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((done.code, list.as_array().map(Vec::len)), (1, Some(5)));
    assert_eq!(list[1]["line"], 1);
    let gone = folder.file("gone.policy");
    let done = offline(&folder, &["policy", "check", gone.to_str().expect("UTF-8"), bad]);
    assert_eq!(done.code, 1, "{done:?}");
    for part in ["gone.policy: cannot be read: ", "2 files checked, 6 findings"] {
        assert!(done.stdout.contains(part), "{part}\n{}", done.stdout);
    }
    let done = offline(&folder, &["policy", "check"]);
    assert!(done.code == 1 && done.stderr.contains("name the policy files"), "{done:?}");
}
