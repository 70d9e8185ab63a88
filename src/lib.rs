//! Choria: orchestration of fleets. One crate behind the `choria` binary and the Rust API.
//!
//! Start reading at `ARCHITECTURE.md`; the layer each module lives in is checked by `tests/it/layering.rs`.

pub mod adapt;
pub mod api;
pub mod broker;
pub mod ca;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod ddl;
pub mod enroll;
pub mod federate;
pub mod http;
pub mod logging;
pub mod monitor;
pub mod nats;
pub mod net;
pub mod policy;
pub mod protocol;
pub mod rpc;
pub mod security;
pub mod server;
pub mod settings;
pub mod sys;
pub mod tokens;
pub mod util;

pub use api::Choria;
