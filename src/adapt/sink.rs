//! What a system that takes records has to do.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use super::Record;

/// Work of a sink under way.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The system has confirmed that it has it.
    Delivered,
    /// Not now, for this reason: it is tried again.
    Retry(String),
    /// Never, for this reason, however often it is tried: it is given up, counted and said.
    Refused(String),
}

/// Why nothing is known of a whole batch, or why a check found no way to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkError {
    /// One line in lower case without a final full stop.
    pub text: String,
    /// What to try next.
    pub hint: Option<String>,
}

impl SinkError {
    /// A failure in words.
    pub fn new(text: impl Into<String>) -> SinkError {
        SinkError { text: text.into(), hint: None }
    }

    /// With what to try next.
    pub fn hint(mut self, hint: impl Into<String>) -> SinkError {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SinkError {}

/// How records are put together for one delivery. A batch goes out as soon as one of the three is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records of a batch; at least 1.
    pub records_max: usize,
    /// Bytes of their bodies. A larger record is a batch of its own.
    pub bytes_max: usize,
    /// How long the first record of a batch waits for others; zero sends what is there.
    pub age_max: Duration,
}

/// A system that takes records. It owns its connection, makes it when it is first needed and again after a fault.
///
/// A sink does not sleep between attempts and counts nothing: that is the engine's, and so are the records. What a sink
/// keeps after [`Sink::deliver`] returned, so that a repeated delivery can be known for one, is bounded. Every delivery ends within a limit of the sink's own settings, however its peer behaves.
pub trait Sink: Send {
    /// For logs: what it is and where, no secrets. Such as `jetstream js1:4222 choria.registration`.
    fn describe(&self) -> String;

    /// How records are put together.
    fn batch(&self) -> BatchLimits;

    /// Delivers a batch; one verdict for each record, in order.
    ///
    /// # Errors
    /// When nothing is known of any of them, because the connection was lost for example: all are tried again.
    fn deliver<'a>(
        &'a mut self,
        batch: &'a [Record],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, SinkError>>;

    /// Connects and asks whether deliveries would work, and writes nothing. `sample` is a record as it would come.
    ///
    /// # Errors
    /// Why they would not.
    fn check<'a>(&'a mut self, sample: &'a Record) -> BoxFuture<'a, Result<String, SinkError>>;

    /// Where the sink would put the record, for people: subject, topic and key, file.
    ///
    /// # Errors
    /// Why it has no place for it.
    fn place(&self, record: &Record) -> Result<String, String>;

    /// Ends the connection. What was confirmed is done; nothing else waits in the sink.
    fn close<'a>(&'a mut self) -> BoxFuture<'a, ()>;
}
