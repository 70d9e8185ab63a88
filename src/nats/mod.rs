//! The NATS wire protocol: codec and subjects (pure), and the client.
