//! The memory into which one thread reads requests, so that what is written lands where it can stay:
//!
//! ```text
//!   readv ─►  [ header │ arguments of a write ]  [ the bytes of the write, aligned, of a pool ]
//!                        80 bytes                    as many as a write may have
//! ```
//! Of other requests the second part has the end of their arguments, which is joined to the first.
//!
//! A write that is to be carried on takes its memory along, and another piece comes from the pool; where that is
//! used up, or little was written, the bytes are copied. What is copied has a bound too, and more is refused: a thread
//! that reads requests must not wait, or nobody could be killed. Pages that the kernel writes back are never refused, as
//! they would be lost; it has no more of them under way than was agreed on with it.

use std::sync::Arc;

use bytes::Bytes;
use emberfs_buffer::{AlignedBuf, Pool, PoolError};
use emberfs_client::ByteLen;
use rustix::io::Errno;

use super::device::Device;
use super::protocol::{Fields, Header, Malformed, Write};
use crate::room::Room;

/// Bytes before those of a write.
const HEAD: usize = Header::LEN + Write::LEN;
/// The opcode of a write.
const WRITE: u32 = 16;
/// Bytes behind them at least: two names, or a name and where a link leads, and what the kernel reads at least into
/// (`FUSE_MIN_READ_BUFFER`), however small the largest write is.
const REST_MIN: usize = 8192;
/// Bytes from which on a write keeps its memory: a copy of fewer costs less than a buffer that is mostly empty.
const KEPT_MIN: usize = 128 << 10;
/// What the pool of one mount has, in bytes, beyond one buffer for each thread.
const KEPT_MAX: u64 = 64 << 20;
/// What writes are copied into at most, in bytes: those of a thousand programs, with the usual largest request.
const COPIED_MAX: usize = 1 << 30;
/// Where root has requests larger than usual, so many of them (a count): as many programs as a machine mostly runs.
const COPIES_MIN: usize = 256;

/// The memory of one thread.
#[derive(Debug)]
pub(super) struct Incoming {
    head: [u8; HEAD],
    rest: AlignedBuf,
    /// Arguments that lie in both.
    joined: Vec<u8>,
    memory: Memory,
}

/// Where the threads of a mount have their memory from; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pool: Pool,
    copies: Room,
}

/// No more is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) header: Header,
    /// What is left of its arguments.
    pub(super) fields: Fields<'a>,
    data: Data<'a>,
}

/// The bytes of a write.
#[derive(Debug)]
pub(super) struct Data<'a> {
    rest: &'a mut AlignedBuf,
    len: usize,
    memory: &'a Memory,
}

impl Memory {
    /// For so many threads, where a write has so many bytes at most.
    pub(super) fn new(threads: usize, write_max: usize) -> Self {
        let own = threads as u64 * rest_len(write_max).next_power_of_two() as u64;
        Self { pool: Pool::new(ByteLen(own + KEPT_MAX)), copies: Room::new(copied_max(write_max)) }
    }
}

/// What writes of so many bytes at most are copied into, in bytes.
fn copied_max(write_max: usize) -> usize {
    COPIED_MAX.max(COPIES_MIN * write_max)
}

/// Bytes of a request behind its head, where a write has so many at most.
fn rest_len(write_max: usize) -> usize {
    write_max.max(REST_MIN)
}

impl Incoming {
    /// Memory for requests and writes of so many bytes.
    ///
    /// # Errors
    /// [`PoolError`].
    pub(super) fn new(memory: &Memory, write_max: usize) -> Result<Self, PoolError> {
        let rest = memory.pool.take(rest_len(write_max))?;
        Ok(Self { head: [0; HEAD], rest, joined: Vec::new(), memory: memory.clone() })
    }

    /// Waits for the next request. `None`: it is unmounted.
    ///
    /// # Errors
    /// [`Device::read`].
    pub(super) fn next(
        &mut self,
        device: &Arc<Device>,
    ) -> Result<Option<Result<Request<'_>, Malformed>>, Errno> {
        let len = device.read([&mut self.head, &mut self.rest])?;
        Ok(len.map(|len| self.request(len)))
    }

    /// The request of so many bytes that was read.
    fn request(&mut self, len: usize) -> Result<Request<'_>, Malformed> {
        let Self { head, rest, joined, memory } = self;
        let (first, behind) = (&head[..len.min(HEAD)], len.saturating_sub(HEAD));
        let mut fields = Fields::new(first);
        let header = Header::parse(&mut fields)?;
        if header.len as usize != len {
            return Err(Malformed);
        }
        if behind > 0 && header.opcode != WRITE {
            joined.clear();
            joined.extend(&first[Header::LEN..]);
            joined.extend(&rest[..behind]);
            fields = Fields::new(joined);
        }
        Ok(Request { header, fields, data: Data { rest, len: behind, memory } })
    }
}

impl<'a> Request<'a> {
    /// The bytes of a write, of which there must be so many.
    pub(super) fn data(&mut self, len: u32) -> Result<&mut Data<'a>, Malformed> {
        if self.data.len == len as usize { Ok(&mut self.data) } else { Err(Malformed) }
    }
}

impl Data<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.rest[..self.len]
    }

    /// The bytes, to be kept; always if the kernel writes them back.
    pub(super) fn keep(&mut self, writes_back: bool) -> Result<Bytes, Full> {
        if self.len < KEPT_MIN {
            return self.copied(writes_back);
        }
        match self.memory.pool.take(self.rest.len()) {
            Ok(next) => {
                let mut kept = std::mem::replace(self.rest, next);
                kept.set_len(self.len);
                Ok(kept.freeze())
            }
            Err(_) => self.copied(writes_back),
        }
    }

    fn copied(&self, writes_back: bool) -> Result<Bytes, Full> {
        if writes_back {
            return Ok(Bytes::copy_from_slice(self.bytes()));
        }
        let len = u32::try_from(self.len).map_err(|_| Full)?;
        let place = self.memory.copies.place_now(len).ok_or(Full)?;
        Ok(place.hold(self.bytes().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1 << 20;

    /// As the kernel would have it read.
    fn read(incoming: &mut Incoming, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD));
        incoming.head[..first.len()].copy_from_slice(first);
        incoming.rest[..rest.len()].copy_from_slice(rest);
    }

    fn bytes(opcode: u32, behind: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; Header::LEN];
        let len = u32::try_from(Header::LEN + behind.len()).expect("short");
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        bytes[4..8].copy_from_slice(&opcode.to_ne_bytes());
        bytes.extend(behind);
        bytes
    }

    fn incoming(memory: &Memory) -> Incoming {
        Incoming::new(memory, MAX).expect("the pool is new")
    }

    #[test]
    fn arguments_that_lie_in_both_parts_are_whole() {
        let mut incoming = incoming(&Memory::new(1, MAX));
        for len in [1, 39, 40, 41, 255] {
            let name = vec![b'n'; len];
            let bytes = bytes(1, &[&name[..], b"\0"].concat());
            read(&mut incoming, &bytes);
            let mut request = incoming.request(bytes.len()).expect("whole");
            assert_eq!(request.fields.name(), Ok(&name[..]));
        }
    }

    /// As root may have it: requests of one page.
    #[test]
    fn other_requests_have_room_where_writes_are_small() {
        let incoming = Incoming::new(&Memory::new(1, 4096), 4096).expect("the pool is new");
        assert!(incoming.head.len() + incoming.rest.len() >= 8192);
    }

    #[test]
    fn a_large_write_keeps_its_memory_while_there_is_some_and_a_small_one_none() {
        let memory = Memory::new(1, MAX);
        let mut incoming = incoming(&memory);
        let mut kept = Vec::new();
        for number in 0..100_u8 {
            let written = vec![number; KEPT_MIN];
            let bytes = bytes(WRITE, &[&[0; Write::LEN][..], &written].concat());
            read(&mut incoming, &bytes);
            let before = incoming.rest.as_ptr();
            let mut request = incoming.request(bytes.len()).expect("whole");
            Write::parse(&mut request.fields).expect("long enough");
            let data = request.data(u32::try_from(KEPT_MIN).expect("small")).expect("as many");
            kept.push(data.keep(false).expect("there is room"));
            assert_eq!(kept.last().expect("one").as_ptr() == before, usize::from(number) < 64);
        }
        assert!((0..).zip(&kept).all(|(number, kept)| kept[..] == vec![number; KEPT_MIN]));
        let few = bytes(WRITE, &[0; Write::LEN + 10]);
        read(&mut incoming, &few);
        let before = memory.pool.usage();
        let mut request = incoming.request(few.len()).expect("whole");
        assert!(request.data(11).is_err());
        let mut request = incoming.request(few.len()).expect("whole");
        let kept = request.data(10).expect("as many").keep(false);
        assert_eq!(kept.map(|kept| kept.len()), Ok(10));
        assert_eq!(memory.pool.usage(), before);
    }

    #[test]
    fn many_programs_write_at_once_however_large_requests_are() {
        assert_eq!([4096, 1 << 20, 1 << 22].map(copied_max), [COPIED_MAX; 3]);
        assert_eq!(copied_max(16 << 20), 256 * (16 << 20));
    }

    #[test]
    fn what_is_copied_has_a_bound_but_for_pages_that_are_written_back() {
        let memory = Memory { copies: Room::new(25), ..Memory::new(1, 4096) };
        let mut incoming = Incoming::new(&memory, 4096).expect("the pool is new");
        let bytes = bytes(WRITE, &[0; Write::LEN + 10]);
        read(&mut incoming, &bytes);
        let mut keep = |writes_back| {
            let mut request = incoming.request(bytes.len()).expect("whole");
            Write::parse(&mut request.fields).expect("long enough");
            request.data(10).expect("as many").keep(writes_back)
        };
        let first = keep(false);
        let kept = (keep(false), keep(false), keep(true));
        assert!(first.is_ok() && kept.0.is_ok() && kept.1 == Err(Full) && kept.2.is_ok());
        drop(first);
        assert!(keep(false).is_ok(), "another is done");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            tells_its_length: bool,
        ) {
            let mut incoming = Incoming::new(&Memory::new(1, 4096), 4096).expect("new");
            if tells_its_length && bytes.len() >= 4 {
                let len = u32::try_from(bytes.len()).expect("short");
                bytes[..4].copy_from_slice(&len.to_ne_bytes());
            }
            read(&mut incoming, &bytes);
            let is_whole = tells_its_length && bytes.len() >= Header::LEN;
            prop_assert_eq!(incoming.request(bytes.len()).is_ok(), is_whole);
        }
    }
}
