//! Leases of servers, as the leader of the metadata group counts them.
//!
//! ```text
//!   leader   answered ───────────── T ─────────────► lapsed: chains go on without it
//!   server  sent ─────── T/2 ──────► serves no more
//! ```
//! A server counts T/2 from when it sent the heartbeat that was answered, which was before the answer; so
//! it has stopped long before the leader takes it for lapsed, whatever a pause or the clocks' drift
//! makes of it. A new leader does not know what the one before answered, and counts T from its election.
//! T may be another than that of the leaders before: a new one grants its own, and takes nobody for lapsed before the
//! longest that any of them granted has passed since its election ([`Leases::after`]).
//!
//! The server's clock goes on while its machine sleeps. The leader's may stand still: then it waits longer
//! than T, which is safe, and after its own sleep does not take for lapsed whoever it could not hear.
//!
//! A lease is for the routing that goes with it: no answer grants one that does not also tell the
//! server of every change that ended one of its members' service. So the leader holds back leases of those
//! whom a change concerns from before it proposes it until it is applied ([`Leases::hold`]), and grants
//! none with an answer that does not carry all of the routing.

use std::collections::BTreeMap;

use emberfs_layout::{ChainId, NodeId};

use crate::target::Millis;

/// T: for how long a server is taken to serve after it was last answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerm {
    ms: u32,
}

/// Whether a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It was answered less than T/2 ago: its lease runs.
    Alive,
    /// It was not, but may still hold a lease.
    Silent,
    /// It was last answered T ago or longer: it does not serve.
    Lapsed,
}

/// What one leader knows of leases, from its election on.
#[derive(Clone, Debug)]
pub struct Leases {
    elected: Millis,
    term: LeaseTerm,
    /// The longest that leaders before granted by.
    earlier: LeaseTerm,
    answered: BTreeMap<NodeId, Millis>,
    held: BTreeMap<ChainId, Vec<NodeId>>,
}

impl LeaseTerm {
    /// 3 s: a dead server is noticed soon, and a pause of a second harms nobody.
    pub const DEFAULT: Self = Self { ms: 3_000 };

    /// T of `ms` milliseconds, at least 2.
    #[must_use]
    pub const fn new(ms: u32) -> Option<Self> {
        if ms < 2 { None } else { Some(Self { ms }) }
    }

    /// T, in milliseconds.
    #[must_use]
    pub const fn ms(self) -> u32 {
        self.ms
    }

    /// What is granted: T/2, in milliseconds.
    #[must_use]
    pub const fn granted_ms(self) -> u32 {
        self.ms / 2
    }
}

impl Leases {
    /// Those of a leader that was just elected, and has applied all that was proposed before it: a change
    /// of a leader before it, applied later, would not be held back for.
    #[must_use]
    pub fn new(elected: Millis, term: LeaseTerm) -> Self {
        Self { elected, term, earlier: term, answered: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// The same, where leaders before granted by `earlier` at most.
    #[must_use]
    pub fn after(self, earlier: LeaseTerm) -> Self {
        Self { earlier, ..self }
    }

    /// T as it counts now: of a leader before, as long as what that granted may last.
    #[must_use]
    pub fn counted(&self, now: Millis) -> LeaseTerm {
        if self.earlier_may_last(now) && self.earlier.ms > self.term.ms {
            self.earlier
        } else {
            self.term
        }
    }

    /// Whether what an earlier leader granted may last.
    fn earlier_may_last(&self, now: Millis) -> bool {
        now.0.saturating_sub(self.elected.0) < u64::from(self.earlier.ms)
    }

    /// Notes that a server is answered, and says how long a lease the answer grants, in milliseconds;
    /// 0: none. `informed` says that with this answer the server has all of the routing, and that none of
    /// its members serves by what an earlier start of it was given. `now` is read after the heartbeat
    /// came, and after the leader was known to lead.
    pub fn answer(&mut self, node: NodeId, informed: bool, now: Millis) -> u32 {
        self.answered.insert(node, now);
        let held = self.held.values().any(|nodes| nodes.contains(&node));
        if informed && !held { self.term.granted_ms() } else { 0 }
    }

    /// Whether a server answers.
    #[must_use]
    pub fn life(&self, node: NodeId, now: Millis) -> Life {
        let answered = self.answered.get(&node);
        let ago = now.0.saturating_sub(answered.unwrap_or(&self.elected).0);
        if ago >= u64::from(self.term.ms) && !self.earlier_may_last(now) {
            Life::Lapsed
        } else if answered.is_some() && ago < u64::from(self.term.granted_ms()) {
            Life::Alive
        } else {
            Life::Silent
        }
    }

    /// How long ago a server was last answered, in milliseconds; `None`: not by this leader.
    #[must_use]
    pub fn answered_ms_ago(&self, node: NodeId, now: Millis) -> Option<u64> {
        self.answered.get(&node).map(|answered| now.0.saturating_sub(answered.0))
    }

    /// Grants these servers nothing more while a change of `chain` is under way that ends their service
    /// ([`served_before`](super::served_before)). Called before it is proposed.
    pub fn hold(&mut self, chain: ChainId, nodes: impl IntoIterator<Item = NodeId>) {
        self.held.entry(chain).or_default().extend(nodes);
    }

    /// The change of `chain` was applied, and answers carry it from now on, or it had no effect.
    pub fn release(&mut self, chain: ChainId) {
        self.held.remove(&chain);
    }
}
