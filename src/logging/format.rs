//! How one log line looks.

use std::fmt::Write;
use std::time::SystemTime;

use log::Level;

use crate::util::time;

/// The shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `time="…" level=info msg="…"`, as go-choria writes to a pipe.
    Text,
    /// One JSON object a line with `time`, `level`, `msg` and, when known, `component`.
    Json,
    /// `WARN  broker: …`, for a person at a terminal.
    Brief,
    /// `[pid] 2026/11/22 17:03:05.123456 [INF] …`, for tools that read the log of nats-server.
    Nats,
}

impl Format {
    /// One line with its end. Control characters of the message are escaped, so that what a peer
    /// sends can neither start a line of its own nor steer a terminal.
    pub(super) fn line(self, level: Level, message: &str, now: SystemTime) -> String {
        match self {
            Self::Text => {
                let mut line =
                    format!("time=\"{}\" level={} msg=\"", time::rfc3339(now), word(level));
                escape(&mut line, message, true);
                line.push_str("\"\n");
                line
            }
            Self::Json => json(level, message, now),
            Self::Brief => {
                let mut line = format!("{:<7} ", word(level).to_uppercase());
                escape(&mut line, message, false);
                line.push('\n');
                line
            }
            Self::Nats => {
                let pid = std::process::id();
                let mut line = format!("[{pid}] {} [{}] ", time::nats(now), nats_word(level));
                escape(&mut line, message, false);
                line.push('\n');
                line
            }
        }
    }
}

fn json(level: Level, message: &str, now: SystemTime) -> String {
    let mut object = serde_json::Map::new();
    let (component, message) = split(message);
    if let Some(component) = component {
        object.insert("component".into(), component.into());
    }
    object.insert("level".into(), word(level).into());
    object.insert("msg".into(), message.into());
    object.insert("time".into(), time::rfc3339(now).into());
    let mut line = String::new();
    // JSON itself leaves those above ASCII as they are.
    for c in serde_json::Value::Object(object).to_string().chars() {
        if c.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(line, "\\u{:04x}", c as u32);
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

/// Takes `component` off a message of the form `component: text`.
fn split(message: &str) -> (Option<&str>, &str) {
    match message.split_once(": ") {
        Some((name, rest))
            if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') =>
        {
            (Some(name), rest)
        }
        _ => (None, message),
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn nats_word(level: Level) -> &'static str {
    match level {
        Level::Error => "ERR",
        Level::Warn => "WRN",
        Level::Info => "INF",
        Level::Debug => "DBG",
        Level::Trace => "TRC",
    }
}

fn escape(line: &mut String, message: &str, quoted: bool) {
    for c in message.chars() {
        match c {
            '"' | '\\' if quoted => {
                line.push('\\');
                line.push(c);
            }
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(line, "\\u{{{:x}}}", c as u32);
            }
            c => line.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn lines_of_nats_server() {
        let line = Format::Nats.line(Level::Warn, "two\nlines", NOW);
        let pid = std::process::id();
        assert_eq!(line, format!("[{pid}] 1970/01/01 00:00:00.000000 [WRN] two\\nlines\n"));
    }

    #[test]
    fn lines_look_as_promised() {
        let cases = [
            (
                Format::Text,
                "broker: listening on 127.0.0.1:4222",
                "time=\"1970-01-01T00:00:00Z\" level=info msg=\"broker: listening on 127.0.0.1:4222\"\n",
            ),
            (
                Format::Text,
                "say \"hi\"\nthere\u{1b}[31m",
                "time=\"1970-01-01T00:00:00Z\" level=info msg=\"say \\\"hi\\\"\\nthere\\u{1b}[31m\"\n",
            ),
            (
                Format::Json,
                "broker: up",
                "{\"component\":\"broker\",\"level\":\"info\",\"msg\":\"up\",\"time\":\"1970-01-01T00:00:00Z\"}\n",
            ),
            (
                Format::Json,
                "No Component: here",
                "{\"level\":\"info\",\"msg\":\"No Component: here\",\"time\":\"1970-01-01T00:00:00Z\"}\n",
            ),
            (
                Format::Json,
                "a\u{1b}[b\u{9b}c\u{7f}",
                "{\"level\":\"info\",\"msg\":\"a\\u001b[b\\u009bc\\u007f\",\"time\":\"1970-01-01T00:00:00Z\"}\n",
            ),
            (Format::Brief, "broker: \"up\"", "INFO    broker: \"up\"\n"),
        ];
        for (format, message, expected) in cases {
            assert_eq!(format.line(Level::Info, message, NOW), expected);
        }
    }
}
