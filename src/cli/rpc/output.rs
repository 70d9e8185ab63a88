//! Shows a request as it runs: results to standard output or a file, progress to standard error.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;

use super::bar::{Bar, eprint_part};
use super::options::{Form, Options};
use crate::cli::exit::Failure;
use crate::cli::render::document::{Document, Line, ReplyEntry};
use crate::cli::render::reply::{self, Display, Format, Reply, block};
use crate::cli::render::statistics::footer;
use crate::cli::render::style::{Style, printable};
use crate::cli::render::summary::{Summary, summaries};
use crate::cli::render::table::Table;
use crate::cli::render::value::{Layout, indented, plain, pretty};
use crate::ddl::aggregate::Summaries;
use crate::ddl::{self, Action};
use crate::rpc::{NodeReply, Stats};

/// Everything that is shown of one request.
pub struct Output<'a> {
    agent: &'a str,
    action: &'a Action,
    form: Form,
    display: Display,
    verbose: bool,
    sort: bool,
    style: Style,
    labels: BTreeMap<String, String>,
    sink: Sink,
    bar: Bar,
    summaries: Summaries,
    kept: Vec<NodeReply>,
    /// The line about discovery still waits for its number.
    is_line_open: bool,
}

impl<'a> Output<'a> {
    /// Prepares the output and creates its file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn new(
        agent: &'a str,
        action: &'a Action,
        options: &Options,
        coloured: bool,
    ) -> Result<Self, Failure> {
        let sink = Sink::open(options)?;
        let style = Style::new(coloured && options.output_file.is_none());
        let wants_bar =
            options.progress && options.form.is_for_people() && io::stderr().is_terminal();
        Ok(Output {
            agent,
            action,
            form: options.form,
            display: options.display.unwrap_or_else(|| suggested(action.display)),
            verbose: options.verbose,
            sort: options.sort,
            style,
            labels: action
                .outputs
                .iter()
                .map(|(name, output)| (name.clone(), output.display_as.clone()))
                .collect(),
            sink,
            bar: Bar::new(wants_bar, coloured),
            summaries: Summaries::new(action),
            kept: Vec::new(),
            is_line_open: false,
        })
    }

    /// Nodes are being looked for.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn discovering(&mut self, method: &str) -> Result<(), Failure> {
        match self.form {
            Form::JsonLines => self.line(&Line::Discovery { count: None, dt: None, dm: method })?,
            form if form.is_for_people() => {
                eprint_part(&format!("Discovering nodes using the {method} method .... "))
            }
            _ => {}
        }
        Ok(())
    }

    /// Nodes have been found.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn discovered(
        &mut self,
        method: &str,
        count: usize,
        took: Duration,
    ) -> Result<(), Failure> {
        match self.form {
            Form::JsonLines => {
                self.line(&Line::Discovery {
                    count: Some(count),
                    dt: Some(took.as_secs_f64()),
                    dm: method,
                })?;
            }
            form if form.is_for_people() => eprint_part(&format!("{count}\n")),
            _ => {}
        }
        self.is_line_open = false;
        Ok(())
    }

    /// The request goes to so many nodes.
    pub fn begin(&mut self, total: usize) {
        self.bar.begin(total);
    }

    /// One reply has arrived.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn reply(&mut self, mut reply: NodeReply) -> Result<(), Failure> {
        if let Value::Object(data) = &mut reply.data {
            if reply.status.is_ok() {
                self.action.apply_output_defaults(data);
            }
            self.summaries.add(data);
        }
        self.bar.count();
        if self.form == Form::JsonLines {
            let (envelope, entry) = (reply.envelope_json(), entry(&reply));
            return self.line(&Line::Result { pr: &envelope, rr: &entry });
        }
        if self.form == Form::Text && !self.sort {
            self.show(&reply)?;
        } else {
            self.kept.push(reply);
        }
        self.bar.draw();
        Ok(())
    }

    /// Time has passed: keeps the clock of the bar going.
    pub fn tick(&mut self) {
        self.bar.draw();
    }

    /// The request is over.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn end(&mut self, stats: &Stats) -> Result<(), Failure> {
        self.bar.end();
        if self.sort {
            self.kept.sort_by(|a, b| a.sender.cmp(&b.sender));
        }
        match self.form {
            Form::Text => self.end_text(stats)?,
            Form::Table => self.end_table(stats)?,
            Form::Senders | Form::SendersJson => self.end_senders(stats)?,
            Form::Json => self.end_json(stats)?,
            Form::JsonLines => {
                let aggregates = self.summaries.json();
                self.line(&Line::Summaries { agg: &aggregates })?;
                self.line(&Line::Stats { stat: stats.into() })?;
            }
        }
        self.sink.flush()
    }

    /// Says in the result itself that there is none, for whoever reads lines.
    pub fn failed(&mut self, failure: &Failure) {
        self.bar.end();
        if std::mem::take(&mut self.is_line_open) {
            eprint_part("\n");
        }
        if self.form == Form::JsonLines {
            // The failure itself is reported on standard error; this line is an addition.
            let _ = self.line(&Line::Error { err: &failure.message });
        }
    }

    fn show(&mut self, reply: &NodeReply) -> Result<(), Failure> {
        let status = reply.status.number();
        if !self.display.shows(status) {
            return Ok(());
        }
        let shown =
            Reply { sender: &reply.sender, status, message: &reply.message, data: &reply.data };
        let format = Format { style: self.style, verbose: self.verbose, labels: &self.labels };
        let text = block(shown, format);
        self.bar.clear();
        self.sink.write(&text)?;
        self.sink.flush()
    }

    fn end_text(&mut self, stats: &Stats) -> Result<(), Failure> {
        for reply in std::mem::take(&mut self.kept) {
            self.show(&reply)?;
        }
        let list: Vec<Summary> = self
            .summaries
            .lines()
            .into_iter()
            // Nobody has answered with such a field.
            .filter(|(_, lines)| !lines.is_empty())
            .map(|(name, lines)| Summary {
                label: reply::label(name, &self.labels).to_owned(),
                lines: lines.iter().map(|line| printable(line)).collect(),
            })
            .collect();
        self.sink.write(&format!("{}\n", summaries(&list, self.style)))?;
        self.sink.write(&footer(stats, self.style, self.verbose))
    }

    /// The good replies as a table; who failed or is missing is told on standard error, for they have no rows.
    fn end_table(&mut self, stats: &Stats) -> Result<(), Failure> {
        let outputs: Vec<&str> = self.action.outputs.keys().map(String::as_str).collect();
        let labels = outputs.iter().map(|output| reply::label(output, &self.labels));
        let mut table = Table::new(std::iter::once("Sender").chain(labels));
        for reply in self.kept.iter().filter(|reply| reply.is_ok()) {
            let cells = outputs.iter().map(|output| cell(&reply.data[*output]));
            table.row(std::iter::once(printable(&reply.sender)).chain(cells));
        }
        self.sink.write(&table.render())?;
        self.sink.flush()?;
        self.notice_failures();
        eprint_part(&format!("\n{}", footer(stats, self.bar.style, self.verbose)));
        Ok(())
    }

    fn end_senders(&mut self, stats: &Stats) -> Result<(), Failure> {
        let good = self.kept.iter().filter(|reply| reply.is_ok());
        let names: Vec<&str> = good.map(|reply| reply.sender.as_str()).collect();
        let text = match self.form {
            Form::SendersJson => format!("{}\n", indented(&names, 2)),
            _ => names.iter().map(|name| format!("{}\n", printable(name))).collect(),
        };
        self.sink.write(&text)?;
        self.sink.flush()?;
        self.notice_failures();
        if !stats.no_responses.is_empty() {
            eprint_part(&format!("{} nodes did not answer\n", stats.no_responses.len()));
        }
        Ok(())
    }

    fn notice_failures(&self) {
        for reply in self.kept.iter().filter(|reply| !reply.is_ok()) {
            eprint_part(&format!("{}: {}\n", printable(&reply.sender), printable(&reply.message)));
        }
    }

    fn end_json(&mut self, stats: &Stats) -> Result<(), Failure> {
        let replies: Vec<ReplyEntry> = self.kept.iter().map(entry).collect();
        let document = Document {
            agent: self.agent,
            action: &self.action.name,
            replies: &replies,
            request_stats: stats.into(),
            summaries: &self.summaries.json(),
        };
        self.sink.write(&format!("{}\n", document.render()))
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        self.sink.write(&format!("{}\n", line.render()))?;
        self.sink.flush()
    }
}

fn suggested(display: ddl::Display) -> Display {
    match display {
        ddl::Display::Ok => Display::Ok,
        ddl::Display::Failed => Display::Failed,
        ddl::Display::Always => Display::All,
    }
}

fn entry(reply: &NodeReply) -> ReplyEntry {
    ReplyEntry {
        sender: reply.sender.clone(),
        action: reply.action.clone(),
        statuscode: reply.status.number(),
        statusmsg: reply.message.clone(),
        data: reply.data.clone(),
        time_utc: crate::util::time::rfc3339(reply.time),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => {
            pretty(value, Layout { prefix: "", indent: "  ", width: 80 })
        }
        scalar => printable(&plain(scalar)),
    }
}

/// Where results go.
enum Sink {
    Stdout(io::BufWriter<io::Stdout>),
    File(io::BufWriter<File>, String),
}

impl Sink {
    fn open(options: &Options) -> Result<Sink, Failure> {
        let Some(path) = &options.output_file else {
            return Ok(Sink::Stdout(io::BufWriter::new(io::stdout())));
        };
        let name = path.display().to_string();
        let file = File::create(path)
            .map_err(|err| Failure::new(format!("failed to create output-file {name}: {err}")))?;
        Ok(Sink::File(io::BufWriter::new(file), name))
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Sink::Stdout(out) => Ok(out.write_all(text.as_bytes())?),
            Sink::File(out, name) => {
                out.write_all(text.as_bytes()).map_err(|err| unwritable(name, &err))
            }
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Sink::Stdout(out) => Ok(out.flush()?),
            Sink::File(out, name) => out.flush().map_err(|err| unwritable(name, &err)),
        }
    }
}

fn unwritable(name: &str, err: &io::Error) -> Failure {
    Failure::new(format!("cannot write {name}: {err}"))
}
