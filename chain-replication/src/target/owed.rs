//! What the syncing member is owed: chunks that it is to be sent, and those that are on their way to it.
//!
//! ```text
//!   Waits ──────► Due ──► Reading ──► Sent ──► it has the chunk: gone
//!     ▲  through   ▲─────────┴─────────┴─ failed: due after a pause
//!     └── a version goes without the member
//! ```
//! One removal of many files may owe it very many chunks, in each step of a busy target: what a step needs is
//! found without looking at all of them.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::ChunkId;

use super::input::{CallId, Millis, OpId};

/// How far a chunk is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// A version goes without the syncing member, and is not through: it is due after that.
    Waits(Pause),
    Due(Pause),
    Reading(OpId),
    /// With bytes, or as a tombstone.
    Sent {
        call: CallId,
        bytes: bool,
    },
}

/// Not to be begun before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) until: Millis,
    pub(super) queue: Queue,
}

/// With which others a transfer waits for its turn. The first queue comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// A version that is held, or the page, waits for it.
    Awaited,
    /// The chunk could not be read here.
    Unreadable,
    /// Nobody waits for it.
    Owed,
}

/// How many there are.
const QUEUES: usize = 3;

#[derive(Default)]
pub(super) struct Owed {
    transfers: BTreeMap<ChunkId, Transfer>,
    /// Those that are due, by when, in each queue.
    due: [BTreeSet<(Millis, ChunkId)>; QUEUES],
    /// How many are on their way with bytes, each a whole chunk.
    whole: usize,
    /// How many are on their way without.
    bare: usize,
}

impl Pause {
    /// Until then, and nobody waits.
    pub(super) fn until(until: Millis) -> Self {
        Self { until, queue: Queue::Owed }
    }
}

impl Owed {
    pub(super) fn get(&self, chunk: ChunkId) -> Option<Transfer> {
        self.transfers.get(&chunk).copied()
    }

    pub(super) fn has(&self, chunk: ChunkId) -> bool {
        self.transfers.contains_key(&chunk)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.transfers.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.transfers.len()
    }

    pub(super) fn whole(&self) -> usize {
        self.whole
    }

    pub(super) fn bare(&self) -> usize {
        self.bare
    }

    /// Those that are due now, queue after queue, the longest due first in each.
    pub(super) fn due(&self, now: Millis) -> impl Iterator<Item = (ChunkId, Pause)> {
        let queues = self.due.iter();
        let due =
            queues.flat_map(move |queue| queue.iter().take_while(move |(until, _)| *until <= now));
        due.filter_map(|(_, chunk)| match self.transfers.get(chunk) {
            Some(Transfer::Due(pause)) => Some((*chunk, *pause)),
            _ => None,
        })
    }

    pub(super) fn set(&mut self, chunk: ChunkId, transfer: Transfer) {
        self.remove(chunk);
        if let Transfer::Due(pause) = transfer {
            self.due[pause.queue as usize].insert((pause.until, chunk));
        }
        if let Some(count) = self.count(transfer) {
            *count += 1;
        }
        self.transfers.insert(chunk, transfer);
    }

    pub(super) fn remove(&mut self, chunk: ChunkId) {
        let Some(transfer) = self.transfers.remove(&chunk) else { return };
        if let Transfer::Due(pause) = transfer {
            self.due[pause.queue as usize].remove(&(pause.until, chunk));
        }
        if let Some(count) = self.count(transfer) {
            *count -= 1;
        }
    }

    /// A version is held from now on until the chunk is through.
    pub(super) fn is_awaited(&mut self, chunk: ChunkId) {
        if let Some(Transfer::Due(Pause { until, queue: Queue::Owed })) = self.get(chunk) {
            self.set(chunk, Transfer::Due(Pause { until, queue: Queue::Awaited }));
        }
    }

    /// A version goes without the syncing member. What is on its way is an earlier one: the call that sent it
    /// is returned, and its answer counts for nothing.
    pub(super) fn wait(&mut self, now: Millis, chunk: ChunkId) -> Option<CallId> {
        let (pause, call) = match self.get(chunk) {
            Some(Transfer::Due(Pause { until, queue: Queue::Awaited })) => {
                (Pause::until(until), None)
            }
            Some(Transfer::Waits(pause) | Transfer::Due(pause)) => (pause, None),
            Some(Transfer::Sent { call, .. }) => (Pause::until(now), Some(call)),
            Some(Transfer::Reading(_)) | None => (Pause::until(now), None),
        };
        self.set(chunk, Transfer::Waits(pause));
        call
    }

    /// The version that it waited for, if any, is through.
    pub(super) fn through(&mut self, chunk: ChunkId) {
        if let Some(Transfer::Waits(pause)) = self.get(chunk) {
            self.set(chunk, Transfer::Due(pause));
        }
    }

    fn count(&mut self, transfer: Transfer) -> Option<&mut usize> {
        match transfer {
            Transfer::Reading(_) | Transfer::Sent { bytes: true, .. } => Some(&mut self.whole),
            Transfer::Sent { bytes: false, .. } => Some(&mut self.bare),
            Transfer::Waits(_) | Transfer::Due(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use emberfs_layout::{ChunkIndex, DataId};

    use super::*;

    fn chunk(index: u32) -> ChunkId {
        ChunkId::new(DataId(1), ChunkIndex(index))
    }

    fn due(owed: &Owed, now: u64) -> Vec<ChunkId> {
        owed.due(Millis(now)).map(|(chunk, _)| chunk).collect()
    }

    #[test]
    fn what_is_due_comes_in_the_order_of_its_time() {
        let mut owed = Owed::default();
        for (index, until) in [(0, 7), (1, 5), (2, 9)] {
            owed.set(chunk(index), Transfer::Due(Pause::until(Millis(until))));
        }
        assert_eq!(due(&owed, 8), [chunk(1), chunk(0)]);
        owed.set(chunk(1), Transfer::Reading(OpId(1)));
        owed.remove(chunk(0));
        assert_eq!((due(&owed, 9), owed.len()), (vec![chunk(2)], 2));
    }

    #[test]
    fn what_somebody_waits_for_comes_before_what_is_due_for_longer() {
        let mut owed = Owed::default();
        for index in 0..4 {
            let pause = Pause::until(Millis(u64::from(index)));
            owed.set(chunk(index), Transfer::Due(pause));
        }
        let pause = Pause { until: Millis(1), queue: Queue::Unreadable };
        owed.set(chunk(1), Transfer::Due(pause));
        owed.is_awaited(chunk(1));
        owed.is_awaited(chunk(3));
        assert_eq!(due(&owed, 2), [1, 0, 2].map(chunk), "it is not due yet");
        assert_eq!(due(&owed, 3), [3, 1, 0, 2].map(chunk));
        owed.wait(Millis(3), chunk(3));
        owed.through(chunk(3));
        assert_eq!(due(&owed, 3), [1, 0, 2, 3].map(chunk), "nobody waits any more");
    }

    #[test]
    fn what_waits_is_due_when_its_version_is_through_and_not_before_its_pause_is_over() {
        let mut owed = Owed::default();
        let pause = Pause { until: Millis(5), queue: Queue::Unreadable };
        owed.set(chunk(0), Transfer::Due(pause));
        assert_eq!(owed.wait(Millis(1), chunk(0)), None);
        assert_eq!(due(&owed, 9), []);
        owed.through(chunk(0));
        assert_eq!((due(&owed, 4), due(&owed, 5)), (vec![], vec![chunk(0)]));
        owed.set(chunk(0), Transfer::Sent { call: CallId(3), bytes: true });
        assert_eq!(owed.wait(Millis(6), chunk(0)), Some(CallId(3)));
        owed.through(chunk(0));
        assert_eq!(due(&owed, 6), [chunk(0)]);
    }

    #[test]
    fn those_on_their_way_are_counted() {
        let mut owed = Owed::default();
        owed.set(chunk(0), Transfer::Reading(OpId(1)));
        owed.set(chunk(0), Transfer::Sent { call: CallId(1), bytes: true });
        owed.set(chunk(1), Transfer::Sent { call: CallId(2), bytes: false });
        assert_eq!((owed.whole(), owed.bare()), (1, 1));
        owed.remove(chunk(0));
        owed.wait(Millis(1), chunk(1));
        assert_eq!((owed.whole(), owed.bare(), owed.is_empty()), (0, 0, false));
    }
}
