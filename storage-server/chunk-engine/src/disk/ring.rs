//! One io_uring with the memory of everything that it has under way. The crate's only `unsafe`.
//!
//! A [`Task`] is one call of [`Disk`](super::Disk): it owns the file's memory that the kernel reads or
//! fills, and is cut into entries. It lives in the ring, not in the future that waits for it, until the
//! kernel has answered all of its entries. So a dropped future frees nothing, and a dropped ring waits.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use bytes::Bytes;
use emberfs_buffer::AlignedBuf;
use emberfs_layout::ByteLen;
use io_uring::{IoUring, opcode, squeue, types};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::{DiskAction, DiskError, DiskOffset, DiskWrite, Segment};

/// Entries that the kernel has at one time; what comes on top waits in the ring's own queue. Disks are
/// saturated by fewer.
const DEPTH: u32 = 256;

/// What the kernel reads or fills.
#[derive(Debug)]
pub(super) enum Memory {
    /// A buffer to fill.
    Fill(AlignedBuf),
    /// Bytes to write.
    Write(#[expect(dead_code, reason = "held for the kernel")] Vec<Bytes>),
    /// Nothing.
    None,
}

/// What a call comes to: its memory, with what the kernel put there.
pub(super) type Outcome = Result<Memory, DiskError>;

#[derive(Debug)]
struct Task {
    memory: Memory,
    failure: Option<DiskError>,
    done: oneshot::Sender<Outcome>,
}

/// One entry that the kernel has or will get.
#[derive(Debug)]
struct Entry {
    task: Rc<RefCell<Task>>,
    action: DiskAction,
    at: DiskOffset,
    /// How many bytes it moves.
    wanted: usize,
}

/// The ring.
pub(super) struct Ring {
    uring: IoUring,
    file: File,
    /// Not with the kernel yet.
    waiting: VecDeque<squeue::Entry>,
    /// All entries, by the number that the kernel gives back: those that wait, too.
    entries: HashMap<u64, Entry>,
    next: u64,
    /// How many the kernel has.
    submitted: u32,
}

impl Ring {
    /// A ring for one file.
    ///
    /// # Errors
    /// When the kernel has no io_uring, or lets nobody use it.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let uring = IoUring::new(DEPTH)?;
        let (waiting, entries) = (VecDeque::new(), HashMap::new());
        Ok(Self { uring, file, waiting, entries, next: 0, submitted: 0 })
    }

    /// What is readable when something has finished.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    ///
    /// # Panics
    /// Outside a runtime with I/O.
    pub(super) fn answers(&self) -> io::Result<AsyncFd<OwnedFd>> {
        // SAFETY: the ring is open, and stays so during this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.uring.as_raw_fd()) };
        let own = descriptor.try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped.
        Ok(unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }?)
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Whether nothing waits and the kernel has nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty()
    }

    /// Queues a read of parts of a buffer.
    pub(super) fn read(
        &mut self,
        mut buf: AlignedBuf,
        segments: Vec<Segment>,
        done: oneshot::Sender<Outcome>,
    ) {
        let (fd, len, start) = (self.fd(), buf.len(), buf.as_mut_ptr());
        let part = |Segment { at, range }: Segment| {
            assert!(range.start <= range.end && range.end <= len, "outside the buffer");
            let entry = opcode::Read::new(fd, start.wrapping_add(range.start), narrow(range.len()));
            (entry.offset(at.0).build(), at, range.len())
        };
        let parts = segments.into_iter().map(part).collect();
        self.start(DiskAction::Read, Memory::Fill(buf), parts, done);
    }

    /// Queues writes.
    pub(super) fn write(&mut self, writes: Vec<DiskWrite>, done: oneshot::Sender<Outcome>) {
        let fd = self.fd();
        let part = |DiskWrite { at, bytes }: &DiskWrite| {
            let entry = opcode::Write::new(fd, bytes.as_ptr(), narrow(bytes.len()));
            (entry.offset(at.0).build(), *at, bytes.len())
        };
        let parts = writes.iter().map(part).collect();
        let memory = Memory::Write(writes.into_iter().map(|write| write.bytes).collect());
        self.start(DiskAction::Write, memory, parts, done);
    }

    /// Queues an allocation of room.
    pub(super) fn allocate(&mut self, from: ByteLen, to: ByteLen, done: oneshot::Sender<Outcome>) {
        let entry = opcode::Fallocate::new(self.fd(), to.get() - from.get()).offset(from.get());
        let parts = vec![(entry.build(), DiskOffset(from.get()), 0)];
        self.start(DiskAction::Grow, Memory::None, parts, done);
    }

    /// Queues a sync of the data and of what is needed to find it.
    pub(super) fn sync(&mut self, done: oneshot::Sender<Outcome>) {
        let entry = opcode::Fsync::new(self.fd()).flags(types::FsyncFlags::DATASYNC).build();
        self.start(DiskAction::Sync, Memory::None, vec![(entry, DiskOffset(0), 0)], done);
    }

    fn fd(&self) -> types::Fd {
        types::Fd(self.file.as_raw_fd())
    }

    /// Takes a call in. The pointers in its entries point into `memory`, which stays where it is: what
    /// moves is only its owner.
    fn start(
        &mut self,
        action: DiskAction,
        memory: Memory,
        parts: Vec<(squeue::Entry, DiskOffset, usize)>,
        done: oneshot::Sender<Outcome>,
    ) {
        if parts.is_empty() {
            // A receiver that is gone wants no answer.
            let _ = done.send(Ok(memory));
            return;
        }
        let task = Rc::new(RefCell::new(Task { memory, failure: None, done }));
        for (entry, at, wanted) in parts {
            let task = Rc::clone(&task);
            self.entries.insert(self.next, Entry { task, action, at, wanted });
            self.waiting.push_back(entry.user_data(self.next));
            self.next += 1;
        }
    }

    /// Gives the kernel what waits, as far as it takes it, with one system call.
    pub(super) fn submit(&mut self) {
        while self.submitted < DEPTH {
            let Some(entry) = self.waiting.pop_front() else { break };
            // SAFETY: the entry's pointers point into memory that its task owns; the task is held by
            // `entries` until the kernel has answered, `Drop` waits for that, and nobody else reads or
            // writes the memory of a buffer that is being filled.
            let pushed = unsafe { self.uring.submission().push(&entry) };
            pushed.expect("the queue has room for DEPTH entries, and fewer are under way");
            self.submitted += 1;
        }
        self.enter(0);
    }

    fn enter(&mut self, wait_for: usize) {
        let entered = self.uring.submit_and_wait(wait_for);
        if let Err(error) = entered {
            // Interrupted, or out of room for now: what was not taken stays queued for the next turn.
            let errno = Errno::from_io_error(&error);
            let passing = matches!(errno, Some(Errno::INTR | Errno::AGAIN | Errno::BUSY));
            assert!(passing, "the kernel refuses a ring that it made: {error}");
        }
    }

    /// Whether the kernel could have more than it has: what waits has room now, or was not taken.
    pub(super) fn has_more(&mut self) -> bool {
        let fits = !self.waiting.is_empty() && self.submitted < DEPTH;
        fits || !self.uring.submission().is_empty()
    }

    /// Takes the kernel's answers and passes on those that complete a call.
    pub(super) fn reap(&mut self) {
        for answer in self.uring.completion() {
            self.submitted -= 1;
            let entry = self.entries.remove(&answer.user_data());
            let Entry { task, action, at, wanted } = entry.expect("the kernel answers once");
            if let Some(failure) = failure(answer.result(), action, at, wanted) {
                task.borrow_mut().failure.get_or_insert(failure);
            }
            if let Some(task) = Rc::into_inner(task) {
                let Task { memory, failure, done } = task.into_inner();
                // A receiver that is gone wants no answer; the memory is free now.
                let _ = done.send(failure.map_or(Ok(memory), Err));
            }
        }
    }
}

impl Drop for Ring {
    /// Waits for the kernel: it may still be filling or reading memory that ends with the ring.
    fn drop(&mut self) {
        for entry in self.waiting.drain(..) {
            self.entries.remove(&entry.get_user_data());
        }
        while self.submitted > 0 {
            self.enter(1);
            self.reap();
        }
    }
}

fn failure(result: i32, action: DiskAction, at: DiskOffset, wanted: usize) -> Option<DiskError> {
    match usize::try_from(result) {
        Ok(done) if done == wanted => None,
        Ok(done) => Some(DiskError::Short { action, at, wanted, done }),
        Err(_) => {
            let errno = Errno::from_raw_os_error(-result);
            Some(DiskError::Io { action, at, errno })
        }
    }
}

fn narrow(len: usize) -> u32 {
    u32::try_from(len).expect("a buffer has at most 64 MiB")
}
