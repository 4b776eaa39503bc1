//! What a member begins with, and what cannot be one.

use emberfs_wire::group::{Index, MemberId, Position};
use thiserror::Error;

use crate::entry::{Entry, Vote};

/// Most that the entries behind the cut may count for, but while a member is brought back ([`TRANSFER_BYTES`]). They are
/// kept in memory, and read again when the member starts.
pub const LOG_BYTES_MAX: usize = 256 << 20;

/// About as much of the newest entries stays for other members when the log is cut: one that starts again has
/// missed less.
pub const KEEP_BYTES: usize = 16 << 20;

/// So much of the log stays for a member while a state is on its way to it, and until it has caught up behind that. A
/// transfer that takes longer than the group takes to write this much is for nothing, and repeated: by a gigabyte the
/// slowest that comes to its end sends a state in a minute and a half where 10 MB a second are written, some 40,000
/// changes. It costs a leader as much memory, while one member is brought back, and no more; of one that refuses
/// them the leader [lets go](crate::Member::is_given_up).
pub const TRANSFER_BYTES: usize = 1 << 30;

/// After so many snapshots in a row that a member refused, a leader keeps no more of its log for it than for any other:
/// what hinders it, as a full disk does, does not pass by itself, and the memory is the leader's. With the pauses between
/// them that is about twenty seconds.
pub(crate) const UNTAKEN_MAX: u32 = 10;

/// Who a member is.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member.
    pub member: MemberId,
    /// All that vote, this one among them.
    pub voters: Vec<MemberId>,
    /// Of all chance; differs with each start.
    pub seed: u64,
    /// No leader has brought the member up to date since its directory was made, as far as its guard knows: it votes
    /// for nobody who holds anything, and holds to no promise. One whose log is empty is taken for new in any case.
    pub is_new: bool,
    /// The log is known to have held this much, and ends before: until the member has it again, it neither votes
    /// nor campaigns, as the group may count on what it had. Usually none. Whoever guards the log goes on guarding
    /// this much until the log ends there again: the member may be stopped before.
    pub must_reach: Index,
    /// Of the log.
    pub limits: Limits,
}

/// How long the log may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most that the entries behind the cut may count for: a leader refuses proposals from here on, and from half
    /// of it on nothing but [`Limits::keep_bytes`] is kept for others. More is kept, and as much more taken, for one
    /// that gets a state: [`Limits::transfer_bytes_max`].
    pub log_bytes_max: usize,
    /// About as much of the newest entries stays for other members.
    pub keep_bytes: usize,
    /// What is kept for a member that gets a state, and for the rest behind that.
    pub transfer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_bytes_max: LOG_BYTES_MAX,
            keep_bytes: KEEP_BYTES,
            transfer_bytes_max: TRANSFER_BYTES,
        }
    }
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
    /// What the log of a member that is alone has lost, nobody else has.
    #[error("the log ends at {last}, has held entry {must_reach}, and no other member has that")]
    Short {
        /// Where it ends.
        last: Index,
        /// What it has held.
        must_reach: Index,
    },
}

/// Whether a member can be made of these.
pub(crate) fn check(config: &Config, restored: &Restored) -> Result<(), ConfigError> {
    let Config { member, voters, must_reach, .. } = config;
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
    if voters.len() == 1 && *must_reach > last {
        return Err(ConfigError::Short { last, must_reach: *must_reach });
    }
    Ok(())
}
