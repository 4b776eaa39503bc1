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

/// Whose a store is: a member, and how many members its group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    pub(super) member: MemberId,
    pub(super) members: u8,
}

/// Which format a store has and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct FormatRecord {
    #[n(0)]
    version: u16,
    #[n(1)]
    member: MemberId,
    /// All that vote: the members from 1 to this. Not there: one.
    #[n(2)]
    members: Option<u8>,
}

impl FormatRecord {
    pub(super) fn new(Whose { member, members }: Whose) -> Self {
        Self { version: OURS, member, members: Some(members) }
    }
}

/// Whether the store was made before; refused if it is not `whose` or is newer than this build.
pub(super) fn check(db: &DB, path: &Path, whose: Whose) -> Result<bool, OpenError> {
    let Some(FormatRecord { member: found, .. }) = check_group(db, path, whose.members)? else {
        return Ok(false);
    };
    if found != whose.member {
        let path = path.to_owned();
        return Err(OpenError::OtherMember { path, found, wanted: whose.member });
    }
    Ok(true)
}

/// The record, if there is one; refused if it is of a group of another size or newer than this build.
pub(super) fn check_group(
    db: &DB,
    path: &Path,
    wanted: u8,
) -> Result<Option<FormatRecord>, OpenError> {
    let Some(record) = get::<FormatRecord>(db, path, FORMAT_KEY)? else { return Ok(None) };
    let path = path.to_owned();
    if record.version > OURS {
        return Err(OpenError::Format { path, found: record.version, ours: OURS });
    }
    let found = record.members.unwrap_or(1);
    if found != wanted {
        return Err(OpenError::OtherGroup { path, found, wanted });
    }
    Ok(Some(record))
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
