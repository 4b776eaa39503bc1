//! For tests that lead the group into a corner: nothing happens by chance but the order of things.

use raft::eraftpb::MessageType;

use super::{Millis, World, place};

impl World {
    /// Nothing goes wrong by itself.
    pub(in crate::tests) fn calm(&mut self) {
        self.faults = false;
    }

    /// Things happen until this is so, at most so many; whether it is.
    pub(in crate::tests) fn until(&mut self, turns: usize, holds: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..turns {
            if holds(self) {
                return true;
            }
            self.turn();
        }
        false
    }

    /// Who has a lease, that lasts for this long at least.
    pub(in crate::tests) fn leased(&self, left: Millis) -> Option<usize> {
        let has = |&at: &usize| {
            let node = &self.nodes[at];
            node.clock.read(self.now).after(left) < node.lease
        };
        (0..self.nodes.len()).find(has)
    }

    /// How much was acknowledged, by anybody.
    pub(in crate::tests) fn acknowledged(&self) -> usize {
        self.promises.acknowledged.len()
    }

    /// In how many terms somebody led.
    pub(in crate::tests) fn terms(&self) -> usize {
        self.promises.leaders.len()
    }

    /// Nothing gets through between these, in either way, for as long as anything here lasts.
    pub(in crate::tests) fn cut_off(&mut self, one: usize, other: usize) {
        self.network.block(one, other, Millis(u64::MAX));
        self.network.block(other, one, Millis(u64::MAX));
    }

    /// Nothing gets through to this one any more.
    pub(in crate::tests) fn deafen(&mut self, at: usize) {
        (0..self.nodes.len()).for_each(|peer| self.network.block(peer, at, Millis(u64::MAX)));
    }

    /// Whether such a message is under way.
    pub(in crate::tests) fn under_way(&self, from: usize, to: usize, kind: MessageType) -> bool {
        let is = |message: &crate::PeerMessage| {
            let ends = (place(message.from()), place(message.to()));
            ends == (from, to) && message.0.get_msg_type() == kind
        };
        self.network.messages.iter().any(is)
    }

    /// All messages of this kind that are under way to a member arrive there.
    pub(in crate::tests) fn arrive(&mut self, to: usize, kind: MessageType) {
        let is = |message: &mut crate::PeerMessage| {
            place(message.to()) == to && message.0.get_msg_type() == kind
        };
        let found: Vec<_> = self.network.messages.extract_if(.., is).collect();
        for message in found {
            self.input(to, super::Input::Message(message));
        }
    }

    /// A member stands still until [`World::wake`].
    pub(in crate::tests) fn stop(&mut self, at: usize) {
        self.nodes[at].paused_until = Millis(u64::MAX);
    }

    pub(in crate::tests) fn wake(&mut self, at: usize) {
        self.nodes[at].paused_until = self.now;
    }

    /// A member is killed and starts at once.
    pub(in crate::tests) fn restart(&mut self, at: usize) {
        self.crash(at, Millis(0));
        self.start(at);
    }

    /// A member is killed, and stays down.
    pub(in crate::tests) fn kill(&mut self, at: usize) {
        self.crash(at, Millis(1 << 40));
    }
}
