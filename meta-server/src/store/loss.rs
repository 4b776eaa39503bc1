//! What a member has lost for good, as an operator decides: the member votes by what it has left.

use emberfs_meta_server_consensus::Index;

use super::error::OpenError;
use super::{StoreOptions, Stores, log, open};

/// What a member has lost, and what became of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: it votes.
    Nothing,
    /// No leader has brought it up to date since its directory was made: nobody knows what it had. It was left so.
    New,
    /// Its state is gone, so that it has nothing to vote by, and it had entries up to here. It was left so.
    All {
        /// The last of them.
        to: Index,
    },
    /// The end of its log.
    End {
        /// Where the log ends now.
        last: Index,
        /// Where it ended once.
        to: Index,
        /// Whether that was taken for lost just now.
        accepted: bool,
    },
}

/// Lets a member vote by what its log has left, if entries up to `to` are what it has lost; says what it has lost.
///
/// # Errors
/// [`OpenError`]; nothing was changed then.
pub fn accept_loss(options: &StoreOptions, to: Option<Index>) -> Result<Loss, OpenError> {
    // Opened, it would be made.
    if !log::guard_path(&options.dir).exists() {
        return Ok(Loss::New);
    }
    let Stores { mut log, restored, must_reach, is_new, .. } = open(options)?;
    let last = restored.entries.last().map_or(restored.cut, |entry| entry.position).index;
    Ok(match must_reach {
        Index::NONE if is_new => Loss::New,
        Index::NONE => Loss::Nothing,
        lost if last == Index::NONE => Loss::All { to: lost },
        // How much a leader knows of is not all that it had.
        _ if is_new => Loss::New,
        lost => {
            let accepted = to == Some(lost);
            if accepted {
                log.accept_loss().map_err(OpenError::io(&options.dir))?;
            }
            Loss::End { last, to: lost, accepted }
        }
    })
}
