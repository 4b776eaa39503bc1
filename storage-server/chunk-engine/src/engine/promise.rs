//! Room that puts under way were promised.
//!
//! A put that finds room when it begins, whatever those before it take, is *sure* of it: its caller was told so by
//! [`Engine::has_room`](super::Engine::has_room), and goes by it. One that is not may be so large that it would take
//! what others are sure of. So it lets every sure put through that began before it, and takes what is left; what began
//! after it has been counted with it.
//!
//! It waits with its chunk's lock. Locks are had in the order in which puts begin, so that nobody waits in a circle.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use emberfs_layout::ByteLen;
use tokio::sync::Notify;

/// All promises of a disk.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// Bytes of blocks that puts under way may take.
    bytes: Cell<u64>,
    /// How many puts have begun.
    begun: Cell<u64>,
    /// Sure puts under way, by their number.
    sure: RefCell<BTreeSet<u64>>,
    /// Told when one of them has ended.
    ended: Notify,
}

/// Blocks that a put under way may take, until it took them.
#[derive(Debug)]
pub(super) struct Promise {
    all: Rc<Promises>,
    number: u64,
    bytes: u64,
    open: Cell<bool>,
}

impl Promises {
    /// What is promised, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// So many bytes of blocks are about to be taken, by a put that is sure of them or not.
    pub(super) fn promise(self: &Rc<Self>, room: ByteLen, sure: bool) -> Promise {
        let (all, number) = (Rc::clone(self), self.begun.get());
        self.begun.set(number + 1);
        if sure {
            self.sure.borrow_mut().insert(number);
        }
        let promise = Promise { all, number, bytes: room.get(), open: Cell::new(false) };
        promise.set_open(true);
        promise
    }
}

impl Promise {
    /// Whether it was told that it finds room.
    pub(super) fn is_sure(&self) -> bool {
        self.all.sure.borrow().contains(&self.number)
    }

    /// The blocks are taken, or have been given back.
    pub(super) fn set_open(&self, open: bool) {
        if self.open.replace(open) != open {
            let all = self.all.bytes.get();
            self.all.bytes.set(if open { all + self.bytes } else { all - self.bytes });
        }
    }

    /// Waits until it may take blocks.
    pub(super) async fn turn(&self) {
        loop {
            let ended = self.all.ended.notified();
            let first = self.all.sure.borrow().first().copied();
            if self.is_sure() || first.is_none_or(|first| first > self.number) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.set_open(false);
        if self.all.sure.borrow_mut().remove(&self.number) {
            self.all.ended.notify_waiters();
        }
    }
}
