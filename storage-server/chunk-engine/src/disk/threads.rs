//! The data file by blocking calls, on the runtime's pool of blocking threads: for kernels without
//! io_uring and file systems without O_DIRECT.
//!
//! A call is one job, which owns its memory; a dropped future leaves the job running.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::{io, iter};

use emberfs_buffer::AlignedBuf;
use emberfs_layout::ByteLen;
use rustix::fs::OFlags;

use super::{
    Disk, DiskAction, DiskError, DiskOffset, DiskWrite, GROWTH_STEP, Segment, file_len, file_room,
    growth_steps, open_file,
};

/// The data file by blocking calls.
#[derive(Debug)]
pub struct ThreadDisk {
    file: Arc<File>,
    len: Cell<u64>,
}

impl ThreadDisk {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When the file cannot be opened or made.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let file = Arc::new(open_file(path, OFlags::empty())?);
        let len = Cell::new(file_len(&file)?.get());
        Ok(Self { file, len })
    }

    /// Runs one blocking job; an error comes with the place that it is about.
    async fn run<T: Send + 'static>(
        &self,
        action: DiskAction,
        job: impl FnOnce(&File) -> Result<T, (u64, io::Error)> + Send + 'static,
    ) -> Result<T, DiskError> {
        let file = Arc::clone(&self.file);
        let done = tokio::task::spawn_blocking(move || job(&file)).await;
        done.map_err(|_| DiskError::Stopped { action })?
            .map_err(|(at, error)| DiskError::io(action, DiskOffset(at), &error))
    }
}

impl Disk for ThreadDisk {
    fn len(&self) -> ByteLen {
        ByteLen(self.len.get())
    }

    fn room(&self) -> Result<ByteLen, DiskError> {
        file_room(&self.file)
    }

    async fn read(
        &self,
        mut buf: AlignedBuf,
        segments: Vec<Segment>,
    ) -> Result<AlignedBuf, DiskError> {
        self.run(DiskAction::Read, move |file| {
            for Segment { at, range } in segments {
                file.read_exact_at(&mut buf[range], at.0).map_err(|error| (at.0, error))?;
            }
            Ok(buf)
        })
        .await
    }

    async fn write(&self, writes: Vec<DiskWrite>) -> Result<(), DiskError> {
        self.run(DiskAction::Write, move |file| {
            writes.iter().try_for_each(|DiskWrite { at, bytes }| {
                file.write_all_at(bytes, at.0).map_err(|error| (at.0, error))
            })
        })
        .await
    }

    async fn grow(&self, to: ByteLen) -> Result<(), DiskError> {
        let from = self.len();
        self.run(DiskAction::Grow, move |file| {
            let zeros: Vec<u8> = iter::repeat_n(0, GROWTH_STEP).collect();
            growth_steps(from, to).try_for_each(|step| {
                let len = usize::try_from(step.end - step.start).expect("at most one step");
                file.write_all_at(&zeros[..len], step.start).map_err(|error| (step.start, error))
            })
        })
        .await?;
        self.len.set(to.get());
        Ok(())
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.run(DiskAction::Sync, |file| file.sync_data().map_err(|error| (0, error))).await
    }
}
