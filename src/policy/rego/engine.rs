//! Reading and asking a policy, within bounds of size, time and stack.

use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

use regorus::utils::limits::{ExecutionTimerConfig, TimeSource, set_time_source};
use regorus::{Engine, PolicyLengthConfig};
use serde_json::Value;

use super::{RULE, RegoFault};
use super::{functions, watch};
use crate::protocol::filter::Filter;

/// Longest evaluation.
const TIME_MAX: Duration = Duration::from_millis(500);
/// Steps of an evaluation between two looks at the clock. Each step may double what there is in memory.
const STEPS: NonZeroU32 = NonZeroU32::new(4).unwrap();
/// Bytes of a policy.
const BYTES_MAX: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();
/// Lines of a policy. A chain of rules, one a line, is as deep as this at most.
const LINES_MAX: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();
/// Bytes of one line.
const LINE_BYTES_MAX: NonZeroU32 = NonZeroU32::new(1_024).unwrap();
/// The interpreter calls itself for rules that need other rules. The memory is only used as far as it is needed.
pub(super) const STACK_BYTES: usize = 64 * 1024 * 1024;

/// A policy that has been read.
pub struct Rego {
    engine: Engine,
    rule: String,
}

impl Rego {
    /// Reads a policy of a package.
    ///
    /// # Errors
    /// When the text is no policy, is of another package, or is too long.
    pub fn parse(text: &str, package: &str) -> Result<Rego, RegoFault> {
        set_clock();
        let read = || {
            let mut engine = Engine::new();
            engine.set_policy_length_config(PolicyLengthConfig {
                max_col: LINE_BYTES_MAX,
                max_file_bytes: BYTES_MAX,
                max_lines: LINES_MAX,
            });
            let found = engine.add_policy("policy".to_owned(), text.to_owned());
            found.map(|found| (engine, found)).map_err(|error| fault(&error.to_string()))
        };
        let (engine, found) = guarded(read)?;
        if found.strip_prefix("data.") != Some(package) {
            return Err(RegoFault::Package(package.to_owned()));
        }
        Ok(Rego { engine, rule: format!("data.{package}.{RULE}") })
    }

    /// What `allow` is for an input. With the filter of a request the functions that ask for it are there.
    ///
    /// # Errors
    /// When the evaluation fails, takes too long or too much memory, or does not give exactly one boolean.
    pub fn allows(&self, input: Value, filter: Option<&Filter>) -> Result<bool, RegoFault> {
        let mut engine = self.engine.clone();
        functions::add(&mut engine, filter).map_err(|error| fault(&error.to_string()))?;
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: TIME_MAX,
            check_interval: STEPS,
        });
        let rule = self.rule.clone();
        let started = Instant::now();
        let value = guarded(move || {
            watch::begin();
            engine.set_input(regorus::Value::from(input));
            let value = engine.eval_rule(rule).map_err(|error| fault(&error.to_string()));
            if watch::is_over() { Err(RegoFault::TooLarge) } else { value }
        });
        match value {
            Err(RegoFault::TooLarge) => Err(RegoFault::TooLarge),
            Err(_) if started.elapsed() >= TIME_MAX => Err(RegoFault::TooSlow),
            Err(fault) => Err(fault),
            Ok(regorus::Value::Undefined) => Err(RegoFault::NoResult),
            Ok(regorus::Value::Bool(allow)) => Ok(allow),
            Ok(_) => Err(RegoFault::NotBoolean),
        }
    }
}

impl std::fmt::Debug for Rego {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rego").field("rule", &self.rule).finish_non_exhaustive()
    }
}

/// Does something on a thread with room for deep recursion; a panic is a fault of the policy.
fn guarded<T: Send>(work: impl FnOnce() -> Result<T, RegoFault> + Send) -> Result<T, RegoFault> {
    let failed = |text: &str| Err(RegoFault::Policy { line: None, text: text.to_owned() });
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("choria-rego".to_owned()).stack_size(STACK_BYTES);
        let work = || catch_unwind(AssertUnwindSafe(work));
        match thread.spawn_scoped(scope, work).map(|thread| thread.join()) {
            Ok(Ok(Ok(result))) => result,
            Ok(_) => failed("the interpreter failed"),
            Err(_) => failed("there is no thread to evaluate it"),
        }
    })
}

/// What the interpreter says when the policy has no rule `allow`.
const NO_SUCH_RULE: &str = "not a valid rule path";

/// The line and the sentence of an error, which is a picture of the place above a sentence.
fn fault(error: &str) -> RegoFault {
    if error == NO_SUCH_RULE {
        return RegoFault::NoResult;
    }
    let line = error.lines().find_map(|text| {
        let place = text.trim_start().strip_prefix("--> ")?;
        place.rsplit(':').nth(1)?.parse().ok()
    });
    let sentence = error.lines().find_map(|text| text.trim_start().strip_prefix("error: "));
    let last = || error.lines().map(str::trim).rfind(|text| !text.is_empty()).unwrap_or_default();
    let text = sentence.map_or_else(last, str::trim).trim_end_matches([':', '.']);
    RegoFault::Policy { line, text: text.to_owned() }
}

/// Without a clock the interpreter would not look at its limit of time. Ours shows the end of all times to who took too
/// much memory, which the interpreter itself does not count.
fn set_clock() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        // It fails only where somebody else has set one, which serves as well.
        let _ = set_time_source(Box::leak(Box::new(Clock(Instant::now()))));
    });
}

struct Clock(Instant);

impl TimeSource for Clock {
    fn now(&self) -> Option<Duration> {
        Some(if watch::is_over() { Duration::MAX } else { self.0.elapsed() })
    }
}
