//! What `rpc` and its relatives show of real replies, and how they end: a demo of three servers is asked.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cli_usage::command;

/// The servers of the demo, sorted.
const NODES: [&str; 3] = ["db2.fra.example.net", "web1.lon.example.net", "web3.nyc.example.net"];
/// Nothing here takes longer on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A demo that is ended with the test, and its folder.
struct Demo {
    child: Child,
    folder: PathBuf,
}

/// How a command ended.
#[derive(Debug, PartialEq)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Demo {
    fn start() -> Demo {
        let folder = std::env::temp_dir().join(format!("choria-it-replies-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let path = folder.to_str().expect("the folder has a plain name");
        let mut child = command(&["demo", "--servers", "3", "--dir", path])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut text = String::new();
        while !text.contains("Ctrl-C ends the demo.") {
            assert_ne!(output.read_line(&mut text).expect("text"), 0, "it ended: {text}");
        }
        Demo { child, folder }
    }

    fn command(&self, line: &str) -> std::process::Command {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let config = self.folder.join("client.conf");
        words.extend(["--config", config.to_str().expect("a plain name")]);
        let mut command = command(&words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env("USER", "demo");
        command
    }

    fn run(&self, line: &str) -> Ran {
        self.run_with(line, "")
    }

    fn run_with(&self, line: &str, input: &str) -> Ran {
        let mut child =
            self.command(line).stdin(Stdio::piped()).spawn().expect("the program starts");
        // A command that does not read its input may have ended already.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        ran(child)
    }

    /// What a command shows that ends well.
    fn shows(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
        ran.stdout
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn ran(child: Child) -> Ran {
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn replies_are_shown_counted_and_told_by_the_exit_code() {
    let demo = Demo::start();
    text_has_blocks_summaries_and_figures(&demo);
    machines_get_every_field(&demo);
    lists_of_nodes_are_followed(&demo);
    exit_codes_tell_who_failed(&demo);
    an_interrupt_shows_what_has_arrived(&demo);
    other_commands_show_their_reports(&demo);
}

fn text_has_blocks_summaries_and_figures(demo: &Demo) {
    let ran = demo.run("rpc rpcutil get_fact fact=role --sort");
    assert_eq!(ran.stderr, "Discovering nodes using the mc method .... 3\n");
    let block =
        |node: &str, role: &str| format!("{node:<40} \n\n    Fact: role\n   Value: {role}\n\n");
    let blocks = [block(NODES[0], "db"), block(NODES[1], "web"), block(NODES[2], "web")].concat();
    let expected = format!(
        "{blocks}Summary of Value:\n\n   web: 2\n    db: 1\n\n\nFinished processing 3 / 3 hosts in "
    );
    assert!(ran.stdout.starts_with(&expected), "{}", ran.stdout);
    let table = demo.shows("rpc rpcutil get_fact fact=role --table -F role=db");
    assert_eq!(
        table,
        "╭─────────────────────┬──────┬───────╮\n\
         │ Sender              │ Fact │ Value │\n\
         ├─────────────────────┼──────┼───────┤\n\
         │ db2.fra.example.net │ role │ db    │\n\
         ╰─────────────────────┴──────┴───────╯\n"
    );
    assert_eq!(demo.shows("rpc rpcutil ping --senders --sort"), format!("{}\n", NODES.join("\n")));
    let file = demo.folder.join("result");
    let line = format!("rpc rpcutil ping -1 --jsonl -o {}", file.display());
    assert_eq!(demo.shows(&line), "");
    assert!(
        fs::read_to_string(file)
            .expect("the file")
            .starts_with("{\"k\":\"discovery\",\"dm\":\"mc\"}\n")
    );
}

fn machines_get_every_field(demo: &Demo) {
    let document: Value =
        serde_json::from_str(&demo.shows("rpc rpcutil get_fact fact=role -j")).expect("JSON");
    assert_eq!(document["summaries"], serde_json::json!({"value": {"web": 2, "db": 1}}));
    assert_eq!(document["request_stats"]["ok"], 3);
    assert_eq!(document["replies"].as_array().map(Vec::len), Some(3));
    let lines = demo.shows("rpc rpcutil ping --jsonl --batch 2 --batch-sleep 10ms");
    let kinds: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON")["k"].to_string())
        .collect();
    let expected = ["discovery", "discovery", "result", "result", "result", "summaries", "stats"];
    assert_eq!(kinds, expected.map(|kind| format!("\"{kind}\"")));
}

fn lists_of_nodes_are_followed(demo: &Demo) {
    let senders = |line: &str, input: &str| {
        let ran = demo.run_with(&format!("rpc rpcutil ping --senders --sort {line}"), input);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let both = format!("{}\n{}\n", NODES[1], NODES[2]);
    assert_eq!(senders("--nodes -", &both), both);
    let result = demo.shows("rpc rpcutil ping --json -F role=web");
    assert_eq!(senders("--nodes -", &result), both, "the result of another request");
    assert_eq!(senders("", &result), both, "a result that is there at once");
    assert_eq!(senders("", &demo.shows("find --json -F role=web")), both, "an array");
    assert_eq!(senders("", &both).lines().count(), 3, "plain names belong to somebody else");
    assert_eq!(senders("-I /web3/ --nodes -", &both), format!("{}\n", NODES[2]));
}

fn exit_codes_tell_who_failed(demo: &Demo) {
    let nobody = "-I nobody.example.net -t 300ms";
    for (line, code) in [
        (format!("rpc rpcutil ping -I {} {nobody}", NODES[0]), 2),
        (format!("rpc rpcutil ping -I {} {nobody} --fail-on all", NODES[0]), 0),
        (format!("rpc rpcutil ping {nobody}"), 3),
        (format!("rpc rpcutil ping {nobody} --fail-on none"), 0),
        ("rpc rpcutil get_data source=nosuch".to_owned(), 2),
        ("rpc rpcutil ping -F role=nosuch --discovery-timeout 300ms".to_owned(), 1),
        ("find -F role=nosuch --discovery-timeout 300ms".to_owned(), 0),
        ("ping -F role=nosuch -t 300ms".to_owned(), 1),
        ("ping --expect 3".to_owned(), 0),
        ("facts role -F role=nosuch --discovery-timeout 300ms".to_owned(), 1),
    ] {
        let ran = demo.run(&line);
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
    }
    let ran = demo.run_with("rpc rpcutil ping --nodes - -t 300ms", "nobody.example.net\n");
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stdout.ends_with("\nNo Responses from: 1\n\n    nobody.example.net\n"), "{ran:?}");
}

fn an_interrupt_shows_what_has_arrived(demo: &Demo) {
    let line = format!("rpc rpcutil ping -t 60 -I {} -I nobody.example.net", NODES[0]);
    let mut child = demo.command(&line).spawn().expect("the program starts");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    output.read_line(&mut text).expect("the first reply shows at once");
    let started = Instant::now();
    let status = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
    std::io::Read::read_to_string(&mut output, &mut text).expect("the rest");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{text}");
    assert!(started.elapsed() < LIMIT / 2);
    assert!(text.contains("\nFinished processing 1 / 2 hosts in "), "{text}");
    assert!(text.ends_with("\nNo Responses from: 1\n\n    nobody.example.net\n"), "{text}");
}

fn other_commands_show_their_reports(demo: &Demo) {
    let facts = demo.shows("facts role --show-nodes");
    let expected = format!(
        "Report for fact: role\n\n  db  found 1 times\n\n    {}\n\n  web found 2 times\n\n    {}\n    {}\n\n\n",
        NODES[0], NODES[1], NODES[2]
    );
    assert!(facts.starts_with(&expected), "{facts}");
    let inventory = demo.shows(&format!("inventory {} --no-facts", NODES[0]));
    assert!(
        inventory
            .starts_with(&format!("Inventory for {}\n\n  Choria Server Statistics:\n", NODES[0]))
    );
    assert!(!inventory.contains("Facts:"), "{inventory}");
    let inventory = demo.shows(&format!("inventory {} --json", NODES[0]));
    let inventory: Value = serde_json::from_str(&inventory).expect("JSON");
    assert_eq!(
        (&inventory["identity"], &inventory["facts"]["role"]),
        (&NODES[0].into(), &"db".into())
    );
    assert_eq!(
        demo.shows("inventory --collectives"),
        "╭───────────────────────────────╮\n\
         │ Collective Report for 3 nodes │\n\
         ├─────────────┬─────────────────┤\n\
         │ Collective  │ Nodes           │\n\
         ├─────────────┼─────────────────┤\n\
         │ mcollective │ 3               │\n\
         ╰─────────────┴─────────────────╯\n"
    );
    let ping = demo.shows("ping");
    assert!(ping.contains("\n\n\n---- ping statistics ----\n3 replies max: "), "{ping}");
    let mut names: Vec<String> = demo.shows("ping --names").lines().map(str::to_owned).collect();
    names.sort();
    assert_eq!(names, NODES);
}
