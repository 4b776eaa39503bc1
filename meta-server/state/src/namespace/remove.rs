//! Removing names: of a file, of an empty directory, or of a directory with all that is in it.
//!
//! A tree is detached in one step: its name goes at once, and the garbage queue takes it apart. Root may
//! detach any. Another caller may if it could have removed all of it piece by piece: of each directory
//! in it that has entries it must be the owner (who can give itself every bit), or have read, write and
//! execute permission while it is not sticky. To be told so, all directories are looked at, also when
//! the command is applied: a tree of more than [`TREE_ENTRIES_MAX`] entries is refused as
//! [`FsError::NotSupported`], and its caller removes its parts.

use emberfs_layout::InodeId;
use emberfs_wire::FsError;
use emberfs_wire::meta::{Caller, Cursor, InodeKind, Name, Place, RemoveKind};

use crate::transaction::View;

use super::entry;
use super::inode;
use super::operation::{Done, Operation, drop_directory, drop_link, take_name};
use super::permission;
use super::stop::{Stop, ensure};
use super::walk::{Found, Walk};

/// Entries of a tree that a caller who is not root may remove in one step: some 50 ms of reading.
const TREE_ENTRIES_MAX: u64 = 1 << 16;

/// Entries read at once.
const PAGE: usize = 1024;

/// [`Mutation::Remove`](emberfs_wire::meta::Mutation::Remove).
pub(super) fn remove(
    operation: &mut Operation<'_>,
    parent: &Place,
    name: &Name,
    kind: RemoveKind,
) -> Result<Done, Stop> {
    let caller = operation.caller;
    let directory = Walk::new(operation.txn, caller).reach_directory(parent)?;
    let entry = entry::lookup(operation.txn, directory.id, name)?.ok_or(FsError::NotFound)?;
    let victim = Found::load(operation.txn, entry.inode)?;
    permission::check_take(caller, &directory.inode, &victim.inode)?;
    let content = victim.inode.directory();
    match (kind, content) {
        (RemoveKind::File, Some(_)) => return Err(FsError::IsADirectory.into()),
        (RemoveKind::Directory, None) => return Err(FsError::NotADirectory.into()),
        (RemoveKind::Directory, Some(content)) => ensure(content.entries == 0, FsError::NotEmpty)?,
        (RemoveKind::Tree, Some(_)) => check_tree(operation.txn, caller, victim.id)?,
        (RemoveKind::File | RemoveKind::Tree, None) => {}
    }
    take_name(operation, directory.id, name, entry)?;
    let (txn, now) = (&mut *operation.txn, operation.now);
    match content {
        Some(_) => drop_directory(txn, now, victim.id)?,
        None => drop_link(txn, now, victim.id)?,
    }
    Ok(Done::plain())
}

/// Refuses a caller who may not empty each directory of the tree.
fn check_tree(view: &dyn View, caller: &Caller, top: InodeId) -> Result<(), Stop> {
    if permission::is_root(caller) {
        return Ok(());
    }
    let mut seen = 0;
    let mut directories = vec![top];
    while let Some(id) = directories.pop() {
        let inode = inode::load(view, id)?;
        let entries = inode.directory().map_or(0, |directory| directory.entries);
        if entries == 0 {
            continue;
        }
        seen += entries;
        ensure(permission::may_empty(caller, &inode)?, FsError::PermissionDenied)?;
        ensure(seen <= TREE_ENTRIES_MAX, FsError::NotSupported)?;
        push_directories(view, id, &mut directories)?;
    }
    Ok(())
}

fn push_directories(view: &dyn View, parent: InodeId, into: &mut Vec<InodeId>) -> Result<(), Stop> {
    let mut after = Cursor::START;
    loop {
        let (page, end) = entry::page(view, parent, after, PAGE)?;
        after = page.last().map_or(after, |last| last.cursor);
        let directories = page.iter().filter(|at| at.record.kind == InodeKind::Directory);
        into.extend(directories.map(|at| at.record.inode));
        if end {
            return Ok(());
        }
    }
}
