//! What a message says beside what `raft` has in it, where `raft` leaves room.
//!
//! | message | field | says |
//! | --- | --- | --- |
//! | vote, and its reply | `reject_hint` | 1: the sender holds an order, or may have held one; 2: it holds none |
//! | reply to a vote | `context` | `new`: the sender is new |
//! | append | `context` | `founds`: the leader was elected by all, and nothing was committed yet |
//! | append reply | `context` | `lost`: the sender has lost what it once had: what is known of it no longer holds |
//! | read index reply | `commit` | where the leader's log ends |

use emberfs_wire::group::Index;
use raft::eraftpb::{Message, MessageType};

use super::Member;

const HOLDS: u64 = 1;
const HOLDS_NONE: u64 = 2;
const NEW: &[u8] = b"new";
const FOUNDS: &[u8] = b"founds";
const LOST: &[u8] = b"lost";

/// Of who asks for a vote: whether it holds an order. Versions that do not say so may hold one with any entry.
pub(super) fn asker_holds(message: &Message) -> bool {
    says_holds(message).unwrap_or(message.index > 0)
}

/// Of who votes: whether it may hold an order.
pub(super) fn voter_holds(message: &Message) -> bool {
    says_holds(message).unwrap_or(true)
}

fn says_holds(message: &Message) -> Option<bool> {
    match message.reject_hint {
        HOLDS => Some(true),
        HOLDS_NONE => Some(false),
        _ => None,
    }
}

/// Of the reply to a vote: whether the sender is new.
pub(super) fn is_new(message: &Message) -> bool {
    message.context == NEW
}

/// Of an append: whether its leader founds the group.
pub(super) fn founds(message: &Message) -> bool {
    message.context == FOUNDS
}

/// Of an append's reply: whether the sender has lost what it had.
pub(super) fn lost(message: &Message) -> bool {
    message.reject && message.context == LOST
}

/// Of the answer to what is committed: how far the leader's log reaches.
pub(super) fn reach(message: &Message) -> Index {
    Index(message.index.max(message.commit))
}

impl Member {
    /// Says it with a message that is about to leave.
    pub(super) fn say_beside(&self, message: &mut Message) {
        let holds = if self.holds() { HOLDS } else { HOLDS_NONE };
        match message.get_msg_type() {
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                message.reject_hint = holds;
            }
            MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
                message.reject_hint = holds;
                if self.is_new {
                    message.context = NEW.to_vec();
                }
            }
            MessageType::MsgAppend if self.founds() => message.context = FOUNDS.to_vec(),
            // As long as what was lost is not here again.
            MessageType::MsgAppendResponse if message.reject && self.must_reach != Index::NONE => {
                message.context = LOST.to_vec();
            }
            MessageType::MsgReadIndexResp => message.commit = self.last().index.get(),
            _ => {}
        }
    }
}
