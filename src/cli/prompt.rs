//! Questions to the person at the terminal. Without a terminal a line of standard input answers.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::cli::exit::Failure;

/// Bytes an answer may have at most.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Asks for a text; `default` stands for an empty answer.
pub(super) fn text(question: &str, default: Option<&str>) -> Result<String, Failure> {
    let shown = default.map_or_else(String::new, |default| format!(" [{default}]"));
    let answer = ask(&format!("{question}{shown}: "))?;
    match (answer.is_empty(), default) {
        (true, Some(default)) => Ok(default.to_owned()),
        (true, None) => Err(Failure::new(format!("{} is needed", question.to_lowercase()))),
        (false, _) => Ok(answer),
    }
}

/// Asks for a secret, which the terminal does not show.
pub(super) fn secret(question: &str) -> Result<String, Failure> {
    let hidden = Hidden::begin();
    let answer = ask(&format!("{question}: "));
    drop(hidden);
    match answer? {
        answer if answer.is_empty() => {
            Err(Failure::new(format!("{} is needed", question.to_lowercase())))
        }
        answer => Ok(answer),
    }
}

fn ask(question: &str) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot read an answer: {error}"));
    if io::stdin().is_terminal() {
        // Standard output is for results.
        let mut err = io::stderr();
        err.write_all(question.as_bytes()).and_then(|()| err.flush()).map_err(failed)?;
    }
    let mut answer = Vec::new();
    let mut input = io::Read::take(io::stdin().lock(), ANSWER_BYTES_MAX);
    input.read_until(b'\n', &mut answer).map_err(failed)?;
    let answer = String::from_utf8(answer).map_err(|_| Failure::new("the answer is not text"))?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal without echo, until it is dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Self {
        let stdin = io::stdin();
        let Ok(before) = termios::tcgetattr(&stdin) else { return Self(None) };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        // A terminal that cannot be silenced still asks.
        let _ = termios::tcsetattr(&stdin, OptionalActions::Flush, &silent);
        Self(Some(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}
