//! What the program does beside serving.

use std::path::PathBuf;

use clap::Subcommand;
use emberfs_daemon::config;
use emberfs_layout::ClusterId;
use emberfs_meta_server::{ensure_formatted, format};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make the configured directory a new member's, and print the cluster's id.
    ///
    /// The members of a new group, 1, 3 or 5, are formatted before any of them is started: the first one without
    /// `--cluster`, which founds the cluster and prints its id, the others with `--cluster ID`. All have the same
    /// `members` in their configuration, and each its own `node`.
    ///
    /// A member whose directory was lost is not to be formatted anew while its group runs, nor later: the new
    /// directory knows nothing of what the member voted for and acknowledged, and the group may lose changes by
    /// it. Bring the directory back; until then the others go on without it, as long as they are a majority.
    #[command(verbatim_doc_comment)]
    Format {
        /// The member's configuration.
        #[arg(long)]
        config: PathBuf,
        /// The cluster's id, as the first member printed it. Left out, a new cluster is founded.
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
