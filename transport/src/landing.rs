//! Memory of a caller in which payloads land, with no copy on the way: lent for a call, taken back at any time.
//!
//! ```text
//!   the caller's buffers ─ Owned, lend ─► Ground ─ rooms ─► Room, Room, … ─ Peer::call_into ─► Lease
//!                                           │ Gate: which rooms count                            │
//!                                           └──────────────► looked at before each read ◄────────┘
//!                                                            from the socket, under a lock
//! ```
//!
//! A connection's task writes to memory that it does not own, perhaps after the future that waits for it was
//! dropped, or *forgotten*, which no destructor sees. So whoever gets at the memory again takes the right to
//! write first:
//!
//! * A call that ends or is dropped revokes its `Lease`. The lock is held for one read from the socket,
//!   which does not block; so whoever revokes waits for that one at most, and nothing is written after.
//! * A [`Ground`] that is used again, and an [`Owned`] that is dropped or taken apart, close the `Gate` for all
//!   rooms made before, also those of calls that were forgotten. [`lend`] does so when it returns or unwinds.
//! * An [`Owned`] that is forgotten never frees its memory, which borrows nothing (`'static`).
//!
//! What is revoked half-way is read to its end into nowhere. What was written is not checked: that is for the
//! caller, who has the sums, before he looks at it.
//!
//! Rejected: to hand the reading half of the stream to the caller's future. It needs no `unsafe`, but a future
//! that is not polled would then keep a connection from being read.

use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Pieces smaller than this on average are not read one by one from the socket: a system call for each costs
/// more than a copy of them all.
const PIECE_BYTES_MIN: usize = 16 << 10;

/// Which rooms count: those of the last number given out.
#[derive(Debug, Default)]
struct Gate(RwLock<u64>);

impl Gate {
    /// Waits for reads under way, and makes all rooms void; the number of the next ones.
    fn close(&self) -> u64 {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *current += 1;
        *current
    }

    /// Runs `during` with the gate held open, if rooms of this number count.
    fn pass<T>(&self, number: u64, during: impl FnOnce() -> T) -> Option<T> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (*current == number).then(during)
    }
}

/// Buffers that a caller gave away, to be had back.
pub struct Owned<B> {
    gate: Arc<Gate>,
    buffers: Vec<B>,
}

/// Buffers that may be lent to calls.
pub struct Ground<'g> {
    gate: Arc<Gate>,
    buffers: Vec<&'g mut [u8]>,
}

/// A piece of a buffer that is in no call.
pub struct Room<'g> {
    gate: Arc<Gate>,
    number: u64,
    bytes: &'g mut [u8],
}

/// A place in a [`Ground`]: which buffer, and which bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Which buffer.
    pub buffer: usize,
    /// Which bytes of it.
    pub range: Range<usize>,
}

impl<B: AsMut<[u8]> + 'static> Owned<B> {
    /// Takes the buffers.
    #[must_use]
    pub fn new(buffers: Vec<B>) -> Self {
        Self { gate: Arc::default(), buffers }
    }

    /// The buffers, to be lent; rooms made before are void.
    pub fn ground(&mut self) -> Ground<'_> {
        self.gate.close();
        let buffers = self.buffers.iter_mut().map(AsMut::as_mut).collect();
        Ground { gate: self.gate.clone(), buffers }
    }

    /// The buffers again, in order. (What is left of it is dropped, which closes the gate.)
    #[must_use]
    pub fn into_inner(mut self) -> Vec<B> {
        std::mem::take(&mut self.buffers)
    }
}

impl<B> Drop for Owned<B> {
    fn drop(&mut self) {
        self.gate.close();
    }
}

/// Lends borrowed buffers: nothing writes to them once this has returned.
pub fn lend<R>(
    buffers: impl IntoIterator<Item: AsMut<[u8]>>,
    during: impl for<'g> FnOnce(Ground<'g>) -> R,
) -> R {
    struct Closing(Arc<Gate>);
    impl Drop for Closing {
        fn drop(&mut self) {
            self.0.close();
        }
    }
    let mut buffers: Vec<_> = buffers.into_iter().collect();
    let closing = Closing(Arc::default());
    let buffers = buffers.iter_mut().map(AsMut::as_mut).collect();
    during(Ground { gate: closing.0.clone(), buffers })
}

impl Ground<'_> {
    /// How long a buffer is, in bytes.
    ///
    /// # Panics
    /// When there is no such buffer.
    #[must_use]
    pub fn len_of(&self, buffer: usize) -> usize {
        (&raw const *self.buffers[buffer]).len()
    }

    /// All bytes of a buffer; rooms made before are void.
    ///
    /// # Panics
    /// When there is no such buffer.
    pub fn bytes_of(&mut self, buffer: usize) -> &mut [u8] {
        self.gate.close();
        self.buffers[buffer]
    }

    /// A room for each spot, in order; rooms made before are void.
    ///
    /// # Panics
    /// When spots overlap, or are not within their buffers.
    pub fn rooms(&mut self, spots: &[Spot]) -> Vec<Room<'_>> {
        let number = self.gate.close();
        let mut order: Vec<usize> = (0..spots.len()).collect();
        order.sort_unstable_by_key(|i| {
            (spots[*i].buffer, spots[*i].range.start, spots[*i].range.end)
        });
        let mut order = order.into_iter().peekable();
        let mut rooms: Vec<Option<Room<'_>>> = spots.iter().map(|_| None).collect();
        for (buffer, bytes) in self.buffers.iter_mut().enumerate() {
            let (mut at, mut rest) = (0, &mut **bytes);
            while let Some(i) = order.next_if(|i| spots[*i].buffer == buffer) {
                let Range { start, end } = spots[i].range;
                assert!(at <= start && start <= end, "spots overlap at {start}");
                let (bytes, behind) = rest.split_at_mut(end - at);
                rooms[i] =
                    Some(Room { gate: self.gate.clone(), number, bytes: &mut bytes[start - at..] });
                (at, rest) = (end, behind);
            }
        }
        rooms.into_iter().map(|room| room.expect("a spot in a buffer that is there")).collect()
    }
}

// Whatever has only `&self` does not look at the bytes, which a forgotten call may still be writing.

impl<B> fmt::Debug for Owned<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owned").finish_non_exhaustive()
    }
}

impl fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").finish_non_exhaustive()
    }
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Room<'_> {
    /// Its bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.bytes
    }
}

/// The caller's side of a call with a landing: the rooms, out of his reach until it ends.
#[derive(Debug)]
pub(crate) struct Loan<'g> {
    rooms: Vec<Room<'g>>,
    lease: Arc<Lease>,
}

/// The right to write to the rooms of one call, until it is revoked.
#[derive(Debug)]
pub(crate) struct Lease {
    gate: Arc<Gate>,
    number: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// No payload has come.
    Offered(Vec<Piece>),
    /// A payload lands in these pieces, in order; none is empty.
    Taken(Vec<Piece>),
    Revoked,
}

/// Memory of a room.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a piece stands for a `&mut [u8]`, which is `Send`; only `Lease::with_rest` turns it into one.
unsafe impl Send for Piece {}

impl<'g> Loan<'g> {
    /// # Panics
    /// When there is no room, or they are not of the same ground and time.
    pub(crate) fn new(mut rooms: Vec<Room<'g>>) -> Self {
        let first = rooms.first().expect("a landing has room");
        let (gate, number) = (first.gate.clone(), first.number);
        let same = |room: &Room<'_>| Arc::ptr_eq(&room.gate, &gate) && room.number == number;
        assert!(rooms.iter().all(same), "rooms of one ground, made together");
        let pieces = rooms.iter_mut().map(|room| {
            let len = room.bytes.len();
            Piece { start: NonNull::from(&mut *room.bytes).cast(), len }
        });
        let state = Mutex::new(State::Offered(pieces.collect()));
        Self { lease: Arc::new(Lease { gate, number, state }), rooms }
    }

    pub(crate) fn lease(&self) -> Arc<Lease> {
        self.lease.clone()
    }

    /// Nothing writes to the rooms any more; whether a payload was on its way into them.
    pub(crate) fn end(mut self) -> (Vec<Room<'g>>, bool) {
        let taken = matches!(self.lease.revoke(), State::Taken(_));
        (std::mem::take(&mut self.rooms), taken)
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.lease.revoke();
    }
}

impl Lease {
    /// Takes the rooms for a payload of `len` bytes, of which each gets as many as `lens` says; `false` if they
    /// do not fit, are too small to be worth it, or the lease was revoked or taken.
    pub(crate) fn take(&self, lens: &[usize], len: usize) -> bool {
        let mut state = self.lock();
        let State::Offered(rooms) = &*state else { return false };
        let fits =
            rooms.len() == lens.len() && rooms.iter().zip(lens).all(|(r, len)| *len <= r.len);
        if !fits || lens.iter().try_fold(0_usize, |sum, len| sum.checked_add(*len)) != Some(len) {
            return false;
        }
        let pieces = rooms.iter().zip(lens).map(|(room, len)| Piece { len: *len, ..*room });
        let pieces: Vec<_> = pieces.filter(|piece| piece.len > 0).collect();
        if pieces.len() > 1 && len / pieces.len() < PIECE_BYTES_MIN {
            return false;
        }
        *state = State::Taken(pieces);
        true
    }

    /// Lets `write` have the place of byte `at` of the payload and what lies behind it in the same room; `None`
    /// if the right to it is gone. The memory is the caller's: `write` does not block.
    ///
    /// # Panics
    /// When the payload that was taken has no such byte.
    pub(crate) fn with_rest<T>(&self, at: usize, write: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
        let under_lock = || {
            let state = self.lock();
            let State::Taken(pieces) = &*state else { return None };
            let mut skip = at;
            let holds = |piece: &&Piece| match skip.checked_sub(piece.len) {
                None => true,
                Some(left) => {
                    skip = left;
                    false
                }
            };
            let piece = pieces.iter().find(holds).expect("within the payload");
            // SAFETY: `skip` is within the piece, which is the memory of a `Room` and was initialised. As the
            // lease is not revoked, its `Loan` keeps that room from being touched, or was forgotten with it. As
            // the gate still has the room's number, nobody got at that memory through its `Ground`, and it is
            // still there: its `Owned` would have closed the gate before freeing it, and `lend` before
            // returning. Both locks are held until the slice is gone, and the pieces of a lease, as of all
            // rooms of one number, do not overlap: so nothing else refers to these bytes now.
            let rest = unsafe {
                slice::from_raw_parts_mut(piece.start.add(skip).as_ptr(), piece.len - skip)
            };
            Some(write(rest))
        };
        self.gate.pass(self.number, under_lock).flatten()
    }

    /// Ends the right, after a write that is under way; how it stood.
    fn revoke(&self) -> State {
        std::mem::replace(&mut *self.lock(), State::Revoked)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What panics under it, a stream, leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
