//! System calls by io_uring, and the memory that the kernel has meanwhile.
//!
//! Whoever starts a call hands over its memory, and gets it back with the outcome: nobody can touch what the kernel
//! writes, nor free what it reads. `T` says whose call it is.

use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::block::Block;

/// Entries of the queue; more calls than that are under way now and then, and wait in the kernel.
const ENTRIES: u32 = 256;
/// `MSG_WAITALL`: the kernel goes on until all is there.
const WAIT_ALL: i32 = 0x100;

/// A range of a block that is written or sent.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) block: Rc<Block>,
    pub(crate) range: Range<usize>,
}

/// Memory of a call.
#[derive(Debug)]
pub(crate) enum Held {
    Nothing,
    /// It is filled.
    Fill(Block),
    /// They are read.
    Pieces(Vec<Piece>),
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) whose: T,
    pub(crate) moved: io::Result<usize>,
    pub(crate) held: Held,
}

/// As the kernel wants it: `struct iovec`.
#[repr(C)]
struct Vector {
    base: *const u8,
    len: usize,
}

/// A call that the kernel has.
struct Flight<T> {
    whose: T,
    _file: Rc<OwnedFd>,
    held: Held,
    /// What the kernel finds the pieces by.
    _vectors: Vec<Vector>,
}

/// The ring.
pub(crate) struct Ring<T> {
    uring: IoUring,
    flights: Vec<Option<Flight<T>>>,
    free: Vec<usize>,
}

impl<T> Ring<T> {
    /// A ring of this thread.
    pub(crate) fn new() -> io::Result<Self> {
        let mut quick = IoUring::builder();
        quick.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
        let uring = quick.build(ENTRIES).or_else(|_| IoUring::new(ENTRIES))?;
        Ok(Self { uring, flights: Vec::new(), free: Vec::new() })
    }

    /// Reads a range of a block from a file.
    pub(crate) fn read(
        &mut self,
        file: &Rc<OwnedFd>,
        mut block: Block,
        range: Range<usize>,
        at: u64,
        whose: T,
    ) {
        let memory = &mut block.all_mut()[range];
        let fd = types::Fd(file.as_raw_fd());
        let call = opcode::Read::new(fd, memory.as_mut_ptr(), narrow(memory.len()));
        self.start(call.offset(at).build(), file, Held::Fill(block), Vec::new(), whose);
    }

    /// Receives into a range of a block: all of it, or what is there.
    pub(crate) fn receive(
        &mut self,
        socket: &Rc<OwnedFd>,
        mut block: Block,
        range: Range<usize>,
        all: bool,
        whose: T,
    ) {
        let memory = &mut block.all_mut()[range];
        let fd = types::Fd(socket.as_raw_fd());
        let call = opcode::Recv::new(fd, memory.as_mut_ptr(), narrow(memory.len()));
        let call = call.flags(if all { WAIT_ALL } else { 0 });
        self.start(call.build(), socket, Held::Fill(block), Vec::new(), whose);
    }

    /// Writes a range of a block to a file.
    pub(crate) fn write(&mut self, file: &Rc<OwnedFd>, piece: Piece, at: u64, whose: T) {
        let memory = &piece.block.all()[piece.range.clone()];
        let fd = types::Fd(file.as_raw_fd());
        let call = opcode::Write::new(fd, memory.as_ptr(), narrow(memory.len())).offset(at);
        self.start(call.build(), file, Held::Pieces(vec![piece]), Vec::new(), whose);
    }

    /// Sends pieces, as many as the socket takes.
    pub(crate) fn send(&mut self, socket: &Rc<OwnedFd>, pieces: Vec<Piece>, whose: T) {
        let vector = |piece: &Piece| {
            let memory = &piece.block.all()[piece.range.clone()];
            Vector { base: memory.as_ptr(), len: memory.len() }
        };
        let vectors: Vec<Vector> = pieces.iter().map(vector).collect();
        let (fd, count) = (types::Fd(socket.as_raw_fd()), narrow(vectors.len()));
        let call = opcode::Writev::new(fd, vectors.as_ptr().cast(), count);
        self.start(call.build(), socket, Held::Pieces(pieces), vectors, whose);
    }

    /// Flushes what was written to a file.
    pub(crate) fn sync(&mut self, file: &Rc<OwnedFd>, whose: T) {
        let fd = types::Fd(file.as_raw_fd());
        let call = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC);
        self.start(call.build(), file, Held::Nothing, Vec::new(), whose);
    }

    fn start(
        &mut self,
        entry: squeue::Entry,
        file: &Rc<OwnedFd>,
        held: Held,
        vectors: Vec<Vector>,
        whose: T,
    ) {
        let flight = Flight { whose, _file: file.clone(), held, _vectors: vectors };
        let place = self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.flights[place] = Some(flight);
        let entry = entry.user_data(place as u64);
        loop {
            // SAFETY: the pointers of the entry point into memory that `flights` holds until the kernel has
            // answered; a block's and a vector's memory stays where it is while its owner moves.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return;
            }
            self.uring.submit().expect("the kernel takes what it has room for");
        }
    }

    /// Hands over what was started, waits for at least one outcome, and takes all that are there.
    pub(crate) fn wait(&mut self, done: &mut Vec<Done<T>>) -> io::Result<()> {
        match self.uring.submit_and_wait(1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            entered => _ = entered?,
        }
        for answer in self.uring.completion() {
            let place = usize::try_from(answer.user_data()).expect("a place of `flights`");
            let flight = self.flights[place].take().expect("the kernel answers once");
            self.free.push(place);
            let moved = moved(&answer);
            done.push(Done { whose: flight.whose, moved, held: flight.held });
        }
        Ok(())
    }
}

impl<T> Drop for Ring<T> {
    /// What the kernel still has is never freed: the process is about to end.
    fn drop(&mut self) {
        mem::forget(mem::take(&mut self.flights));
    }
}

fn moved(answer: &cqueue::Entry) -> io::Result<usize> {
    usize::try_from(answer.result()).map_err(|_| io::Error::from_raw_os_error(-answer.result()))
}

fn narrow(len: usize) -> u32 {
    u32::try_from(len).expect("a call moves less than 4 GiB")
}
