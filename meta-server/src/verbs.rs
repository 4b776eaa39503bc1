//! What the program does beside serving.

use std::path::PathBuf;

use clap::Subcommand;
use emberfs_daemon::{config, reference};
use emberfs_layout::ClusterId;
use emberfs_meta_server::{Config, ensure_formatted, format};

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
    /// Check a configuration file, and print every key: its value, default, unit and meaning.
    Config {
        /// The file.
        file: PathBuf,
    },
}

/// Does it; what is to be printed.
pub(crate) fn carry_out(verb: Verb) -> anyhow::Result<String> {
    Ok(match verb {
        Verb::Format { config: file, cluster, if_needed } => {
            let format = if if_needed { ensure_formatted } else { format };
            format(&config::load(&file)?, cluster)?.to_string()
        }
        Verb::Config { file } => reference::to_text(&config::load::<Config>(&file)?),
    })
}
