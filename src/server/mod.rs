//! The process on a managed node: hosts agents and answers requests.
