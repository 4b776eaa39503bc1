//! A bounded pool of aligned memory.
//!
//! Memory comes in size classes, the powers of two from 4 KiB to 64 MiB, and is kept for the next
//! user of its class. `in use + kept ≤ budget` always holds: when a class is empty and the budget is
//! reached, kept memory of other classes is given back to the system, largest first; when that is not
//! enough the answer is [`PoolError::Exhausted`], and the caller makes its peer wait.
//!
//! The lock is held for a few list operations, never across I/O. A shard has a pool of its own; the
//! lock is there because a frozen buffer may be dropped by another thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use emberfs_layout::ByteLen;
use thiserror::Error;

use crate::aligned::{ALIGNMENT, AlignedBuf, Block};

/// Largest buffer, in bytes: one chunk of the largest size.
const LARGEST: usize = 64 << 20;
/// 4 KiB to 64 MiB in powers of two.
const CLASSES: usize = (LARGEST / ALIGNMENT).trailing_zeros() as usize + 1;

/// A bounded pool of aligned memory; clones share it.
#[derive(Clone, Debug)]
pub struct Pool {
    shelf: Shelf,
}

/// Where buffers come from and go back to.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    budget: u64,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    classes: [Vec<Block>; CLASSES],
    usage: PoolUsage,
}

/// What a pool holds, in bytes of capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUsage {
    /// In buffers that somebody holds.
    pub in_use: ByteLen,
    /// In memory kept for the next user.
    pub kept: ByteLen,
}

/// Why there is no buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PoolError {
    /// The budget is in use: try again when somebody has given memory back.
    #[error("no buffer of {asked}: {in_use} of the pool's {budget} are in use")]
    Exhausted {
        /// What was asked for, rounded up to its size class.
        asked: ByteLen,
        /// What others hold.
        in_use: ByteLen,
        /// The pool's bound.
        budget: ByteLen,
    },
    /// Larger than the largest size class, or than the whole budget.
    #[error("a buffer of {asked} is larger than any the pool can have ({max})")]
    TooLarge {
        /// What was asked for.
        asked: ByteLen,
        /// The most that can be had.
        max: ByteLen,
    },
    /// The system has no memory left.
    #[error("the system refused {asked} of memory")]
    OutOfMemory {
        /// What was asked for, rounded up to its size class.
        asked: ByteLen,
    },
}

impl Pool {
    /// A pool that never holds more than `budget` bytes, in use and kept together.
    #[must_use]
    pub fn new(budget: ByteLen) -> Self {
        Self { shelf: Shelf { budget: budget.get(), kept: Arc::default() } }
    }

    /// A buffer of `len` bytes, with whatever its last user left in it.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`] asks for patience, the others are final.
    pub fn take(&self, len: usize) -> Result<AlignedBuf, PoolError> {
        let class = class_of(len);
        let capacity = ALIGNMENT << class;
        let max = (LARGEST as u64).min(self.shelf.budget);
        if class >= CLASSES || capacity as u64 > max {
            return Err(PoolError::TooLarge { asked: ByteLen(len as u64), max: ByteLen(max) });
        }
        let block = self.shelf.take(class, capacity)?;
        Ok(AlignedBuf::new(block, len, self.shelf.clone()))
    }

    /// What the pool holds now.
    #[must_use]
    pub fn usage(&self) -> PoolUsage {
        self.shelf.lock().usage
    }
}

impl Shelf {
    fn take(&self, class: usize, capacity: usize) -> Result<Block, PoolError> {
        let asked = ByteLen(capacity as u64);
        let mut kept = self.lock();
        let block = if let Some(block) = kept.classes[class].pop() {
            kept.usage.kept.0 -= asked.0;
            block
        } else {
            kept.make_room(asked.0, self.budget)?;
            Block::allocate(capacity).ok_or(PoolError::OutOfMemory { asked })?
        };
        kept.usage.in_use.0 += asked.0;
        Ok(block)
    }

    pub(crate) fn put_back(&self, block: Block) {
        let mut kept = self.lock();
        let capacity = block.capacity();
        kept.usage.in_use.0 -= capacity as u64;
        kept.usage.kept.0 += capacity as u64;
        kept.classes[class_of(capacity)].push(block);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No code under the lock panics half-way through an update.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Gives kept memory back to the system until `asked` more bytes fit the budget.
    fn make_room(&mut self, asked: u64, budget: u64) -> Result<(), PoolError> {
        let in_use = self.usage.in_use.0;
        if in_use + asked > budget {
            let [asked, in_use, budget] = [asked, in_use, budget].map(ByteLen);
            return Err(PoolError::Exhausted { asked, in_use, budget });
        }
        for class in self.classes.iter_mut().rev() {
            while in_use + self.usage.kept.0 + asked > budget {
                let Some(block) = class.pop() else { break };
                self.usage.kept.0 -= block.capacity() as u64;
            }
        }
        Ok(())
    }
}

/// The smallest class with room for `len` bytes; [`CLASSES`] or more if there is none.
fn class_of(len: usize) -> usize {
    let pages = len.div_ceil(ALIGNMENT).max(1);
    (usize::BITS - (pages - 1).leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = ALIGNMENT as u64;

    #[test]
    fn classes_are_powers_of_two_pages() {
        let sizes = [0, 1, 4096, 4097, 8192, 8193, LARGEST];
        assert_eq!(sizes.map(class_of), [0, 0, 0, 1, 1, 2, CLASSES - 1]);
        assert_eq!(class_of(LARGEST + 1), CLASSES);
    }

    #[test]
    fn buffers_are_aligned_and_come_back() {
        let pool = Pool::new(ByteLen(16 * PAGE));
        let buf = pool.take(5000).expect("fits");
        assert_eq!((buf.len(), buf.capacity()), (5000, 8192));
        assert_eq!(buf.as_ptr() as usize % ALIGNMENT, 0);
        let shared = buf.freeze();
        let half = shared.slice(..10);
        drop(shared);
        assert_eq!(pool.usage().in_use, ByteLen(2 * PAGE));
        drop(half);
        let expected = PoolUsage { in_use: ByteLen(0), kept: ByteLen(2 * PAGE) };
        assert_eq!(pool.usage(), expected);
        drop(pool.take(8192).expect("the kept one"));
        assert_eq!(pool.usage(), expected);
    }

    #[test]
    fn the_budget_holds() {
        let pool = Pool::new(ByteLen(4 * PAGE));
        let one = pool.take(3 * ALIGNMENT).expect("fits");
        let refused = pool.take(1).expect_err("in use");
        assert!(matches!(refused, PoolError::Exhausted { .. }), "{refused}");
        drop(one);
        let _small = pool.take(1).expect("the kept memory of another class was given back");
        assert_eq!(pool.usage(), PoolUsage { in_use: ByteLen(PAGE), kept: ByteLen(0) });
        let refused = pool.take(5 * ALIGNMENT).expect_err("larger than the budget");
        assert!(matches!(refused, PoolError::TooLarge { .. }), "{refused}");
    }

    #[test]
    fn a_buffer_can_grow_to_its_capacity() {
        let pool = Pool::new(ByteLen(PAGE));
        let mut buf = pool.take(1).expect("fits");
        buf.set_len(ALIGNMENT);
        buf.fill(7);
        assert!(buf.iter().all(|b| *b == 7));
    }

    #[test]
    fn buffers_cross_threads() {
        let pool = Pool::new(ByteLen(64 * PAGE));
        let threads: Vec<_> = (0..4_u8)
            .map(|i| {
                let pool = pool.clone();
                std::thread::spawn(move || {
                    for _ in 0..100 {
                        let mut buf = pool.take(4096).expect("within the budget");
                        buf.fill(i);
                        assert!(buf.freeze().iter().all(|b| *b == i));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(pool.usage().in_use, ByteLen(0));
    }
}
