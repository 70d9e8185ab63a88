//! The `choria` binary: hands the arguments to [`choria::cli`].
fn main() {}
