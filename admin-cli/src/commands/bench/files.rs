//! The files that are read and written: in a directory of their own, made when they are needed first.

use anyhow::{Context, Result};
use emberfs_client::{Bytes, Client, ClientError, File, FileOffset, Fs, OpenOptions};
use futures_util::future::try_join_all;
use tokio::sync::OnceCell;

use super::places::Places;

/// How many files there are of each kind: the most streams that a row has.
pub(super) const FILES: usize = 4;
/// Size of each.
pub(super) const FILE_BYTES: u64 = 128 << 20;
/// How many names are looked up.
pub(super) const NAMES: u64 = 256;
/// How much one call writes ahead: several chunks, which move in parallel.
const AHEAD_BYTES: usize = 4 << 20;

/// The directory, and what was made in it.
pub(super) struct Files {
    pub(super) fs: Fs,
    directory: String,
    reads: OnceCell<Vec<File>>,
    writes: OnceCell<Vec<File>>,
    names: OnceCell<()>,
}

impl Files {
    /// Makes the directory, which is called after the session: no other has its number.
    pub(super) async fn make(client: &Client) -> Result<Self> {
        let (fs, directory) = (client.fs(), format!("/.emberfs-bench-{}", client.session()));
        fs.mkdir(&directory).await.with_context(|| format!("making ember:{directory}"))?;
        let (reads, writes, names) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Ok(Self { fs, directory, reads, writes, names })
    }

    /// Files that are read.
    pub(super) async fn reads(&self) -> Result<&[File], ClientError> {
        Ok(self.reads.get_or_try_init(|| self.written("read")).await?)
    }

    /// Files that are written over.
    pub(super) async fn writes(&self) -> Result<&[File], ClientError> {
        Ok(self.writes.get_or_try_init(|| self.written("write")).await?)
    }

    /// A name for a file of which there is none yet.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// The path of the file of this number, that is looked up.
    pub(super) fn named(&self, number: u64) -> String {
        self.path(&format!("name-{number}"))
    }

    /// Makes the files that are looked up.
    pub(super) async fn names(&self) -> Result<(), ClientError> {
        let make = async || {
            let new = OpenOptions::new().write(true).create_new(true);
            for number in 0..NAMES {
                self.fs.open(self.named(number), &new).await?.close().await?;
            }
            Ok::<_, ClientError>(())
        };
        self.names.get_or_try_init(make).await?;
        Ok(())
    }

    async fn written(&self, name: &str) -> Result<Vec<File>, ClientError> {
        let bytes = noise(AHEAD_BYTES);
        try_join_all((0..FILES).map(|number| {
            let (bytes, path) = (bytes.clone(), self.path(&format!("{name}-{number}")));
            async move {
                let new = OpenOptions::new().read(true).write(true).create_new(true);
                let file = self.fs.open(path, &new.report_late(true)).await?;
                for at in (0..FILE_BYTES).step_by(AHEAD_BYTES) {
                    file.write_at(FileOffset(at), bytes.clone()).await?;
                }
                file.sync().await?;
                Ok::<_, ClientError>(file)
            }
        }))
        .await
    }

    /// Removes all of it.
    pub(super) async fn remove(self) -> Result<()> {
        let Self { fs, directory, reads, writes, .. } = self;
        drop((reads, writes));
        let removed = fs.remove_all(&directory).await;
        removed.with_context(|| {
            format!("what was made is left; `emberfs rm -r ember:{directory}` removes it")
        })
    }
}

/// Bytes that no disk can compress.
pub(super) fn noise(len: usize) -> Bytes {
    let mut places = Places::of(0);
    let words = (0..len.div_ceil(8)).flat_map(|_| places.below(u64::MAX).to_le_bytes());
    words.take(len).collect::<Vec<u8>>().into()
}
