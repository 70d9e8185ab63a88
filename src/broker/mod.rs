//! The message router: NATS client protocol over per-core event loops.
