//! `choria tool config --check`: would a process start with this file? Packages ask it when they are installed.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::render::style::printable;
use crate::cli::render::value::indented;
use crate::config::{Config, Severity, Source};

/// What was found, each a line without its severity.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    file: Option<PathBuf>,
    /// A process refuses to start with these.
    refused: Vec<String>,
    /// It names these and goes on.
    warnings: Vec<String>,
}

/// Looks through the configuration and prints what is found. Ends with 1 when a process would not start with it.
pub fn check(source: &Source, context: &Context, as_json: bool) -> Result<Exit, Failure> {
    let findings = find(source, context);
    let text =
        if as_json { format!("{}\n", indented(&document(&findings), 2)) } else { lines(&findings) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if findings.refused.is_empty() { Exit::Success } else { Exit::Failed })
}

fn find(source: &Source, context: &Context) -> Findings {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let (config, warnings) = match Config::load(source, &context.environment(), &cwd) {
        Ok(loaded) => loaded,
        Err(error) => {
            return Findings { refused: vec![error.to_string()], ..Findings::default() };
        }
    };
    let mut findings = Findings {
        file: config.file.clone(),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        ..Findings::default()
    };
    for unsupported in config.unsupported_keys() {
        match unsupported.severity {
            Severity::Refuse => findings.refused.push(unsupported.to_string()),
            Severity::Warn => findings.warnings.push(unsupported.to_string()),
        }
    }
    findings
}

fn lines(findings: &Findings) -> String {
    let refused = findings.refused.iter().map(|line| format!("refused: {}\n", printable(line)));
    let warnings = findings.warnings.iter().map(|line| format!("warning: {}\n", printable(line)));
    let mut text: String = refused.chain(warnings).collect();
    if text.is_empty() {
        text = match &findings.file {
            Some(file) => format!("{} OK\n", file.display()),
            None => "no configuration file, all keys have their defaults\n".to_owned(),
        };
    }
    text
}

fn document(findings: &Findings) -> Json {
    json!({
        "file": findings.file.as_ref().map(|file| file.display().to_string()),
        "starts": findings.refused.is_empty(),
        "refused": findings.refused,
        "warnings": findings.warnings,
    })
}
