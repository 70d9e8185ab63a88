//! The client against brokers that follow a script on loopback.

mod broken;
mod flow;
mod script;
