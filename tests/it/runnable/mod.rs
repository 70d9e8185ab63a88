//! Runs the examples of the documentation and of the help texts that are marked as runnable. What the marks are: `page`.

mod page;
mod shape;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::{DEADLINE, Finished, Folder, Process, free_port, program, run};
use page::{Action, Page, Step};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Ports that pages use; each test puts free ones in their places.
const PORTS: &[u16] = &[4222, 4322, 8222, 8322];
/// Hosts that pages use; here they are this machine.
const HOSTS: &[&str] = &["broker.example.net", "hub.example.net"];
/// Folders that pages use; here they are below the folder of the test.
const FOLDERS: &[&str] = &["/etc/choria", "/var/lib/choria", "/var/spool/choria"];

/// A page that is being run.
struct Session {
    folder: Folder,
    ports: Vec<(u16, u16)>,
    background: Vec<Process>,
}

impl Session {
    fn new(name: &str) -> Session {
        let folder = Folder::new(name);
        fs::create_dir(folder.file("home")).expect("a folder");
        let ports = PORTS.iter().map(|port| (*port, free_port())).collect();
        Session { folder, ports, background: Vec::new() }
    }

    /// Runs the blocks of the page that comes first, then its own.
    fn run_page(&mut self, name: &str) {
        let path = Path::new(ROOT).join(name);
        let page = Page::parse(&fs::read_to_string(&path).expect("a page"));
        if let Some(after) = &page.after {
            let first = path.parent().expect("a folder").join(after);
            let first = first.strip_prefix(ROOT).expect("below the project").to_owned();
            self.run_page(first.to_str().expect("text"));
        }
        assert!(!page.steps.is_empty(), "nothing is marked in {name}");
        for step in &page.steps {
            self.take(step, &format!("{name}:{}", step.line));
        }
    }

    fn take(&mut self, step: &Step, place: &str) {
        let shape = step.shape.as_deref().map(|shape| self.here(shape));
        match &step.action {
            Action::Run(script) => {
                let done = self.sh(script);
                assert_eq!(done.code, 0, "{place}: {done:?}");
                if let Some(shape) = shape {
                    let fits = shape::fits(&shape, &done.stdout);
                    assert!(fits, "{place} shows\n{shape}\nand this came:\n{}", done.stdout);
                }
            }
            Action::Background(script) => {
                let log = self.folder.file(&format!("background-{}.log", self.background.len()));
                let script = format!("exec {}", self.here(script).trim());
                let process = Process::start(self.shell(&["-eu", "-c", &script]), log);
                self.background.push(process);
                let process = self.background.last().expect("just started");
                let shape = shape.unwrap_or_else(|| panic!("{place}: what is waited for?"));
                let begun = Instant::now();
                while !shape::is_within(&shape, &process.output()) {
                    let output = process.output();
                    assert!(begun.elapsed() < DEADLINE, "{place} waits for\n{shape}\nin\n{output}");
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Action::Write { path, text } => {
                let path = self.here(&path.replacen('~', "/etc/choria/../../home", 1));
                let mut text = self.here(text);
                if text.contains("plugin.choria.broker_network = true") {
                    text.push_str("plugin.choria.network.listen_address = 127.0.0.1\n");
                }
                let folder = Path::new(&path).parent().expect("a folder");
                fs::create_dir_all(folder).expect("a folder");
                fs::write(&path, text).expect("a file");
            }
        }
    }

    /// A text of a page with the places of this test.
    fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (shown, port) in &self.ports {
            text = text.replace(&shown.to_string(), &port.to_string());
        }
        for host in HOSTS {
            text = text.replace(host, "localhost");
        }
        for folder in FOLDERS {
            let here = self.folder.file(&folder[1..]);
            text = text.replace(folder, here.to_str().expect("text"));
        }
        text
    }

    fn sh(&self, script: &str) -> Finished {
        run(self.shell(&["-eu", "-c", &self.here(script)]), "")
    }

    /// A shell of the user alice, who has the program in her path and nothing else of whoever runs the test.
    fn shell(&self, args: &[&str]) -> Command {
        let program = program();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.args(args).env_clear().current_dir(self.folder.file("home"));
        command.env("PATH", format!("{}:{path}", program.parent().expect("a folder").display()));
        command.env("HOME", self.folder.file("home")).env("USER", "alice");
        command.env("TMPDIR", self.folder.file("home"));
        command
    }
}

macro_rules! pages {
    ($($test:ident: $page:literal;)*) => {
        /// Pages with blocks that are run.
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $test() {
                Session::new(concat!("runnable-", stringify!($test))).run_page($page);
            }
        )*
    };
}

pages! {
    adapters: "docs/adapters.md";
    broker: "docs/broker.md";
    configuration: "docs/configuration.md";
    federation: "docs/federation.md";
    rpc: "docs/rpc.md";
    security: "docs/security.md";
    server: "docs/server.md";
}

#[test]
fn every_page_with_marks_is_run() {
    let mut marked = Vec::new();
    let entries = fs::read_dir(Path::new(ROOT).join("docs")).expect("a folder");
    let docs =
        entries.map(|entry| format!("docs/{}", entry.expect("an entry").file_name().display()));
    for name in docs.chain(["README.md".to_owned()]).filter(|name| name.ends_with(".md")) {
        let text = fs::read_to_string(Path::new(ROOT).join(&name)).expect("a page");
        if !Page::parse(&text).steps.is_empty() {
            marked.push(name);
        }
    }
    marked.sort();
    assert_eq!(marked, PAGES);
}

/// The examples of `--help`, which are those of the manual, in a demo network.
#[test]
fn examples_of_commands_run() {
    let mut session = Session::new("runnable-examples");
    let demo = "choria demo --servers 5 --dir demo";
    let shape = Some("Ctrl-C ends the demo.\n".to_owned());
    session.take(&Step { line: 0, action: Action::Background(demo.to_owned()), shape }, "demo");
    session.sh("cp demo/client.conf .choriarc");
    let examples = choria::cli::runnable_examples();
    assert!(examples.len() >= 20, "only {}", examples.len());
    for example in examples {
        let done = run(session.shell(&["-eu", "-c", &example]), "");
        assert_eq!(done.code, 0, "{example}: {done:?}");
        assert!(!done.stderr.contains("warning"), "{example}: {done:?}");
    }
}
