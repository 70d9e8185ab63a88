//! The `choria` binary: hands the arguments to [`choria::cli`].

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    choria::cli::main(std::env::args_os().skip(1).collect())
}
