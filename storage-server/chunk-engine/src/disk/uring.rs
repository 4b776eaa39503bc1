//! The data file by io_uring and O_DIRECT.
//!
//! Calls only queue their entries. One local task drives the ring while anything is under way: each of
//! its turns gives the kernel all that was queued since the last, with one system call, and passes on
//! what has finished; then it waits for either. So calls of one turn of the runtime share a system call,
//! and an idle disk has no task.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use emberfs_buffer::AlignedBuf;
use emberfs_layout::ByteLen;
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, oneshot};

use super::ring::{Memory, Outcome, Ring};
use super::{
    Disk, DiskAction, DiskError, DiskOffset, DiskWrite, GROWTH_STEP, Segment, file_len, file_room,
    growth_steps, open_file,
};

/// The data file by io_uring and O_DIRECT. Must be used within a `LocalSet`.
pub struct UringDisk {
    driver: Rc<Driver>,
    len: Cell<u64>,
    /// What growth writes.
    zeros: Bytes,
}

/// The ring with what wakes the task that drives it.
struct Driver {
    answers: AsyncFd<OwnedFd>,
    ring: RefCell<Ring>,
    queued: Notify,
    running: Cell<bool>,
}

impl std::fmt::Debug for UringDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UringDisk").field("len", &self.len).finish_non_exhaustive()
    }
}

impl UringDisk {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When the file cannot be opened, or the kernel refuses O_DIRECT or io_uring.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let failed = |error: io::Error| DiskError::io(DiskAction::Open, DiskOffset(0), &error);
        let file = open_file(path, OFlags::DIRECT)?;
        let len = Cell::new(file_len(&file)?.get());
        let ring = Ring::new(file).map_err(failed)?;
        let answers = ring.answers().map_err(failed)?;
        let (queued, running) = (Notify::new(), Cell::new(false));
        let driver = Rc::new(Driver { answers, ring: RefCell::new(ring), queued, running });
        Ok(Self { driver, len, zeros: zeros(GROWTH_STEP) })
    }

    /// Queues a call and waits for its outcome.
    async fn call(
        &self,
        action: DiskAction,
        queue: impl FnOnce(&mut Ring, oneshot::Sender<Outcome>),
    ) -> Outcome {
        let (done, outcome) = oneshot::channel();
        queue(&mut self.driver.ring.borrow_mut(), done);
        self.driver.wake();
        outcome.await.unwrap_or(Err(DiskError::Stopped { action }))
    }
}

impl Driver {
    fn wake(self: &Rc<Self>) {
        if self.running.replace(true) {
            self.queued.notify_one();
        } else {
            tokio::task::spawn_local(Rc::clone(self).drive());
        }
    }

    async fn drive(self: Rc<Self>) {
        loop {
            let again = {
                let mut ring = self.ring.borrow_mut();
                ring.submit();
                ring.reap();
                if ring.is_idle() {
                    self.running.set(false);
                    return;
                }
                ring.has_more()
            };
            if again {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = self.queued.notified() => {}
                ready = self.answers.readable() => match ready {
                    Ok(mut ready) => ready.clear_ready(),
                    // The runtime is stopping; the ring waits for the kernel when it is dropped.
                    Err(_) => return,
                },
            }
        }
    }
}

/// Zeros at an aligned address.
fn zeros(len: usize) -> Bytes {
    let pool = emberfs_buffer::Pool::new(ByteLen(len as u64));
    let mut buf = pool.take(len).expect("a pool of this size, and memory when a disk is opened");
    buf.fill(0);
    buf.freeze()
}

impl Disk for UringDisk {
    fn len(&self) -> ByteLen {
        ByteLen(self.len.get())
    }

    fn room(&self) -> Result<ByteLen, DiskError> {
        file_room(self.driver.ring.borrow().file())
    }

    async fn read(&self, buf: AlignedBuf, segments: Vec<Segment>) -> Result<AlignedBuf, DiskError> {
        let call = self.call(DiskAction::Read, |ring, done| ring.read(buf, segments, done));
        match call.await? {
            Memory::Fill(buf) => Ok(buf),
            Memory::Write(_) | Memory::None => unreachable!("a read gives its buffer back"),
        }
    }

    async fn write(&self, writes: Vec<DiskWrite>) -> Result<(), DiskError> {
        self.call(DiskAction::Write, |ring, done| ring.write(writes, done)).await.map(drop)
    }

    async fn grow(&self, to: ByteLen) -> Result<(), DiskError> {
        let from = self.len();
        let room = self.call(DiskAction::Grow, |ring, done| ring.allocate(from, to, done)).await;
        match room {
            // The file system cannot allocate ahead: writing does it.
            Ok(_) | Err(DiskError::Io { errno: Errno::OPNOTSUPP, .. }) => {}
            Err(error) => return Err(error),
        }
        for step in growth_steps(from, to) {
            let len = usize::try_from(step.end - step.start).expect("at most one step");
            let write = DiskWrite { at: DiskOffset(step.start), bytes: self.zeros.slice(..len) };
            self.write(vec![write]).await?;
        }
        self.len.set(to.get());
        Ok(())
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.call(DiskAction::Sync, |ring, done| ring.sync(done)).await.map(drop)
    }
}
