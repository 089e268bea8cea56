//! The `scv` command.

use std::process::ExitCode;

/// Activations are large and short-lived: an allocator that keeps and reuses their pages saves much time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    scv::cli::main()
}
