//! An open file of the cluster or of this machine, of which a copy is read or written.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::Result;
use emberfs_client::{ByteLen, Bytes, FileOffset, InodeId};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tokio::task::spawn_blocking;

/// What is read of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Fewer bytes than were asked for only at the end of the file.
    Bytes(Bytes),
    /// Nothing was ever written there; it reads as zeros.
    Hole { len: u64 },
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Hole { len } => *len,
        }
    }
}

/// An open file of either side.
#[derive(Debug)]
pub(super) enum OpenFile {
    Cluster(emberfs_client::File),
    Local(Arc<File>),
    /// Of this machine, and read or written from its beginning to its end: a pipe, a device, or a file that says
    /// nothing of its length.
    Stream(Arc<File>),
}

/// A file that was made: what it is known by again.
#[derive(Debug)]
pub(super) enum Made {
    Cluster(InodeId),
    /// As long as it is open, no other gets its number.
    Local(Arc<File>),
}

impl OpenFile {
    /// Opens a file of this machine, for which a pipe may let wait.
    pub(super) async fn local(
        open: impl FnOnce() -> io::Result<File> + Send + 'static,
    ) -> Result<Self> {
        let opened = spawn_blocking(move || {
            let file = open()?;
            let meta = file.metadata()?;
            io::Result::Ok((Arc::new(file), meta))
        });
        let (file, meta) = opened.await??;
        Ok(if meta.is_file() { Self::Local(file) } else { Self::Stream(file) })
    }

    /// What tells it from others, if it was made by its being opened.
    pub(super) fn made(&self) -> Made {
        match self {
            Self::Cluster(file) => Made::Cluster(file.inode()),
            Self::Local(file) | Self::Stream(file) => Made::Local(file.clone()),
        }
    }

    /// Whether it has to be read or written in order.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Up to `len` bytes from `at`.
    pub(super) async fn read(&self, at: u64, len: usize) -> Result<Part> {
        match self {
            Self::Cluster(file) => {
                let (read, mut buffer) = file.read_at(FileOffset(at), vec![0; len]).await;
                buffer.truncate(read?);
                // What was never written reads as zeros: it need not be written now.
                let dense_to = file.attributes().data.map_or(0, |data| data.dense_to.get());
                let len = buffer.len() as u64;
                let is_hole = len > 0 && at + len > dense_to && is_zeros(&buffer);
                Ok(if is_hole { Part::Hole { len } } else { Part::Bytes(buffer.into()) })
            }
            Self::Local(file) => {
                let file = file.clone();
                Ok(spawn_blocking(move || read_local(&file, at, len)).await??)
            }
            Self::Stream(file) => {
                let file = file.clone();
                let read = spawn_blocking(move || {
                    let mut buffer = Vec::new();
                    (&*file).take(len as u64).read_to_end(&mut buffer)?;
                    io::Result::Ok(buffer)
                });
                Ok(Part::Bytes(read.await??.into()))
            }
        }
    }

    /// Writes to a file that was empty.
    pub(super) async fn write(&self, at: u64, part: Part) -> Result<()> {
        match (self, part) {
            (Self::Cluster(_) | Self::Local(_), Part::Hole { .. }) => Ok(()),
            (Self::Cluster(file), Part::Bytes(bytes)) => {
                Ok(file.write_at(FileOffset(at), bytes).await?)
            }
            (Self::Local(file), Part::Bytes(bytes)) => {
                let file = file.clone();
                Ok(spawn_blocking(move || file.write_all_at(&bytes, at)).await??)
            }
            (Self::Stream(file), part) => {
                let file = file.clone();
                let bytes = match part {
                    Part::Bytes(bytes) => bytes,
                    Part::Hole { len } => vec![0; usize::try_from(len)?].into(),
                };
                Ok(spawn_blocking(move || (&*file).write_all(&bytes)).await??)
            }
        }
    }

    /// Closes a file that was written; `hole_to`: it ends with a hole, which ends there.
    ///
    /// A file of this machine is synced: what its disk, or the server that it lies on, makes of the bytes is seen
    /// nowhere else, as the error of a close is lost in the standard library. It costs 5,000 small files a quarter of
    /// their time on ext4, as they sync beside each other.
    pub(super) async fn finish(self, hole_to: Option<u64>) -> Result<()> {
        match self {
            Self::Cluster(file) => {
                if let Some(len) = hole_to {
                    file.set_len(ByteLen(len)).await?;
                }
                Ok(file.close().await?)
            }
            Self::Local(file) => {
                let finished = spawn_blocking(move || {
                    if let Some(len) = hole_to {
                        file.set_len(len)?;
                    }
                    match file.sync_data() {
                        // A file of the kernel, which has nothing to sync.
                        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                        synced => synced,
                    }
                });
                Ok(finished.await??)
            }
            Self::Stream(_) => Ok(()),
        }
    }
}

/// Whether there is nothing else in it.
fn is_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

fn read_local(file: &File, at: u64, len: usize) -> io::Result<Part> {
    if let Some(len) = hole(file, at, len as u64) {
        return Ok(Part::Hole { len });
    }
    let (mut buffer, mut filled) = (vec![0; len], 0);
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    buffer.truncate(filled);
    Ok(Part::Bytes(buffer.into()))
}

/// How much of these bytes the file has, if all that is a hole.
fn hole(file: &File, at: u64, len: u64) -> Option<u64> {
    // First of all: what it grows by after that is no hole.
    let end = file.metadata().ok()?.len().min(at.saturating_add(len));
    let data = match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        Err(Errno::NXIO) => u64::MAX, // a hole to the end, or behind that
        Err(_) => return None,
    };
    (data >= end && end > at).then(|| end - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_zeros_to_the_last() {
        let mut bytes = vec![0; 10_001];
        assert!(is_zeros(&bytes) && is_zeros(&[]));
        bytes[10_000] = 1;
        assert!(!is_zeros(&bytes));
    }

    #[test]
    fn a_hole_is_told_from_data_and_from_the_end() {
        let file = tempfile::tempfile().expect("a temporary file");
        let read = |at, len| read_local(&file, at, len).expect("read");
        file.write_all_at(b"data", 4 << 20).expect("written");
        file.set_len((6 << 20) + 5).expect("longer");
        assert_eq!(read(2 << 20, 4), Part::Hole { len: 4 });
        assert_eq!(read(4 << 20, 4), Part::Bytes(Bytes::from_static(b"data")));
        assert_eq!(read(5 << 20, 2 << 20), Part::Hole { len: (1 << 20) + 5 });
        assert_eq!(read(7 << 20, 1), Part::Bytes(Bytes::new()));
        // Neither is a hole whose last byte is data.
        let Part::Bytes(bytes) = read(0, (4 << 20) + 1) else { panic!("it has data") };
        assert_eq!(bytes.iter().rposition(|byte| *byte != 0), Some(4 << 20));
    }
}
