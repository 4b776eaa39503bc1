//! A model of the metadata leader: it grants leases and changes chains by the rules of the membership
//! table, with a clock of its own that all others are measured by.
//!
//! * A serving member leaves only when its lease has run out, or when its server has restarted, and only
//!   when another serving member was heard of after that. If no other is, all are *last serving*.
//! * The last of the last serving ones serves first when it is back; the others come back by syncing.
//! * A syncing member serves when it says *up to date* under the chain's present version.
//! * A restarted server hears of its chain only once its restart is dealt with.

use PublicState::{LastServing, Offline, Serving, Syncing, Waiting};
use emberfs_layout::{ChainId, ChainVersion, ClientId, TargetId};
use emberfs_wire::cluster::{Chain, ChainMember, LocalState, PublicState, TargetReport};

/// The leader waits this long after it last answered a member, in milliseconds.
pub(crate) const LEASE_MS: u64 = 1_000;

struct Seen {
    boot: u64,
    /// When it was last answered.
    answered: u64,
    /// Since when the process that served is known to be gone.
    gone: Option<u64>,
    report: Option<TargetReport>,
    /// Up to where it has confirmed the list of ended sessions.
    ended: usize,
}

pub(crate) struct Controller {
    chains: Vec<Chain>,
    seen: Vec<Seen>,
    ended: Vec<ClientId>,
}

impl Controller {
    /// Chains over targets 0, 1, … in order, all of which serve; each has as many as told.
    pub(crate) fn new(sizes: &[usize]) -> Self {
        let mut next = 0;
        let chains = sizes.iter().enumerate().map(|(at, size)| {
            let members = (next..next + size).map(|target| ChainMember {
                target: TargetId(u32::try_from(target).expect("few")),
                state: Serving,
            });
            let members = members.collect();
            next += size;
            let min_serving = u8::try_from((size - 1).max(1)).expect("few");
            let id = ChainId(u32::try_from(at).expect("few"));
            Chain { id, version: ChainVersion(1), members, min_serving }
        });
        let chains = chains.collect();
        let seen =
            (0..next).map(|_| Seen { boot: 1, answered: 0, gone: None, report: None, ended: 0 });
        Self { chains, seen: seen.collect(), ended: Vec::new() }
    }

    pub(crate) fn chain(&self, at: usize) -> &Chain {
        &self.chains[at]
    }

    pub(crate) fn end_session(&mut self, client: ClientId) {
        self.ended.push(client);
    }

    /// Sessions that ended after the first `from`, without those that all servers have confirmed: they
    /// are forgotten.
    pub(crate) fn ended(&self, from: usize) -> Vec<ClientId> {
        let forgotten = self.seen.iter().map(|seen| seen.ended).min().unwrap_or(0);
        self.ended[from.max(forgotten)..].to_vec()
    }

    /// A server has heard of the first `ended` of them.
    pub(crate) fn confirmed(&mut self, node: usize, ended: usize) {
        let seen = &mut self.seen[node];
        seen.ended = seen.ended.max(ended);
    }

    pub(crate) fn ended_count(&self) -> usize {
        self.ended.len()
    }

    /// A heartbeat; the answer grants a lease, and brings the chain unless a restart is yet to be dealt
    /// with. `None`: it is of an earlier start.
    pub(crate) fn heartbeat(
        &mut self,
        now: u64,
        node: usize,
        boot: u64,
        report: TargetReport,
        chain: usize,
    ) -> Option<Option<Chain>> {
        let serves = self.state(chain, report.target) == Some(Serving);
        let seen = &mut self.seen[node];
        if boot < seen.boot {
            return None;
        }
        if boot > seen.boot {
            seen.boot = boot;
            seen.gone = seen.gone.or(serves.then_some(now));
            if self.state(chain, report.target) == Some(Syncing) {
                self.set(chain, &[report.target], Offline);
            }
        }
        let seen = &mut self.seen[node];
        seen.answered = now;
        seen.report = Some(report);
        let known = seen.gone.is_none();
        Some(known.then(|| self.chains[chain].clone()))
    }

    pub(crate) fn all_serve(&self, at: usize) -> bool {
        self.chains[at].members.iter().all(|member| member.state == Serving)
    }

    /// Brings every chain up to what is known now.
    pub(crate) fn judge(&mut self, now: u64) {
        for at in 0..self.chains.len() {
            self.remove_gone(now, at);
            self.bring_back_last(now, at);
            self.move_others(now, at);
        }
    }

    fn state(&self, at: usize, target: TargetId) -> Option<PublicState> {
        let member = self.chains[at].members.iter().find(|member| member.target == target);
        member.map(|member| member.state)
    }

    fn of(&self, at: usize, state: PublicState) -> Vec<TargetId> {
        let members = self.chains[at].members.iter().filter(|member| member.state == state);
        members.map(|member| member.target).collect()
    }

    fn seen(&self, target: TargetId) -> &Seen {
        &self.seen[target.0 as usize]
    }

    fn alive(&self, now: u64, target: TargetId) -> bool {
        self.seen(target).answered + LEASE_MS > now
    }

    /// Since when a member that serves is known not to.
    fn gone(&self, now: u64, target: TargetId) -> Option<u64> {
        let seen = self.seen(target);
        let lapsed = (!self.alive(now, target)).then_some(seen.answered + LEASE_MS);
        seen.gone.or(lapsed)
    }

    fn remove_gone(&mut self, now: u64, at: usize) {
        let serving = self.of(at, Serving);
        let gone: Vec<(TargetId, u64)> =
            serving.iter().filter_map(|t| Some((*t, self.gone(now, *t)?))).collect();
        let Some(latest) = gone.iter().map(|(_, since)| *since).max() else { return };
        let heard = |target: &TargetId| {
            self.gone(now, *target).is_none() && self.seen(*target).answered > latest
        };
        let targets: Vec<TargetId> = gone.iter().map(|(target, _)| *target).collect();
        if serving.iter().any(heard) {
            self.set(at, &targets, Offline);
        } else if targets.len() == serving.len() {
            let syncing = self.of(at, Syncing);
            self.set(at, &syncing, Offline);
            self.set(at, &targets, LastServing);
        } else {
            return; // somebody may be alive: it will be heard of, or lapse
        }
        for target in targets {
            self.seen[target.0 as usize].gone = None;
        }
    }

    fn bring_back_last(&mut self, now: u64, at: usize) {
        let last = self.of(at, LastServing);
        if let Some(tail) = last.last().filter(|tail| self.alive(now, **tail)) {
            self.set(at, &[*tail], Serving);
            self.set(at, &last[..last.len() - 1], Offline);
        }
    }

    fn move_others(&mut self, now: u64, at: usize) {
        for target in [self.of(at, Syncing), self.of(at, Waiting)].concat() {
            if !self.alive(now, target) {
                self.set(at, &[target], Offline);
            }
        }
        for target in self.of(at, Offline) {
            if self.alive(now, target) {
                self.set(at, &[target], Waiting);
            }
        }
        let free = !self.of(at, Serving).is_empty() && self.of(at, Syncing).is_empty();
        if let Some(target) = self.of(at, Waiting).first().filter(|_| free) {
            self.set(at, &[*target], Syncing);
        }
        for target in self.of(at, Syncing) {
            let complete = self.seen(target).report.is_some_and(|report| {
                report.state == LocalState::UpToDate && report.chain == self.chains[at].version
            });
            if complete {
                self.set(at, &[target], Serving);
            }
        }
    }

    /// Gives members a state, under a new version, in the order of the path.
    fn set(&mut self, at: usize, targets: &[TargetId], state: PublicState) {
        if targets.is_empty() {
            return;
        }
        let chain = &mut self.chains[at];
        chain.version = chain.version.next();
        for member in &mut chain.members {
            if targets.contains(&member.target) {
                member.state = state;
            }
        }
        chain.members.sort_by_key(|member| match member.state {
            Serving => 0,
            Syncing => 1,
            LastServing => 2,
            Waiting => 3,
            Offline => 4,
        });
    }
}
