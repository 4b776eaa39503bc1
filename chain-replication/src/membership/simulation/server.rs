//! A server of the model, with the writes that it holds.

use emberfs_layout::{BootNumber, TargetId};
use emberfs_wire::cluster::PublicState::{LastServing, Serving, Syncing};
use emberfs_wire::cluster::{Chain, LocalState, PublicState, TargetReport};

/// A set of writes, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Writes(Vec<u64>);

impl Writes {
    pub(super) fn insert(&mut self, write: usize) {
        self.0.resize(self.0.len().max(write / 64 + 1), 0);
        self.0[write / 64] |= 1 << (write % 64);
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether some write of `other` is missing.
    pub(super) fn lacks(&self, other: &Self) -> bool {
        let mut words = other.0.iter().enumerate();
        words.any(|(i, word)| word & !self.0.get(i).copied().unwrap_or_default() != 0)
    }
}

/// A server with one target of the same number.
pub(super) struct Server {
    /// What it holds durably; the rest is of one process.
    pub(super) held: Writes,
    pub(super) up: bool,
    /// Number of the process.
    pub(super) start: u64,
    pub(super) boot: Option<BootNumber>,
    pub(super) chain: Option<Chain>,
    pub(super) complete: bool,
    pub(super) disk_failed: bool,
    pub(super) lease_until: u64,
    pub(super) beat_at: u64,
    /// Cut off from the leader.
    pub(super) cut_off: bool,
    /// What its clock makes of 100 ms.
    pub(super) pace: u64,
}

pub(super) fn member_state(chain: &Chain, server: usize) -> PublicState {
    let member = chain.members.iter().find(|member| member.target.get() as usize == server);
    member.expect("each server has a member").state
}

pub(super) fn number(server: usize) -> u32 {
    u32::try_from(server).expect("few")
}

impl Server {
    pub(super) fn report(&self, server: usize) -> Option<TargetReport> {
        let chain = self.chain.as_ref()?;
        let state = match member_state(chain, server) {
            _ if self.disk_failed => LocalState::Offline,
            Serving | Syncing if self.complete => LocalState::UpToDate,
            _ => LocalState::Online,
        };
        let target = TargetId(number(server));
        Some(TargetReport { target, state, chain: chain.version, hindrance: None })
    }

    pub(super) fn duty(&self, server: usize) -> Option<PublicState> {
        let state = member_state(self.chain.as_ref()?, server);
        let able = self.up && !self.disk_failed && (state != Serving || self.complete);
        able.then_some(state)
    }

    pub(super) fn learn(&mut self, server: usize, chain: Chain) {
        if self.chain.as_ref().is_none_or(|known| known.version < chain.version) {
            self.complete &= matches!(member_state(&chain, server), Serving | LastServing);
            self.chain = Some(chain);
        }
    }
}
