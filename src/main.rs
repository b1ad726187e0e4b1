//! Arguments become one command.

use std::process::ExitCode;

/// Events are made by one thread and freed by another: what that costs is in `docs/decisions/0017-allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::control::cli::main()
}
