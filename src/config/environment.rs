//! The surroundings of the process that a configuration depends on, taken once and passed in.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::config::Role;

/// An environment variable that is looked at beside those of keys.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub meaning: &'static str,
    /// Who looks at it.
    pub roles: &'static [Role],
}

const EVERYBODY: &[Role] = &[Role::Client, Role::Server, Role::Broker];
const CLIENT: &[Role] = &[Role::Client];
const BROKER: &[Role] = &[Role::Broker];
const DAEMONS: &[Role] = &[Role::Server, Role::Broker];

const fn variable(name: &'static str, roles: &'static [Role], meaning: &'static str) -> Variable {
    Variable { name, meaning, roles }
}

/// Every environment variable but those in the table of keys, for the manual.
pub const VARIABLES: &[Variable] = &[
    variable("HOME", EVERYBODY, "The home folder: a leading ~ in paths, and files of a user"),
    variable("USER", CLIENT, "The user, who is called USER.mcollective in a certificate"),
    variable(
        "MCOLLECTIVE_CERTNAME",
        EVERYBODY,
        "The name in the own certificate, in place of USER or the identity",
    ),
    variable(
        "PATH",
        EVERYBODY,
        "Where programs are looked for: facter, puppet, getent, choria-login",
    ),
    variable("NO_COLOR", CLIENT, "Not empty: no colour"),
    variable("TERM", CLIENT, "The word dumb: no colour"),
    variable("TZ", EVERYBODY, "The time zone that Rego policies call Local"),
    variable(
        "INSECURE_DISABLE_TLS",
        EVERYBODY,
        "Exactly true: connections without TLS, for a laboratory",
    ),
    variable(
        "INSECURE_ANON_TLS",
        CLIENT,
        "Exactly true: connect without a certificate, as plugin.security.client_anon_tls",
    ),
    variable(
        "INSECURE_YES_REALLY",
        EVERYBODY,
        "Exactly true: no TLS, and requests are neither signed nor checked, for a laboratory",
    ),
    variable(
        "AWS_SHARED_CREDENTIALS_FILE",
        BROKER,
        "The credentials file of adapters to Kinesis, in place of ~/.aws/credentials",
    ),
    variable(
        "AWS_ACCESS_KEY_ID",
        BROKER,
        "The access key of adapters to Kinesis that have none in their configuration",
    ),
    variable("AWS_SECRET_ACCESS_KEY", BROKER, "The secret of that access key"),
    variable("AWS_SESSION_TOKEN", BROKER, "The session of that access key"),
    variable(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        BROKER,
        "Where adapters to Kinesis on an instance ask for credentials",
    ),
    variable(
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        BROKER,
        "Where adapters to Kinesis in a container ask for credentials",
    ),
    variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", BROKER, "The same, as a whole address"),
    variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", BROKER, "What is shown there"),
    variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", BROKER, "A file with that"),
    variable("NOTIFY_SOCKET", DAEMONS, "The socket of the service manager that is told the state"),
    variable("WATCHDOG_USEC", DAEMONS, "How often the service manager wants a sign of life"),
    variable("WATCHDOG_PID", DAEMONS, "The process that these signs are wanted from"),
];

/// Environment variables, the host name and the programs that can be asked about the host.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    host_name: String,
    /// Runs a program and gives what it wrote; tests put a table here.
    ask: fn(&Path, &[&str]) -> Option<String>,
}

impl Environment {
    /// The environment of this process, on a host of this name.
    pub fn of_process(host_name: String) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables, host_name, ask: run }
    }

    /// An environment made up for a test or a program that embeds Choria.
    pub fn fixed(variables: &[(&str, &str)], host_name: &str) -> Self {
        Self {
            variables: variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            host_name: host_name.to_owned(),
            ask: |_, _| None,
        }
    }

    /// The same with another value for a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The value of a variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a switch such as `INSECURE_DISABLE_TLS` is on: exactly `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.var(name) == Some("true")
    }

    /// The home folder.
    pub fn home(&self) -> Option<&Path> {
        self.var("HOME").map(Path::new)
    }

    /// What the operating system calls this host.
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// The fully qualified name of this host: its own name when that has two dots; else what the
    /// name service calls its address; else what facter says; else its own name.
    pub fn full_host_name(&self) -> String {
        if self.host_name.matches('.').count() >= 2 {
            return self.host_name.clone();
        }
        self.canonical_name()
            .or_else(|| self.facter("networking.fqdn"))
            .unwrap_or_else(|| self.host_name.clone())
    }

    /// The domain of this host, from facter, else from its full name.
    pub fn domain(&self) -> Option<String> {
        self.facter("networking.domain").or_else(|| {
            let name = self.full_host_name();
            name.split_once('.').map(|(_, domain)| domain.to_owned()).filter(|d| !d.is_empty())
        })
    }

    /// The folder of Puppet's certificates, as Puppet says; asked from Puppet by the superuser only.
    pub fn puppet_ssl_dir(&self) -> Option<PathBuf> {
        let args = ["apply", "--environment", "production", "--configprint", "ssldir"];
        let text = self.ask_puppet("puppet", &args)?;
        Some(PathBuf::from(text))
    }

    fn facter(&self, fact: &str) -> Option<String> {
        self.ask_puppet("facter", &[fact])
    }

    fn ask_puppet(&self, program: &str, args: &[&str]) -> Option<String> {
        let packaged = PathBuf::from("/opt/puppetlabs/bin").join(program);
        self.line(&packaged, args).or_else(|| self.line(Path::new(program), args))
    }

    /// The name that the name service gives for the address of this host.
    fn canonical_name(&self) -> Option<String> {
        let answer = self.line(Path::new("getent"), &["ahostsv4", &self.host_name])?;
        let address = answer.split_whitespace().next()?.to_owned();
        let answer = self.line(Path::new("getent"), &["hosts", &address])?;
        let name = answer.split_whitespace().nth(1)?.trim_end_matches('.');
        (name != "localhost" && name.contains('.')).then(|| name.to_owned())
    }

    /// The first line a program writes.
    fn line(&self, program: &Path, args: &[&str]) -> Option<String> {
        let output = (self.ask)(program, args)?;
        output.lines().next().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned)
    }
}

/// How long facter or puppet may take; both start slowly.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// How long the name service may take: every command waits for it.
const NAME_LIMIT: Duration = Duration::from_secs(2);
/// How much it may say, in bytes.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// Runs a program to its end or to its time limit; nothing when it is missing or fails.
fn run(program: &Path, args: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut output = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.by_ref().take(ANSWER_LIMIT).read_to_string(&mut text).ok().map(|_| text)
    });
    let started = Instant::now();
    let limit = if program == Path::new("getent") { NAME_LIMIT } else { ASK_LIMIT };
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return reader.join().ok().flatten(),
            Ok(None) if started.elapsed() < limit => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Ok(Some(_)) => return None,
            _ => {
                // Past its time or lost; either way it is not waited for any longer than this.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, ask: fn(&Path, &[&str]) -> Option<String>) -> Environment {
        Environment { ask, ..Environment::fixed(&[], name) }
    }

    #[test]
    fn the_full_name_of_a_host_is_found_in_this_order() {
        let nobody: fn(&Path, &[&str]) -> Option<String> = |_, _| None;
        let hosts_file: fn(&Path, &[&str]) -> Option<String> = |program, args| {
            (program == Path::new("getent")).then(|| match args[0] {
                "ahostsv4" => "192.0.2.7 STREAM web1\n192.0.2.7 DGRAM\n".to_owned(),
                _ => "192.0.2.7 web1.example.net web1\n".to_owned(),
            })
        };
        let facter: fn(&Path, &[&str]) -> Option<String> = |program, args| {
            (program == Path::new("facter")).then(|| format!("said.by.{}\n", args[0]))
        };
        let cases = [
            ("web1.example.net", nobody, "web1.example.net"),
            ("web1", nobody, "web1"),
            ("web1", hosts_file, "web1.example.net"),
            ("web1", facter, "said.by.networking.fqdn"),
        ];
        for (name, ask, expected) in cases {
            assert_eq!(host(name, ask).full_host_name(), expected, "{name}");
        }
    }

    #[test]
    fn the_domain_comes_from_facter_or_the_name() {
        assert_eq!(host("a.b.example", |_, _| None).domain().as_deref(), Some("b.example"));
        assert_eq!(host("a", |_, _| None).domain(), None);
    }

    #[test]
    fn programs_are_run_for_their_output_and_not_beyond_their_time() {
        assert_eq!(run(Path::new("echo"), &["hi"]).as_deref(), Some("hi\n"));
        assert_eq!(run(Path::new("false"), &[]), None);
        assert_eq!(run(Path::new("/no/such/program"), &[]), None);
    }

    #[test]
    fn empty_variables_count_as_unset() {
        let env = Environment::fixed(&[("USER", ""), ("INSECURE_DISABLE_TLS", "true")], "x");
        assert_eq!(env.var("USER"), None);
        assert!(env.is_true("INSECURE_DISABLE_TLS"));
        assert!(!env.is_true("USER"));
    }
}
