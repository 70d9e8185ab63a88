//! Policies that somebody else wrote, evaluated in another process: it may take so much memory and time, and what becomes
//! of it does no harm here.
//!
//! The other process is this program once more, with [`EVALUATE`] as its only word. It gets a question on its standard
//! input, as JSON, and answers on its standard output.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine::{Rego, STACK_BYTES};
use super::watch::MEMORY_BYTES_MAX;
use super::{EVALUATE, RegoFault};
use crate::protocol::filter::Filter;
use crate::sys::{Bounds, bind};

/// Time for the whole of it: the evaluation has less, but a busy host starts programs slowly.
const LIMIT: Duration = Duration::from_secs(5);
/// Processor time that the other process may use.
const CPU_SECS: u64 = 3;
/// Memory that it may use besides its stack. The interpreter stops by itself before, unless it asks for much at once.
const HEADROOM_BYTES: u64 = 64 * 1024 * 1024;
/// Files it may have open: standard ones, and those that tell about memory and time zones.
const FILES_MAX: u64 = 16;
/// Bytes of a question: a policy, and an input made of a request and the facts of a node.
const QUESTION_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    /// The text of the policy.
    pub policy: String,
    /// The package it has to be of.
    pub package: String,
    /// What it is asked with.
    pub input: Value,
    /// The filter of the request, for policies that ask about it.
    pub filter: Option<Filter>,
}

impl Question {
    /// Answers it in this process.
    pub fn answer(self) -> Result<bool, RegoFault> {
        Rego::parse(&self.policy, &self.package)?.allows(self.input, self.filter.as_ref())
    }

    /// Has it answered by another process of this program.
    pub fn ask(&self, program: &Path) -> Result<bool, RegoFault> {
        let question = serde_json::to_vec(self).map_err(|error| failed(&error))?;
        let mut child = Command::new(program)
            .arg(EVALUATE)
            .env_clear()
            .envs(std::env::var_os("TZ").map(|zone| ("TZ", zone)))
            // The allocator of the static build would take a gigabyte at once, which then could not be counted.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(&error))?;
        let answer = talk(&mut child, &question, Instant::now() + LIMIT);
        if answer.is_err() {
            // It may have ended by itself.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| failed(&error))?;
        match answer {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(RegoFault::TooSlow),
            Err(error) => Err(failed(&error)),
            Ok(answer) => serde_json::from_slice(&answer).unwrap_or_else(|_| Err(ended(status))),
        }
    }
}

/// Says why there is no answer.
fn failed(error: &dyn std::fmt::Display) -> RegoFault {
    let text = format!("the process that evaluates it failed: {error}");
    RegoFault::Policy { line: None, text }
}

/// What kept the other process from an answer.
fn ended(status: ExitStatus) -> RegoFault {
    const KILL: i32 = 9;
    match status.signal() {
        // Out of processor time.
        Some(KILL) => RegoFault::TooSlow,
        // A program that gets no memory, or no more stack, ends itself.
        Some(_) => RegoFault::TooLarge,
        None => failed(&status),
    }
}

/// Writes all of a question and reads all of the answer, until a deadline.
fn talk(child: &mut Child, mut question: &[u8], end: Instant) -> io::Result<Vec<u8>> {
    let mut input = child.stdin.take();
    let mut output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    if let Some(input) = &input {
        rustix::io::ioctl_fionbio(input, true)?;
    }
    rustix::io::ioctl_fionbio(&output, true)?;
    let mut answer = Vec::new();
    let mut room = [0; 4096];
    while answer.len() <= ANSWER_BYTES_MAX {
        wait(input.as_ref(), &output, end)?;
        if let Some(pipe) = &mut input {
            match pipe.write(question) {
                Ok(count) => question = question.get(count..).unwrap_or_default(),
                Err(error) if is_for_later(&error) => {}
                // It has ended, and its status says more.
                Err(_) => question = &[],
            }
            if question.is_empty() {
                input = None;
            }
        }
        match output.read(&mut room) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(room.get(..count).unwrap_or_default()),
            Err(error) if is_for_later(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("its answer is too long"))
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Waits until something can be read or written.
fn wait(
    input: Option<&std::process::ChildStdin>,
    output: &std::process::ChildStdout,
    end: Instant,
) -> io::Result<()> {
    let left = end.saturating_duration_since(Instant::now());
    let mut ends = vec![PollFd::new(output, PollFlags::IN)];
    ends.extend(input.map(|input| PollFd::new(input, PollFlags::OUT)));
    let left = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    match poll(&mut ends, Some(&left)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the other process does.
pub fn evaluate_for_parent() -> ExitCode {
    let bounds = Bounds {
        memory_bytes: MEMORY_BYTES_MAX + HEADROOM_BYTES + STACK_BYTES as u64,
        cpu_secs: CPU_SECS,
        files: FILES_MAX,
    };
    if bind(&bounds).is_err() {
        return ExitCode::FAILURE;
    }
    let mut text = Vec::new();
    let read = io::stdin().lock().take(QUESTION_BYTES_MAX).read_to_end(&mut text);
    let question = read
        .map_err(|error| failed(&error))
        .and_then(|_| serde_json::from_slice::<Question>(&text).map_err(|error| failed(&error)));
    drop(text);
    let answer = question.and_then(Question::answer);
    let written = serde_json::to_vec(&answer).map_err(io::Error::from);
    match written.and_then(|answer| io::stdout().write_all(&answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
