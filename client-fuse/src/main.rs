//! `emberfs-fuse`: mounts a cluster; also as `mount.emberfs`, which `mount(8)` calls.
//!
//! | status | meaning |
//! | --- | --- |
//! | 0 | mounted; in the foreground: unmounted, and all that was written is safe |
//! | 32 | failed, of `mount(8)`: the mount failed |
//! | 75 | ended before all was written: bytes are lost (sysexits' EX_TEMPFAIL) |
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use emberfs_client_fuse::{Arguments, Lost, run};

/// What `mount(8)` takes as: the mount failed.
const MOUNT_FAILED: u8 = 32;
/// Ended before all was written.
const BYTES_LOST: u8 = 75;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(&arguments).unwrap_or_else(|error| {
        eprintln!("emberfs-fuse: {}", words(&error));
        ExitCode::from(if error.is::<Lost>() { BYTES_LOST } else { MOUNT_FAILED })
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
