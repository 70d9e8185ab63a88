//! Behaviour tests: real processes of the real binary. One binary, one module a behaviour.

mod dependencies;
mod layering;
