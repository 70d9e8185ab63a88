//! Small pure pieces: durations, back-off, times, suggestions, graphs as text, checksums, gzip.

pub mod backoff;
pub mod crc;
pub mod duration;
pub mod exposition;
pub mod form;
pub mod gjson;
pub mod graph;
pub mod gzip;
pub mod pattern;
pub mod secret;
pub mod shutdown;
pub mod suggest;
pub mod text;
pub mod throttle;
pub mod time;
pub mod yaml;
