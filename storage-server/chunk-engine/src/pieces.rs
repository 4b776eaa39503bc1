//! The pieces of maps that are in memory: those that the records do not have yet, and a bounded number
//! of others that were used lately.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::rc::Rc;

use lru::LruCache;

use crate::map::Piece;
use crate::types::ChunkKey;

/// Which batch of records a piece is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchId(pub(crate) u64);

/// Pieces of committed versions' maps, by chunk and number.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// Newer than in the records, with the batch that brings them there.
    unwritten: HashMap<(ChunkKey, u32), (BatchId, Rc<Piece>)>,
    cache: LruCache<(ChunkKey, u32), Rc<Piece>>,
}

impl Pieces {
    /// Keeps at most so many that the records have, too.
    pub(crate) fn new(cached_max: NonZeroUsize) -> Self {
        Self { unwritten: HashMap::new(), cache: LruCache::new(cached_max) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.unwritten.len() + self.cache.len()
    }

    /// The piece, if it is in memory.
    pub(crate) fn get(&mut self, key: ChunkKey, piece: u32) -> Option<Rc<Piece>> {
        let unwritten = self.unwritten.get(&(key, piece)).map(|(_, piece)| piece);
        unwritten.or_else(|| self.cache.get(&(key, piece))).map(Rc::clone)
    }

    /// Keeps what the records have.
    pub(crate) fn insert(&mut self, key: ChunkKey, piece: u32, found: Rc<Piece>) {
        self.cache.put((key, piece), found);
    }

    /// Keeps what the records will have after a batch.
    pub(crate) fn insert_unwritten(
        &mut self,
        key: ChunkKey,
        piece: u32,
        made: Rc<Piece>,
        batch: BatchId,
    ) {
        self.cache.pop(&(key, piece));
        self.unwritten.insert((key, piece), (batch, made));
    }

    /// The batch is written.
    pub(crate) fn written(&mut self, key: ChunkKey, piece: u32, batch: BatchId) {
        let is_latest = |(latest, _): &(BatchId, Rc<Piece>)| *latest == batch;
        if self.unwritten.get(&(key, piece)).is_some_and(is_latest) {
            let (_, made) = self.unwritten.remove(&(key, piece)).expect("just seen");
            self.cache.put((key, piece), made);
        }
    }

    /// The chunk is gone.
    pub(crate) fn forget(&mut self, key: ChunkKey, pieces: u32) {
        for piece in 0..pieces {
            self.unwritten.remove(&(key, piece));
            self.cache.pop(&(key, piece));
        }
    }
}
