//! `emberfs-fuse`: mounts a cluster; also as `mount.emberfs`, which `mount(8)` calls.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use emberfs_client_fuse::{Arguments, Caller, run};

fn main() -> ExitCode {
    let caller = Caller::of(&std::env::args_os().next().unwrap_or_default());
    match Arguments::try_parse() {
        Ok(arguments) => caller.exit_of(run(&arguments, caller)),
        Err(error) => caller.exit_of_usage(&error),
    }
}
