//! What both stores say about themselves: the record at [`FORMAT_KEY`].

use std::path::Path;

use emberfs_meta_server_consensus::MemberId;
use minicbor::{Decode, Encode};
use rocksdb::DB;

use super::error::OpenError;

/// Where the record stands, in log and state alike.
pub(super) const FORMAT_KEY: &[u8] = b"\0format";

/// Which format this build writes, and the highest that it reads.
const OURS: u16 = 1;

/// Which format a store has and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct FormatRecord {
    #[n(0)]
    version: u16,
    #[n(1)]
    member: MemberId,
}

impl FormatRecord {
    pub(super) fn new(member: MemberId) -> Self {
        Self { version: OURS, member }
    }
}

/// Whether the store was made before; refused if it is not `member`'s or is newer than this build.
pub(super) fn check(db: &DB, path: &Path, member: MemberId) -> Result<bool, OpenError> {
    let Some(FormatRecord { version, member: found }) = get(db, path, FORMAT_KEY)? else {
        return Ok(false);
    };
    let path = path.to_owned();
    if version > OURS {
        return Err(OpenError::Format { path, found: version, ours: OURS });
    }
    if found != member {
        return Err(OpenError::OtherMember { path, found, wanted: member });
    }
    Ok(true)
}

/// The record at `key`, decoded.
pub(super) fn get<T: for<'b> Decode<'b, ()>>(
    db: &DB,
    path: &Path,
    key: &[u8],
) -> Result<Option<T>, OpenError> {
    let bytes = db.get(key).map_err(|error| rocks(path, &error))?;
    bytes.map(|bytes| decode(&bytes, path, key)).transpose()
}

/// A record that must decode.
pub(super) fn decode<'b, T: Decode<'b, ()>>(
    bytes: &'b [u8],
    path: &Path,
    key: &[u8],
) -> Result<T, OpenError> {
    minicbor::decode(bytes).map_err(|error| {
        let what = format!("the record {} does not decode: {error}", key.escape_ascii());
        OpenError::Damaged { path: path.to_owned(), what }
    })
}

/// The bytes of a record.
pub(super) fn encode(record: &impl Encode<()>) -> Vec<u8> {
    minicbor::to_vec(record).expect("memory takes all that is written to it")
}

pub(super) fn rocks(path: &Path, error: &rocksdb::Error) -> OpenError {
    OpenError::Rocks { path: path.to_owned(), text: error.to_string() }
}
