//! The data file of one disk: reads and writes of aligned ranges, growth, sync.
//!
//! [`Disk`] is the trait that the engine works on. What it promises, and `model::ModelDisk` takes to
//! the letter:
//!
//! * A write is durable once a [`Disk::sync`] that began after it had returned has returned. Before, any
//!   part of it may be lost by a loss of power, in pieces of 512 bytes; nothing else is touched.
//! * Memory belongs to the call: a future that is dropped leaves the operation running, with its memory
//!   alive until the kernel is done with it.
//! * When a call has returned, nothing of it is still under way, also where it failed.
//! * What a dropped future left running may go on after the disk is dropped, and is over at the latest when the
//!   runtime is. So the engine gives up reads only: what changes the file it carries through, and closing waits for
//!   it.
//!
//! [`FileDisk`] is the real one: io_uring with O_DIRECT (`uring`), and where the kernel refuses one of
//! them, calls that block, on a pool of threads (`threads`).

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{fmt, io};

use bytes::Bytes;
use emberfs_buffer::AlignedBuf;
use emberfs_layout::ByteLen;
use rustix::fs::OFlags;
use rustix::io::Errno;
use thiserror::Error;

#[expect(unsafe_code, reason = "the kernel reads and fills memory by its address")]
mod ring;
mod threads;
mod uring;

pub use threads::ThreadDisk;
pub use uring::UringDisk;

/// A position in the data file, in bytes from its start: a multiple of 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskOffset(pub u64);

impl fmt::Display for DiskOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which part of a buffer comes from where. Both are aligned to 4 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where on the disk.
    pub at: DiskOffset,
    /// Which bytes of the buffer.
    pub range: Range<usize>,
}

/// Bytes to write: their length and their place on the disk are multiples of 4 KiB, and so is their
/// address in memory.
#[derive(Clone, Debug)]
pub struct DiskWrite {
    /// Where on the disk.
    pub at: DiskOffset,
    /// What.
    pub bytes: Bytes,
}

/// What a disk was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum DiskAction {
    Open,
    Read,
    Write,
    Grow,
    Sync,
    Stat,
}

/// Why it was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DiskError {
    /// The kernel refused or the device failed.
    #[error("{action:?} of the data file at {at}: {errno}")]
    Io {
        /// What was asked for.
        action: DiskAction,
        /// Where.
        at: DiskOffset,
        /// The kernel's word.
        errno: Errno,
    },
    /// Less was done than asked for.
    #[error("{action:?} of the data file at {at}: {done} bytes of {wanted}")]
    Short {
        /// What was asked for.
        action: DiskAction,
        /// Where.
        at: DiskOffset,
        /// How many bytes were to be moved.
        wanted: usize,
        /// How many were.
        done: usize,
    },
    /// The runtime that carries the operation out is shutting down.
    #[error("{action:?} of the data file was given up: the process is stopping")]
    Stopped {
        /// What was asked for.
        action: DiskAction,
    },
}

impl DiskError {
    pub(crate) fn io(action: DiskAction, at: DiskOffset, error: &io::Error) -> Self {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        Self::Io { action, at, errno }
    }

    /// Whether the disk has no room: what was asked for can be asked again later.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { errno: Errno::NOSPC | Errno::DQUOT | Errno::FBIG, .. })
    }
}

/// The data file of one disk.
pub trait Disk: 'static {
    /// How long the file is: up to here it can be read and written.
    fn len(&self) -> ByteLen;

    /// Whether nothing was ever made room for.
    fn is_empty(&self) -> bool {
        self.len() == ByteLen::ZERO
    }

    /// How many bytes the file could still grow by, for all that the file system knows now.
    ///
    /// # Errors
    /// When it does not say.
    fn room(&self) -> Result<ByteLen, DiskError>;

    /// Fills the named parts of `buf`, at once; its other bytes stay.
    fn read(
        &self,
        buf: AlignedBuf,
        segments: Vec<Segment>,
    ) -> impl Future<Output = Result<AlignedBuf, DiskError>>;

    /// Writes all of these, at once and in no order.
    fn write(&self, writes: Vec<DiskWrite>) -> impl Future<Output = Result<(), DiskError>>;

    /// Lengthens the file to `to`. What is added reads as zeros and has been written, so that writing
    /// over it changes nothing of the file system's own; the next sync makes it durable.
    fn grow(&self, to: ByteLen) -> impl Future<Output = Result<(), DiskError>>;

    /// Makes all writes that have returned durable, and the length with them.
    fn sync(&self) -> impl Future<Output = Result<(), DiskError>>;
}

/// The data file on a real disk, by the best way that the kernel allows.
#[derive(Debug)]
pub enum FileDisk {
    /// io_uring and O_DIRECT.
    Uring(UringDisk),
    /// Blocking calls on threads.
    Threads(ThreadDisk),
}

impl FileDisk {
    /// Opens the file, or makes it. The caller syncs its directory.
    ///
    /// # Errors
    /// When the file cannot be opened or made.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        match UringDisk::open(path) {
            Ok(disk) => Ok(Self::Uring(disk)),
            Err(error) => {
                let path_shown = path.display();
                tracing::warn!(%error, path = %path_shown, "no io_uring or no O_DIRECT: using threads");
                Ok(Self::Threads(ThreadDisk::open(path)?))
            }
        }
    }
}

/// Opens the data file for reading and writing, makes it where it is not there.
fn open_file(path: &Path, flags: OFlags) -> Result<File, DiskError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.custom_flags(flags.bits().cast_signed());
    options.open(path).map_err(|error| DiskError::io(DiskAction::Open, DiskOffset(0), &error))
}

fn file_len(file: &File) -> Result<ByteLen, DiskError> {
    let stat = file.metadata();
    stat.map(|stat| ByteLen(stat.len()))
        .map_err(|error| DiskError::io(DiskAction::Stat, DiskOffset(0), &error))
}

/// What the file system has for users without privilege.
fn file_room(file: &File) -> Result<ByteLen, DiskError> {
    let stat = rustix::fs::fstatvfs(file).map_err(|errno| DiskError::Io {
        action: DiskAction::Stat,
        at: DiskOffset(0),
        errno,
    })?;
    Ok(ByteLen(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// How much of a growth is written at once: large enough to stream, small enough to let others in.
const GROWTH_STEP: usize = 1 << 20;

/// The steps in which the range between two lengths is written.
fn growth_steps(from: ByteLen, to: ByteLen) -> impl Iterator<Item = Range<u64>> {
    let step = GROWTH_STEP as u64;
    (from.get()..to.get()).step_by(GROWTH_STEP).map(move |at| at..(at + step).min(to.get()))
}

impl Disk for FileDisk {
    fn len(&self) -> ByteLen {
        match self {
            Self::Uring(disk) => disk.len(),
            Self::Threads(disk) => disk.len(),
        }
    }

    fn room(&self) -> Result<ByteLen, DiskError> {
        match self {
            Self::Uring(disk) => disk.room(),
            Self::Threads(disk) => disk.room(),
        }
    }

    async fn read(&self, buf: AlignedBuf, segments: Vec<Segment>) -> Result<AlignedBuf, DiskError> {
        match self {
            Self::Uring(disk) => disk.read(buf, segments).await,
            Self::Threads(disk) => disk.read(buf, segments).await,
        }
    }

    async fn write(&self, writes: Vec<DiskWrite>) -> Result<(), DiskError> {
        match self {
            Self::Uring(disk) => disk.write(writes).await,
            Self::Threads(disk) => disk.write(writes).await,
        }
    }

    async fn grow(&self, to: ByteLen) -> Result<(), DiskError> {
        match self {
            Self::Uring(disk) => disk.grow(to).await,
            Self::Threads(disk) => disk.grow(to).await,
        }
    }

    async fn sync(&self) -> Result<(), DiskError> {
        match self {
            Self::Uring(disk) => disk.sync().await,
            Self::Threads(disk) => disk.sync().await,
        }
    }
}
