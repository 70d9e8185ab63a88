//! Who may say what: providers, request signing and verification, replay.
