//! Cutting files: what the chains must do before the caller is answered.
//!
//! The new length stands at once, and with it an intent: the leader has the chains cut the chunk at the
//! length and remove those behind, and then says so. As long as the intent stands,
//!
//! * the file may get shorter still (the intent moves down, in a new round: one that is being carried out
//!   does not end it), and is read up to its length;
//! * whatever would make it longer (`truncate`, a reservation) is not applied:
//!   [`Outcome::Blocked`](crate::Outcome::Blocked) names the intent, and the leader proposes the same again
//!   after it. So old bytes never come back, and applying never waits.
//!
//! A length that is set while it is not exact ([`File::exact`]) always leaves an intent: somebody may have
//! written behind it and not said so yet.
//!
//! A report that comes after a cut may speak of bytes from before. What lies behind the cut was then
//! written and cut away, or written after it. A writer can tell only of what it began to write after it had
//! heard that the cut was carried out: the inode keeps the round of the last one, whoever is told the file's
//! attributes is told it, and a report names what its writer knew then. Of all other bytes only the chains can
//! tell: `writer` has them asked, and moves `dense_to` no further than the lowest cut, which each writer's
//! record keeps.

use emberfs_layout::{ByteLen, InodeId, Sequence};
use emberfs_wire::FsError;
use emberfs_wire::meta::Attributes;
use emberfs_wire::meta::inode::FileData;
use minicbor::{Decode, Encode};

use crate::command::{PendingTruncation, Unfinished};
use crate::keys::{Kind, end_of, key};
use crate::transaction::{
    Pair, StoreError, Transaction, View, decode_record, get_record, put_record,
};

use super::counters::count;
use super::inode::{self, File, Inode};
use super::operation::Operation;
use super::permission::mode_after_write;
use super::stop::{Stop, ensure};
use super::{recovery, writer};

/// Value of [`Kind::Truncation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Intent {
    /// The length that the chains must cut the file to.
    #[n(0)]
    len: ByteLen,
    /// Grows with each cut that is asked for.
    #[n(1)]
    round: Sequence,
}

/// A file that the chains must cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruncationWork {
    /// Which file.
    pub inode: InodeId,
    /// To which length.
    pub len: ByteLen,
    /// The round, to be named when it is done.
    pub round: Sequence,
    /// Its bytes.
    pub data: FileData,
}

fn truncation_key(id: InodeId) -> Vec<u8> {
    key(Kind::Truncation, &[&id.0.to_be_bytes()])
}

fn intent(view: &dyn View, id: InodeId) -> Result<Option<Intent>, StoreError> {
    get_record(view, &truncation_key(id))
}

/// The intent that stands for this file.
pub(super) fn pending(
    view: &dyn View,
    inode: InodeId,
) -> Result<Option<PendingTruncation>, StoreError> {
    Ok(intent(view, inode)?.map(|Intent { len, .. }| PendingTruncation { inode, len }))
}

/// The round of the latest cut of this file, carried out or not.
pub(super) fn latest(
    view: &dyn View,
    id: InodeId,
    file: &File,
) -> Result<Option<Sequence>, StoreError> {
    Ok(intent(view, id)?.map(|intent| intent.round).or(file.cut))
}

/// Tells whoever is answered only when the standing cut is carried out that it was: what it writes from
/// then on comes after it.
pub(super) fn tell_ahead(view: &dyn View, attributes: &mut Attributes) -> Result<(), StoreError> {
    let standing = intent(view, attributes.inode)?;
    if let Some((data, standing)) = attributes.data.as_mut().zip(standing) {
        data.cut = Some(standing.round);
    }
    Ok(())
}

/// Stops what would make a file longer while it is being cut.
pub(super) fn check_may_grow(view: &dyn View, id: InodeId) -> Result<(), Stop> {
    match pending(view, id)? {
        Some(pending) => Err(Stop::Blocked(Unfinished::Truncation(pending))),
        None => Ok(()),
    }
}

/// Sets a file's length. The inode is changed and not stored: its other changes may follow.
pub(super) fn set_len(
    operation: &mut Operation<'_>,
    id: InodeId,
    inode: &mut Inode,
    len: ByteLen,
) -> Result<Option<PendingTruncation>, Stop> {
    inode.mode = mode_after_write(operation.caller, inode);
    inode.touch_content(operation.now);
    let file = inode.file_mut().ok_or(FsError::InvalidArgument)?;
    ensure(len <= file.layout.chunk_size.max_file_len(), FsError::FileTooLarge)?;
    if len > file.len {
        check_may_grow(operation.txn, id)?;
    }
    let cuts = len < file.len || !file.exact();
    file.len = len;
    file.dense_to = file.dense_to.min(len);
    if cuts {
        let counters = count(operation.txn, |counters| counters.round = counters.round.next())?;
        let intent = Intent { len, round: counters.round };
        put_record(operation.txn, &truncation_key(id), &intent);
        writer::note_cut(operation.txn, id, len)?;
        if file.recovering {
            recovery::ask_anew(operation.txn, id)?;
        }
    }
    Ok(pending(operation.txn, id)?)
}

/// The chains have cut the file, unless more was asked for since.
///
/// # Errors
/// [`StoreError`].
pub fn finish(txn: &mut dyn Transaction, id: InodeId, round: Sequence) -> Result<(), StoreError> {
    if intent(txn, id)?.is_some_and(|intent| intent.round == round) {
        forget(txn, id);
        inode::edit(txn, id, |inode| {
            if let Some(file) = inode.file_mut() {
                file.cut = Some(round);
            }
        })?;
    }
    Ok(())
}

pub(super) fn forget(txn: &mut dyn Transaction, id: InodeId) {
    txn.delete(&truncation_key(id));
}

/// What the chains must do to this file, if anything.
///
/// # Errors
/// [`StoreError`].
pub fn pending_truncation(
    view: &dyn View,
    id: InodeId,
) -> Result<Option<TruncationWork>, StoreError> {
    intent(view, id)?.map(|intent| work(view, id, intent)).transpose()
}

/// All files behind `after` (from the first, if `None`) that the chains must cut, at most `limit`.
///
/// # Errors
/// [`StoreError`].
pub fn pending_truncations(
    view: &dyn View,
    after: Option<InodeId>,
    limit: usize,
) -> Result<Vec<TruncationWork>, StoreError> {
    let from = truncation_key(after.map_or(InodeId(0), |id| InodeId(id.0.saturating_add(1))));
    let pairs = view.scan(&from, &end_of(&key(Kind::Truncation, &[])), limit)?;
    let work = |(key, value): &Pair| work(view, inode_of(key), decode_record(key, value)?);
    pairs.iter().map(work).collect()
}

fn work(view: &dyn View, inode: InodeId, intent: Intent) -> Result<TruncationWork, StoreError> {
    let Intent { len, round } = intent;
    let data = file_of(view, inode)?.data();
    Ok(TruncationWork { inode, len, round, data })
}

/// The inode that the first number of a key names.
pub(super) fn inode_of(key: &[u8]) -> InodeId {
    let id = key.get(1..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    InodeId(u64::from_be_bytes(id))
}

/// A file that another record names.
pub(super) fn file_of(view: &dyn View, id: InodeId) -> Result<File, StoreError> {
    let inode = inode::load(view, id)?;
    let damage = || crate::transaction::damaged::<File>(&inode::inode_key(id), "it is no file");
    inode.file().copied().ok_or_else(damage)
}
