//! A change of a file's attributes, its length above all, in its place: behind all that was written before, and
//! before all that is written after.
//!
//! ```text
//!   its turn; what was written is sent ─► a task: asked of the servers, then done here ─► the turn is let go
//!   └── nothing was asked for yet ───┘    └── goes on, whoever waits ──────────────┘
//!   the caller waits up to its deadline ······················································►
//! ```
//! Once the servers were asked nobody knows whether the change is made until they answer. Were the turn let go
//! before, a cut could come late, over what was written and synced after its caller had heard ETIMEDOUT. So the
//! task has no deadline; who writes, syncs or closes after it waits for it, up to a deadline of its own.
//! What is written through or appended takes no turn of its own, and waits for one before it begins. While the length
//! is being changed nothing is gathered either, as it would be cut here. All of that holds for files too that nobody has
//! open: whoever opens one meanwhile meets the task's turn.

use emberfs_client::ByteLen;
use futures_util::future::BoxFuture;
use tokio::sync::OwnedMutexGuard;

use super::inodes::Kept;
use super::under_way::Pieces;
use crate::errno::Errno;

/// An inode of which nothing that was gathered is on its way, while this lives. What is written through holds no
/// turn: that which began before may still be on its way, and what begins now waits until this is gone.
#[derive(Debug)]
struct Still {
    // Let go in this order.
    _turn: OwnedMutexGuard<Pieces>,
    inode: Kept,
}

impl Kept {
    /// Makes a change: `change` asks the servers, as long as it takes; `len` is the new length, if that changes.
    ///
    /// # Errors
    /// Its own; `ETIMEDOUT` if the caller waited for too long: the change is made in its place then, or, where its
    /// turn never came, not at all.
    pub(in crate::adapter) async fn change<T: Send + 'static>(
        &self,
        len: Option<ByteLen>,
        change: BoxFuture<'static, Result<T, Errno>>,
    ) -> Result<T, Errno> {
        let changed = async {
            let still = Still::of(self).await?;
            self.mark_cut(len.is_some());
            let task = tokio::spawn(async move {
                let changed = change.await?;
                if let Some(len) = len {
                    still.inode.cut(len).await;
                }
                Ok(changed)
            });
            // One that panicked has let go of all.
            task.await.unwrap_or(Err(Errno::IO))
        };
        self.in_time(changed).await
    }
}

impl Still {
    async fn of(inode: &Kept) -> Result<Self, Errno> {
        let mut turn = inode.turn().await;
        // What cannot be written now stays gathered.
        let _kept = inode.write_gathered(&mut turn).await;
        inode.report().await?;
        Ok(Self { _turn: turn, inode: inode.clone() })
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.inode.mark_cut(false);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use emberfs_client::InodeId;
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::super::inodes::Inodes;
    use super::*;

    const ID: InodeId = InodeId(7);
    const LATE: Result<(), Errno> = Err(Errno::TIMEDOUT);

    fn inodes() -> Inodes {
        Inodes::new(Some(Duration::from_secs(1)))
    }

    /// Nobody has it open: who opens it, or cuts it again, is after it all the same.
    #[tokio::test(start_paused = true)]
    async fn a_cut_that_nobody_waits_for_stays_before_what_comes_after() {
        let inodes = inodes();
        let (made, is_made) = oneshot::channel();
        let cut = async { is_made.await.map_err(|_| Errno::IO) }.boxed();
        assert_eq!(inodes.keep(ID).change(Some(ByteLen(5)), cut).await, LATE);
        let inode = inodes.get(ID).expect("it is known until that is done");
        assert_eq!((inode.settle().await, inode.after_cut().await), (LATE, LATE));
        assert_eq!(inodes.keep(ID).change(None, async { Ok(()) }.boxed()).await, LATE);
        let left = inodes.unsettled();
        assert!(left.len() == 1 && left[0].changes, "the end of the mount waits for it: {left:?}");
        made.send(()).expect("it goes on");
        assert_eq!((inode.after_cut().await, inode.settle().await), (Ok(()), Ok(())));
        assert_eq!(inode.after_changes().await, Ok(()));
        assert!(inodes.get(ID).is_none() && inodes.unsettled().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whose_turn_did_not_come_has_asked_for_nothing() {
        let inodes = inodes();
        let inode = inodes.keep(ID);
        let turn = inode.turn().await;
        let (asked, was_asked) = oneshot::channel();
        let change = async { asked.send(()).map_err(|()| Errno::IO) }.boxed();
        assert_eq!(inode.change(Some(ByteLen::ZERO), change).await, LATE);
        drop(turn);
        assert_eq!(inode.settle().await, Ok(()));
        was_asked.await.expect_err("it is forgotten");
        assert_eq!(inode.after_cut().await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_change_is_over() {
        let inodes = inodes();
        let refuses = async { Err::<(), _>(Errno::ACCESS) }.boxed();
        assert_eq!(inodes.keep(ID).change(Some(ByteLen(5)), refuses).await, Err(Errno::ACCESS));
        assert!(inodes.get(ID).is_none());
        let panics = async { panic!("as a bug would") }.boxed();
        assert_eq!(inodes.keep(ID).change::<()>(None, panics).await, Err(Errno::IO));
        assert!(inodes.get(ID).is_none());
    }

    /// Bytes that are gathered wait for a new length only: they are sent in their turn. Those that pass by it wait for
    /// every change, or one that comes late would set their time back.
    #[tokio::test(start_paused = true)]
    async fn what_leaves_the_length_alone_lets_bytes_be_gathered() {
        let inodes = inodes();
        assert_eq!(inodes.keep(ID).change::<()>(None, pending().boxed()).await, LATE);
        let inode = inodes.get(ID).expect("it goes on");
        assert_eq!((inode.after_cut().await, inode.settle().await), (Ok(()), LATE));
        assert_eq!(inode.after_changes().await, LATE);
    }
}
