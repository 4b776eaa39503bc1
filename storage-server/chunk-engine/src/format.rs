//! The records, byte by byte. Version 1.
//!
//! ```text
//!   key of the format record          00
//!   key of a chunk's records          01 | target 4 | data id 8 | index 4 | part 2      big-endian
//!                                     part 0: head    1: pending    2 + n: piece n of the map
//! ```
//! So a chunk's records stand together, its head first, and chunks stand in the order of target, file and
//! position.
//!
//! Values are CBOR arrays; elements behind those named here are skipped.
//!
//! ```text
//!   format    [version, bytes of a region]
//!   head      [log2 of the chunk size, state, [tag...]]           the committed version
//!   pending   [log2 of the chunk size, state, [tag...], committed, dropped from, [run...]]
//!   piece     [[run...]]                                          64 blocks of the committed version
//!   state     [version, length, digest, written in, removed]
//!   tag       [client, sequence, version, length of the chunk]
//!   run       [number of the first block, its place in units of 4 KiB, sums]      4 bytes a block, LE
//! ```
//!
//! A pending version is the committed one, less its blocks from number *dropped from* on (null: none),
//! with the blocks of its runs put in. Where *committed* says so, it is the committed version, and head
//! and pieces only have not been brought up to it yet. A piece that would be empty is absent; of a
//! removed chunk there are none.
//!
//! Of the medium this assumes what [`Records`](crate::records::Records) promises. Which blocks of the
//! data file are in use stands nowhere else: it is what heads' pieces and pendings' runs name. The data
//! file itself holds blocks and nothing else; a region of it holds blocks of one size.

use emberfs_layout::{ByteLen, ChunkId, ChunkIndex, ChunkSize, DataId, TargetId};
use minicbor::encode::write::Cursor;
use minicbor::{Decode, Encode};

use crate::error::{Damage, EngineError};
use crate::map::Run;
use crate::records::{Key, Value};
use crate::types::{AppliedTag, ChunkKey, VersionState};

/// What this engine writes.
pub(crate) const VERSION: u32 = 1;

/// Key of the format record.
pub(crate) const FORMAT_KEY: &[u8] = &[0];
/// First byte of the keys of chunks' records.
const CHUNKS: u8 = 1;
/// Length of the keys of chunks' records.
const CHUNK_KEY_LEN: usize = 19;
/// Most values are shorter, in bytes: they are written down without memory being taken, and then take as much as they
/// need. A piece of 64 blocks that lie apart has some 1,000.
const VALUE_LEN: usize = 1536;

/// Where a target's records begin: the key behind which a scan starts.
pub(crate) fn target_start(target: TargetId) -> Key {
    let mut key = vec![CHUNKS];
    key.extend(target.0.to_be_bytes());
    key
}

/// One of a chunk's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Head,
    Pending,
    Piece(u32),
}

/// The format record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FormatRecord {
    #[n(0)]
    pub(crate) version: u32,
    #[n(1)]
    pub(crate) region: ByteLen,
}

/// The committed version of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct HeadRecord {
    #[n(0)]
    pub(crate) chunk_size: ChunkSize,
    #[n(1)]
    pub(crate) state: VersionState,
    #[n(2)]
    pub(crate) tags: Vec<AppliedTag>,
}

/// A version in which the pieces of the map do not have part yet. Written with `Runs`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PendingRecord<R = Vec<Run>> {
    #[n(0)]
    pub(crate) chunk_size: ChunkSize,
    #[n(1)]
    pub(crate) state: VersionState,
    #[n(2)]
    pub(crate) tags: Vec<AppliedTag>,
    #[n(3)]
    pub(crate) committed: bool,
    #[n(4)]
    pub(crate) dropped_from: Option<u32>,
    #[n(5)]
    pub(crate) runs: R,
}

/// A piece of the map of a committed version. Written with `Runs`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PieceRecord<R = Vec<Run>> {
    #[n(0)]
    pub(crate) runs: R,
}

/// The key of one of a chunk's records.
pub(crate) fn key(chunk: ChunkKey, part: Part) -> Key {
    let part = match part {
        Part::Head => 0,
        Part::Pending => 1,
        Part::Piece(number) => 2 + u16::try_from(number).expect("a chunk has at most 16 pieces"),
    };
    let mut key = Vec::with_capacity(CHUNK_KEY_LEN);
    key.push(CHUNKS);
    key.extend(chunk.target.0.to_be_bytes());
    key.extend(chunk.chunk.data.0.to_be_bytes());
    key.extend(chunk.chunk.index.0.to_be_bytes());
    key.extend(u16::to_be_bytes(part));
    key
}

/// The inverse of [`key`]; `None` for another key.
pub(crate) fn parse_key(key: &[u8]) -> Option<(ChunkKey, Part)> {
    let (table, key) = key.split_first()?;
    let (target, key) = key.split_first_chunk()?;
    let (data, key) = key.split_first_chunk()?;
    let (index, key) = key.split_first_chunk()?;
    let part = match u16::from_be_bytes(key.try_into().ok()?) {
        0 => Part::Head,
        1 => Part::Pending,
        part => Part::Piece(u32::from(part) - 2),
    };
    let data = DataId(u64::from_be_bytes(*data));
    let chunk = ChunkId::new(data, ChunkIndex(u32::from_be_bytes(*index)));
    let target = TargetId(u32::from_be_bytes(*target));
    (*table == CHUNKS).then_some((ChunkKey { target, chunk }, part))
}

pub(crate) fn encode<T: Encode<()>>(record: &T) -> Value {
    let mut short = [0; VALUE_LEN];
    let mut cursor = Cursor::new(&mut short[..]);
    if minicbor::encode(record, &mut cursor).is_ok() {
        let len = cursor.position();
        return short[..len].to_vec();
    }
    let mut value = Vec::with_capacity(2 * VALUE_LEN);
    minicbor::encode(record, &mut value).expect("memory takes all that is written");
    value
}

pub(crate) fn decode<'b, T: Decode<'b, ()>>(key: &[u8], value: &'b [u8]) -> Result<T, EngineError> {
    minicbor::decode(value).map_err(|_| damaged(key, Damage::Value))
}

pub(crate) fn damaged(key: &[u8], what: Damage) -> EngineError {
    EngineError::Damaged { key: key.to_vec(), what }
}

#[cfg(test)]
mod tests;
