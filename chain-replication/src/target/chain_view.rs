//! The chain as a target sees it, and the target's place in it.
//!
//! ```text
//!   path:  serving (head) ── serving ── serving (the last) ── the first syncing one, if any
//! ```
//! Versions travel along the path. There is one syncing member in it at a time: another's predecessor
//! would be one that is not complete itself.

use emberfs_layout::{ChainId, ChainVersion, TargetId};
use emberfs_wire::WireError;
use emberfs_wire::chunk::Replica;
use emberfs_wire::cluster::{Chain, PublicState};

/// What a target does for its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Reads and writes.
    Serving,
    /// Takes writes and what its predecessor sends.
    Syncing,
    /// Nothing.
    Idle,
}

/// The next in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Successor {
    pub(super) target: TargetId,
    pub(super) syncing: bool,
}

/// A chain with the place of one target in it.
#[derive(Clone, Debug)]
pub(super) struct ChainView {
    pub(super) id: ChainId,
    pub(super) version: ChainVersion,
    pub(super) duty: Duty,
    /// Whether it orders the chain's writes.
    pub(super) head: bool,
    pub(super) predecessor: Option<TargetId>,
    pub(super) successor: Option<Successor>,
    /// The last member that serves: it is asked which version is committed.
    pub(super) last_serving: Option<TargetId>,
    /// Whether its own state is *last serving*: it has all that was acknowledged, and waits.
    pub(super) last_to_serve: bool,
    serving: usize,
    min_serving: u8,
}

impl ChainView {
    pub(super) fn new(chain: &Chain, me: TargetId) -> Self {
        let of = |state: PublicState| chain.members.iter().filter(move |m| m.state == state);
        let serving: Vec<TargetId> = of(PublicState::Serving).map(|m| m.target).collect();
        let syncing = of(PublicState::Syncing).map(|m| m.target).next();
        let path: Vec<TargetId> =
            serving.iter().copied().chain(syncing.filter(|_| !serving.is_empty())).collect();
        let place = path.iter().position(|target| *target == me);
        let duty = match place {
            Some(place) if place < serving.len() => Duty::Serving,
            Some(_) => Duty::Syncing,
            None => Duty::Idle,
        };
        let next = place.and_then(|place| path.get(place + 1).map(|target| (place + 1, *target)));
        Self {
            id: chain.id,
            version: chain.version,
            duty,
            head: place == Some(0),
            predecessor: place.and_then(|place| path.get(place.checked_sub(1)?).copied()),
            successor: next.map(|(at, target)| Successor { target, syncing: at >= serving.len() }),
            last_serving: serving.last().copied(),
            last_to_serve: of(PublicState::LastServing).any(|m| m.target == me),
            serving: serving.len(),
            min_serving: chain.min_serving,
        }
    }

    /// How many members serve, if that is too few for a write.
    pub(super) fn too_few(&self) -> Option<String> {
        let (have, need) = (self.serving, usize::from(self.min_serving));
        let text = || format!("{}: {have} of {need} replicas that writes need", self.id);
        (have < need).then(text)
    }

    /// Names another member under this version.
    pub(super) fn replica(&self, target: TargetId) -> Replica {
        Replica { target, chain: self.id, version: self.version }
    }

    /// Whether a request that names `replica` goes by this view.
    pub(super) fn check(&self, replica: &Replica) -> Result<(), WireError> {
        if replica.chain == self.id && replica.version == self.version {
            return Ok(());
        }
        Err(refresh(replica, self.version))
    }
}

/// The refusal of a request that goes by another version.
pub(super) fn refresh(replica: &Replica, known: ChainVersion) -> WireError {
    WireError::RefreshRouting { chain: replica.chain, asked: replica.version, known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PublicState::{LastServing, Offline, Serving, Syncing, Waiting};
    use emberfs_wire::cluster::ChainMember;

    fn view(states: &[PublicState], me: u32) -> ChainView {
        let member = |(i, state): (usize, &PublicState)| ChainMember {
            target: TargetId(u32::try_from(i).expect("few")),
            state: *state,
        };
        let members = states.iter().enumerate().map(member).collect();
        let chain = Chain { id: ChainId(1), version: ChainVersion(4), members, min_serving: 2 };
        ChainView::new(&chain, TargetId(me))
    }

    #[test]
    fn the_path_ends_with_the_first_syncing_member() {
        let states = [Serving, Serving, Syncing, Syncing, Waiting];
        let last = view(&states, 1);
        assert_eq!((last.duty, last.head), (Duty::Serving, false));
        assert_eq!(last.successor, Some(Successor { target: TargetId(2), syncing: true }));
        assert_eq!(last.last_serving, Some(TargetId(1)));
        let syncing = view(&states, 2);
        assert_eq!((syncing.duty, syncing.predecessor), (Duty::Syncing, Some(TargetId(1))));
        assert_eq!(syncing.successor, None);
        assert!((3..=4).all(|idle| view(&states, idle).duty == Duty::Idle));
        assert!(view(&states, 0).head && view(&states, 0).too_few().is_none());
    }

    #[test]
    fn without_a_serving_member_nobody_does_anything() {
        let states = [LastServing, Syncing, Offline];
        assert!((0..3).all(|me| view(&states, me).duty == Duty::Idle));
        assert!(view(&states, 0).last_to_serve && !view(&states, 1).last_to_serve);
        assert!(view(&states, 0).too_few().is_some());
    }
}
