//! Arguments become one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::control::cli::main()
}
