//! Room in a queue of messages, by size: whoever puts one in takes room, and it is free again when the message
//! has been dealt with.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a message counts for beside the data in it, in bytes.
const OVERHEAD: usize = 1 << 10;
/// Room is counted in pieces of this many bytes.
const PIECE: usize = 1 << 10;

/// Room for so much; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pieces: Arc<Semaphore>,
    all: u32,
}

/// Room that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _pieces: OwnedSemaphorePermit,
}

impl Room {
    /// Room for this many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let all = u32::try_from(bytes / PIECE).expect("a queue of some MiB");
        Self { pieces: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Room for a message with this much data, if it is there now. The largest message goes alone.
    pub(super) fn try_take(&self, data: usize) -> Option<Taken> {
        let pieces = Arc::clone(&self.pieces).try_acquire_many_owned(self.count(data));
        pieces.ok().map(|pieces| Taken { _pieces: pieces })
    }

    /// The same, as soon as it is there.
    pub(super) async fn take(&self, data: usize) -> Taken {
        let pieces = Arc::clone(&self.pieces).acquire_many_owned(self.count(data)).await;
        Taken { _pieces: pieces.expect("nobody closes it") }
    }

    fn count(&self, data: usize) -> u32 {
        let pieces = (data + OVERHEAD).div_ceil(PIECE);
        u32::try_from(pieces).unwrap_or(u32::MAX).min(self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_larger_than_all_goes_alone_and_an_empty_one_takes_room_too() {
        let room = Room::new(4 << 10);
        let large = room.try_take(1 << 20).expect("nothing else is there");
        assert!(room.try_take(0).is_none());
        drop(large);
        let small: Vec<_> = std::iter::from_fn(|| room.try_take(0)).collect();
        assert_eq!(small.len(), 4);
    }
}
