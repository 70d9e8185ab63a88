//! Lists of nodes for `--nodes` and from standard input, in every form our own commands write.

use std::io::Read;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use serde_json::Value;

use crate::cli::exit::Failure;
use crate::rpc::flatfile::{self, FILE_BYTES_MAX, Format};

/// How long a pipe may take to deliver before it is left alone.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The names in a file, or on standard input for `-`.
///
/// # Errors
/// When it cannot be read or is no list of names.
pub fn listed(source: &str) -> Result<Vec<String>, Failure> {
    if source == "-" {
        return parse(&read_input()?, None).map_err(|reason| unusable("standard input", &reason));
    }
    let mut text = Vec::new();
    std::fs::File::open(source)
        .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text))
        .map_err(|err| Failure::new(format!("cannot read the node list {source}: {err}")))?;
    parse(&text, Some(Path::new(source))).map_err(|reason| unusable(source, &reason))
}

/// What standard input has for us without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// A list of names.
    Names(Vec<String>),
    /// It is a pipe, and who writes it has not written anything yet.
    Waiting,
    /// Nothing that is meant for us.
    Nothing,
}

/// The names on standard input when it is a file or a pipe that delivers a JSON list at once; never waits for more than
/// a moment. Anything else on standard input is left unread: it belongs to somebody else, a loop of the shell for
/// example.
///
/// # Errors
/// When what arrives begins like a list and is none.
pub fn offered() -> Result<Offer, Failure> {
    let kind = fstat(rustix::stdio::stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let first = match kind {
        Ok(FileType::RegularFile) => first_of_file(),
        Ok(FileType::Fifo) if is_silent() => return Ok(Offer::Waiting),
        Ok(FileType::Fifo) => first_of_pipe(),
        _ => None,
    };
    if !matches!(first, Some(b'{' | b'[')) {
        return Ok(Offer::Nothing);
    }
    parse(&read_input()?, None)
        .map(Offer::Names)
        .map_err(|reason| unusable("standard input", &reason))
}

/// Whether nothing comes out of the pipe for a moment, not even its end.
fn is_silent() -> bool {
    let stdin = rustix::stdio::stdin();
    let mut wanted = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut wanted, Some(&PATIENCE)) == Ok(0)
}

/// The first byte that is not white space behind the current place of the file, which does not move.
fn first_of_file() -> Option<u8> {
    let stdin = rustix::stdio::stdin();
    let place = rustix::fs::tell(stdin).ok()?;
    let mut start = [0; 64];
    let count = rustix::io::pread(stdin, &mut start, place).ok()?;
    start[..count].iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// The first byte waiting in the pipe, copied into another pipe so that it stays where it is.
#[cfg(target_os = "linux")]
fn first_of_pipe() -> Option<u8> {
    use rustix::pipe::{SpliceFlags, pipe, tee};
    let stdin = rustix::stdio::stdin();
    let (reader, writer) = pipe().ok()?;
    if tee(stdin, &writer, 64, SpliceFlags::NONBLOCK).ok()? == 0 {
        return None;
    }
    let mut start = [0; 64];
    let count = rustix::io::read(&reader, &mut start).ok()?;
    start[..count].iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Only Linux can look into a pipe without taking from it; elsewhere `--nodes -` has to be said.
#[cfg(not(target_os = "linux"))]
fn first_of_pipe() -> Option<u8> {
    None
}

/// Everything on standard input.
fn read_input() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    std::io::stdin()
        .take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|err| Failure::new(format!("cannot read standard input: {err}")))?;
    Ok(text)
}

fn unusable(source: &str, reason: &str) -> Failure {
    Failure::new(format!("cannot use the node list from {source}: {reason}"))
        .hint("a list is: names one per line, a JSON or YAML array of names, or the output of rpc --json or --jsonl")
}

/// The names in a list. Its content decides between names, a JSON array, a result and lines of results; YAML is told
/// by the name of its file.
fn parse(text: &[u8], path: Option<&Path>) -> Result<Vec<String>, String> {
    let format = match path.map(Format::of_path) {
        Some(Format::Yaml) => Format::Yaml,
        _ => Format::guess(text),
    };
    if format == Format::Results
        && let Some(lines) = lines_of_results(text)
    {
        let names = lines?.join("\n");
        return flatfile::parse(names.as_bytes(), Format::Text, None)
            .map_err(|err| err.to_string());
    }
    flatfile::parse(text, format, None).map_err(|err| err.to_string())
}

/// The senders in the lines of `rpc --jsonl`; nothing when the text is something else.
fn lines_of_results(text: &[u8]) -> Option<Result<Vec<String>, String>> {
    let documents = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let mut names = Vec::new();
    for document in documents {
        let document = document.ok()?;
        match document["k"].as_str()? {
            "result" => names.push(document["rr"]["sender"].as_str()?.to_owned()),
            "error" => return Some(Err(format!("the request before failed: {}", document["err"]))),
            _ => {}
        }
    }
    Some(Ok(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_list() {
        for (text, expected) in [
            ("", ""),
            ("n1\n\n# none\nn2.example.net\nn1\n", "n1 n2.example.net"),
            (r#"["n2", "n1"]"#, "n2 n1"),
            (
                r#"{"agent":"x","replies":[{"sender":"n1","statuscode":1},{"sender":"n2"}]}"#,
                "n1 n2",
            ),
            (
                "{\"k\":\"discovery\",\"dm\":\"mc\"}\n{\"k\":\"result\",\"rr\":{\"sender\":\"n1\"}}\n{\"k\":\"stats\"}\n",
                "n1",
            ),
        ] {
            assert_eq!(
                parse(text.as_bytes(), None).map(|names| names.join(" ")),
                Ok(expected.to_string()),
                "{text}"
            );
        }
        let yaml = parse(b"- n1\n- n2\n", Some(Path::new("x.yaml")));
        assert_eq!(yaml, Ok(vec!["n1".to_string(), "n2".to_string()]));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in
            ["n1 n2", "[1]", "{\"x\":1}", "{\"k\":\"error\",\"err\":\"no\"}", "{", "[\"n1\""]
        {
            assert!(parse(text.as_bytes(), None).is_err(), "{text}");
        }
    }
}
