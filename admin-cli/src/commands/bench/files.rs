//! The files that are read and written: in a directory of their own, made when they are needed first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use emberfs_client::{Bytes, Client, ClientError, File, FileOffset, Fs, FsError, OpenOptions};
use futures_util::future::try_join_all;
use tokio::sync::OnceCell;

use super::clock::Stop;
use super::places::Places;

/// How many files there are of each kind: the most streams that a row has.
pub(super) const FILES: usize = 4;
/// Size of each.
pub(super) const FILE_BYTES: u64 = if cfg!(test) { 16 << 20 } else { 128 << 20 };
/// How many names are looked up.
pub(super) const NAMES: u64 = 256;
/// How much one call writes ahead: several chunks, which move in parallel.
const AHEAD_BYTES: usize = 4 << 20;
/// How many make names ahead: an order of the group's log carries many.
const MAKERS: usize = 256;

/// The directory, and what was made in it.
pub(super) struct Files {
    pub(super) client: Client,
    pub(super) fs: Fs,
    pub(super) stop: Stop,
    directory: String,
    reads: OnceCell<Vec<File>>,
    writes: OnceCell<Vec<File>>,
    /// Directories of which it is known how many names they have.
    known: RefCell<BTreeMap<String, u64>>,
    /// How many of the small files there are, in the order in which they are made.
    pub(super) small: Cell<u64>,
    /// Size of each file of the checkpoint that is there; none: zero.
    pub(super) checkpoint: Cell<u64>,
}

impl Files {
    /// Makes the directory, which is called after the session: no other has its number.
    pub(super) async fn make(client: Client, stop: Stop) -> Result<Self> {
        let (fs, directory) = (client.fs(), format!("/.emberfs-bench-{}", client.session()));
        fs.mkdir(&directory).await.with_context(|| format!("making ember:{directory}"))?;
        Ok(Self {
            client,
            fs,
            stop,
            directory,
            reads: OnceCell::new(),
            writes: OnceCell::new(),
            known: RefCell::default(),
            small: Cell::new(0),
            checkpoint: Cell::new(0),
        })
    }

    /// Files that are read.
    pub(super) async fn reads(&self) -> Result<&[File]> {
        Ok(self.reads.get_or_try_init(|| self.written("read")).await?)
    }

    /// Files that are written over.
    pub(super) async fn writes(&self) -> Result<&[File]> {
        Ok(self.writes.get_or_try_init(|| self.written("write")).await?)
    }

    /// A name for something of which there is none yet.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// An empty directory of this name, in place of what was there.
    pub(super) async fn fresh(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        match self.fs.remove_all(&path).await {
            Ok(()) | Err(ClientError::Fs(FsError::NotFound)) => {}
            Err(error) => return Err(error.into()),
        }
        self.fs.mkdir(&path).await?;
        Ok(path)
    }

    /// A directory with so many empty files, which stays: their numbers are their names.
    pub(super) async fn names(&self, name: &str, count: u64) -> Result<String> {
        if self.known.borrow().get(name) != Some(&count) {
            let path = self.fresh(name).await?;
            self.make_names(&path, count).await?;
            self.known.borrow_mut().insert(name.to_owned(), count);
        }
        Ok(self.path(name))
    }

    /// Makes so many empty files in a directory, many at a time.
    pub(super) async fn make_names(&self, directory: &str, count: u64) -> Result<()> {
        let next = Cell::new(0);
        let maker = |_| async {
            let new = OpenOptions::new().write(true).create_new(true);
            loop {
                let number = next.replace(next.get() + 1);
                if number >= count {
                    return Ok(());
                }
                self.stop.check()?;
                self.fs.open(format!("{directory}/{number}"), &new).await?.close().await?;
            }
        };
        try_join_all((0..MAKERS).map(maker)).await.map(|_: Vec<()>| ())
    }

    async fn written(&self, name: &str) -> Result<Vec<File>> {
        let bytes = noise(AHEAD_BYTES);
        try_join_all((0..FILES).map(|number| {
            let (bytes, path) = (bytes.clone(), self.path(&format!("{name}-{number}")));
            async move {
                let new = OpenOptions::new().read(true).write(true).create_new(true);
                let file = self.fs.open(path, &new.report_late(true)).await?;
                for at in (0..FILE_BYTES).step_by(AHEAD_BYTES) {
                    self.stop.check()?;
                    file.write_at(FileOffset(at), bytes.clone()).await?;
                }
                file.sync().await?;
                Ok(file)
            }
        }))
        .await
    }

    /// Closes and removes all of it, and ends the session.
    pub(super) async fn remove(self) -> Result<()> {
        let Self { client, fs, directory, reads, writes, .. } = self;
        for file in [reads, writes].into_iter().filter_map(OnceCell::into_inner).flatten() {
            file.close().await.context("closing what was written")?;
        }
        let removed = fs.remove_all(&directory).await;
        removed.with_context(|| {
            format!("what was made is left; `emberfs rm -r ember:{directory}` removes it")
        })?;
        Ok(client.close().await?)
    }
}

/// Bytes that no disk can compress.
pub(super) fn noise(len: usize) -> Bytes {
    let mut places = Places::of(0);
    let words = (0..len.div_ceil(8)).flat_map(|_| places.below(u64::MAX).to_le_bytes());
    words.take(len).collect::<Vec<u8>>().into()
}
