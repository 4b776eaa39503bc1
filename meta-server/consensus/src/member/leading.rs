//! What a leader does beside `raft`: it asks whether it leads, has a lease, and hands over. Followers ask too,
//! by way of it.

use emberfs_wire::group::{Index, MemberId};

use super::{Led, Member};
use crate::effect::{Effect, Leadership};
use crate::ids::{ConfirmId, Millis};
use crate::lease::{LEASE, SILENCE};

/// A follower that was told to campaign, and does not lead for as many ticks, lets the next one try.
const HAND_OVER_TICKS: usize = 4;

impl Member {
    /// Until when this member leads for certain: what was acknowledged anywhere before then stands in its state, and
    /// what anybody has seen of any member's state is [committed](Self::committed) here. The beginning of time if it
    /// does not lead, or nobody has told it that it still does; the end if no other member votes. Whoever answers by
    /// it must have looked after the last step, and before the effects of that are carried out.
    #[must_use]
    pub fn lease_until(&self) -> Millis {
        match (&self.led, self.leadership) {
            (Some(_), Leadership::Leader { .. }) if self.alone() => Millis(u64::MAX),
            (Some(led), Leadership::Leader { .. }) => led.lease,
            _ => Millis(0),
        }
    }

    pub(super) fn extend_lease(&mut self, began: Millis) {
        if let Some(led) = &mut self.led {
            led.lease = led.lease.max(began.after(LEASE));
        }
    }

    pub(super) fn question(&mut self, id: ConfirmId, out: &mut Vec<Effect>) {
        match self.leadership {
            Leadership::Leader { .. } | Leadership::Follower { .. } => self.questions.put(id),
            Leadership::Nobody => out.push(Effect::Unconfirmed { id, leader: None }),
        }
    }

    /// Begins a round of confirmation, if one is wanted.
    pub(super) fn ask(&mut self) {
        if self.questions.under_way().is_some() {
            return;
        }
        let wanted = match &mut self.led {
            // `raft` drops a question without a word before the term's first entry is committed.
            Some(_) if !self.raft.raft.commit_to_current_term() => false,
            Some(led) => std::mem::take(&mut led.renew) || self.questions.wait(),
            None => self.raft.raft.leader_id != 0 && self.questions.wait(),
        };
        if wanted {
            let name = self.questions.begin(self.now);
            self.raft.read_index(name);
        }
    }

    /// With each tick: a leader's lease is due, and what a follower asked may be lost. A leader's heartbeats repeat
    /// its question.
    pub(super) fn ask_again(&mut self, out: &mut Vec<Effect>) {
        if let Some(led) = &mut self.led {
            led.renew = self.voters.len() > 1 && led.hands_over.is_none();
            return;
        }
        let Some((name, began)) = self.questions.under_way() else { return };
        if self.now < began.after(SILENCE) {
            self.raft.read_index(name);
        } else {
            self.give_up_questions(self.leadership.other(), out);
        }
    }

    pub(super) fn give_up_questions(&mut self, leader: Option<MemberId>, out: &mut Vec<Effect>) {
        let open = self.questions.give_up();
        out.extend(open.into_iter().map(|id| Effect::Unconfirmed { id, leader }));
    }

    /// Gives the lead up, and with it the lease, before anybody else is told to take it.
    pub(super) fn hand_over(&mut self, out: &mut Vec<Effect>) {
        let alone = self.alone();
        let Some(led) = self.led.as_mut().filter(|led| led.hands_over.is_none() && !alone) else {
            return;
        };
        led.hands_over = Some(0);
        led.renew = false;
        self.give_up_questions(None, out);
        self.press();
    }

    /// With each tick, as long as it hands over.
    pub(super) fn press_on(&mut self) {
        if let Some(ticks) = self.led.as_mut().and_then(|led| led.hands_over.as_mut()) {
            *ticks += 1;
            self.press();
        }
    }

    /// Tells a follower to take the lead: one of those that have the most, and if it does not, the next.
    fn press(&mut self) {
        let Some(Led { hands_over: Some(ticks), .. }) = self.led else { return };
        let others = self.voters.iter().filter(|&&member| member != self.me && self.hears(member));
        let known = others.map(|&member| (self.matched(member), member));
        let most = known.clone().map(|(matched, _)| matched).max();
        let best: Vec<_> = known.filter(|&(matched, _)| Some(matched) == most).collect();
        let turn = ticks / HAND_OVER_TICKS % best.len().max(1);
        let Some(&(matched, to)) = best.get(turn) else { return };
        let raft = &mut self.raft.raft;
        if raft.lead_transferee == Some(to.get()) && matched.get() == raft.raft_log.last_index() {
            // It was told, and the word may be lost.
            raft.send_timeout_now(to.get());
        } else {
            self.raft.transfer_leader(to.get());
        }
    }

    /// Whether a follower was heard within the patience of an election.
    pub(super) fn hears(&self, member: MemberId) -> bool {
        let heard = self.led.as_ref().and_then(|led| led.heard.get(&member));
        heard.is_some_and(|&heard| self.now < heard.after(SILENCE))
    }

    /// Up to where a follower's log is known to hold what this one's does.
    pub(super) fn matched(&self, member: MemberId) -> Index {
        self.raft.raft.prs().get(member.get()).map_or(Index::NONE, |known| Index(known.matched))
    }
}
