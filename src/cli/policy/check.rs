//! `choria policy check`: what the author of a policy will not have meant.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::render::style::{Style, printable};
use crate::cli::render::value::indented;
use crate::config::{Config, Source};
use crate::policy::action::{Finding, Groups, Known, Policy, lint, lint_groups};
use crate::policy::{FILE_BYTES_MAX, GROUPS_FILE, rego};
use crate::rpc::ddl_files;
use crate::sys::read_bounded;

/// Look for mistakes in policy files: lines that cannot be read or that nothing reaches, unknown agents, actions and
/// groups, conditions that make no sense. The name of a file says what it is: AGENT.policy, AGENT.rego or groups; the
/// file groups beside a policy is looked up in.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} /etc/choria/policies/*.policy /etc/choria/policies/groups\n\
    {command_name} --json new/service.policy",
    note = "Exit codes:\n\
        0 nothing was found\n\
        1 something was found, or a file cannot be read"
)]
pub struct Check {
    /// one JSON array of findings
    #[argh(switch, short = 'j')]
    json: bool,
    /// the agent the files are about, when their names do not say so
    #[argh(option, arg_name = "name")]
    agent: Option<String>,
    /// the files
    #[argh(positional, greedy, arg_name = "file")]
    files: Vec<PathBuf>,
}

impl Subcommand for Check {
    async fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.files.is_empty() {
            return Err(Failure::new("name the policy files to check")
                .hint("choria policy check /etc/choria/policies/*.policy"));
        }
        let config = config(context);
        let agents = agents(config.as_ref());
        let mut findings = Vec::new();
        for file in &self.files {
            // One file that cannot be read keeps nothing about the others back.
            let found = self.look_at(file, &agents, config.as_ref()).unwrap_or_else(|failure| {
                vec![Finding { line: 0, text: failure.message, hint: None }]
            });
            findings.extend(found.into_iter().map(|finding| (file.as_path(), finding)));
        }
        let style = Style::new(context.colour);
        let text = if self.json { document(&findings) } else { self.text(&findings, style) };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(if findings.is_empty() { Exit::Success } else { Exit::Failed })
    }
}

impl Check {
    fn look_at(
        &self,
        file: &Path,
        agents: &BTreeMap<String, Vec<String>>,
        config: Option<&Config>,
    ) -> Result<Vec<Finding>, Failure> {
        let bytes = match read_bounded(file, FILE_BYTES_MAX) {
            Ok((bytes, _)) => bytes,
            // Which file it is stands before every finding.
            Err(error) => return Err(Failure::new(format!("cannot be read: {error}"))),
        };
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == GROUPS_FILE {
            return Ok(lint_groups(&Groups::parse(&bytes)));
        }
        if file.extension().is_some_and(|extension| extension == "rego") {
            return Ok(look_at_rego(&bytes));
        }
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let default = config.and_then(|config| config.raw("plugin.actionpolicy.default_name"));
        let is_default = stem == default.as_deref().unwrap_or("default");
        let is_policy = file.extension().is_some_and(|extension| extension == "policy");
        let agent = self.agent.as_deref().or_else(|| (is_policy && !is_default).then_some(stem));
        let groups = file.with_file_name(GROUPS_FILE);
        let groups =
            if groups.exists() { Groups::parse(&read(&groups)?) } else { Groups::default() };
        let known = Known { agents: agents.clone(), groups: Some(groups) };
        Ok(lint(&Policy::parse(&bytes), agent, &known))
    }

    fn text(&self, findings: &[(&Path, Finding)], style: Style) -> String {
        let mut text = String::new();
        for (file, finding) in findings {
            let place = match finding.line {
                0 => file.display().to_string(),
                line => format!("{}:{line}", file.display()),
            };
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{}: {}", style.bold(&place), printable(&finding.text));
            if let Some(hint) = &finding.hint {
                let _ = writeln!(text, "    hint: {}", printable(hint));
            }
        }
        let files = match self.files.len() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        let _ = match findings.len() {
            0 => writeln!(text, "{files} checked, {}", style.green("nothing found")),
            1 => writeln!(text, "\n{files} checked, {}", style.red("1 finding")),
            count => {
                writeln!(text, "\n{files} checked, {}", style.red(&format!("{count} findings")))
            }
        };
        text
    }
}

fn document(findings: &[(&Path, Finding)]) -> String {
    let list = findings.iter().map(|(file, finding)| {
        json!({
            "file": file.display().to_string(),
            "line": (finding.line > 0).then_some(finding.line),
            "text": finding.text,
            "hint": finding.hint,
        })
    });
    format!("{}\n", indented(&list.collect::<Vec<_>>(), 2))
}

fn look_at_rego(bytes: &[u8]) -> Vec<Finding> {
    let finding = |line, text: String| vec![Finding { line, text, hint: None }];
    let Ok(text) = std::str::from_utf8(bytes) else {
        return finding(0, "the policy is not UTF-8 text; every request is denied".to_owned());
    };
    match rego::Rego::parse(text, rego::FILE_PACKAGE) {
        Ok(_) => Vec::new(),
        Err(fault) => finding(
            fault.line().unwrap_or_default(),
            format!("{fault}; every request to the agent is denied"),
        ),
    }
}

/// A policy file for a command.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = read_bounded(file, FILE_BYTES_MAX);
    let (bytes, _) =
        read.map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
    Ok(bytes)
}

/// The configuration, for the folders of descriptions and the name of the default policy. Without one the built-in
/// agents are known.
pub(super) fn config(context: &Context) -> Option<Config> {
    let source = Source::Client { path: context.globals.config.clone() };
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    Config::load(&source, &context.environment(), &cwd).ok().map(|(config, _)| config)
}

/// The agents that have a description, with their actions.
pub(super) fn agents(config: Option<&Config>) -> BTreeMap<String, Vec<String>> {
    let libdirs = config.map(|config| config.libdir.as_slice()).unwrap_or_default();
    let described = ddl_files::names(libdirs).into_iter().filter_map(|name| {
        let agent = ddl_files::resolve(&name, libdirs).ok()?;
        Some((name, agent.actions.iter().map(|action| action.name.clone()).collect()))
    });
    described.collect()
}
