//! A piece of memory that direct I/O accepts: aligned, owned by one, given back to its pool.
//!
//! Memory is zeroed when it is allocated and then recycled as it is, so it is always initialised, but
//! a recycled buffer holds what its last user left: whoever takes one fills the bytes that he passes
//! on.
//!
//! Invariants: the address is a multiple of [`ALIGNMENT`]; `len` ≤ the block's capacity; a
//! block is freed with the layout it was allocated with.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use bytes::Bytes;

use crate::pool::Shelf;

/// Address and length granularity of direct I/O on every disk we know: 4 KiB.
pub const ALIGNMENT: usize = 4096;

/// Raw memory of one size class.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    capacity: usize,
}

// SAFETY: a `Block` owns its memory alone; nothing in it is tied to a thread.
unsafe impl Send for Block {}
// SAFETY: through `&Block` memory can only be read.
unsafe impl Sync for Block {}

impl Block {
    /// Zeroed memory of `capacity` bytes, a positive multiple of [`ALIGNMENT`]; `None` if the
    /// machine has none left.
    pub(crate) fn allocate(capacity: usize) -> Option<Self> {
        let layout = Self::layout(capacity);
        assert!(capacity > 0 && capacity.is_multiple_of(ALIGNMENT));
        // SAFETY: the layout's size is not zero, as asserted above.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { start, capacity })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, ALIGNMENT).expect("capacities are bounded by the pool")
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this same layout and is freed only here.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
    }
}

/// Aligned memory of a given length, with one owner. Dropped, it goes back to its pool.
///
/// It reads as what was last written to it: the pool does not clear it between users.
#[derive(Debug)]
pub struct AlignedBuf {
    /// `None` only while being dropped.
    block: Option<Block>,
    len: usize,
    home: Shelf,
}

impl AlignedBuf {
    pub(crate) fn new(block: Block, len: usize, home: Shelf) -> Self {
        assert!(len <= block.capacity());
        Self { block: Some(block), len, home }
    }

    /// How many bytes the memory really has: what direct I/O may fill.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block().capacity()
    }

    /// Changes how many bytes count, up to the capacity: direct I/O reads whole sectors of which only
    /// a part is wanted.
    ///
    /// # Panics
    /// When `len` is more than the capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "{len} bytes do not fit {}", self.capacity());
        self.len = len;
    }

    /// Gives up writing: the bytes become shared, and the memory goes back to its pool when the last
    /// of them is dropped.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    fn block(&self) -> &Block {
        self.block.as_ref().expect("taken only by drop")
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block is `capacity` initialised bytes, `len` is not more, and `&self` keeps
        // anyone from writing.
        unsafe { slice::from_raw_parts(self.block().start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; `&mut self` makes this the only access.
        unsafe { slice::from_raw_parts_mut(self.block().start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for AlignedBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.home.put_back(block);
        }
    }
}
