//! Changing attributes: mode, owner, group, length, times.
//!
//! | what | who may | else |
//! | --- | --- | --- |
//! | length | through a handle open for writing: its session; otherwise who may write the file | EACCES |
//! | owner | root; the owner, to what it is already | EPERM |
//! | group | root; the owner, to a group that it is in | EPERM |
//! | mode | owner or root | EPERM |
//! | a time, to a moment | owner or root | EPERM |
//! | both times, to now | owner, root, or who may write | EACCES |
//! | one of them alone | owner or root | EPERM |
//!
//! All is checked before anything is changed.

use emberfs_layout::InodeId;
use emberfs_wire::FsError;
use emberfs_wire::meta::{AttributeChange, Place, SetTime, Time};

use super::inode::{self, Inode};
use super::operation::{Done, Operation};
use super::permission::{self, WRITE, in_group, is_root, owns};
use super::stop::{Stop, ensure};
use super::walk::{Found, Walk};
use super::{truncation, writer};

/// Nanoseconds in a second.
const NANOS: u32 = 1_000_000_000;

/// [`Mutation::SetAttributes`](emberfs_wire::meta::Mutation::SetAttributes).
pub(super) fn set(
    operation: &mut Operation<'_>,
    of: &Place,
    follow: bool,
    change: &AttributeChange,
) -> Result<Done, Stop> {
    let found = Walk::new(operation.txn, operation.caller).reach(of, follow)?;
    let Found { id, mut inode } = found;
    if *change == (AttributeChange { handle: change.handle, ..AttributeChange::default() }) {
        return Ok(Done::with(id, &inode, false));
    }
    check_size(operation, id, &inode, change)?;
    check_owner(operation, &inode, change)?;
    check_times(operation, &inode, change)?;
    let truncation = match change.size {
        Some(len) => truncation::set_len(operation, id, &mut inode, len)?,
        None => None,
    };
    set_owner_and_mode(operation, &mut inode, change)?;
    let now = operation.now;
    let moment = |set| if let SetTime::At(time) = set { time } else { now };
    inode.atime = change.atime.map_or(inode.atime, moment);
    inode.mtime = change.mtime.map_or(inode.mtime, moment);
    if change.size.is_none() {
        inode.touch(now);
    }
    inode::store(operation.txn, id, &inode);
    Ok(Done { truncation, ..Done::with(id, &inode, false) })
}

fn check_size(
    operation: &Operation<'_>,
    id: InodeId,
    inode: &Inode,
    change: &AttributeChange,
) -> Result<(), Stop> {
    if change.size.is_none() {
        return Ok(());
    }
    ensure(inode.directory().is_none(), FsError::IsADirectory)?;
    ensure(inode.file().is_some(), FsError::InvalidArgument)?;
    let through = match change.handle {
        Some(handle) => writer::is_open(operation.txn, id, operation.client, handle)?,
        None => false,
    };
    if through { Ok(()) } else { permission::check(operation.caller, inode, WRITE) }
}

fn check_owner(
    operation: &Operation<'_>,
    inode: &Inode,
    change: &AttributeChange,
) -> Result<(), Stop> {
    let caller = operation.caller;
    if let Some(uid) = change.uid {
        let same = owns(caller, inode) && uid == inode.uid;
        ensure(is_root(caller) || same, FsError::NotPermitted)?;
    }
    if let Some(gid) = change.gid {
        ensure(owns(caller, inode), FsError::NotPermitted)?;
        let permitted = gid == inode.gid || in_group(caller, gid)?;
        ensure(permitted, FsError::NotPermitted)?;
    }
    ensure(change.mode.is_none() || owns(caller, inode), FsError::NotPermitted)
}

fn check_times(
    operation: &Operation<'_>,
    inode: &Inode,
    change: &AttributeChange,
) -> Result<(), Stop> {
    let valid = |time: &Time| time.nanos < NANOS;
    let times = [change.atime, change.mtime];
    let mut moments = times.iter().flatten().filter_map(|set| match set {
        SetTime::At(time) => Some(time),
        SetTime::Now => None,
    });
    if owns(operation.caller, inode) {
        return ensure(moments.all(valid), FsError::InvalidArgument);
    }
    ensure(moments.next().is_none(), FsError::NotPermitted)?;
    if change.size.is_some() {
        return Ok(());
    }
    match times.iter().flatten().count() {
        0 => Ok(()),
        1 => Err(FsError::NotPermitted.into()),
        _ => permission::check(operation.caller, inode, WRITE),
    }
}

fn set_owner_and_mode(
    operation: &Operation<'_>,
    inode: &mut Inode,
    change: &AttributeChange,
) -> Result<(), Stop> {
    let caller = operation.caller;
    if (change.uid.is_some() || change.gid.is_some()) && inode.directory().is_none() {
        inode.mode = permission::mode_after_chown(caller, inode)?;
    }
    inode.uid = change.uid.unwrap_or(inode.uid);
    inode.gid = change.gid.unwrap_or(inode.gid);
    if let Some(mode) = change.mode {
        inode.mode = permission::changed_mode(caller, mode, inode.gid)?;
    }
    Ok(())
}
