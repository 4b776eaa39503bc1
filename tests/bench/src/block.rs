//! Memory for one payload, aligned as O_DIRECT wants it, with room for its header before it.
//!
//! ```text
//!   0            4064     4096                          4096 + len
//!   │            │ header │ payload                     │
//!                └────────┴─ sent as one range
//! ```

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::message::{HEADER_BYTES, Header};

/// What O_DIRECT asks of memory, offsets and lengths.
pub(crate) const ALIGNMENT: usize = 4096;
/// Where the payload begins.
pub(crate) const PAYLOAD: usize = ALIGNMENT;

/// Memory for one payload.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    origin: usize,
    payload: usize,
}

impl Block {
    /// For a payload of so many bytes, all zero.
    pub(crate) fn new(payload: usize) -> Self {
        let bytes = vec![0; ALIGNMENT + PAYLOAD + payload];
        let origin = bytes.as_ptr().align_offset(ALIGNMENT);
        Self { bytes, origin, payload }
    }

    /// All of it.
    pub(crate) fn all(&self) -> &[u8] {
        &self.bytes[self.origin..self.origin + PAYLOAD + self.payload]
    }

    /// All of it, to be changed.
    pub(crate) fn all_mut(&mut self) -> &mut [u8] {
        let end = self.origin + PAYLOAD + self.payload;
        &mut self.bytes[self.origin..end]
    }

    /// The payload.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.all()[PAYLOAD..]
    }

    /// The payload, to be changed.
    pub(crate) fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.all_mut()[PAYLOAD..]
    }

    /// Where the payload is.
    pub(crate) fn payload_range(&self) -> Range<usize> {
        PAYLOAD..PAYLOAD + self.payload
    }

    /// Puts a header before the payload.
    pub(crate) fn set_header(&mut self, header: &Header) {
        self.all_mut()[PAYLOAD - HEADER_BYTES..PAYLOAD].copy_from_slice(&header.bytes());
    }

    /// Where header and payload are.
    pub(crate) fn message_range(&self) -> Range<usize> {
        PAYLOAD - HEADER_BYTES..PAYLOAD + self.payload
    }

    /// The same bytes at every start, which no disk can compress.
    pub(crate) fn fill(&mut self, seed: u64) {
        let mut state = seed | 1;
        for bytes in self.payload_mut().chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.copy_from_slice(&state.to_le_bytes());
        }
    }
}

/// Blocks to be used again: a page fault for each would be a cost that EmberFS has not.
#[derive(Debug, Default)]
pub(crate) struct Pool(HashMap<usize, Vec<Block>>);

impl Pool {
    /// One for a payload of so many bytes, with whatever is in it.
    pub(crate) fn take(&mut self, payload: usize) -> Block {
        self.0.get_mut(&payload).and_then(Vec::pop).unwrap_or_else(|| Block::new(payload))
    }

    /// How many nobody uses.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Takes one back.
    pub(crate) fn give(&mut self, block: Block) {
        self.0.entry(block.payload).or_default().push(block);
    }

    /// Takes one back, if nobody else holds it.
    pub(crate) fn let_go(&mut self, block: Rc<Block>) {
        if let Some(block) = Rc::into_inner(block) {
            self.give(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_aligned_and_come_back() {
        let mut pool = Pool::default();
        let block = pool.take(8192);
        assert_eq!(block.payload().as_ptr().align_offset(ALIGNMENT), 0);
        assert_eq!((block.payload().len(), block.message_range().len()), (8192, 8192 + 32));
        let address = block.payload().as_ptr();
        pool.let_go(Rc::new(block));
        assert_eq!(pool.take(8192).payload().as_ptr(), address);
    }
}
