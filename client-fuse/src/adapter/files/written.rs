//! Files that are open here for writing: what is gathered, who wrote it, what failed.
//!
//! ```text
//!   Inodes ─► Inode ─┬─ gather: bytes not written
//!                    ├─ writers: one for each descriptor, with its handle at the servers
//!                    └─ turn: one at a time sends bytes on their way (`under_way`), in their order
//! ```
//! An inode is *dirty* from a write until it is *settled*: bytes written, and reported by each writer. A
//! failure is kept with the inode and counted; each writer remembers up to which it was told. Bytes whose
//! file is gone, or has neither name nor writer, are given up; all others are kept and tried again, until
//! the mount ends.
//!
//! The mount's deadline is for those who wait for that: it ends the waiting, and nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use emberfs_client::{Attributes, ByteLen, ClientError, File, FileOffset, FsError, InodeId, Meta};
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::MutexGuard as Turn;
use tokio::time::{sleep, timeout};

use super::under_way::{self, Pieces, UnderWay};
use super::writer::Writer;
use crate::errno::{Errno, of_client};
use crate::write_gather::{AGE_MAX, Gather, Taken, Which};

/// Bytes that all files of a mount gather together: what a machine can spare, and 32 files at their most.
const BYTES_MAX: usize = 256 << 20;
/// Before what could not be written is tried again, where somebody waits for all.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// All files that are open for writing.
#[derive(Debug)]
pub(in crate::adapter) struct Inodes {
    open: Mutex<HashMap<InodeId, Arc<Inode>>>,
    gathered: Arc<AtomicUsize>,
    numbers: AtomicU64,
    /// For files whose permissions were checked when they were opened.
    root: Meta,
    /// How long a call may wait.
    deadline: Option<Duration>,
}

/// One such file.
#[derive(Debug)]
pub(in crate::adapter) struct Inode {
    id: InodeId,
    /// A chunk's, in bytes: the servers take so much at a time.
    piece: usize,
    deadline: Option<Duration>,
    state: Mutex<State>,
    /// What is under way.
    turn: AsyncMutex<Pieces>,
    /// Of all inodes.
    gathered: Arc<AtomicUsize>,
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
    failures: u64,
    failure: Option<Errno>,
    /// The last one that the log says, while it lasts.
    logged: Option<Errno>,
}

/// An inode of which nothing is on its way, while this lives.
#[derive(Debug)]
pub(in crate::adapter) struct Still<'a> {
    inode: &'a Inode,
    _turn: Turn<'a, Pieces>,
}

impl Inodes {
    pub(in crate::adapter) fn new(root: Meta, deadline: Option<Duration>) -> Self {
        let (open, gathered, numbers) = (Mutex::default(), Arc::default(), AtomicU64::new(0));
        Self { open, gathered, numbers, root, deadline }
    }

    pub(in crate::adapter) fn get(&self, id: InodeId) -> Option<Arc<Inode>> {
        lock(&self.open).get(&id).cloned()
    }

    /// Whether a write may be gathered at all.
    pub(in crate::adapter) fn have_room(&self, len: usize) -> bool {
        self.gathered.load(Ordering::Relaxed) + len <= BYTES_MAX
    }

    /// A file was opened for writing.
    pub(super) fn enter(&self, meta: Meta, file: File, reads: bool) -> (Arc<Inode>, Arc<Writer>) {
        let id = file.inode();
        let mut open = lock(&self.open);
        let new = || Arc::new(Inode::new(&file, self.deadline, &self.gathered));
        let inode = open.entry(id).or_insert_with(new);
        let mut state = inode.state();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let told = state.failures;
        let writer = Arc::new(Writer::new(number, [meta, self.root.clone()], file, reads, told));
        state.writers.push(writer.clone());
        drop(state);
        (inode.clone(), writer)
    }

    /// Forgets an inode with which nothing is left to do.
    pub(super) fn forget_settled(&self, inode: &Inode) {
        let mut open = lock(&self.open);
        let state = inode.state();
        if state.writers.is_empty() && state.let_go.is_empty() && state.writes == state.settled {
            remove_same(&mut open, inode.id, inode);
        }
    }

    /// Settles in the background what has been dirty for too long.
    pub(in crate::adapter) fn settle_old(&self, runtime: &Handle) {
        let now = Instant::now();
        for inode in self.all() {
            // Where somebody has the turn, something is being done about it.
            if inode.turn.try_lock().is_ok() && inode.state().is_old(now) {
                runtime.spawn(async move { inode.settle_patiently().await });
            } else {
                self.forget_settled(&inode);
            }
        }
    }

    /// Settles everything, each as often as it takes.
    pub(in crate::adapter) async fn settle_all(&self) {
        let all = self.all();
        let each = all.iter().map(|inode| async {
            while inode.settle_patiently().await.is_err() {
                sleep(TRY_AGAIN).await;
            }
        });
        join_all(each).await;
        all.iter().for_each(|inode| self.forget_settled(inode));
    }

    /// Each file that is not settled: the bytes of it that only this mount has, and what it waits for.
    pub(in crate::adapter) fn unsettled(&self) -> Vec<(InodeId, ByteLen, String)> {
        let dirty = self.all().into_iter().filter(|inode| inode.is_dirty());
        let each = dirty.map(|inode| {
            let gathered = inode.state().gather.len();
            (inode.id, ByteLen(gathered as u64), inode.why())
        });
        each.collect()
    }

    fn all(&self) -> Vec<Arc<Inode>> {
        lock(&self.open).values().cloned().collect()
    }
}

/// Takes an entry out, unless it is another's by now.
fn remove_same<T>(entries: &mut HashMap<InodeId, Arc<T>>, id: InodeId, same: &T) {
    if entries.get(&id).is_some_and(|there| std::ptr::eq(&raw const **there, same)) {
        entries.remove(&id);
    }
}

impl State {
    fn is_old(&mut self, now: Instant) -> bool {
        let old = self.since.is_some_and(|since| now.duration_since(since) >= AGE_MAX);
        if old {
            self.since = Some(now);
        }
        old
    }

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

impl Inode {
    fn new(file: &File, deadline: Option<Duration>, gathered: &Arc<AtomicUsize>) -> Self {
        let chunk_size = file.attributes().data.map(|data| data.layout.chunk_size);
        let piece = chunk_size.unwrap_or_default().bytes() as usize;
        let (state, turn, gathered) = (Mutex::default(), AsyncMutex::default(), gathered.clone());
        Self { id: file.inode(), piece, deadline, state, turn, gathered }
    }

    /// Whether there is anything that the servers have not heard of.
    pub(in crate::adapter) fn is_dirty(&self) -> bool {
        let state = self.state();
        state.writes != state.settled
    }

    /// What it waits for, else why the last try failed.
    fn why(&self) -> String {
        let state = self.state();
        let files = state.writers.iter().chain(&state.let_go).map(|writer| writer.file());
        let waits = files.filter_map(|file| file.waiting_for()).next();
        let failed = || state.failure.map_or("their turn".to_owned(), |error| error.to_string());
        waits.map_or_else(failed, |what| what.to_string())
    }

    /// Gathers bytes, if there is room and somebody who will hear what became of them.
    pub(super) fn gather(&self, by: &Arc<Writer>, offset: FileOffset, data: &[u8]) -> bool {
        self.change(|state| {
            let room = state.gather.has_room(data.len()) && by.may_write(offset, data.len());
            let room = room && !by.is_let_go();
            if room {
                state.gather.put(by, offset, data);
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
        if self.is_dirty() {
            self.settle().await?;
        }
        let appended = by.append(bytes).await;
        self.state().wrote();
        appended.map_err(|error| of_client(&error))
    }

    /// Writes bytes, which are safe when it returns, and the length with them.
    pub(super) async fn write_through(
        self: &Arc<Self>,
        by: &Writer,
        offset: FileOffset,
        bytes: Bytes,
    ) -> Result<(), Errno> {
        if !self.state().gather.is_empty() {
            let gathered = async {
                let mut pieces = self.turn.lock().await;
                self.write_gathered(&mut pieces).await
            };
            self.in_time(gathered).await?;
        }
        let written = by.write_through(offset, bytes).await;
        self.state().wrote();
        written.map_err(|error| of_client(&error))
    }

    /// Brings all bytes that were written before to the servers, and the length; waits no longer than a call may.
    pub(in crate::adapter) async fn settle(self: &Arc<Self>) -> Result<(), Errno> {
        self.in_time(self.settle_patiently()).await
    }

    /// The same, however long it takes.
    async fn settle_patiently(self: &Arc<Self>) -> Result<(), Errno> {
        let mut pieces = self.turn.lock().await;
        let writes = self.state().writes;
        if writes == self.state().settled {
            return Ok(());
        }
        let mut written = self.write_gathered(&mut pieces).await;
        if written.is_err() && self.is_forsaken().await {
            // Kept for longer, they would keep the disk full for whose sake they cannot be written.
            self.change(|state| state.gather.cut(ByteLen::ZERO));
            written = Ok(());
        }
        let reported = self.report().await;
        written.and(reported)?;
        let mut state = self.state();
        state.settled = writes;
        state.logged = None;
        state.since = (state.writes != writes).then(Instant::now);
        Ok(())
    }

    /// The same, and keeps it so: what cannot be written now stays gathered.
    pub(in crate::adapter) async fn still(self: &Arc<Self>) -> Result<Still<'_>, Errno> {
        let still = async move {
            let mut pieces = self.turn.lock().await;
            let _kept = self.write_gathered(&mut pieces).await;
            self.report().await?;
            Ok(Still { inode: self, _turn: pieces })
        };
        self.in_time(still).await
    }

    /// The attributes with what is still gathered.
    pub(in crate::adapter) fn with_gathered(&self, mut found: Attributes) -> Attributes {
        found.size = found.size.max(self.state().gather.end());
        found
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
    async fn write_gathered(self: &Arc<Self>, pieces: &mut Pieces) -> Result<(), Errno> {
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
        for piece in self.change(|state| state.gather.take(which, self.piece)) {
            pieces.spawn(UnderWay::new(self, piece).arrive());
        }
    }

    /// A piece that was sent is written, or given up.
    pub(super) fn done(&self, piece: Option<Taken<Arc<Writer>>>) {
        piece.into_iter().for_each(|piece| self.change(|state| state.gather.done(&piece)));
    }

    /// A piece that was sent is not written.
    pub(super) fn put_back(&self, piece: Option<Taken<Arc<Writer>>>) {
        piece.into_iter().for_each(|piece| self.change(|state| state.gather.put_back(piece)));
    }

    /// Has each writer say what it wrote, and closes those without a descriptor. It is this one's turn.
    async fn report(&self) -> Result<(), Errno> {
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

    /// Whether nobody can ever read it: it has neither a descriptor that writes nor a name.
    async fn is_forsaken(&self) -> bool {
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
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Errno>>) -> Result<T, Errno> {
        let Some(deadline) = self.deadline else { return call.await };
        timeout(deadline, call).await.unwrap_or_else(|_| {
            tracing::warn!(inode = %self.id, waits_for = self.why(), "a call waited in vain");
            Err(Errno::TIMEDOUT)
        })
    }

    /// Changes the state, and keeps the count of all gathered bytes.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = state.gather.len();
        let result = change(&mut state);
        let after = state.gather.len();
        match after.checked_sub(before) {
            Some(more) => self.gathered.fetch_add(more, Ordering::Relaxed),
            None => self.gathered.fetch_sub(before - after, Ordering::Relaxed),
        };
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Still<'_> {
    /// The file was cut, or made longer: what is gathered behind its end is gone, and each writer learns
    /// the length.
    pub(in crate::adapter) async fn cut(&self, len: ByteLen) {
        self.inode.change(|state| state.gather.cut(len));
        let writers = self.inode.state().writers.clone();
        for writer in writers {
            // One that does not learn it now learns it by its next report.
            let _unknown = writer.file().stat().await;
        }
    }
}

/// Whether the file is gone, so that nothing can be written to it any more.
pub(super) fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::Fs(FsError::Stale | FsError::NotFound))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two descriptors are released together, and the file is opened again in between.
    #[test]
    fn who_is_forgotten_twice_takes_no_successor_along() {
        let (id, old, new) = (InodeId(7), Arc::new("old"), Arc::new("new"));
        let mut entries = HashMap::from([(id, old.clone())]);
        remove_same(&mut entries, id, &*old);
        assert!(entries.is_empty());
        entries.insert(id, new.clone());
        remove_same(&mut entries, id, &*old);
        assert_eq!(entries, HashMap::from([(id, new)]));
    }
}
