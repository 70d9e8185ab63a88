//! What `choria rpc`, `ping`, `find`, `facts` and `inventory` say without any network: help, mistakes, no broker.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::support::program;

/// A folder with a client configuration and the description of one agent; nothing listens at its broker address.
struct Home(PathBuf);

const SERVICE: &str = r#"{
  "metadata": {"name": "service", "description": "Manages services", "author": "A", "license": "Apache-2.0",
               "version": "4.0.1", "url": "https://example.net", "timeout": 60},
  "actions": [{
    "action": "restart", "description": "Restart a service", "display": "always",
    "input": {
      "service": {"prompt": "Service", "description": "The service to restart", "type": "string", "optional": false,
                  "validation": "shellsafe", "maxlength": 90},
      "count": {"prompt": "Count", "description": "How often", "type": "integer", "optional": true, "default": 1}},
    "output": {"status": {"description": "State afterwards", "display_as": "Status", "type": "string"}}}]}"#;

impl Home {
    fn new(name: &str) -> Home {
        let folder = std::env::temp_dir().join(format!("choria-it-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("lib/choria/agent")).expect("a folder for the test");
        std::fs::write(folder.join("lib/choria/agent/service.json"), SERVICE)
            .expect("a description");
        let config = format!(
            "collectives = mcollective\nlibdir = {}/lib\nidentity = test.example.net\ncolor = false\n\
             plugin.choria.middleware_hosts = 127.0.0.1:1\nplugin.choria.ssldir = {}\n",
            folder.display(),
            folder.display()
        );
        std::fs::write(folder.join("client.conf"), config).expect("a configuration");
        Home(folder)
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).stdin(Stdio::null()).output().expect("the binary runs")
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(line.split_whitespace())
            .arg("--config")
            .arg(self.0.join("client.conf"))
            .env_clear()
            .env("HOME", &self.0)
            .env("USER", "test")
            .env("INSECURE_YES_REALLY", "true")
            .current_dir(&self.0);
        command
    }

    /// Runs a line that must fail with exit code 1 and this report, without having written a result.
    fn refuses(&self, line: &str, report: &str) {
        let output = self.run(line);
        assert_eq!(text(&output.stderr), report, "{line}");
        assert_eq!(text(&output.stdout), "", "{line}");
        assert_eq!(output.status.code(), Some(1), "{line}");
    }

    /// Runs a line that must succeed and answers what it shows.
    fn shows(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(text(&output.stderr), "", "{line}");
        assert_eq!(output.status.code(), Some(0), "{line}");
        text(&output.stdout)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    let home = Home::new("mistakes");
    let inputs = "hint: 'choria rpc service restart --help' shows the inputs\n";
    for (line, report) in [
        (
            "rpc servce restart",
            "choria: could not resolve servce DDL in any resolver: no such agent\nhint: did you mean service?\n",
        ),
        (
            "rpc service restrt",
            "choria: unknown action service#restrt\nhint: did you mean restart?\n",
        ),
        (
            "rpc service restart servic=x",
            "choria: invalid input: input 'servic' has not been declared\nhint: did you mean service?\n",
        ),
        ("rpc service restart", "choria: invalid input: input 'service' is required\n"),
        (
            "rpc service restart service=x count=many",
            "choria: invalid input: invalid value for 'count': 'many' is not a valid integer\n",
        ),
        (
            "rpc service restart service=a;b",
            "choria: invalid input: invalid value for 'service': may not contain ';'\n",
        ),
    ] {
        let report = if report.contains("invalid input") {
            format!("{report}{inputs}")
        } else {
            report.to_owned()
        };
        home.refuses(line, &report);
    }
}

#[test]
fn readers_of_lines_are_told_as_well() {
    let home = Home::new("lines");
    let output = home.run("rpc service restart --jsonl");
    let line = "{\"k\":\"error\",\"err\":\"invalid input: input 'service' is required\"}\n";
    assert_eq!(text(&output.stdout), line);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_not_supported_is_refused() {
    let home = Home::new("unsupported");
    let rpc = "rpc service restart service=x";
    home.refuses(
        &format!("{rpc} -S with('x')"),
        "choria: compound filters (-S, --select) are not supported yet\n\
         hint: combine -F, -C, -A, -I and -W instead; nothing was sent\n",
    );
    home.refuses(
        &format!("{rpc} --filter-replies ok()"),
        "choria: --filter-replies is not supported yet\nhint: nothing was sent\n",
    );
    home.refuses(
        &format!("{rpc} --dm puppetdb"),
        "choria: the discovery method puppetdb is not supported yet\nhint: use --dm mc, or list nodes with --nodes\n",
    );
    home.refuses(
        &format!("{rpc} -T elsewhere"),
        "choria: 'elsewhere' is not on the list of known collectives\nhint: known are: mcollective\n",
    );
}

#[test]
fn wrong_words_are_named() {
    let home = Home::new("words");
    for (line, part) in [
        ("rpc service restart nginx", "choria: expected KEY=VALUE got 'nginx'\n"),
        (
            "rpc service restart service=x --limit some",
            "choria: could not parse limit as either number or percent: 'some'\n",
        ),
        (
            "rpc service restart service=x --nodes nosuch",
            "choria: cannot read the node list nosuch: ",
        ),
        ("rpc service restart service=x -F nonsense", "choria: could not parse filters: "),
        (
            "rpc service restart service=x --displai ok",
            "choria: unknown option --displai\nhint: did you mean --display?\n",
        ),
        ("inventory", "choria: please specify a node to retrieve inventory for\n"),
        ("facts", "choria: "),
        ("ping --timeout soon", "choria: --timeout cannot be 'soon': "),
    ] {
        let output = home.run(line);
        assert!(text(&output.stderr).starts_with(part), "{line}: {}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{line}");
    }
}

#[test]
fn agents_and_actions_explain_themselves() {
    let home = Home::new("help");
    let agents = home.shows("rpc");
    assert!(agents.contains("\n  rpcutil "), "{agents}");
    assert!(agents.contains("\n  service ") && agents.contains("Manages services"), "{agents}");
    assert_eq!(
        home.shows("req service"),
        "service 4.0.1: Manages services\n\
         \n\
         Actions:\n\
         \n\
         \x20 restart  Restart a service\n\
         \n\
         Run 'choria rpc service ACTION --help' for what an action takes and answers.\n"
    );
    assert_eq!(
        home.shows("rpc service restart --help"),
        "Usage: choria rpc service restart service=STRING [count=INTEGER] [options]\n\
         \n\
         Restart a service\n\
         \n\
         Inputs:\n\
         \n\
         \x20 count  integer, optional, default 1\n\
         \x20     How often\n\
         \n\
         \x20 service  string, required, at most 90 characters, shellsafe\n\
         \x20     The service to restart\n\
         \n\
         Outputs:\n\
         \n\
         \x20 status  string: State afterwards\n\
         \n\
         Shown: every reply. Time allowed: 60 s.\n\
         \n\
         Example:\n\
         \n\
         \x20 choria rpc service restart service=value -I n1.example.net\n\
         \n\
         Run 'choria rpc --help' for the options.\n"
    );
    let document: serde_json::Value =
        serde_json::from_str(&home.shows("rpc service --json")).expect("JSON");
    assert_eq!(document["actions"][0]["action"], "restart");
}

#[test]
fn every_command_has_help_with_examples() {
    let home = Home::new("examples");
    for command in ["rpc", "ping", "find", "facts", "inventory"] {
        let help = home.shows(&format!("{command} --help"));
        assert!(help.contains(&format!("Examples:\n  choria {command}")), "{help}");
        assert!(help.contains("-F, --wf FACT"), "{help}");
    }
}

#[test]
fn a_broker_that_is_not_there_is_named_soon() {
    let home = Home::new("refused");
    let lines = ["ping", "find", "facts os.name", "inventory n1", "rpc rpcutil ping --jsonl"];
    let started = Instant::now();
    let start = |line| {
        let mut command = home.command(line);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        (line, command.spawn().expect("the binary runs"))
    };
    for (line, child) in lines.map(start) {
        let output = child.wait_with_output().expect("it ends");
        assert!(started.elapsed() < Duration::from_secs(8), "{line} took {:?}", started.elapsed());
        assert!(text(&output.stderr).contains("127.0.0.1:1"), "{line}: {}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{line}");
    }
}

#[test]
fn an_open_pipe_on_standard_input_does_not_make_it_wait() {
    let home = Home::new("pipe");
    let started = Instant::now();
    let mut child = home
        .command("rpc service restart service=x --discovery-timeout soon")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let stdin = child.stdin.take();
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(stdin);
}
