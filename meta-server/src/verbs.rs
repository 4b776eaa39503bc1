//! What the program does beside serving.

use std::path::PathBuf;

use clap::Subcommand;
use emberfs_daemon::config;
use emberfs_layout::ClusterId;
use emberfs_meta_server::{accept_loss, ensure_formatted, format};

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
    /// Let a member vote by what it has left, after its disk lost entries of its log.
    ///
    /// Such a member votes again by itself when a leader has sent it what it lost. This is for a group in which none can
    /// be elected any more, because too many members cannot vote, as `emberfs status` says, and none that is away can be
    /// brought back. The member must be stopped. Changes that no other member has are lost, though they were acknowledged;
    /// do it on one member, and on another only if still none leads.
    #[command(verbatim_doc_comment)]
    AcceptLoss {
        /// The member's configuration.
        #[arg(long)]
        config: PathBuf,
    },
}

/// Does it; what is to be printed.
pub(crate) fn carry_out(verb: Verb) -> anyhow::Result<String> {
    match verb {
        Verb::Format { config: file, cluster, if_needed } => {
            let format = if if_needed { ensure_formatted } else { format };
            Ok(format(&config::load(&file)?, cluster)?.to_string())
        }
        Verb::AcceptLoss { config: file } => Ok(match accept_loss(&config::load(&file)?)? {
            Some(to) => format!(
                "entries up to {to} are taken for lost: start the member, and see `emberfs status`"
            ),
            None => "this member's log has lost nothing: nothing was changed".to_owned(),
        }),
    }
}
