//! The log of the metadata group: commands that were proposed, and which of them a new leader finds.

use emberfs_layout::ChainId;
use emberfs_meta_server_state::cluster;
use emberfs_meta_server_state::cluster::Start;
use emberfs_meta_server_state::{Body, Command, MemoryStore, Outcome, Schema, apply, sessions};
use emberfs_wire::cluster::Chain;
use emberfs_wire::meta::Time;
use rand::RngExt;

use crate::leader::Leader;
use crate::metadata::{Errand, FORGET_MS, LOOKS_MS, Metadata, Step, to_server};
use crate::network::Message;

/// A command that is not applied yet.
pub(crate) struct Proposal {
    id: u64,
    term: usize,
    body: Body,
    then: Then,
}

/// Who waits for a proposal.
pub(crate) enum Then {
    Registered { server: usize, process: u64, call: u64 },
    Changed(ChainId),
    Nobody,
}

impl Metadata {
    pub(crate) fn elect(&mut self, now: u64, out: &mut Vec<Errand>) {
        if self.leads && self.paused_until() <= now {
            return;
        }
        for _ in 0..self.rng.random_range(0..=self.log.len()) {
            let Proposal { body, .. } = self.log.pop_front().expect("counted");
            self.apply_body(now, body, out);
        }
        self.log.clear();
        self.leads = true;
        let term = self.leaders.len();
        let ready_at = if term == 0 { now } else { now + self.moment() };
        let pace = self.rng.random_range(75..=130);
        self.leaders.push(Leader::new(now, ready_at, pace, self.planted));
        self.look_in(ready_at - now, out);
        out.push(Errand::Later(FORGET_MS, Step::Forget { term }));
    }

    pub(crate) fn propose(&mut self, now: u64, body: Body, then: Then, out: &mut Vec<Errand>) {
        self.proposals += 1;
        let (id, term) = (self.proposals, self.leaders.len() - 1);
        self.log.push_back(Proposal { id, term, body, then });
        self.applied_at = self.applied_at.max(now + 1 + self.moment());
        out.push(Errand::Later(self.applied_at - now, Step::Apply(id)));
    }

    /// The log is committed up to a proposal.
    pub(crate) fn apply_to(&mut self, now: u64, id: u64, out: &mut Vec<Errand>) {
        while self.leads && self.log.front().is_some_and(|first| first.id <= id) {
            let first = self.log.pop_front().expect("looked at above");
            self.apply_one(now, first, out);
        }
    }

    fn apply_one(&mut self, now: u64, proposal: Proposal, out: &mut Vec<Errand>) {
        let Proposal { term, body, then, .. } = proposal;
        let outcome = self.apply_body(now, body, out);
        match then {
            Then::Registered { server, process, call } => {
                let message = if let Outcome::Registered(Ok(Start { boot, .. })) = outcome {
                    let (alive, next) = sessions::alive(&self.state).expect("memory");
                    Message::TakenIn { call, boot, alive, next }
                } else {
                    Message::Stale { call } // another start came after it
                };
                out.push(to_server(server, process, message));
            }
            Then::Changed(chain) => {
                let leader = &mut self.leaders[term];
                leader.applied(chain);
                if leader.under_way == 0 {
                    self.look_in(LOOKS_MS.0, out);
                }
            }
            Then::Nobody => {}
        }
    }

    pub(crate) fn apply_body(&mut self, now: u64, body: Body, out: &mut Vec<Errand>) -> Outcome {
        let Body::SetChain { chain: Chain { id, .. }, .. } = body else {
            return self.apply_now(now, body);
        };
        let placed = |state: &MemoryStore| {
            Box::new(cluster::placed_chain(state, id).expect("memory").expect("it never goes"))
        };
        let before = placed(&self.state);
        let outcome = self.apply_now(now, body);
        let after = placed(&self.state);
        if before.chain != after.chain {
            out.push(Errand::Changed { before, after });
        }
        outcome
    }

    pub(crate) fn apply_now(&mut self, now: u64, body: Body) -> Outcome {
        let time = Time { seconds: i64::try_from(now / 1_000).expect("soon"), nanos: 0 };
        let command = Command { schema: Schema::OURS, time, seed: self.rng.random(), body };
        apply(&mut self.state, &command).expect("memory")
    }
}
