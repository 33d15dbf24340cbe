//! Measures with the allocator that programs have.

use std::process::ExitCode;

fn main() -> ExitCode {
    qplug_bench_protocol::role::run(None)
}
