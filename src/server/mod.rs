//! The process on a managed node: hosts agents and answers requests.

pub mod classes;
pub mod counters;
pub mod facts;
mod stamp;
pub mod workers;

#[cfg(test)]
mod testing;
