//! How long a broker needs from its start to its first INFO.

use crate::contestant::Running;
use crate::report::{Measure, Unit};

/// What was measured when this broker started.
pub fn run(broker: &Running) -> Vec<Measure> {
    let took_ms = broker.ready_after.as_secs_f64() * 1e3;
    vec![Measure::new("first INFO after", Unit::Milliseconds, took_ms).bar(10.0)]
}
