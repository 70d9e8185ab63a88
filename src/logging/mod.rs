//! Log lines: levels, text and JSON, where they go.
