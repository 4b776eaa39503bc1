//! What a target's store has begun, and how it ends.

use emberfs_chain_replication::target::{Durable, Input, OpId, StoreError, VersionState, Which};
use emberfs_layout::{ChunkId, ChunkOffset};

use super::{Node, Want};
use crate::planted::Planted;
use crate::store::Work;

/// What the store has begun.
pub(super) enum Begun {
    Change(Work),
    /// It was said to be done already; it becomes durable only now.
    Settle(ChunkId),
    Read {
        chunk: ChunkId,
        which: Which,
        start: ChunkOffset,
        len: ChunkOffset,
    },
    /// What is there already is stored once more, by a faulty server: this waits for it.
    Again(Box<Input>),
}

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// As long as the disk's other operations.
    Usual,
    /// As long as a whole chunk that another replica sent.
    WholeChunk,
}

impl Node {
    pub(super) fn begin(&mut self, op: OpId, begun: Begun, wants: &mut Vec<Want>) {
        if let Begun::Change(work) = &begun {
            self.store.begin(work);
        }
        let takes = match &begun {
            Begun::Change(work @ Work::Install(..)) if work.takes_room() => Takes::WholeChunk,
            Begun::Again(_) => Takes::WholeChunk,
            _ => Takes::Usual,
        };
        self.begun.insert(op, begun);
        wants.push(Want::Finish { op, takes });
    }

    /// The power goes; of what the store had begun, `lucky` says what was through.
    pub(super) fn lose_begun(&mut self, mut lucky: impl FnMut() -> bool) {
        for begun in std::mem::take(&mut self.begun).into_values() {
            match begun {
                Begun::Change(work) if lucky() => drop(self.store.apply(work)),
                Begun::Settle(chunk) if lucky() => self.store.settle(chunk),
                _ => {}
            }
        }
    }

    /// Something that the store had begun is through.
    pub(crate) fn finished(&mut self, now: u64, op: OpId, fails: bool) -> Vec<Want> {
        let Some(begun) = self.begun.remove(&op) else { return Vec::new() };
        let failed = || StoreError::Failed { text: "the disk has failed".to_owned() };
        let input = match begun {
            Begun::Change(work) if self.disk_failed => {
                // It may have come through all the same.
                if op.0.is_multiple_of(2) {
                    drop(self.store.apply(work));
                } else {
                    self.store.give_up(&work);
                }
                Input::Stored { op, outcome: Err(failed()) }
            }
            Begun::Read { .. } if self.disk_failed => {
                Input::ReadDone { op, outcome: Err(failed()) }
            }
            Begun::Change(work) => self.changed(op, work, fails),
            Begun::Settle(chunk) => {
                self.store.settle(chunk);
                return Vec::new();
            }
            Begun::Read { chunk, which, start, len } => {
                let outcome = match self.store.read(chunk, which, start, len) {
                    Err(StoreError::Corrupt) if self.planted == Some(Planted::Unchecked) => {
                        self.store.read_unchecked(chunk, which)
                    }
                    outcome => outcome,
                };
                Input::ReadDone { op, outcome }
            }
            Begun::Again(waits) => *waits,
        };
        self.step(now, input)
    }

    fn changed(&mut self, op: OpId, work: Work, fails: bool) -> Input {
        let room = work.takes_room();
        if matches!(work, Work::Put(..)) && room && self.obeys() {
            self.store.give_up(&work);
            return Input::Stored { op, outcome: Err(StoreError::NoSpace) };
        }
        if fails && room {
            self.store.give_up(&work);
            self.refused = true;
            return Input::Stored { op, outcome: Err(StoreError::NoSpace) };
        }
        if matches!(work, Work::Flush) && self.planted == Some(Planted::FlushSkipped) {
            return Input::Stored { op, outcome: Ok(Durable::done()) };
        }
        let pretends =
            matches!(work, Work::Install(..)) && self.planted == Some(Planted::RoomPretended);
        let outcome = match self.store.apply(work) {
            Err(StoreError::NoSpace) if pretends => Ok(None),
            outcome => outcome,
        };
        if outcome.is_err() {
            self.refused = true;
        }
        let durable = |put: Option<(VersionState, Vec<ChunkOffset>)>| {
            put.map_or_else(Durable::done, |(state, lens)| Durable::put(state, lens))
        };
        Input::Stored { op, outcome: outcome.map(durable) }
    }
}
