//! The lock on a directory: whoever holds it is the one process that uses the directory.
//!
//! It is an advisory lock on a file there, which the kernel takes away when the process dies: some moments after
//! it was killed, so that one that is started in its place waits a little.
//!
//! The file's id says more, to others that hear of it: a process that holds the lock on the same file as another
//! did is proof that the other is dead. On a copy of the directory it would be another file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use emberfs_layout::{FileId, FileSystemId, KernelId};

/// The file's name.
pub(crate) const FILE: &str = "emberfs.lock";
/// How long the lock of a process that was killed may outlive it: the kernel first ends what the process has
/// under way at its disks.
const WAIT: Duration = Duration::from_secs(3);
/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(20);
/// Where the kernel has its id, a UUID.
const KERNEL_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A lock that this process holds. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock on `directory`, whose file is made if it is missing.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if another process holds it.
    pub(crate) fn take(directory: &Path) -> Result<Self, TryLockError> {
        let path = directory.join(FILE);
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(TryLockError::Error)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if begin.elapsed() < WAIT => thread::sleep(AGAIN),
                Err(error) => return Err(error),
            }
        }
    }

    /// Which file it is on; `None` if the system does not say.
    pub(crate) fn id(&self) -> Option<FileId> {
        let of_file = self.0.metadata().ok()?;
        let file_system = FileSystemId { kernel: kernel_id().ok()?, device: of_file.dev() };
        Some(FileId { file_system, number: of_file.ino() })
    }
}

fn kernel_id() -> io::Result<KernelId> {
    let text = fs::read_to_string(KERNEL_ID)?.trim().replace('-', "");
    text.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_its_copy() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let id = || {
            let lock = Lock::take(directory.path()).expect("free");
            lock.id().expect("the kernel says it")
        };
        let first = id();
        assert_eq!(id(), first, "the same file again");
        let file = directory.path().join(FILE);
        fs::rename(&file, directory.path().join("kept")).expect("renamed");
        fs::copy(directory.path().join("kept"), &file).expect("copied");
        let copy = id();
        assert_ne!(copy, first);
        assert_eq!(copy.file_system, first.file_system);
    }
}
