//! Behaviour tests: real processes of the real binary. One binary, one module a behaviour.

mod access;
mod cli_broker;
mod cli_demo;
mod cli_replies;
mod cli_rpc;
mod cli_tool;
mod cli_usage;
mod dependencies;
mod fleet;
mod forged;
mod front;
mod hostile;
mod hostile_broker;
mod hostile_client;
mod interop;
mod layering;
mod lifecycle;
mod mistakes;
mod monitoring;
mod nats_client;
mod reference_docs;
mod refusals;
mod reload;
mod rpc_client;
mod support;
mod websocket;
