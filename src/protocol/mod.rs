//! Choria messages: envelopes, filters, subjects, RPC bodies, events. Pure.
