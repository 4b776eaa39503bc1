//! What every operation has at hand, and what comes of one.

use emberfs_layout::{ClientId, InodeId};
use emberfs_wire::FsError;
use emberfs_wire::meta::{Caller, InodeKind, MutationReply, Name, Time};

use crate::command::PendingTruncation;
use crate::transaction::{StoreError, Transaction};

use super::counters::count;
use super::entry::{self, EntryRecord};
use super::garbage;
use super::inode::{self, Content, Inode};
use super::stop::{Stop, ensure};

/// Names that one inode may have, beyond what any tool makes.
pub(super) const LINKS_MAX: u32 = 1 << 20;

/// One operation under way.
pub(super) struct Operation<'a> {
    pub(super) txn: &'a mut dyn Transaction,
    pub(super) caller: &'a Caller,
    /// The session that asked.
    pub(super) client: ClientId,
    pub(super) now: Time,
    /// Fresh randomness.
    pub(super) seed: u64,
}

/// What came of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) reply: MutationReply,
    /// What the chains must do before it is answered.
    pub(super) truncation: Option<PendingTruncation>,
}

impl Done {
    /// Answered with an inode as it is now.
    pub(super) fn with(id: InodeId, inode: &Inode, created: bool) -> Self {
        let reply = MutationReply::Inode { attributes: inode.attributes(id), created };
        Self { reply, truncation: None }
    }

    /// Answered without more.
    pub(super) fn plain() -> Self {
        Self { reply: MutationReply::Done, truncation: None }
    }
}

/// A fresh inode's number.
pub(super) fn fresh_inode(txn: &mut dyn Transaction) -> Result<InodeId, StoreError> {
    let counters = count(txn, |counters| {
        counters.inode.0 += 1;
        counters.inodes += 1;
    })?;
    Ok(counters.inode)
}

/// Gives `child` this name, which is free.
pub(super) fn add_name(
    operation: &mut Operation<'_>,
    parent: InodeId,
    name: &Name,
    child: EntryRecord,
) -> Result<(), Stop> {
    let now = operation.now;
    entry::put(operation.txn, parent, name, child);
    change_directory(operation.txn, parent, now, child.kind, true)
}

/// Takes this name away; what it stood for is the caller's affair.
pub(super) fn take_name(
    operation: &mut Operation<'_>,
    parent: InodeId,
    name: &Name,
    child: EntryRecord,
) -> Result<(), Stop> {
    let now = operation.now;
    entry::delete(operation.txn, parent, name);
    change_directory(operation.txn, parent, now, child.kind, false)
}

fn change_directory(
    txn: &mut dyn Transaction,
    id: InodeId,
    now: Time,
    child: InodeKind,
    more: bool,
) -> Result<(), Stop> {
    let is_directory = u32::from(child == InodeKind::Directory);
    let mut links_left = true;
    inode::edit(txn, id, |inode| {
        links_left = !more || inode.nlink < u32::MAX;
        if links_left && more {
            inode.nlink += is_directory;
        } else if !more {
            inode.nlink -= is_directory;
        }
        if let Content::Directory(directory) = &mut inode.content {
            if more { directory.entries += 1 } else { directory.entries -= 1 }
        }
        inode.touch_content(now);
    })?;
    ensure(links_left, FsError::TooManyLinks)
}

/// Takes one name from what is no directory; with the last it becomes garbage.
pub(super) fn drop_link(
    txn: &mut dyn Transaction,
    now: Time,
    id: InodeId,
) -> Result<(), StoreError> {
    let inode = inode::edit(txn, id, |inode| {
        inode.nlink -= 1;
        inode.touch(now);
    })?;
    if inode.nlink == 0 {
        garbage::push(txn, now, id)?;
    }
    Ok(())
}

/// Detaches a directory, empty or not, whose name was taken away: it becomes garbage.
pub(super) fn drop_directory(
    txn: &mut dyn Transaction,
    now: Time,
    id: InodeId,
) -> Result<(), StoreError> {
    inode::edit(txn, id, |inode| {
        inode.nlink = 0;
        inode.touch(now);
    })?;
    garbage::push(txn, now, id)
}
