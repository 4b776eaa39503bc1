//! A part of a chunk that is to be read, and from which replica.

use emberfs_client_session::{FileStripe, RouteError, RoutingTable, choose};
use emberfs_layout::{ChunkId, ChunkSpan, TargetId};
use emberfs_wire::WireError;
use emberfs_wire::chunk::Replica;
use emberfs_wire::meta::inode::FileData;

use crate::error::Try;

/// A part of a chunk that is to be read, and what was learned on the way.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Which of the caller's ranges it belongs to.
    pub(super) target: usize,
    /// Which part; its `at` is a place in that range.
    pub(super) span: ChunkSpan,
    /// Replicas that answered without all of its bytes.
    pub(super) lacking: Vec<TargetId>,
    /// Replicas that failed lately.
    pub(super) avoid: Vec<TargetId>,
    /// How often it failed.
    pub(super) tries: u32,
    /// Replicas that have a damaged copy, as they stood then: another version of the chain may have mended it.
    damaged: Vec<Replica>,
    /// Replicas whose bytes did not match their sums once, which the way may have done.
    suspected: Vec<Replica>,
}

/// Which replica a part is read from.
#[derive(Debug)]
pub(super) enum Choice {
    Of(Replica),
    /// Every serving replica answered without all of its bytes.
    Exhausted,
    /// No serving replica is left that might have it whole, and the copy of some is damaged.
    Damaged,
    /// Those that are left failed lately, or none serves.
    Nobody(RouteError),
}

impl Part {
    pub(super) fn new(target: usize, span: ChunkSpan) -> Self {
        let (lacking, avoid) = (Vec::new(), Vec::new());
        let (damaged, suspected) = (Vec::new(), Vec::new());
        Self { target, span, lacking, avoid, tries: 0, damaged, suspected }
    }

    pub(super) fn chunk(&self, data: &FileData) -> ChunkId {
        ChunkId::new(data.id, self.span.index)
    }

    pub(super) fn choose(&self, routing: &RoutingTable, stripe: &FileStripe) -> Choice {
        let chain = stripe.chain_of(self.span.index);
        let serving = match routing.serving(chain) {
            Ok(serving) => serving.collect::<Vec<_>>(),
            Err(why) => return Choice::Nobody(why),
        };
        let lacks = |replica: &Replica| self.lacking.contains(&replica.target);
        let is_damaged = |replica: &&Replica| self.damaged.contains(replica);
        let damaged: Vec<_> = serving.iter().filter(is_damaged).map(|r| r.target).collect();
        if !serving.is_empty() && serving.iter().all(|r| lacks(r) || is_damaged(&r)) {
            return if damaged.is_empty() { Choice::Exhausted } else { Choice::Damaged };
        }
        let no = [&self.lacking[..], &self.avoid, &damaged].concat();
        let chosen = choose(serving.into_iter(), &no, rand::random());
        chosen.map_or(Choice::Nobody(RouteError::NoneServing { chain }), Choice::Of)
    }

    /// `replica` gave bytes that do not match their sums: its copy is damaged if it does so twice.
    pub(super) fn was_unfit(&mut self, replica: Replica) {
        let twice = self.suspected.contains(&replica);
        if twice { self.damaged.push(replica) } else { self.suspected.push(replica) }
    }

    /// `replica` could not answer.
    pub(super) fn failed(&mut self, replica: Replica, why: &Try) {
        if matches!(why, Try::Answered(WireError::Corrupt { .. })) {
            self.damaged.push(replica);
        }
    }
}
