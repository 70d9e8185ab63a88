//! Data adapters between real servers: what arrives in a stream is what nodes sent, whatever is killed on the way.

mod bad_input;
mod check;
mod killed;
mod streams;
mod verified;
mod world;
