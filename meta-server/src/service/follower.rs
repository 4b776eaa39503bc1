//! What a member answers from its own state, as of what the leader knew to be committed when it was asked.

use emberfs_meta_server_state::namespace::{self, Answer};
use emberfs_wire::WireError;
use emberfs_wire::meta::{Ask, Query, QueryReply};

use crate::group::{Group, GroupError};

/// Answers a question, unless it needs what the leader alone remembers or does.
pub(super) async fn ask(group: &Group, asked: Ask) -> Result<QueryReply, WireError> {
    let leader = || WireError::from(GroupError::NotLeader { leader: group.leader() });
    if asked.query == Query::Space {
        return Err(leader());
    }
    match group.read_here(|view| namespace::ask(view, &asked)).await? {
        Answer::Reply(reply) => Ok(reply),
        Answer::Refused(why) => Err(why.into()),
        Answer::After(_) => Err(leader()),
    }
}
