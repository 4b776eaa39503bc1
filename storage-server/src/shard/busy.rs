//! How much is under way on a shard: what a clean stop waits for.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// Counts what is under way; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy {
    count: Rc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    open: Cell<usize>,
    none: Notify,
}

/// One thing under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct OneMore {
    count: Rc<Count>,
}

impl Busy {
    pub(crate) fn one_more(&self) -> OneMore {
        let count = Rc::clone(&self.count);
        count.open.set(count.open.get() + 1);
        OneMore { count }
    }

    /// Waits until nothing is under way.
    pub(crate) async fn none(&self) {
        while self.count.open.get() > 0 {
            self.count.none.notified().await;
        }
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        let open = self.count.open.get() - 1;
        self.count.open.set(open);
        if open == 0 {
            self.count.none.notify_one();
        }
    }
}
