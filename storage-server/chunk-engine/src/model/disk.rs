//! A data file in memory.
//!
//! It keeps what is durable and, in order, what was done since: what survives a crash is chosen among
//! those, in pieces of 512 bytes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use emberfs_buffer::{ALIGNMENT, AlignedBuf};
use emberfs_layout::ByteLen;
use rustix::io::Errno;

use super::Power;
use crate::disk::{Disk, DiskAction, DiskError, DiskOffset, DiskWrite, Segment};

/// What a real disk writes at once.
const SECTOR: usize = 512;

/// A data file in memory; clones are the same one.
#[derive(Clone, Debug)]
pub struct ModelDisk {
    power: Power,
    state: Rc<RefCell<State>>,
    size: ByteLen,
    /// What something else on the disk has.
    taken: Rc<Cell<ByteLen>>,
    /// How often it was asked for its room.
    asked: Rc<Cell<usize>>,
    failing: Rc<Cell<Option<DiskAction>>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Clone, Debug)]
struct Unsynced {
    operation: Operation,
    /// Whether its call has returned: a sync that begins earlier need not cover it.
    returned: Rc<Cell<bool>>,
}

#[derive(Clone, Debug)]
enum Operation {
    Write { at: usize, bytes: Bytes },
    Grow { to: usize },
}

impl State {
    /// Makes these operations durable.
    fn settle(&mut self, covered: Vec<Unsynced>) {
        self.unsynced.retain(|one| !covered.iter().any(|c| Rc::ptr_eq(&c.returned, &one.returned)));
        for Unsynced { operation, .. } in covered {
            match operation {
                Operation::Grow { to } => self.durable.resize(to.max(self.durable.len()), 0),
                Operation::Write { at, bytes } => {
                    self.durable[at..at + bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
    }
}

/// Says what survives a crash, of what was not synced.
pub trait Survivors {
    /// Whether anything of the unsynced operation `number`, counted from 0, survives.
    fn operation(&mut self, number: usize) -> bool;
    /// Whether the next 512 bytes of an operation survive that does.
    fn sector(&mut self) -> bool;
}

impl ModelDisk {
    /// An empty file on a disk of this size.
    #[must_use]
    pub fn new(power: Power, size: ByteLen) -> Self {
        let (state, taken, failing) = (Rc::default(), Rc::default(), Rc::default());
        Self { power, state, size, taken, asked: Rc::default(), failing }
    }

    /// Something else on the disk has so much from now on.
    pub fn others_take(&self, bytes: ByteLen) {
        self.taken.set(bytes);
    }

    /// How often it was asked for its room.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.get()
    }

    /// How many operations are not synced: those that a crash may lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.state.borrow().unsynced.len()
    }

    /// The disk that is found after a crash, on other power.
    #[must_use]
    pub fn after_crash(&self, power: Power, survivors: &mut dyn Survivors) -> Self {
        let State { mut durable, unsynced, .. } = self.state.borrow().clone();
        for (number, Unsynced { operation, .. }) in unsynced.into_iter().enumerate() {
            if !survivors.operation(number) {
                continue;
            }
            match operation {
                Operation::Grow { to } => durable.resize(to.max(durable.len()), 0),
                Operation::Write { at, bytes } => {
                    for (i, sector) in bytes.chunks(SECTOR).enumerate() {
                        let place = at + i * SECTOR..at + i * SECTOR + sector.len();
                        // What lies behind the length that survived is not part of the file.
                        if let Some(place) = durable.get_mut(place).filter(|_| survivors.sector()) {
                            place.copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        let state = State { current: durable.clone(), durable, unsynced: Vec::new() };
        let (state, size) = (Rc::new(RefCell::new(state)), self.size);
        let (taken, failing) = (Rc::default(), Rc::default());
        Self { power, state, size, taken, asked: Rc::default(), failing }
    }

    /// Changes a byte behind the disk's back, as a failing medium does.
    ///
    /// # Panics
    /// When it lies outside the file.
    pub fn flip(&self, at: DiskOffset) {
        let mut state = self.state.borrow_mut();
        let at = usize::try_from(at.0).expect("a file in memory");
        state.current[at] ^= 1;
        state.durable[at] ^= 1;
    }

    /// From now on every such action fails, or none.
    pub fn fail(&self, action: Option<DiskAction>) {
        self.failing.set(action);
    }

    fn begin_write(
        &self,
        at: DiskOffset,
        bytes: &Bytes,
        returned: &Rc<Cell<bool>>,
    ) -> Result<(), DiskError> {
        self.check(DiskAction::Write, at)?;
        assert_eq!(bytes.as_ptr() as usize % ALIGNMENT, 0, "direct I/O takes aligned memory");
        let mut state = self.state.borrow_mut();
        let place = place(at, bytes.len(), state.current.len());
        state.current[place.clone()].copy_from_slice(bytes);
        // A copy, because the memory may be used again once the write has returned.
        let operation = Operation::Write { at: place.start, bytes: Bytes::copy_from_slice(bytes) };
        state.unsynced.push(Unsynced { operation, returned: Rc::clone(returned) });
        Ok(())
    }

    fn check(&self, action: DiskAction, at: DiskOffset) -> Result<(), DiskError> {
        let error = DiskError::Io { action, at, errno: Errno::IO };
        if self.failing.get() == Some(action) { Err(error) } else { Ok(()) }
    }
}

fn place(at: DiskOffset, len: usize, end: usize) -> std::ops::Range<usize> {
    let at = usize::try_from(at.0).expect("a file in memory");
    assert!(at.is_multiple_of(ALIGNMENT) && len.is_multiple_of(ALIGNMENT), "{at} and {len}");
    assert!(at + len <= end, "{len} bytes at {at} of a file of {end}");
    at..at + len
}

impl Disk for ModelDisk {
    fn len(&self) -> ByteLen {
        ByteLen(self.state.borrow().current.len() as u64)
    }

    fn room(&self) -> Result<ByteLen, DiskError> {
        self.asked.set(self.asked.get() + 1);
        let used = self.len().get() + self.taken.get().get();
        Ok(ByteLen(self.size.get().saturating_sub(used)))
    }

    async fn read(
        &self,
        mut buf: AlignedBuf,
        segments: Vec<Segment>,
    ) -> Result<AlignedBuf, DiskError> {
        self.check(DiskAction::Read, DiskOffset(0))?;
        self.power.step().await;
        let state = self.state.borrow();
        for Segment { at, range } in segments {
            let place = place(at, range.len(), state.current.len());
            buf[range].copy_from_slice(&state.current[place]);
        }
        Ok(buf)
    }

    async fn write(&self, writes: Vec<DiskWrite>) -> Result<(), DiskError> {
        let returned = Rc::new(Cell::new(false));
        for DiskWrite { at, bytes } in writes {
            self.begin_write(at, &bytes, &returned)?;
            self.power.step().await;
        }
        returned.set(true);
        Ok(())
    }

    async fn grow(&self, to: ByteLen) -> Result<(), DiskError> {
        self.check(DiskAction::Grow, DiskOffset(0))?;
        if to > self.size {
            let at = DiskOffset(self.size.get());
            return Err(DiskError::Io { action: DiskAction::Grow, at, errno: Errno::NOSPC });
        }
        let to = usize::try_from(to.get()).expect("a file in memory");
        let returned = Rc::new(Cell::new(false));
        {
            let mut state = self.state.borrow_mut();
            state.current.resize(to, 0);
            let operation = Operation::Grow { to };
            state.unsynced.push(Unsynced { operation, returned: Rc::clone(&returned) });
        }
        self.power.step().await;
        returned.set(true);
        Ok(())
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.check(DiskAction::Sync, DiskOffset(0))?;
        let returned = |unsynced: &&Unsynced| unsynced.returned.get();
        let covered = self.state.borrow().unsynced.iter().filter(returned).cloned().collect();
        self.power.step().await;
        self.state.borrow_mut().settle(covered);
        self.power.step().await;
        Ok(())
    }
}
