//! A file whose bytes are written here: what is gathered, who wrote it, what failed.
//!
//! ```text
//!   Inodes ─► Inode ─┬─ gather: bytes not written
//!                    ├─ writers: one for each descriptor, with its handle at the servers
//!                    └─ turn: one at a time sends bytes on their way (`under_way`), in their order, or has
//!                             attributes changed (`changing`)
//! ```
//! An inode is *dirty* from a write until it is *settled*: bytes written, and reported by each writer. A
//! failure is kept with the inode and counted; each writer remembers up to which it was told. Bytes whose
//! file is gone, or has neither name nor descriptor, are given up; all others are kept and tried again, until
//! the mount ends.
//!
//! The mount's deadline is for those who wait for that: it ends the waiting, and nothing else.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use emberfs_client::{Attributes, ByteLen, ClientError, FileOffset, FsError, InodeId};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::inodes::{OfMount, Unsettled};
use super::under_way::{self, Pieces, UnderWay};
use super::writer::Writer;
use crate::errno::{Errno, of_client};
use crate::lock::lock;
use crate::write_gather::{AGE_MAX, Gather, Taken, Which};

/// One such file.
#[derive(Debug)]
pub(in crate::adapter) struct Inode {
    id: InodeId,
    of_mount: OfMount,
    state: Mutex<State>,
    /// What is under way.
    turn: Arc<AsyncMutex<Pieces>>,
}

#[derive(Debug, Default)]
struct State {
    gather: Gather<Arc<Writer>>,
    writers: Vec<Arc<Writer>>,
    /// Writers without a descriptor, closed as soon as their bytes are settled.
    let_go: Vec<Arc<Writer>>,
    /// Counts writes.
    writes: u64,
    /// How many of them are settled.
    settled: u64,
    /// Since when some are not, or since the last try.
    since: Option<Instant>,
    /// Whether due bytes are being written in the background.
    busy: bool,
    /// How many keep it, to change its attributes.
    kept: usize,
    /// Whether its length is being changed: what is written waits.
    is_cut: bool,
    failures: u64,
    failure: Option<Errno>,
    /// The last one that the log says, while it lasts.
    logged: Option<Errno>,
}

impl State {
    fn wrote(&mut self) {
        self.writes += 1;
        self.since = self.since.or_else(|| Some(Instant::now()));
    }

    /// Whether the log does not say it yet.
    fn fail(&mut self, why: Errno) -> bool {
        self.failures += 1;
        self.failure = Some(why);
        self.logged.replace(why) != Some(why)
    }
}

/// A write that goes past the gathered bytes: it counts when it ends, also where its caller waits no longer.
struct Counted<'a>(&'a Inode);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.state().wrote();
    }
}

impl Inode {
    pub(super) fn new(id: InodeId, of_mount: OfMount) -> Self {
        let turn = Arc::new(AsyncMutex::new(Pieces::new()));
        Self { id, of_mount, state: Mutex::default(), turn }
    }

    pub(super) fn id(&self) -> InodeId {
        self.id
    }

    /// Another descriptor writes; `new` is told how many failures it need not hear of.
    pub(super) fn enter(&self, new: impl FnOnce(u64) -> Writer) -> Arc<Writer> {
        let mut state = self.state();
        let writer = Arc::new(new(state.failures));
        state.writers.push(writer.clone());
        writer
    }

    /// One more keeps it.
    pub(super) fn keep(&self) {
        self.state().kept += 1;
    }

    /// One of those who keep it does no more.
    pub(super) fn keep_no_more(&self) {
        self.state().kept -= 1;
    }

    /// Says whether its length is being changed from now on.
    pub(super) fn mark_cut(&self, is_cut: bool) {
        self.state().is_cut = is_cut;
    }

    /// Whether there is anything that the servers have not heard of.
    pub(in crate::adapter) fn is_dirty(&self) -> bool {
        let state = self.state();
        state.writes != state.settled
    }

    /// Whether nobody needs it any more.
    pub(super) fn has_nothing_left(&self) -> bool {
        let state = self.state();
        let open = !state.writers.is_empty() || !state.let_go.is_empty();
        !open && state.writes == state.settled && state.kept == 0
    }

    /// Whether it has been dirty for too long since somebody asked.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        let mut state = self.state();
        let old = state.since.is_some_and(|since| now.duration_since(since) >= AGE_MAX);
        if old {
            state.since = Some(now);
        }
        old
    }

    /// What is left of it, if something is.
    pub(super) fn unsettled(&self) -> Option<Unsettled> {
        let (bytes, changes, is_full) = {
            let state = self.state();
            let is_full = matches!(state.logged, Some(Errno::NOSPC | Errno::DQUOT));
            (ByteLen(state.gather.len() as u64), state.kept > 0, is_full)
        };
        let (inode, left) = (self.id, changes || self.is_dirty());
        let why = || self.why().unwrap_or_default();
        left.then(|| Unsettled { inode, bytes, why: why(), is_full, changes })
    }

    /// What it waits for, else why the last try failed; `None`: neither is known.
    fn why(&self) -> Option<String> {
        let state = self.state();
        let files = state.writers.iter().chain(&state.let_go).map(|writer| writer.file());
        let waits = files.filter_map(|file| file.waiting_for()).next();
        waits.map(|what| what.to_string()).or_else(|| match state.failure {
            _ if state.kept > 0 => Some("a change of its attributes".to_owned()),
            failure => failure.map(|error| error.to_string()),
        })
    }

    /// Waits for its turn.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<Pieces> {
        self.turn.clone().lock_owned().await
    }

    pub(super) fn is_nobodys_turn(&self) -> bool {
        self.turn.try_lock().is_ok()
    }

    /// Waits until no change of the length is under way that was asked for before.
    pub(super) async fn after_cut(&self) -> Result<(), Errno> {
        let is_cut = self.state().is_cut;
        self.after(is_cut).await
    }

    /// Waits until no change of any attribute is under way that was asked for before: its caller may have given it up.
    /// What passes by the turn would be before it, and have its time set back.
    pub(super) async fn after_changes(&self) -> Result<(), Errno> {
        let is_kept = self.state().kept > 0;
        self.after(is_kept).await
    }

    /// Waits for the turn, and lets it go, if something `is_under_way`.
    async fn after(&self, is_under_way: bool) -> Result<(), Errno> {
        if !is_under_way {
            return Ok(());
        }
        let over = async {
            drop(self.turn().await);
            Ok(())
        };
        self.in_time(over).await
    }

    /// Gathers bytes, if there is room and somebody who will hear what became of them.
    pub(super) fn gather(&self, by: &Arc<Writer>, offset: FileOffset, data: &[u8]) -> bool {
        self.update(|state| {
            let room = state.gather.has_room(data.len()) && by.may_write(offset, data.len());
            let room = room && !by.is_let_go() && !state.is_cut;
            if room {
                state.gather.put(by, offset, data, by.chunk());
                state.wrote();
            }
            room
        })
    }

    /// Begins to write what need not wait any longer.
    pub(super) fn write_due(self: &Arc<Self>, runtime: &Handle) {
        let mut state = self.state();
        if !state.busy && state.gather.is_due() {
            state.busy = true;
            let inode = self.clone();
            runtime.spawn(async move {
                let mut pieces = inode.turn.lock().await;
                inode.state().busy = false;
                // A failure is kept, and told to whoever syncs.
                while pieces.try_join_next().is_some() {}
                inode.send(&mut pieces, Which::Due);
            });
        }
    }

    /// Writes bytes behind all that were written before; they are safe when it returns.
    pub(super) async fn append(self: &Arc<Self>, by: &Writer, bytes: Bytes) -> Result<(), Errno> {
        self.after_changes().await?;
        if self.is_dirty() {
            self.settle().await?;
        }
        let _counted = Counted(self);
        by.append(bytes).await.map_err(|error| of_client(&error))
    }

    /// Writes bytes, which are safe when it returns, and the length with them.
    pub(super) async fn write_through(
        self: &Arc<Self>,
        by: &Writer,
        offset: FileOffset,
        bytes: Bytes,
    ) -> Result<(), Errno> {
        self.after_changes().await?;
        if !self.state().gather.is_empty() {
            let gathered = async {
                let mut pieces = self.turn.lock().await;
                self.write_gathered(&mut pieces).await
            };
            self.in_time(gathered).await?;
        }
        let _counted = Counted(self);
        by.write_through(offset, bytes).await.map_err(|error| of_client(&error))
    }

    /// Brings all bytes that were written before to the servers, and the length; waits no longer than a call may.
    pub(in crate::adapter) async fn settle(self: &Arc<Self>) -> Result<(), Errno> {
        self.in_time(self.settle_patiently()).await
    }

    /// The same, however long it takes.
    pub(super) async fn settle_patiently(self: &Arc<Self>) -> Result<(), Errno> {
        let mut pieces = self.turn.lock().await;
        let writes = self.state().writes;
        if writes == self.state().settled {
            return Ok(());
        }
        let mut written = self.write_gathered(&mut pieces).await;
        if written.is_err() && self.is_forsaken().await {
            // Kept for longer, they would keep the disk full for whose sake they cannot be written.
            self.update(|state| state.gather.cut(ByteLen::ZERO));
            written = Ok(());
        }
        let reported = self.report().await;
        // Bytes whose length nobody knows are worse than such that are here.
        reported.and(written)?;
        let mut state = self.state();
        state.settled = writes;
        state.logged = None;
        state.since = (state.writes != writes).then(Instant::now);
        Ok(())
    }

    /// The file was cut, or made longer: what is gathered behind its end is gone, and each writer learns
    /// the length. It is this one's turn.
    pub(super) async fn cut(&self, len: ByteLen) {
        self.update(|state| state.gather.cut(len));
        let writers = self.state().writers.clone();
        for writer in writers {
            // One that does not learn it now learns it by its next report.
            let _unknown = writer.file().stat().await;
        }
    }

    /// The attributes with what is still gathered.
    pub(in crate::adapter) fn with_gathered(&self, mut found: Attributes) -> Attributes {
        found.size = found.size.max(self.state().gather.end());
        found
    }

    /// Whether some of `len` bytes at `offset` are only here.
    pub(super) fn has_gathered(&self, offset: FileOffset, len: u64) -> bool {
        let end = FileOffset(offset.get().saturating_add(len));
        self.state().gather.has_any_of(offset, end)
    }

    /// The furthest end of what is only here.
    pub(super) fn gathered_end(&self) -> ByteLen {
        self.state().gather.end()
    }

    /// This descriptor is closed: its handle too, once its bytes are settled.
    pub(super) fn let_go(&self, writer: &Arc<Writer>) {
        let mut state = self.state();
        writer.let_go();
        state.writers.retain(|other| other != writer);
        state.let_go.push(writer.clone());
        state.wrote();
    }

    /// A failure that this descriptor was not told.
    pub(super) fn tell(&self, writer: &Writer) -> Result<(), Errno> {
        let state = self.state();
        let new = writer.hears_of(state.failures);
        state.failure.filter(|_| new).map_or(Ok(()), Err)
    }

    /// Writes all that is gathered now; nothing is under way when it returns. It is this one's turn.
    pub(super) async fn write_gathered(self: &Arc<Self>, pieces: &mut Pieces) -> Result<(), Errno> {
        // What failed before was put back, and is tried again.
        while pieces.try_join_next().is_some() {}
        // Not what is gathered meanwhile, or a fast writer would hold everybody up.
        let begun = self.state().gather.begun();
        let mut written = Ok(());
        loop {
            if written.is_ok() {
                self.send(pieces, Which::Begun(begun));
            }
            match under_way::next(pieces).await {
                None => return written,
                Some(ended) => written = written.and(ended),
            }
        }
    }

    /// Sends some of what is gathered on its way, but what lies over something that is on its way already. It is
    /// this one's turn.
    fn send(self: &Arc<Self>, pieces: &mut Pieces, which: Which) {
        for piece in self.update(|state| state.gather.take(which)) {
            pieces.spawn(UnderWay::new(self, piece).arrive());
        }
    }

    /// A piece that was sent is written, or given up.
    pub(super) fn done(&self, piece: Option<Taken<Arc<Writer>>>) {
        piece.into_iter().for_each(|piece| self.update(|state| state.gather.done(&piece)));
    }

    /// A piece that was sent is not written.
    pub(super) fn put_back(&self, piece: Option<Taken<Arc<Writer>>>) {
        piece.into_iter().for_each(|piece| self.update(|state| state.gather.put_back(piece)));
    }

    /// Has each writer say what it wrote, and closes those without a descriptor. It is this one's turn.
    pub(super) async fn report(&self) -> Result<(), Errno> {
        let (writers, let_go) = {
            let state = self.state();
            let all = state.writers.iter().chain(&state.let_go).cloned().collect::<Vec<_>>();
            (all, state.let_go.clone())
        };
        for writer in &writers {
            match writer.sync().await {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {
                    self.failed(&error);
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        drop(writers);
        if self.state().gather.is_empty() {
            self.state().let_go.retain(|writer| !let_go.contains(writer));
            for writer in let_go {
                Writer::close(writer).await;
            }
        }
        Ok(())
    }

    /// Whether nobody can ever read it: it has neither a descriptor here nor a name.
    async fn is_forsaken(&self) -> bool {
        if self.of_mount.readers.has(self.id) {
            return false;
        }
        let last = {
            let state = self.state();
            state.let_go.last().filter(|_| state.writers.is_empty()).cloned()
        };
        let Some(last) = last else { return false };
        last.file().stat().await.is_ok_and(|found| found.nlink == 0)
    }

    pub(super) fn failed(&self, error: &ClientError) -> Errno {
        let errno = of_client(error);
        if self.state().fail(errno) {
            tracing::warn!(inode = %self.id, %error, "written bytes are not safe");
        }
        errno
    }

    /// Waits for something that may be dropped, no longer than a call may.
    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, Errno>>,
    ) -> Result<T, Errno> {
        self.of_mount.in_time(call).await.unwrap_or_else(|late| {
            let waits_for = self.why().unwrap_or_else(|| "its turn".to_owned());
            tracing::warn!(inode = %self.id, waits_for, "a call waited in vain");
            Err(late)
        })
    }

    /// Changes the state, and keeps the count of all gathered bytes.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = state.gather.len();
        let result = change(&mut state);
        let after = state.gather.len();
        match after.checked_sub(before) {
            Some(more) => self.of_mount.gathered.fetch_add(more, Ordering::Relaxed),
            None => self.of_mount.gathered.fetch_sub(before - after, Ordering::Relaxed),
        };
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Whether the file is gone, so that nothing can be written to it any more.
pub(super) fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::Fs(FsError::Stale | FsError::NotFound))
}
