//! Why the group does not answer, and what that is to whoever asked over a connection.

use emberfs_layout::NodeId;
use emberfs_meta_server_consensus::MemberId;
use emberfs_wire::WireError;
use thiserror::Error;

/// How soon a request is to be sent again whose fate is not known, in milliseconds: a part of an election.
const RETRY_MS: u32 = 100;

/// Why the group does not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GroupError {
    /// This member does not lead, or not yet: nothing was done.
    #[error("this member does not lead the metadata group")]
    NotLeader {
        /// Who may.
        leader: Option<MemberId>,
    },
    /// The log may hold less than a moment ago, as no member is brought back any more: nothing was done.
    #[error("the log is full, and is being cut")]
    Full,
    /// Leadership was lost: it may be done, or yet be done.
    #[error("leadership was lost: the order may have been carried out")]
    Unknown,
    /// The command would be too large: nothing was done.
    #[error("a command of {len} bytes, {limit} at most")]
    TooLarge {
        /// Its length.
        len: usize,
        /// `COMMAND_BYTES_MAX`.
        limit: usize,
    },
    /// The group has stopped; an order that was under way may be done.
    #[error("the metadata group has stopped")]
    Stopped,
    /// Something failed, and the process must end; an order that was under way may be done.
    #[error("the metadata group failed: {text}")]
    Failed {
        /// What.
        text: String,
    },
}

impl GroupError {
    /// What a member answers that does not lead, nor knows who does.
    pub(crate) const NOT_LEADING: Self = Self::NotLeader { leader: None };
}

/// A member's number among the nodes of the cluster.
pub(crate) fn node(member: MemberId) -> Option<NodeId> {
    u32::try_from(member.get()).ok().map(NodeId)
}

/// Where the group cannot say what became of a change the same request sent again finds the leader, and is
/// carried out once.
impl From<GroupError> for WireError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NotLeader { leader } => Self::NotLeader { leader: leader.and_then(node) },
            GroupError::TooLarge { .. } => Self::bug(error.to_string()),
            other => Self::Retry { after_ms: RETRY_MS, text: other.to_string() },
        }
    }
}

pub(super) fn failed(error: &impl ToString) -> GroupError {
    GroupError::Failed { text: error.to_string() }
}
