//! What is asked of the group: orders, which belong to a term or not, and questions for confirmation.

use bytes::Bytes;
use emberfs_layout::ChainId;
use emberfs_meta_server_consensus::{ConfirmId, Index, Input, ProposalId, Term};
use emberfs_meta_server_state::cluster::Start;
use emberfs_meta_server_state::{Body, Outcome};
use rand::RngExt;

use super::leading::{Read, Started, Work};
use super::{Act, Beat, Errand, Metadata, agreed, to_server};
use crate::network::Message;

/// Who waits for an order.
#[derive(Clone, Copy)]
pub(super) enum Then {
    Led { leader: usize },
    Registered { leader: usize, server: usize, process: u64, call: u64 },
    Changed { leader: usize, chain: ChainId },
    Nobody,
}

/// Who waits for a confirmation.
pub(super) enum Asked {
    /// A heartbeat, before anything is read for it.
    Beat { leader: usize, beat: Box<Beat> },
    /// What was read for one, when no lease vouches for it.
    Read { leader: usize, read: Box<Read> },
    /// A client, of any member.
    Route { client: usize, chain: usize },
}

impl Metadata {
    /// An order, in this term or in none.
    pub(super) fn propose(
        &mut self,
        now: u64,
        at: usize,
        term: Option<Term>,
        body: Body,
        then: Then,
        out: &mut Vec<Errand>,
    ) {
        let leads = self.members[at].leads();
        if leads.is_none() || term.is_some_and(|term| leads != Some(term)) {
            return self.refused(at, then, out);
        }
        let command = agreed::command(now, self.rng.random(), body);
        let data = minicbor::to_vec(command).expect("memory takes all that is written to it");
        let member = &mut self.members[at];
        member.numbers += 1;
        let id = ProposalId(member.numbers);
        member.proposed.insert(id, then);
        self.input(now, at, Input::Propose { id, data: Bytes::from(data) }, out);
    }

    /// A question, to be answered in this term or not at all, or by any leader.
    pub(super) fn confirm(
        &mut self,
        now: u64,
        at: usize,
        term: Option<Term>,
        asked: Asked,
        out: &mut Vec<Errand>,
    ) {
        if term.is_some() && self.members[at].leads() != term {
            return self.unconfirmed(at, asked, out);
        }
        let member = &mut self.members[at];
        member.numbers += 1;
        let id = ConfirmId(member.numbers);
        member.asked.insert(id, asked);
        self.input(now, at, Input::Confirm(id), out);
    }

    pub(super) fn confirmed(
        &mut self,
        at: usize,
        asked: Asked,
        index: Index,
        out: &mut Vec<Errand>,
    ) {
        let pause = self.moment();
        let errand = match asked {
            Asked::Beat { leader, beat } => self.lead_later(leader, pause, Work::News(beat)),
            Asked::Read { leader, read } => self.lead_later(leader, pause, Work::Answer(read)),
            Asked::Route { client, chain } => {
                if self.members[at].leads().is_none() {
                    out.push(Errand::Count("a follower answers, by the leader's word"));
                }
                self.later(at, pause, Act::Route { client, chain, index: index.get() })
            }
        };
        out.push(errand);
    }

    pub(super) fn unconfirmed(&mut self, at: usize, asked: Asked, out: &mut Vec<Errand>) {
        let beat = match asked {
            Asked::Beat { beat, .. } => *beat,
            Asked::Read { read, .. } => read.beat,
            Asked::Route { .. } => return,
        };
        out.push(Errand::Count("a heartbeat is refused, as its leader leads no more"));
        out.push(self.not_now(at, beat.server, beat.process, beat.call));
    }

    pub(super) fn refused(&mut self, at: usize, then: Then, out: &mut Vec<Errand>) {
        match then {
            Then::Registered { server, process, call, .. } => {
                out.push(self.not_now(at, server, process, call));
            }
            Then::Changed { leader, .. } => {
                out.push(Errand::Count(
                    "a change of a chain is refused, as its leader leads no more",
                ));
                self.give_up(leader, out);
            }
            Then::Led { leader } => self.give_up(leader, out),
            Then::Nobody => {}
        }
    }

    /// An order was carried out.
    pub(super) fn carried_out(
        &mut self,
        at: usize,
        then: Then,
        outcome: &Outcome,
        out: &mut Vec<Errand>,
    ) {
        match then {
            Then::Led { leader } => {
                assert!(matches!(outcome, Outcome::SessionOpened(_)), "{outcome:?}");
                let pause = self.moment();
                out.push(self.lead_later(leader, pause, Work::Ready));
            }
            Then::Registered { leader, server, process, call } => {
                if let Outcome::Registered(Ok(Start { boot, .. })) = outcome {
                    let pause = self.moment();
                    let work = Work::Alive(Started { server, process, call, boot: *boot });
                    out.push(self.lead_later(leader, pause, work));
                } else {
                    // Another start came after it.
                    out.push(to_server(at, server, process, Message::Stale { call }));
                }
            }
            Then::Changed { leader, chain } => {
                let pause = self.rng.random_range(0..=3);
                out.push(self.lead_later(leader, pause, Work::Changed(chain)));
            }
            Then::Nobody => {}
        }
    }
}
