//! What has lost its last name, until nobody holds it any more.
//!
//! ```text
//!   last name taken ─► queue ─► directory with entries: UnfoldGarbage takes them out, step by step,
//!                        │      each may become garbage of its own
//!                        └────► nobody holds it: its chunks are removed, then FinishRemoval
//! ```
//! The inode stays until then, so that whoever has it open can use it. A removed directory takes no new
//! names. The leader drives both steps; each may be repeated and may come late.

use emberfs_layout::{ByteLen, InodeId, Sequence};
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::meta::{Cursor, InodeKind, Time};
use minicbor::{Decode, Encode};

use crate::keys::{Kind, end_of, key};
use crate::transaction::{StoreError, Transaction, View, decode_record, get_record, put_record};

use super::counters::count;
use super::inode::{self, File, inode_key};
use super::operation::{drop_directory, drop_link};
use super::{entry, recovery, truncation};

/// Entries that one [`UnfoldGarbage`](crate::Body::UnfoldGarbage) takes: a few milliseconds of work.
const UNFOLD_ENTRIES_MAX: usize = 1024;

/// Value of [`Kind::Garbage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct GarbageRecord {
    /// What is to be removed.
    #[n(0)]
    inode: InodeId,
    /// Since when.
    #[n(1)]
    since: Time,
}

/// Something that is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarbageWork {
    /// Its place in the queue.
    pub place: Sequence,
    /// Which inode: ask sessions whether they hold it.
    pub inode: InodeId,
    /// Since when it has no name.
    pub since: Time,
    /// Entries of a directory: it must be unfolded while it has any.
    pub entries: u64,
    /// A file's bytes, whose chunks must be removed.
    pub data: Option<FileData>,
    /// How many bytes of them are known; a dead writer may have written further.
    pub len: ByteLen,
    /// Whether some session has it open for writing: then it cannot be finished.
    pub written: bool,
}

fn garbage_key(place: Sequence) -> Vec<u8> {
    key(Kind::Garbage, &[&place.0.to_be_bytes()])
}

/// Puts an inode without names into the queue.
pub(super) fn push(txn: &mut dyn Transaction, now: Time, inode: InodeId) -> Result<(), StoreError> {
    let counters = count(txn, |counters| counters.garbage = counters.garbage.next())?;
    put_record(txn, &garbage_key(counters.garbage), &GarbageRecord { inode, since: now });
    Ok(())
}

/// The queue behind `after` (from its start, if `None`), at most `limit` of it.
///
/// # Errors
/// [`StoreError`].
pub fn garbage(
    view: &dyn View,
    after: Option<Sequence>,
    limit: usize,
) -> Result<Vec<GarbageWork>, StoreError> {
    let from = garbage_key(after.map_or(Sequence::NONE, Sequence::next));
    let pairs = view.scan(&from, &end_of(&key(Kind::Garbage, &[])), limit)?;
    pairs.iter().map(|(key, value)| work(view, key, value)).collect()
}

fn work(view: &dyn View, key: &[u8], value: &[u8]) -> Result<GarbageWork, StoreError> {
    let place = key.get(1..).and_then(|place| place.try_into().ok()).unwrap_or_default();
    let GarbageRecord { inode: id, since } = decode_record(key, value)?;
    let inode = inode::load(view, id)?;
    let file = inode.file();
    Ok(GarbageWork {
        place: Sequence(u64::from_be_bytes(place)),
        inode: id,
        since,
        entries: inode.directory().map_or(0, |directory| directory.entries),
        data: file.map(File::data),
        len: file.map_or(ByteLen::ZERO, |file| file.len),
        written: file.is_some_and(|file| file.writers > 0),
    })
}

/// Takes some entries out of a removed directory.
///
/// # Errors
/// [`StoreError`].
pub fn unfold(txn: &mut dyn Transaction, now: Time, place: Sequence) -> Result<(), StoreError> {
    let Some(GarbageRecord { inode: id, .. }) = get_record(txn, &garbage_key(place))? else {
        return Ok(());
    };
    let mut directory = inode::load(txn, id)?;
    let Some(content) = directory.directory_mut() else { return Ok(()) };
    let (page, _) = entry::page(txn, id, Cursor::START, UNFOLD_ENTRIES_MAX)?;
    content.entries -= page.len() as u64;
    inode::store(txn, id, &directory);
    for listed in page {
        entry::delete(txn, id, &listed.name);
        match listed.record.kind {
            InodeKind::Directory => drop_directory(txn, now, listed.record.inode)?,
            _ => drop_link(txn, now, listed.record.inode)?,
        }
    }
    Ok(())
}

/// Forgets an inode whose chunks are removed, unless it is not so far.
///
/// # Errors
/// [`StoreError`].
pub fn finish(txn: &mut dyn Transaction, place: Sequence) -> Result<(), StoreError> {
    let at = garbage_key(place);
    let Some(GarbageRecord { inode: id, .. }) = get_record(txn, &at)? else { return Ok(()) };
    let inode = inode::load(txn, id)?;
    let full = inode.directory().is_some_and(|directory| directory.entries > 0);
    if full || inode.file().is_some_and(|file| file.writers > 0) {
        return Ok(());
    }
    truncation::forget(txn, id);
    recovery::forget(txn, id);
    txn.delete(&inode_key(id));
    txn.delete(&at);
    count(txn, |counters| counters.inodes -= 1)?;
    Ok(())
}
