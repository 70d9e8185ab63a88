//! Says in the log of a daemon when its certificate ends: at the start, and once a day.

use std::time::{Duration, SystemTime};

use log::Level;
use smol::{Task, Timer};

use crate::cli::context::Context;
use crate::util::{duration, time};

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// From here on it is a warning.
const WARN: Duration = Duration::from_secs(30 * 24 * 3_600);
/// From here on somebody has to act.
const ERROR: Duration = Duration::from_secs(3 * 24 * 3_600);

/// Watches the end of the certificate of a daemon as long as it lives.
pub struct ExpiryWatch {
    _task: Task<()>,
}

impl ExpiryWatch {
    /// Says when the certificate ends that `current` tells of, now and every day.
    pub fn start(
        context: &Context,
        component: &'static str,
        current: impl Fn() -> Option<SystemTime> + Send + 'static,
    ) -> Self {
        say(component, current());
        let task = context.executor.spawn(async move {
            loop {
                Timer::after(DAY).await;
                say(component, current());
            }
        });
        ExpiryWatch { _task: task }
    }
}

fn say(component: &str, expires: Option<SystemTime>) {
    if let Some(expires) = expires {
        let (level, text) = judge(expires, SystemTime::now());
        log::log!(level, "{component}: {text}");
    }
}

/// How bad it is, and how to say it.
fn judge(expires: SystemTime, now: SystemTime) -> (Level, String) {
    let end = time::rfc3339(expires);
    let Ok(left) = expires.duration_since(now) else {
        return (Level::Error, format!("the certificate expired on {end}"));
    };
    let level = match left {
        left if left < ERROR => Level::Error,
        left if left < WARN => Level::Warn,
        _ => Level::Info,
    };
    let text = match left.as_secs() / DAY.as_secs() {
        0 => format!("in {}", duration::go(Duration::from_secs(left.as_secs()))),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    };
    (level, format!("the certificate expires {text}, on {end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_the_end_the_louder() {
        let expires = time::from_unix(1_800_000_000);
        let day = DAY.as_secs();
        for (before, level, text) in [
            (400 * day, Level::Info, "expires in 400 days"),
            (30 * day, Level::Info, "expires in 30 days"),
            (30 * day - 1, Level::Warn, "expires in 29 days"),
            (3 * day, Level::Warn, "expires in 3 days"),
            (3 * day - 1, Level::Error, "expires in 2 days"),
            (day, Level::Error, "expires in 1 day,"),
            (3_600, Level::Error, "expires in 1h0m0s"),
            (0, Level::Error, "expires in 0s"),
        ] {
            let (found, said) = judge(expires, expires - Duration::from_secs(before));
            assert_eq!(found, level, "{before}");
            assert!(said.contains(text), "{said}");
            assert!(said.ends_with("on 2027-01-15T08:00:00Z"), "{said}");
        }
        let (level, said) = judge(expires, expires + Duration::from_secs(1));
        assert_eq!(
            (level, said.as_str()),
            (Level::Error, "the certificate expired on 2027-01-15T08:00:00Z")
        );
    }
}
