//! The client library: discover nodes, send requests, collect replies.
