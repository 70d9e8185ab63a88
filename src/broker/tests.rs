//! The protocol over real sockets, with short timeouts.
