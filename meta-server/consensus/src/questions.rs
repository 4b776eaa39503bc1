//! Questions for confirmation: one round at a time, for all that wait when it begins. A leader begins rounds for
//! its lease too, which nobody waits for.

use emberfs_wire::group::MemberId;

use crate::ids::{ConfirmId, Millis};

/// Those that have no answer yet.
pub(crate) struct Questions {
    /// What all names of rounds begin with: no other member and no other start of this one has the same, as the leader
    /// tells the rounds of all members apart by it, and late answers may come at any time.
    prefix: [u8; 16],
    waiting: Vec<ConfirmId>,
    asked: Option<Round>,
    rounds: u64,
}

/// What was asked together.
pub(crate) struct Round {
    /// For whom.
    pub(crate) ids: Vec<ConfirmId>,
    /// When it began.
    pub(crate) began: Millis,
}

impl Questions {
    /// None yet; `start` differs with each start of the member.
    pub(crate) fn new(member: MemberId, start: u64) -> Self {
        let mut prefix = [0; 16];
        prefix[..8].copy_from_slice(&member.get().to_be_bytes());
        prefix[8..].copy_from_slice(&start.to_be_bytes());
        Self { prefix, waiting: Vec::new(), asked: None, rounds: 0 }
    }

    /// One more, for the next round.
    pub(crate) fn put(&mut self, id: ConfirmId) {
        self.waiting.push(id);
    }

    /// Whether anybody waits for the next round.
    pub(crate) fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The name of the round under way, and when it began.
    pub(crate) fn under_way(&self) -> Option<(Vec<u8>, Millis)> {
        self.asked.as_ref().map(|round| (self.name(), round.began))
    }

    /// Begins a round for all that wait, as none is under way; gives what names it.
    pub(crate) fn begin(&mut self, now: Millis) -> Vec<u8> {
        assert!(self.asked.is_none(), "one round at a time");
        self.asked = Some(Round { ids: std::mem::take(&mut self.waiting), began: now });
        self.rounds += 1;
        self.name()
    }

    /// The round of this name is answered; nothing if it is not the one under way.
    pub(crate) fn answered(&mut self, name: &[u8]) -> Option<Round> {
        if name == self.name() { self.asked.take() } else { None }
    }

    /// Those that have no answer, and will get none.
    pub(crate) fn give_up(&mut self) -> Vec<ConfirmId> {
        let mut all = self.asked.take().map(|round| round.ids).unwrap_or_default();
        all.append(&mut self.waiting);
        all
    }

    /// What names the question of a new member, how far it has to come: no round's name.
    pub(crate) fn aim(&self) -> Vec<u8> {
        self.prefix.to_vec()
    }

    fn name(&self) -> Vec<u8> {
        [&self.prefix[..], &self.rounds.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_members_or_starts_name_a_round_alike() {
        let name = |member, start| Questions::new(MemberId(member), start).begin(Millis(0));
        assert_ne!(name(1, 1), name(2, 1));
        assert_ne!(name(1, 1), name(1, 2));
        assert_eq!(name(1, 1), name(1, 1));
    }

    #[test]
    fn only_the_round_under_way_is_answered() {
        let mut questions = Questions::new(MemberId(1), 1);
        questions.put(ConfirmId(1));
        let first = questions.begin(Millis(0));
        questions.put(ConfirmId(2));
        assert_eq!(questions.answered(&first).unwrap().ids, [ConfirmId(1)]);
        assert!(questions.answered(&first).is_none());
        let second = questions.begin(Millis(5));
        assert!(questions.answered(&first).is_none());
        assert_eq!(questions.answered(&second).unwrap().began, Millis(5));
    }
}
