//! The program: everything is in the library, so that tests can use it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    murph::cli::main()
}
