//! The memory into which one thread reads requests, so that what is written lands where it can stay:
//!
//! ```text
//!   readv ─►  [ header │ arguments of a write ]  [ the bytes of the write, aligned, of a pool ]
//!                        80 bytes                    as many as a write may have
//! ```
//! Of other requests the second part has the end of their arguments, which is joined to the first.
//!
//! A write that is to be carried on takes its memory along, and another piece comes from the pool; where that is
//! used up, or little was written, the bytes are copied.

use std::sync::Arc;

use bytes::Bytes;
use emberfs_buffer::{AlignedBuf, Pool, PoolError};
use emberfs_client::ByteLen;
use rustix::io::Errno;

use super::device::Device;
use super::protocol::{Fields, Header, Malformed, Write};

/// Bytes before those of a write.
const HEAD: usize = Header::LEN + Write::LEN;
/// The opcode of a write.
const WRITE: u32 = 16;
/// Bytes behind them at least: two names, or a name and where a link leads, and what the kernel reads at least into
/// (`FUSE_MIN_READ_BUFFER`), however small the largest write is.
const REST_MIN: usize = 8192;
/// Bytes from which on a write keeps its memory: a copy of fewer costs less than a buffer that is mostly empty.
const KEPT_MIN: usize = 128 << 10;
/// What the writes of one mount keep at most, in bytes, beyond one buffer for each thread.
const KEPT_MAX: u64 = 64 << 20;

/// The memory of one thread.
#[derive(Debug)]
pub(super) struct Incoming {
    head: [u8; HEAD],
    rest: AlignedBuf,
    /// Arguments that lie in both.
    joined: Vec<u8>,
    pool: Pool,
}

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
    memory: &'a mut AlignedBuf,
    len: usize,
    pool: &'a Pool,
}

/// What the threads of a mount take their memory from, where a write has so many bytes at most.
pub(super) fn pool(threads: usize, write_max: usize) -> Pool {
    let own = threads as u64 * rest_len(write_max).next_power_of_two() as u64;
    Pool::new(ByteLen(own + KEPT_MAX))
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
    pub(super) fn new(pool: &Pool, write_max: usize) -> Result<Self, PoolError> {
        let rest = pool.take(rest_len(write_max))?;
        Ok(Self { head: [0; HEAD], rest, joined: Vec::new(), pool: pool.clone() })
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
        let Self { head, rest, joined, pool } = self;
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
        Ok(Request { header, fields, data: Data { memory: rest, len: behind, pool } })
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
        &self.memory[..self.len]
    }

    /// The bytes, to be kept.
    pub(super) fn keep(&mut self) -> Bytes {
        if self.len < KEPT_MIN {
            return Bytes::copy_from_slice(self.bytes());
        }
        match self.pool.take(self.memory.len()) {
            Ok(next) => {
                let mut kept = std::mem::replace(self.memory, next);
                kept.set_len(self.len);
                kept.freeze()
            }
            Err(_) => Bytes::copy_from_slice(self.bytes()),
        }
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

    fn incoming(pool: &Pool) -> Incoming {
        Incoming::new(pool, MAX).expect("the pool is new")
    }

    #[test]
    fn arguments_that_lie_in_both_parts_are_whole() {
        let mut incoming = incoming(&pool(1, MAX));
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
        let incoming = Incoming::new(&pool(1, 4096), 4096).expect("the pool is new");
        assert!(incoming.head.len() + incoming.rest.len() >= 8192);
    }

    #[test]
    fn a_large_write_keeps_its_memory_while_there_is_some_and_a_small_one_none() {
        let pool = pool(1, MAX);
        let mut incoming = incoming(&pool);
        let mut kept = Vec::new();
        for number in 0..100_u8 {
            let written = vec![number; KEPT_MIN];
            let bytes = bytes(WRITE, &[&[0; Write::LEN][..], &written].concat());
            read(&mut incoming, &bytes);
            let before = incoming.rest.as_ptr();
            let mut request = incoming.request(bytes.len()).expect("whole");
            Write::parse(&mut request.fields).expect("long enough");
            let data = request.data(u32::try_from(KEPT_MIN).expect("small")).expect("as many");
            kept.push(data.keep());
            assert_eq!(kept.last().expect("one").as_ptr() == before, usize::from(number) < 64);
        }
        assert!((0..).zip(&kept).all(|(number, kept)| kept[..] == vec![number; KEPT_MIN]));
        let few = bytes(WRITE, &[0; Write::LEN + 10]);
        read(&mut incoming, &few);
        let before = pool.usage();
        let mut request = incoming.request(few.len()).expect("whole");
        assert!(request.data(11).is_err());
        let mut request = incoming.request(few.len()).expect("whole");
        assert_eq!(request.data(10).expect("as many").keep().len(), 10);
        assert_eq!(pool.usage(), before);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            tells_its_length: bool,
        ) {
            let mut incoming = Incoming::new(&pool(1, 4096), 4096).expect("new");
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
