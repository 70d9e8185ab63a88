//! Small pure pieces: durations, back-off, times, suggestions.
