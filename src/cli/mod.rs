//! Everything a person at a terminal sees; nothing imports it.

pub mod render;
