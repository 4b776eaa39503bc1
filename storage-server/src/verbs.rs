//! What the program does beside serving.

use std::path::PathBuf;

use clap::Subcommand;
use emberfs_daemon::{config, reference};
use emberfs_layout::ClusterId;
use emberfs_storage_server::{Config, ensure_disk, format_disk};

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
    /// Checks a configuration file, and prints every key: its value, default, unit and meaning.
    Config {
        /// The file.
        file: PathBuf,
    },
}

/// Does it; what is to be printed.
pub(crate) fn carry_out(verb: Verb) -> anyhow::Result<String> {
    Ok(match verb {
        Verb::FormatDisk { directory, cluster, if_needed: true } => {
            ensure_disk(&directory, cluster)?.to_string()
        }
        Verb::FormatDisk { directory, cluster, .. } => {
            format_disk(&directory, cluster)?.to_string()
        }
        Verb::Config { file } => reference::to_text(&config::load::<Config>(&file)?),
    })
}
