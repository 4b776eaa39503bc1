//! What was promised to the users of the group, and what must never happen.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use emberfs_wire::group::{Index, Term};

use crate::effect::Refusal;
use crate::entry::Entry;
use crate::ids::{ConfirmId, Millis, ProposalId};

/// What a proposal wants.
pub(super) fn order(id: ProposalId) -> Bytes {
    Bytes::from(format!("order {}", id.0))
}

/// A question that has no answer yet.
pub(super) struct Question {
    pub(super) at: usize,
    pub(super) asked: Millis,
    /// What was acknowledged when it was asked.
    acknowledged: Index,
}

#[derive(Default)]
pub(super) struct Promises {
    /// Data whose outcome some user has seen.
    pub(super) acknowledged: BTreeSet<Bytes>,
    acknowledged_to: Index,
    /// What any user has seen of any state.
    shown: Index,
    pub(super) questions: BTreeMap<ConfirmId, Question>,
    /// Proposals that have no answer yet, with where and when they were made.
    pub(super) proposals: BTreeMap<ProposalId, (usize, Millis)>,
    /// What was refused and is not in any log.
    refused: BTreeSet<Bytes>,
    /// Who led in each term.
    pub(super) leaders: BTreeMap<Term, usize>,
    /// What any member applied at each place: the others must agree.
    pub(super) agreed: BTreeMap<Index, Entry>,
    pub(super) confirmed: usize,
    pub(super) confirmed_by_followers: usize,
    /// Looks at the lease of a leader.
    pub(super) leased: usize,
}

impl Promises {
    pub(super) fn lead(&mut self, term: Term, at: usize) {
        let first = *self.leaders.entry(term).or_insert(at);
        assert_eq!(first, at, "two leaders in {term:?}");
    }

    pub(super) fn propose(&mut self, id: ProposalId, at: usize, now: Millis) {
        self.proposals.insert(id, (at, now));
    }

    pub(super) fn answer(&mut self, id: ProposalId) {
        self.proposals.remove(&id).expect("each proposal is answered once");
    }

    pub(super) fn refuse(&mut self, id: ProposalId, why: Refusal) {
        self.answer(id);
        if why != Refusal::Unknown {
            self.refused.insert(order(id));
        }
    }

    /// What a member that is gone would have answered, nobody does.
    pub(super) fn forget(&mut self, at: usize) {
        self.questions.retain(|_, question| question.at != at);
        self.proposals.retain(|_, &mut (by, _)| by != at);
    }

    /// A member applied this, behind what it applied last.
    pub(super) fn apply(&mut self, last: Index, entry: &Entry, answered: bool) {
        let place = entry.position.index;
        let agreed = self.agreed.entry(place).or_insert_with(|| entry.clone());
        assert_eq!(agreed, entry, "members differ at {place:?}");
        assert_eq!(place, last.next(), "a state skips entries");
        assert!(!self.refused.contains(&entry.data), "refused and applied: {entry:?}");
        if answered {
            self.acknowledged.insert(entry.data.clone());
            self.acknowledged_to = self.acknowledged_to.max(place);
        }
    }

    pub(super) fn ask(&mut self, id: ConfirmId, at: usize, now: Millis) {
        let question = Question { at, asked: now, acknowledged: self.acknowledged_to };
        self.questions.insert(id, question);
    }

    pub(super) fn confirm(&mut self, id: ConfirmId, index: Index, leads: bool) {
        let question = self.questions.remove(&id).expect("each question is answered once");
        assert!(index >= question.acknowledged, "a confirmed read misses what was acknowledged");
        self.confirmed += 1;
        self.confirmed_by_followers += usize::from(!leads);
    }

    pub(super) fn unconfirm(&mut self, id: ConfirmId) {
        self.questions.remove(&id).expect("each question is answered once");
    }

    /// Nobody waits for an answer.
    pub(super) fn idle(&self) -> bool {
        self.questions.is_empty() && self.proposals.is_empty()
    }

    /// A user has seen a state that has taken in this much.
    pub(super) fn show(&mut self, index: Index) {
        self.shown = self.shown.max(index);
    }

    /// Whoever answers from its state alone has all that was acknowledged in it, and knows of all that any user has seen
    /// so that it can wait for that.
    pub(super) fn lease(&mut self, at: usize, applied: Index, committed: Index) {
        self.leased += 1;
        let shown = self.shown;
        assert!(committed >= shown, "a stale lease: {at} knows {committed} of {shown}");
        let acknowledged = self.acknowledged_to;
        assert!(applied >= acknowledged, "a stale lease: {at} has {applied} of {acknowledged}");
    }

    /// Every acknowledged order stands in the state, once.
    pub(super) fn check_kept(&self, state: &[Entry]) {
        let mut seen = BTreeSet::new();
        for entry in state.iter().filter(|entry| !entry.data.is_empty()) {
            assert!(seen.insert(entry.data.clone()), "applied twice: {entry:?}");
        }
        let lost: Vec<_> = self.acknowledged.difference(&seen).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}
