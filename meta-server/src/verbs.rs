//! What the program does beside serving.

use std::path::PathBuf;

use clap::Subcommand;
use emberfs_daemon::config;
use emberfs_layout::ClusterId;
use emberfs_meta_server::{ensure_formatted, format};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make the configured directory a new member's, and print the cluster's id.
    Format {
        /// The member's configuration.
        #[arg(long)]
        config: PathBuf,
        /// Join this cluster; without it, a new one is founded.
        #[arg(long)]
        cluster: Option<ClusterId>,
        /// One that is a member's already stays as it is.
        #[arg(long)]
        if_needed: bool,
    },
}

/// Does it; what is to be printed.
pub(crate) fn carry_out(verb: Verb) -> anyhow::Result<String> {
    let Verb::Format { config: file, cluster, if_needed } = verb;
    let format = if if_needed { ensure_formatted } else { format };
    Ok(format(&config::load(&file)?, cluster)?.to_string())
}
