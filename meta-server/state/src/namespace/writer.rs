//! Which sessions have which files open for writing, and what they say they wrote.
//!
//! | record | value |
//! | --- | --- |
//! | `W` inode, client, handle | [lowest length that the file was cut to while the handle could write, or null] |
//! | `V` client, inode, handle | nothing: the same, to be found when the session ends |
//!
//! What is written under a handle that saw no cut comes after all of them.

use emberfs_layout::{ByteLen, ClientId, InodeId};
use emberfs_wire::FsError;
use emberfs_wire::meta::{HandleId, MutationReply, WrittenRange};
use minicbor::{Decode, Encode};

use crate::keys::{Kind, end_of, key};
use crate::transaction::{
    StoreError, Transaction, View, damaged, decode_record, get_record, put_record,
};

use super::inode::{self, Inode};
use super::operation::{Done, Operation};
use super::permission::mode_after_write;
use super::stop::{Stop, ensure};
use super::walk::Found;
use super::{recovery, truncation};

/// Value of [`Kind::Writer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Writer {
    /// The lowest length that the file was cut to while this handle could write.
    #[n(0)]
    cut: Option<ByteLen>,
}

fn writer_key(id: InodeId, client: ClientId, handle: HandleId) -> Vec<u8> {
    key(Kind::Writer, &[&id.0.to_be_bytes(), &client.0.to_be_bytes(), &handle.0.to_be_bytes()])
}

fn session_key(client: ClientId, id: InodeId, handle: HandleId) -> Vec<u8> {
    let parts = [client.0, id.0, handle.0].map(u64::to_be_bytes);
    key(Kind::SessionWriter, &[&parts[0], &parts[1], &parts[2]])
}

/// Whether this handle of this session has the file open for writing.
pub(super) fn is_open(
    view: &dyn View,
    id: InodeId,
    client: ClientId,
    handle: HandleId,
) -> Result<bool, StoreError> {
    Ok(view.get(&writer_key(id, client, handle))?.is_some())
}

/// Opens a file for writing; `cut`: to where the file may yet be cut under this handle's writes. The inode
/// is changed and not stored.
pub(super) fn open(
    operation: &mut Operation<'_>,
    (id, inode): (InodeId, &mut Inode),
    handle: HandleId,
    cut: Option<ByteLen>,
) -> Result<(), Stop> {
    let client = operation.client;
    let file = inode.file_mut().ok_or(FsError::NotSupported)?;
    ensure(!is_open(operation.txn, id, client, handle)?, FsError::InvalidArgument)?;
    file.writers += 1;
    put_record(operation.txn, &writer_key(id, client, handle), &Writer { cut });
    operation.txn.put(&session_key(client, id, handle), &[]);
    Ok(())
}

/// Notes in each writer's record that the file was cut.
pub(super) fn note_cut(
    txn: &mut dyn Transaction,
    id: InodeId,
    len: ByteLen,
) -> Result<(), StoreError> {
    let from = key(Kind::Writer, &[&id.0.to_be_bytes()]);
    for (key, value) in txn.scan(&from, &end_of(&from), usize::MAX)? {
        let writer: Writer = decode_record(&key, &value)?;
        let cut = writer.cut.map_or(len, |cut| cut.min(len));
        put_record(txn, &key, &Writer { cut: Some(cut) });
    }
    Ok(())
}

/// A file that this handle has open, with its writer's record.
fn opened(
    operation: &Operation<'_>,
    id: InodeId,
    handle: HandleId,
) -> Result<(Found, Writer), Stop> {
    let found = Found::start(operation.txn, id)?;
    let at = writer_key(id, operation.client, handle);
    let writer = get_record(operation.txn, &at)?.ok_or(FsError::Stale)?;
    Ok((found, writer))
}

/// [`Mutation::Report`](emberfs_wire::meta::Mutation::Report).
pub(super) fn report(
    operation: &mut Operation<'_>,
    id: InodeId,
    handle: HandleId,
    written: Option<WrittenRange>,
    close: bool,
) -> Result<Done, Stop> {
    let (Found { mut inode, .. }, writer) = opened(operation, id, handle)?;
    if let Some(range) = written {
        note_written(operation, id, &mut inode, writer, range)?;
    }
    if close {
        operation.txn.delete(&writer_key(id, operation.client, handle));
        operation.txn.delete(&session_key(operation.client, id, handle));
        let file = inode.file_mut().ok_or(FsError::InvalidArgument)?;
        file.writers -= 1;
    }
    inode::store(operation.txn, id, &inode);
    Ok(Done::with(id, &inode, false))
}

/// What is certain of these bytes is noted. Those that may have been written before a cut, and would make the
/// file longer, are asked for: to believe them could bring cut bytes back as zeros, not to believe them could
/// lose what was written after the cut.
fn note_written(
    operation: &mut Operation<'_>,
    id: InodeId,
    inode: &mut Inode,
    writer: Writer,
    range: WrittenRange,
) -> Result<(), Stop> {
    let (start, end) = (ByteLen(range.start.0), ByteLen(range.end.0));
    let mode = mode_after_write(operation.caller, inode);
    let file = inode.file_mut().ok_or(FsError::InvalidArgument)?;
    ensure(start <= end, FsError::InvalidArgument)?;
    ensure(end <= file.layout.chunk_size.max_file_len(), FsError::FileTooLarge)?;
    let latest = truncation::latest(operation.txn, id, file)?;
    let heard_of_all = range.since.is_some() && range.since >= latest;
    // The lowest cut that may have come after the bytes.
    let cut = writer.cut.filter(|_| !heard_of_all);
    if end > file.len && cut.is_some() {
        recovery::ask_anew(operation.txn, id)?;
        file.recovering = true;
    } else if end > file.len {
        truncation::check_may_grow(operation.txn, id)?;
        file.len = end;
    }
    if start <= file.dense_to {
        let sure = cut.map_or(end, |cut| cut.min(end));
        file.dense_to = file.dense_to.max(sure);
    }
    inode.mode = mode;
    inode.touch_content(operation.now);
    Ok(())
}

/// [`Mutation::Reserve`](emberfs_wire::meta::Mutation::Reserve).
pub(super) fn reserve(
    operation: &mut Operation<'_>,
    id: InodeId,
    handle: HandleId,
    len: ByteLen,
) -> Result<Done, Stop> {
    let (Found { mut inode, .. }, _) = opened(operation, id, handle)?;
    ensure(len > ByteLen::ZERO, FsError::InvalidArgument)?;
    truncation::check_may_grow(operation.txn, id)?;
    let mode = mode_after_write(operation.caller, &inode);
    let file = inode.file_mut().ok_or(FsError::InvalidArgument)?;
    let at = emberfs_layout::FileOffset(file.len.0);
    let max = file.layout.chunk_size.max_file_len();
    let end = at.checked_add(len).filter(|end| end.0 <= max.0).ok_or(FsError::FileTooLarge)?;
    file.len = ByteLen(end.0);
    inode.mode = mode;
    inode.touch_content(operation.now);
    inode::store(operation.txn, id, &inode);
    let reply = MutationReply::Reserved { at, attributes: inode.attributes(id) };
    Ok(Done { reply, truncation: None })
}

/// How many handles a session has open for writing.
///
/// # Errors
/// [`StoreError`].
pub fn open_count(view: &dyn View, client: ClientId) -> Result<usize, StoreError> {
    let from = key(Kind::SessionWriter, &[&client.0.to_be_bytes()]);
    Ok(view.scan(&from, &end_of(&from), usize::MAX)?.len())
}

/// A session ended: its handles are closed, and where they were open for writing the length is in doubt.
///
/// # Errors
/// [`StoreError`].
pub fn release(txn: &mut dyn Transaction, client: ClientId) -> Result<(), StoreError> {
    let from = key(Kind::SessionWriter, &[&client.0.to_be_bytes()]);
    for (at, _) in txn.scan(&from, &end_of(&from), usize::MAX)? {
        let parts = at.get(1..).and_then(|rest| rest.as_chunks::<8>().0.get(1..3));
        let Some(&[id, handle]) = parts else {
            return Err(damaged::<Writer>(&at, "its key is too short"));
        };
        let id = InodeId(u64::from_be_bytes(id));
        let handle = HandleId(u64::from_be_bytes(handle));
        txn.delete(&at);
        txn.delete(&writer_key(id, client, handle));
        recovery::ask_anew(txn, id)?;
        inode::edit(txn, id, |inode| {
            if let Some(file) = inode.file_mut() {
                file.writers -= 1;
                file.recovering = true;
            }
        })?;
    }
    Ok(())
}
