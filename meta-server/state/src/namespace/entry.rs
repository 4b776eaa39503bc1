//! Directory entries, and the order in which they are listed.
//!
//! ```text
//!   key    E | parent u64 | h u64 | name            big-endian: a directory's entries lie together, by h
//!   value  inode id, kind                           a listing needs no inode
//!   h      SipHash-2-4 of the name under the key "EmberFS names 01", its top 63 bits;
//!          0, 1 and 2 stand for the start, `.` and `..`, so 3 is added to an h below 3
//! ```
//! `h` is the cursor of a listing: it depends on the name alone, so it stays valid whatever else is added or
//! removed. Entries of equal `h` are never split over two pages, as a cursor could not stand between.

use std::hash::Hasher;

use emberfs_layout::InodeId;
use emberfs_wire::meta::{Cursor, InodeKind, Name};
use minicbor::{Decode, Encode};
use siphasher::sip::SipHasher24;

use crate::keys::{Kind, end_of, key};
use crate::transaction::{Pair, StoreError, Transaction, View, damaged, decode_record};
use crate::transaction::{get_record, put_record};

/// The first cursor of a name: those below stand for the start, `.` and `..`.
const FIRST_CURSOR: u64 = 3;

/// Value of [`Kind::Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct EntryRecord {
    /// What the name stands for.
    #[n(0)]
    pub(super) inode: InodeId,
    /// What that is.
    #[n(1)]
    pub(super) kind: InodeKind,
}

/// An entry, as it stands in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: Name,
    pub(super) cursor: Cursor,
    pub(super) record: EntryRecord,
}

/// Where a name stands in each listing.
pub(super) fn cursor_of(name: &Name) -> Cursor {
    let mut hasher = SipHasher24::new_with_key(b"EmberFS names 01");
    hasher.write(name.as_bytes());
    let h = hasher.finish() >> 1;
    Cursor(if h < FIRST_CURSOR { h + FIRST_CURSOR } else { h })
}

fn prefix(parent: InodeId, cursor: Cursor) -> Vec<u8> {
    key(Kind::Entry, &[&parent.0.to_be_bytes(), &cursor.0.to_be_bytes()])
}

fn entry_key(parent: InodeId, name: &Name) -> Vec<u8> {
    let mut key = prefix(parent, cursor_of(name));
    key.extend_from_slice(name.as_bytes());
    key
}

/// What the name stands for in this directory.
pub(super) fn lookup(
    view: &dyn View,
    parent: InodeId,
    name: &Name,
) -> Result<Option<EntryRecord>, StoreError> {
    get_record(view, &entry_key(parent, name))
}

pub(super) fn put(txn: &mut dyn Transaction, parent: InodeId, name: &Name, record: EntryRecord) {
    put_record(txn, &entry_key(parent, name), &record);
}

pub(super) fn delete(txn: &mut dyn Transaction, parent: InodeId, name: &Name) {
    txn.delete(&entry_key(parent, name));
}

fn listed((key, value): &Pair) -> Result<Listed, StoreError> {
    let at = 1 + size_of::<u64>();
    let (cursor, name) = key
        .get(at..)
        .and_then(|rest| rest.split_first_chunk())
        .ok_or_else(|| damaged::<EntryRecord>(key, "its key is too short"))?;
    let name = Name::new(name).map_err(|error| damaged::<EntryRecord>(key, error.to_string()))?;
    let cursor = Cursor(u64::from_be_bytes(*cursor));
    Ok(Listed { name, cursor, record: decode_record(key, value)? })
}

/// The entries behind `after`: `limit` of them, more where the last ones share a cursor; and whether none
/// follow.
pub(super) fn page(
    view: &dyn View,
    parent: InodeId,
    after: Cursor,
    limit: usize,
) -> Result<(Vec<Listed>, bool), StoreError> {
    let Some(first) = after.0.max(FIRST_CURSOR - 1).checked_add(1) else {
        return Ok((Vec::new(), true));
    };
    let end = end_of(&key(Kind::Entry, &[&parent.0.to_be_bytes()]));
    let mut pairs = view.scan(&prefix(parent, Cursor(first)), &end, limit.saturating_add(1))?;
    if pairs.len() <= limit {
        return Ok((pairs.iter().map(listed).collect::<Result<_, _>>()?, true));
    }
    pairs.truncate(limit);
    let mut page = pairs.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
    let Some(last) = page.last().map(|entry| entry.cursor) else {
        return Ok((page, false));
    };
    let mut behind = pairs.pop().map(|(key, _)| key).unwrap_or_default();
    behind.push(0);
    let same = view.scan(&behind, &end_of(&prefix(parent, last)), usize::MAX)?;
    for pair in &same {
        page.push(listed(pair)?);
    }
    let more = view.scan(&end_of(&prefix(parent, last)), &end, 1)?;
    Ok((page, more.is_empty()))
}
