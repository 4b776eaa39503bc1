//! Files that are open here for writing: what is gathered, who wrote it, what failed.
//!
//! ```text
//!   Inodes ─► Inode ─┬─ gather: bytes not written
//!                    ├─ writers: one for each descriptor, with its handle at the servers
//!                    └─ turn: one at a time brings bytes to the servers, in their order
//! ```
//! An inode is *dirty* from a write until it is *settled*: bytes written, and reported by each writer. A
//! failure is kept with the inode and counted; each writer remembers up to which it was told. Bytes whose
//! file is gone, or has neither name nor writer, are given up; all others are kept and tried again, until
//! the mount ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use emberfs_client::{Attributes, ByteLen, ClientError, File, FileOffset, FsError, InodeId, Meta};
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;
use tokio::sync::MutexGuard as Turn;

use super::writer::Writer;
use crate::errno::{Errno, of_client};
use crate::write_gather::{AGE_MAX, Gather};

/// Bytes that all files of a mount gather together: what a machine can spare, and 32 files at their most.
const BYTES_MAX: usize = 256 << 20;

/// All files that are open for writing.
#[derive(Debug)]
pub(in crate::adapter) struct Inodes {
    open: Mutex<HashMap<InodeId, Arc<Inode>>>,
    gathered: Arc<AtomicUsize>,
    numbers: AtomicU64,
    /// For files whose permissions were checked when they were opened.
    root: Meta,
}

/// One such file.
#[derive(Debug)]
pub(in crate::adapter) struct Inode {
    id: InodeId,
    state: Mutex<State>,
    turn: AsyncMutex<()>,
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
}

/// An inode of which nothing is on its way, while this lives.
#[derive(Debug)]
pub(in crate::adapter) struct Still<'a> {
    inode: &'a Inode,
    _turn: Turn<'a, ()>,
}

impl Inodes {
    pub(in crate::adapter) fn new(root: Meta) -> Self {
        let (open, gathered, numbers) = (Mutex::default(), Arc::default(), AtomicU64::new(0));
        Self { open, gathered, numbers, root }
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
        let inode = open.entry(id).or_insert_with(|| Arc::new(Inode::new(id, &self.gathered)));
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
            open.remove(&inode.id);
        }
    }

    /// Settles in the background what has been dirty for too long.
    pub(in crate::adapter) fn settle_old(&self, runtime: &Handle) {
        let now = Instant::now();
        for inode in self.all() {
            if inode.state().is_old(now) {
                runtime.spawn(async move { inode.settle().await });
            } else {
                self.forget_settled(&inode);
            }
        }
    }

    /// Settles everything; the last failure.
    pub(in crate::adapter) async fn settle_all(&self) -> Result<(), Errno> {
        let all = self.all();
        let settled = join_all(all.iter().map(|inode| inode.settle())).await;
        all.iter().for_each(|inode| self.forget_settled(inode));
        settled.into_iter().collect()
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

    fn fail(&mut self, why: Errno) {
        self.failures += 1;
        self.failure = Some(why);
    }
}

impl Inode {
    fn new(id: InodeId, gathered: &Arc<AtomicUsize>) -> Self {
        let (state, turn) = (Mutex::default(), AsyncMutex::default());
        Self { id, state, turn, gathered: gathered.clone() }
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

    /// Gathers bytes, if there is room.
    pub(super) fn gather(&self, by: &Arc<Writer>, offset: FileOffset, data: &[u8]) -> bool {
        self.change(|state| {
            let room = state.gather.has_room(data.len()) && by.may_write(offset, data.len());
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
                let _turn = inode.turn.lock().await;
                inode.state().busy = false;
                // A failure is kept, and told to whoever syncs.
                let _kept = inode.write_gathered(false).await;
            });
        }
    }

    /// Writes bytes behind all that were written before; they are safe when it returns.
    pub(super) async fn append(&self, by: &Writer, bytes: Bytes) -> Result<(), Errno> {
        if self.is_dirty() {
            self.settle().await?;
        }
        let appended = by.append(bytes).await;
        self.state().wrote();
        appended.map_err(|error| of_client(&error))
    }

    /// Writes bytes, which are safe when it returns, and the length with them.
    pub(super) async fn write_through(
        &self,
        by: &Writer,
        offset: FileOffset,
        bytes: Bytes,
    ) -> Result<(), Errno> {
        if !self.state().gather.is_empty() {
            let _turn = self.turn.lock().await;
            self.write_gathered(true).await?;
        }
        let written = by.write_through(offset, bytes).await;
        self.state().wrote();
        written.map_err(|error| of_client(&error))
    }

    /// Brings all bytes that were written before to the servers, and the length.
    pub(in crate::adapter) async fn settle(&self) -> Result<(), Errno> {
        let _turn = self.turn.lock().await;
        let writes = self.state().writes;
        if writes == self.state().settled {
            return Ok(());
        }
        let mut written = self.write_gathered(true).await;
        if written.is_err() && self.is_forsaken().await {
            // Kept for longer, they would keep the disk full for whose sake they cannot be written.
            self.change(|state| state.gather.cut(ByteLen::ZERO));
            written = Ok(());
        }
        let reported = self.report().await;
        written.and(reported)?;
        let mut state = self.state();
        state.settled = writes;
        state.since = (state.writes != writes).then(Instant::now);
        Ok(())
    }

    /// The same, and keeps it so: what cannot be written now stays gathered.
    pub(in crate::adapter) async fn still(&self) -> Result<Still<'_>, Errno> {
        let still = Still { inode: self, _turn: self.turn.lock().await };
        let _kept = self.write_gathered(true).await;
        self.report().await?;
        Ok(still)
    }

    /// The attributes with what is still gathered.
    pub(in crate::adapter) fn with_gathered(&self, mut found: Attributes) -> Attributes {
        found.size = found.size.max(self.state().gather.end());
        found
    }

    /// This descriptor is closed: its handle too, once its bytes are settled.
    pub(super) fn let_go(&self, writer: &Arc<Writer>) {
        let mut state = self.state();
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

    /// Writes what is gathered now: all of it, or what is due. It is this one's turn.
    async fn write_gathered(&self, all: bool) -> Result<(), Errno> {
        // Not what is gathered meanwhile, or a fast writer would hold everybody up.
        let mut left = self.state().gather.len();
        while left > 0 {
            let runs = self.change(|state| state.gather.take(all));
            if runs.is_empty() {
                break;
            }
            let writes = runs.iter().map(|run| run.by.write(run.start, run.bytes.clone()));
            let results = join_all(writes).await;
            left = left.saturating_sub(runs.iter().map(|run| run.bytes.len()).sum());
            let mut failed = None;
            self.change(|state| {
                let mut kept = Vec::new();
                for (run, result) in runs.into_iter().zip(results) {
                    match result {
                        Err(error) if !is_gone(&error) => {
                            failed = Some(error);
                            kept.push(run);
                        }
                        result => {
                            state.gather.done(&run);
                            failed = failed.take().or(result.err());
                        }
                    }
                }
                state.gather.put_back(kept);
            });
            if let Some(error) = failed {
                return Err(self.failed(&error));
            }
        }
        Ok(())
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

    fn failed(&self, error: &ClientError) -> Errno {
        tracing::warn!(inode = %self.id, %error, "written bytes are not safe");
        let errno = of_client(error);
        self.state().fail(errno);
        errno
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
fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::Fs(FsError::Stale | FsError::NotFound))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
