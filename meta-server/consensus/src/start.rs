//! What a member begins with, and what cannot be one.

use thiserror::Error;

use crate::entry::{Entry, Vote};
use crate::ids::{Index, MemberId, Position};

/// Who a member is.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member.
    pub member: MemberId,
    /// All that vote, this one among them.
    pub voters: Vec<MemberId>,
    /// Of the chance in elections.
    pub seed: u64,
    /// The member said on disk that it stopped cleanly, and has not run since.
    pub stopped_cleanly: bool,
}

/// What a member finds on stable storage when it starts.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// The vote.
    pub vote: Vote,
    /// Where the log was cut.
    pub cut: Position,
    /// All behind the cut, on stable storage.
    pub entries: Vec<Entry>,
    /// What the state has taken in; not before the cut and not behind the last entry.
    pub applied: Index,
}

/// A member cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Member ids are not 0 and each stands once, this one among them.
    #[error("{voters:?} cannot be the voters of a group with member {member}")]
    Voters {
        /// This member.
        member: MemberId,
        /// Who votes.
        voters: Vec<MemberId>,
    },
    /// The state stands where the log does not reach.
    #[error(
        "the state has taken in entry {applied}, the log begins behind {cut} and ends at {last}"
    )]
    Apart {
        /// What the state has taken in.
        applied: Index,
        /// Where the log was cut.
        cut: Index,
        /// Where it ends.
        last: Index,
    },
}

/// Whether a member can be made of these.
pub(crate) fn check(config: &Config, restored: &Restored) -> Result<(), ConfigError> {
    let Config { member, voters, .. } = config;
    let mut sorted = voters.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let twice = sorted.len() != voters.len();
    if twice || sorted.contains(&MemberId::NONE) || !sorted.contains(member) {
        return Err(ConfigError::Voters { member: *member, voters: voters.clone() });
    }
    let (applied, cut) = (restored.applied, restored.cut.index);
    let last = restored.entries.last().map_or(cut, |entry| entry.position.index);
    if applied < cut || applied > last {
        return Err(ConfigError::Apart { applied, cut, last });
    }
    Ok(())
}
