//! Why the group does not answer, and what that is to whoever asked over a connection.

use emberfs_layout::NodeId;
use emberfs_meta_server_consensus::MemberId;
use emberfs_wire::WireError;
use thiserror::Error;

/// How soon a request is to be sent again to the same member, in milliseconds: a log is cut by then.
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

/// Whoever lost the lead or stops is left: the same request finds the next leader, and is carried out once, also where
/// nobody here can say what became of it.
impl From<GroupError> for WireError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NotLeader { leader } => Self::NotLeader { leader: leader.and_then(node) },
            GroupError::Unknown | GroupError::Stopped => Self::NotLeader { leader: None },
            GroupError::TooLarge { .. } => Self::bug(error.to_string()),
            GroupError::Full | GroupError::Failed { .. } => {
                Self::Retry { after_ms: RETRY_MS, text: error.to_string() }
            }
        }
    }
}

pub(super) fn failed(error: &impl ToString) -> GroupError {
    GroupError::Failed { text: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_no_more_or_stops_is_left_and_who_only_waits_is_not() {
        let elsewhere = |error: GroupError| match WireError::from(error) {
            WireError::NotLeader { leader } => Some(leader),
            _ => None,
        };
        let leader = Some(MemberId(2));
        assert_eq!(elsewhere(GroupError::NotLeader { leader }), Some(Some(NodeId(2))));
        assert_eq!(elsewhere(GroupError::Unknown), Some(None));
        assert_eq!(elsewhere(GroupError::Stopped), Some(None));
        assert_eq!(elsewhere(GroupError::Full), None);
        assert_eq!(elsewhere(GroupError::Failed { text: "a disk".to_owned() }), None);
    }
}
