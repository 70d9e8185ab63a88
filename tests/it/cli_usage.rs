//! The frame of the command line: exact texts, where they go, and exit codes.

use std::io::Read;
use std::process::{Command, Stdio};

use super::support::program;

/// How a run of the program ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program without any environment of the caller but the path.
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn choria(words: &[&str]) -> Ran {
    let output = command(words).output().expect("the program starts");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("output is text"),
        stderr: String::from_utf8(output.stderr).expect("errors are text"),
    }
}

fn fails(words: &[&str], stderr: &str) {
    let expected = Ran { code: Some(1), stdout: String::new(), stderr: stderr.to_owned() };
    assert_eq!(choria(words), expected, "{words:?}");
}

#[test]
fn usage_errors_go_to_standard_error_and_end_with_1() {
    fails(&["toool"], "choria: unknown command 'toool'\nhint: did you mean choria tool?\n");
    fails(&["zzzzz"], "choria: unknown command 'zzzzz'\nhint: choria --help lists the commands\n");
    fails(&["--debgu"], "choria: unknown option --debgu\nhint: did you mean --debug?\n");
    fails(
        &["tool", "confgi"],
        "choria: unknown command 'confgi'\nhint: did you mean choria tool config?\n",
    );
    fails(
        &["tool", "config", "--lsit"],
        "choria: unknown option --lsit\nhint: did you mean --list?\n\
         hint: usage: choria tool config [OPTIONS] [pattern]\n",
    );
    fails(
        &["tool", "config", "a", "b"],
        "choria: unrecognized argument: b\nhint: see choria tool config --help\n",
    );
    fails(
        &["tool", "status"],
        "choria: required options not provided: --status-file\n\
         hint: see choria tool status --help\n",
    );
    fails(
        &["tool", "status", "--status-file=x", "--max-age=soon"],
        "choria: error parsing option '--max-age' with value 'soon': a number was expected \
         instead of 'soon'\nhint: see choria tool status --help\n",
    );
}

#[test]
fn no_command_lists_the_commands() {
    let ran = choria(&["tool"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    let first = "choria: a command is missing; the commands of choria tool are:\n  config ";
    assert!(ran.stderr.starts_with(first), "{}", ran.stderr);
    let ran = choria(&[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
}

#[test]
fn help_and_version_go_to_standard_output() {
    for words in [&["--version"][..], &["tool", "--version"], &["tool", "config", "--version"]] {
        let ran = choria(words);
        let expected = format!("{}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((ran.code, ran.stdout, ran.stderr), (Some(0), expected, String::new()));
    }
    let help = choria(&["tool", "status", "--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("\nUsage: choria tool status [OPTIONS] --status-file FILE\n"));
    for words in
        [&["help", "tool", "status"][..], &["tool", "help", "status"], &["t", "status", "-h"]]
    {
        assert_eq!(choria(words), help, "{words:?}");
    }
    let group = choria(&["--help"]);
    assert!(group.stdout.contains("\nUsage: choria COMMAND [OPTIONS] [ARGUMENTS]\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(&["tool", "config", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
    assert_eq!((child.wait().expect("it ends").code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn words_that_are_not_text_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let output =
        command(&["tool"]).arg(OsStr::from_bytes(b"\xff")).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "choria: argument \"\\xFF\" is not valid UTF-8 text\n"
    );
}
