//! Which inodes this client has open, for the leader that asks before it forgets a removed file.
//!
//! The reply to an open may be on its way when the leader asks: so the answer waits until the opens that
//! were under way are through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use emberfs_layout::InodeId;
use emberfs_transport::{Answer, Handler, IncomingCall};
use emberfs_wire::meta::{AskHeld, AskHeldReply};
use emberfs_wire::{Request, WireError, decode, encode};
use tokio::sync::Notify;

/// The open inodes; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    state: Arc<Mutex<State>>,
    /// Told when an open is through.
    through: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<InodeId, usize>,
    /// Opens under way, by number.
    opening: BTreeSet<u64>,
    /// The number of the next.
    next: u64,
}

/// An open under way: dropped when the file is held, or was not opened.
#[derive(Debug)]
pub(crate) struct Opening {
    held: Held,
    number: u64,
}

/// One open handle on an inode.
#[derive(Debug)]
pub(crate) struct Hold {
    held: Held,
    inode: InodeId,
}

impl Held {
    /// Says that `inode` is open until the answer is dropped.
    pub(crate) fn hold(&self, inode: InodeId) -> Hold {
        *self.state().open.entry(inode).or_default() += 1;
        Hold { held: self.clone(), inode }
    }

    /// To be called before an open is asked for.
    pub(crate) fn opening(&self) -> Opening {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.opening.insert(number);
        Opening { held: self.clone(), number }
    }

    /// Waits until the opens that are under way now are through.
    async fn settled(&self) {
        let next = self.state().next;
        loop {
            let mut through = std::pin::pin!(self.through.notified());
            through.as_mut().enable();
            if self.state().opening.first().is_none_or(|first| *first >= next) {
                return;
            }
            through.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.held.state().opening.remove(&self.number);
        self.held.through.notify_waiters();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.held.state();
        let open = &mut state.open;
        let count = open.get_mut(&self.inode).expect("counted when it was held");
        *count -= 1;
        if *count == 0 {
            open.remove(&self.inode);
        }
    }
}

impl Handler for Held {
    async fn handle(&self, call: IncomingCall) -> Answer {
        if call.method != AskHeld::METHOD {
            return Err(WireError::bug(format!("{} is not served by a client", call.method)));
        }
        let asked: AskHeld =
            decode(&call.message).map_err(|error| WireError::bug(error.to_string()))?;
        self.settled().await;
        let state = self.state();
        let is_open = |inode: &InodeId| state.open.contains_key(inode);
        let held = asked.inodes.into_iter().filter(is_open).collect();
        drop(state);
        let mut message = Vec::new();
        encode(&AskHeldReply { held }, &mut message);
        Ok((message, Bytes::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_is_held_until_its_last_handle_is_gone() {
        let held = Held::default();
        let inode = InodeId(7);
        let (first, second) = (held.hold(inode), held.hold(inode));
        drop(first);
        assert!(held.state().open.contains_key(&inode));
        drop(second);
        assert!(held.state().open.is_empty());
    }
}
