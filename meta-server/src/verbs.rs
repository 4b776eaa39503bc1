//! What the program does beside serving.

use std::path::PathBuf;

use clap::Subcommand;
use emberfs_daemon::config;
use emberfs_layout::ClusterId;
use emberfs_meta_server::store::Loss;
use emberfs_meta_server::{accept_loss, ensure_formatted, format};
use emberfs_meta_server_consensus::Index;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make the configured directory a new member's, and print the cluster's id.
    ///
    /// The members of a new group, 1, 3 or 5, are formatted before any of them is started: the first one without
    /// `--cluster`, which founds the cluster and prints its id, the others with `--cluster ID`. All have the same
    /// `members` in their configuration, and each its own `node`.
    ///
    /// All of them must be there for the first election; from then on a majority is enough.
    ///
    /// A member whose directory was lost, and cannot be brought back, may be formatted anew with `--cluster ID` while a
    /// majority of the others runs: it counts as one that is away until they have sent it all, which `emberfs meta list`
    /// shows. One at a time: where a majority was formatted anew, the group leads nobody any more.
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
    /// brought back. The member must be stopped. Without `--to` it is only said what would be lost: changes that no other
    /// member has, though they were acknowledged. Do it on one member, and on another only if still none leads.
    ///
    /// A member that was away meanwhile and holds what was given up is to be formatted anew: with its directory as it is it
    /// ends as soon as it finds that it differs.
    #[command(verbatim_doc_comment)]
    AcceptLoss {
        /// The member's configuration.
        #[arg(long)]
        config: PathBuf,
        /// The last entry that it has lost, as `emberfs status` says it, and this without `--to`.
        #[arg(long)]
        to: Option<u64>,
    },
}

/// Does it; what is to be printed.
pub(crate) fn carry_out(verb: Verb) -> anyhow::Result<String> {
    match verb {
        Verb::Format { config: file, cluster, if_needed } => {
            let format = if if_needed { ensure_formatted } else { format };
            Ok(format(&config::load(&file)?, cluster)?.to_string())
        }
        Verb::AcceptLoss { config: file, to } => {
            let loss = accept_loss(&config::load(&file)?, to.map(Index))?;
            said_of(loss, to).map_err(|refusal| anyhow::anyhow!("nothing was changed: {refusal}"))
        }
    }
}

/// What there is to say of a loss, which was to be accepted up to here.
fn said_of(loss: Loss, wanted: Option<u64>) -> Result<String, String> {
    const ELSE: &str = "bring back its directory as it was, or another member that is away";
    match (loss, wanted) {
        (Loss::End { last, to, accepted: true }, _) => Ok(format!(
            "entries {} to {to} are taken for lost: start the member, and see `emberfs status`; a member that is away and \
             holds them is to be formatted anew before it is started",
            last.next()
        )),
        (Loss::End { last, to, accepted: false }, None) => Ok(format!(
            "nothing was changed: this member's log ends at entry {last}, and has lost entries {} to {to}. With `--to {to}` \
             the member votes without them, and the changes in them that no other member has are lost",
            last.next()
        )),
        (Loss::End { last, to, accepted: false }, Some(_)) => Err(format!(
            "what this member's log has lost are entries {} to {to}: `--to {to}` gives them up",
            last.next()
        )),
        (Loss::Nothing, _) => Err("this member has lost nothing, and votes".to_owned()),
        (Loss::New, _) => Err(format!(
            "no leader has brought this member up to date since its directory was made, so nobody knows what it had: {ELSE}"
        )),
        (Loss::All { to }, _) => {
            Err(format!("this member has nothing left to vote by, of {to} entries: {ELSE}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_said_before_and_after() {
        let end = |accepted| Loss::End { last: Index(5), to: Index(9), accepted };
        let asked = said_of(end(false), None).unwrap();
        assert!(
            asked.starts_with("nothing was changed") && asked.contains("entries 6 to 9"),
            "{asked}"
        );
        assert!(said_of(end(false), Some(8)).unwrap_err().contains("entries 6 to 9: `--to 9`"));
        let done = said_of(end(true), Some(9)).unwrap();
        assert!(
            done.starts_with("entries 6 to 9 are taken for lost") && done.contains("anew"),
            "{done}"
        );
        for (loss, words) in [
            (Loss::Nothing, "has lost nothing"),
            (Loss::New, "nobody knows what it had"),
            (Loss::All { to: Index(9) }, "nothing left to vote by, of 9 entries"),
        ] {
            let refused = said_of(loss, Some(9)).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
