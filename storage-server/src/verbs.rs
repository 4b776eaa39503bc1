//! What the program does beside serving.

use std::path::PathBuf;

use clap::Subcommand;
use emberfs_layout::ClusterId;
use emberfs_storage_server::{ensure_disk, format_disk};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Makes an empty directory a disk, and prints the disk's id.
    FormatDisk {
        /// The directory, best the root of a file system of its own.
        directory: PathBuf,
        /// The cluster that it is for.
        #[arg(long)]
        cluster: ClusterId,
        /// One that is a disk of this cluster already stays as it is.
        #[arg(long)]
        if_needed: bool,
    },
}

/// Does it; what is to be printed.
pub(crate) fn carry_out(verb: Verb) -> anyhow::Result<String> {
    let Verb::FormatDisk { directory, cluster, if_needed } = verb;
    let format = if if_needed { ensure_disk } else { format_disk };
    Ok(format(&directory, cluster)?.to_string())
}
