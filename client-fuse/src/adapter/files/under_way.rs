//! A piece of a file that is on its way to the servers: a task of its own, which goes on whoever waits for it.
//!
//! ```text
//!   gathered ─► taken, and sent ─► arrived: done, and whatever is due follows
//!        ▲                │
//!        └── put back ◄───┴─► refused
//! ```
//! A piece is what lies in one chunk, so bytes count as arrived as soon as the servers say so. Nothing that is
//! under way is sent a second time: who waits until a deadline goes away, and the piece goes on.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::writer::Writer;
use super::written::{Inode, is_gone};
use crate::errno::Errno;
use crate::write_gather::Taken;

/// All pieces of one file that are under way, and those that have ended since somebody looked.
pub(super) type Pieces = JoinSet<Result<(), Errno>>;

/// One of them: where it ends without having arrived, for whatever reason, it is put back.
#[derive(Debug)]
pub(super) struct UnderWay {
    of: Arc<Inode>,
    piece: Option<Taken<Arc<Writer>>>,
}

impl UnderWay {
    pub(super) fn new(of: &Arc<Inode>, piece: Taken<Arc<Writer>>) -> Self {
        Self { of: of.clone(), piece: Some(piece) }
    }

    /// Ends when it has arrived, or was refused.
    pub(super) async fn arrive(mut self) -> Result<(), Errno> {
        let Some(Taken { start, bytes, by, .. }) = self.piece.clone() else { return Ok(()) };
        match by.write(start, bytes).await {
            Err(error) if !is_gone(&error) => Err(self.of.failed(&error)),
            written => {
                // A file that is gone has no use for it.
                self.of.done(self.piece.take());
                written.map_err(|error| self.of.failed(&error))?;
                self.of.write_due(&Handle::current());
                Ok(())
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.of.put_back(self.piece.take());
    }
}

/// Waits until one of them ends; `None`: none is under way.
pub(super) async fn next(pieces: &mut Pieces) -> Option<Result<(), Errno>> {
    // One that panicked was put back.
    pieces.join_next().await.map(|ended| ended.unwrap_or(Err(Errno::IO)))
}
