//! Small pure pieces: durations, back-off, times, suggestions, graphs as text.

pub mod asciigraph;
pub mod backoff;
pub mod duration;
pub mod secret;
pub mod shutdown;
pub mod suggest;
pub mod time;
