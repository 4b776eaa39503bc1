//! `emberfs-fuse`: mounts a cluster; also as `mount.emberfs`, which `mount(8)` calls.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use emberfs_client_fuse::{Arguments, run};

/// What `mount(8)` takes as: the mount failed.
const MOUNT_FAILED: u8 = 32;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(&arguments).unwrap_or_else(|error| {
        eprintln!("emberfs-fuse: {}", words(&error));
        ExitCode::from(MOUNT_FAILED)
    })
}

/// An error with its causes; many say their cause themselves.
fn words(error: &anyhow::Error) -> String {
    let mut words = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !words.ends_with(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}
