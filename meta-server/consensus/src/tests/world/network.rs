//! What is under way between the members: messages, which are lost, repeated, late and out of order, and
//! snapshots, which are fetched. Between some members nothing gets through for a while.

use std::collections::BTreeMap;

use emberfs_wire::group::MemberId;

use super::super::dice::Dice;
use crate::ids::Millis;
use crate::message::PeerMessage;

/// More than this, and some get lost.
const MESSAGES_MAX: usize = 300;

/// A snapshot that is fetched, with the message that follows it.
pub(super) struct Transfer {
    pub(super) message: PeerMessage,
    /// Which start of the sender it is from.
    pub(super) start: u64,
}

#[derive(Default)]
pub(super) struct Network {
    pub(super) messages: Vec<PeerMessage>,
    pub(super) transfers: Vec<Transfer>,
    /// From whom to whom nothing gets through, until when.
    blocked: BTreeMap<(usize, usize), Millis>,
}

/// To bytes and back.
pub(super) fn travel(message: PeerMessage) -> PeerMessage {
    let (parts, data) = message.into_parts();
    let bytes = minicbor::to_vec(parts).expect("memory takes all that is written to it");
    let parts = minicbor::decode(&bytes).expect("what was written can be read");
    PeerMessage::from_parts(parts, data).expect("what a member says can be heard")
}

/// Where a member stands in the world's list.
pub(super) fn place(member: MemberId) -> usize {
    usize::try_from(member.get()).expect("a handful") - 1
}

impl Network {
    pub(super) fn send(&mut self, dice: &mut Dice, message: PeerMessage) {
        let message = travel(message);
        if self.messages.len() >= MESSAGES_MAX {
            self.messages.swap_remove(dice.place(MESSAGES_MAX));
        }
        self.messages.push(message);
    }

    pub(super) fn fetch(&mut self, transfer: Transfer) {
        let ends = |of: &Transfer| (of.message.from(), of.message.to(), of.start);
        let twice = self.transfers.iter().any(|other| ends(other) == ends(&transfer));
        assert!(!twice, "two snapshots are under way to one member");
        self.transfers.push(transfer);
    }

    pub(super) fn block(&mut self, from: usize, to: usize, until: Millis) {
        self.blocked.insert((from, to), until);
    }

    pub(super) fn unblock(&mut self) {
        self.blocked.clear();
    }

    pub(super) fn passes(&self, from: usize, to: usize, now: Millis) -> bool {
        self.blocked.get(&(from, to)).is_none_or(|&until| until <= now)
    }
}
