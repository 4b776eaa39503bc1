//! Making directories, symbolic links, special files and further names.

use emberfs_layout::{ChangeNumber, DirectoryLayout, InodeId};
use emberfs_wire::FsError;
use emberfs_wire::meta::{Caller, Device, InodeKind, Mode, Name, NewNode, Place, Time};

use crate::transaction::{StoreError, Transaction};

use super::counters::count;
use super::entry::{self, EntryRecord};
use super::inode::{self, Content, Directory, Inode, ROOT};
use super::operation::{Done, LINKS_MAX, Operation, add_name, fresh_inode};
use super::permission;
use super::stop::{Stop, ensure};
use super::walk::{Found, Walk};

/// Mode of every symbolic link: its bits are never asked.
const SYMLINK_MODE: Mode = Mode(0o777);

/// Mode of a new root directory.
const ROOT_MODE: Mode = Mode(0o755);

/// Makes the root directory, unless it is there.
///
/// # Errors
/// [`StoreError`].
pub fn found(txn: &mut dyn Transaction, now: Time, uid: u32, gid: u32) -> Result<(), StoreError> {
    if inode::find(txn, ROOT)?.is_some() {
        return Ok(());
    }
    count(txn, |counters| counters.inodes += 1)?;
    let content = Content::Directory(Directory::new(ROOT, DirectoryLayout::default()));
    inode::store(txn, ROOT, &blank(now, uid, gid, ROOT_MODE, content));
    Ok(())
}

fn blank(now: Time, uid: u32, gid: u32, mode: Mode, content: Content) -> Inode {
    let nlink = if matches!(content, Content::Directory(_)) { 2 } else { 1 };
    let change = ChangeNumber::NONE.next();
    Inode { mode, uid, gid, nlink, atime: now, mtime: now, ctime: now, change, content }
}

/// A new inode for `directory`, not stored yet.
pub(super) fn fresh(
    operation: &mut Operation<'_>,
    directory: &Found,
    mode: Mode,
    content: Content,
) -> Result<(InodeId, Inode), Stop> {
    let caller = operation.caller;
    let makes_directory = matches!(content, Content::Directory(_));
    let (gid, mode) = permission::inherit(caller, &directory.inode, mode, makes_directory)?;
    let id = fresh_inode(operation.txn)?;
    Ok((id, blank(operation.now, caller.uid, gid, mode, content)))
}

/// Refuses what may not become a new name in `directory`: it was removed, or the caller may not.
pub(super) fn check_may_add(caller: &Caller, directory: &Found) -> Result<(), Stop> {
    ensure(directory.inode.nlink > 0, FsError::NotFound)?;
    permission::check_change_names(caller, &directory.inode)
}

/// The directory in which `name` is free and the caller may make it.
fn free_name(operation: &Operation<'_>, parent: &Place, name: &Name) -> Result<Found, Stop> {
    let directory = Walk::new(operation.txn, operation.caller).reach_directory(parent)?;
    let taken = entry::lookup(operation.txn, directory.id, name)?;
    ensure(taken.is_none(), FsError::Exists)?;
    check_may_add(operation.caller, &directory)?;
    Ok(directory)
}

/// [`Mutation::MakeNode`](emberfs_wire::meta::Mutation::MakeNode).
pub(super) fn make(
    operation: &mut Operation<'_>,
    parent: &Place,
    name: &Name,
    mode: Mode,
    node: &NewNode,
) -> Result<Done, Stop> {
    let directory = free_name(operation, parent, name)?;
    let (mode, content) = match node {
        NewNode::Directory => {
            let above = directory.inode.directory().map(Directory::layout);
            (mode, Content::Directory(Directory::new(directory.id, above.unwrap_or_default())))
        }
        NewNode::Symlink(target) => (SYMLINK_MODE, Content::Symlink(target.clone())),
        NewNode::Special(kind, device) => {
            check_special(operation.caller, *kind, *device)?;
            (mode, Content::Special(*kind, *device))
        }
    };
    let (id, inode) = fresh(operation, &directory, mode, content)?;
    inode::store(operation.txn, id, &inode);
    add_name(operation, directory.id, name, EntryRecord { inode: id, kind: inode.kind() })?;
    Ok(Done::with(id, &inode, true))
}

/// What overlays mark as removed: no device, so for all.
const WHITEOUT: Device = Device(0);

/// Pipes and sockets are for all, devices for root.
fn check_special(caller: &Caller, kind: InodeKind, device: Device) -> Result<(), Stop> {
    match kind {
        InodeKind::CharDevice if device == WHITEOUT => Ok(()),
        InodeKind::Fifo | InodeKind::Socket => Ok(()),
        InodeKind::CharDevice | InodeKind::BlockDevice => {
            ensure(permission::is_root(caller), FsError::NotPermitted)
        }
        InodeKind::File | InodeKind::Directory | InodeKind::Symlink => {
            Err(FsError::InvalidArgument.into())
        }
    }
}

/// [`Mutation::Link`](emberfs_wire::meta::Mutation::Link).
pub(super) fn link(
    operation: &mut Operation<'_>,
    file: &Place,
    parent: &Place,
    name: &Name,
) -> Result<Done, Stop> {
    let Found { id, mut inode } = Walk::new(operation.txn, operation.caller).reach(file, false)?;
    let directory = free_name(operation, parent, name)?;
    ensure(inode.directory().is_none(), FsError::NotPermitted)?;
    permission::check_link(operation.caller, &inode)?;
    ensure(inode.nlink > 0, FsError::NotFound)?;
    ensure(inode.nlink < LINKS_MAX, FsError::TooManyLinks)?;
    inode.nlink += 1;
    inode.touch(operation.now);
    inode::store(operation.txn, id, &inode);
    add_name(operation, directory.id, name, EntryRecord { inode: id, kind: inode.kind() })?;
    Ok(Done::with(id, &inode, false))
}
