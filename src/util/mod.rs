//! Small pure pieces: durations, back-off, times, suggestions.

pub mod graph;
