//! Moving a name, in one step: what has the new name is replaced, and at no moment is either missing.
//!
//! | flags | the new name |
//! | --- | --- |
//! | none | is free, or is taken from what has it |
//! | `NO_REPLACE` | must be free |
//! | `EXCHANGE` | must be there: what has it gets the old name |

use emberfs_layout::InodeId;
use emberfs_wire::FsError;
use emberfs_wire::meta::{Name, Place, RenameFlags};

use crate::transaction::{View, damaged};

use super::entry::{self, EntryRecord};
use super::inode::{self, Directory, ROOT};
use super::node::check_may_add;
use super::operation::{Done, Operation, add_name, drop_directory, drop_link, take_name};
use super::permission::{self, WRITE};
use super::stop::{Stop, ensure};
use super::walk::{Found, Walk};

/// How deep a directory may lie: far beyond what a path of 4,096 bytes reaches; a chain of parents that is
/// longer is damaged.
const DEPTH_MAX: u32 = 1 << 20;

/// One name: the directory, the name in it.
struct Spot<'a> {
    directory: Found,
    name: &'a Name,
}

/// [`Mutation::Rename`](emberfs_wire::meta::Mutation::Rename).
pub(super) fn rename(
    operation: &mut Operation<'_>,
    (parent, name): (&Place, &Name),
    (new_parent, new_name): (&Place, &Name),
    flags: RenameFlags,
) -> Result<Done, Stop> {
    let known = [RenameFlags::default(), RenameFlags::NO_REPLACE, RenameFlags::EXCHANGE];
    ensure(known.contains(&flags), FsError::InvalidArgument)?;
    let exchanges = flags == RenameFlags::EXCHANGE;
    let reach = |place| Walk::new(operation.txn, operation.caller).reach_directory(place);
    let from = Spot { directory: reach(parent)?, name };
    let to = Spot { directory: reach(new_parent)?, name: new_name };
    let source = entry::lookup(operation.txn, from.directory.id, name)?;
    let source = source.ok_or(FsError::NotFound)?;
    let moved = Found::load(operation.txn, source.inode)?;
    let target = entry::lookup(operation.txn, to.directory.id, new_name)?;
    ensure(target.is_none() || flags != RenameFlags::NO_REPLACE, FsError::Exists)?;
    ensure(target.is_some() || !exchanges, FsError::NotFound)?;
    if from.directory.id != to.directory.id {
        check_above(operation.txn, to.directory.id, moved.id)?;
        if let Some(target) = target.filter(|_| exchanges) {
            check_above(operation.txn, from.directory.id, target.inode)?;
        }
    }
    if target.is_some_and(|target| target.inode == moved.id) {
        return Ok(Done::plain());
    }
    check(operation, &from, &to, &moved, (target, exchanges))?;
    take_name(operation, from.directory.id, name, source)?;
    match target {
        Some(target) if exchanges => {
            take_name(operation, to.directory.id, new_name, target)?;
            settle(operation, &from, target)?;
        }
        Some(target) => replace(operation, &to, target)?,
        None => {}
    }
    settle(operation, &to, source)?;
    Ok(Done::plain())
}

/// Gives a name, which is free, to what had another.
fn settle(operation: &mut Operation<'_>, at: &Spot<'_>, child: EntryRecord) -> Result<(), Stop> {
    add_name(operation, at.directory.id, at.name, child)?;
    inode::edit(operation.txn, child.inode, |inode| {
        inode.touch(operation.now);
        if let Some(directory) = inode.directory_mut() {
            directory.parent = at.directory.id;
        }
    })?;
    Ok(())
}

/// Looks upward from the new parent: it may not lie in what is moved, nor in a tree that was removed.
fn check_above(view: &dyn View, new_parent: InodeId, moved: InodeId) -> Result<(), Stop> {
    let mut at = new_parent;
    for _ in 0..DEPTH_MAX {
        ensure(at != moved, FsError::InvalidArgument)?;
        if at == ROOT {
            return Ok(());
        }
        let inode = inode::find(view, at)?.ok_or(FsError::NotFound)?;
        ensure(inode.nlink > 0, FsError::NotFound)?;
        at = inode.directory().ok_or(FsError::NotADirectory)?.parent;
    }
    let key = inode::inode_key(new_parent);
    Err(damaged::<Directory>(&key, "its parents have no end").into())
}

/// Whether the caller may, and whether the one may take the other's place.
fn check(
    operation: &Operation<'_>,
    from: &Spot<'_>,
    to: &Spot<'_>,
    moved: &Found,
    (target, exchanges): (Option<EntryRecord>, bool),
) -> Result<(), Stop> {
    let caller = operation.caller;
    permission::check_take(caller, &from.directory.inode, &moved.inode)?;
    let replaced = target.map(|target| Found::load(operation.txn, target.inode)).transpose()?;
    let moves_directory = moved.inode.directory().is_some();
    match &replaced {
        None => check_may_add(caller, &to.directory)?,
        Some(replaced) => {
            permission::check_take(caller, &to.directory.inode, &replaced.inode)?;
            match (moves_directory, replaced.inode.directory()) {
                _ if exchanges => {}
                (true, None) => return Err(FsError::NotADirectory.into()),
                (false, Some(_)) => return Err(FsError::IsADirectory.into()),
                _ => {}
            }
        }
    }
    if from.directory.id != to.directory.id {
        // Each gets another parent.
        let other = replaced.as_ref().filter(|_| exchanges);
        for found in [Some(moved), other].into_iter().flatten() {
            if found.inode.directory().is_some() {
                permission::check(caller, &found.inode, WRITE)?;
            }
        }
    }
    if exchanges {
        return Ok(());
    }
    let entries = replaced.and_then(|found| found.inode.directory().map(|is| is.entries));
    ensure(entries.unwrap_or(0) == 0, FsError::NotEmpty)
}

/// Takes the new name from what has it.
fn replace(operation: &mut Operation<'_>, to: &Spot<'_>, target: EntryRecord) -> Result<(), Stop> {
    take_name(operation, to.directory.id, to.name, target)?;
    let (txn, now) = (&mut *operation.txn, operation.now);
    match target.kind {
        emberfs_wire::meta::InodeKind::Directory => drop_directory(txn, now, target.inode),
        _ => drop_link(txn, now, target.inode),
    }?;
    Ok(())
}
