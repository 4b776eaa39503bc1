//! Who may do what, by Linux's rules for mode bits.
//!
//! * The owner's bits count for the owner alone, else the group's for its members, else the others'.
//! * Root may do all, but execute only what somebody may.
//! * In a sticky directory only the owner of the directory or of the thing may remove or rename it.
//! * A new thing in a set-group-id directory gets the directory's group; a directory there the bit, too.
//! * Set-user-id and set-group-id go when bytes, owner or group change.
//! * Another's thing gets no further name from who could not do all with it: as with Linux's `protected_hardlinks`,
//!   which distributions switch on.
//!
//! Supplementary groups are asked for ([`Stop::GroupsNeeded`]) only where they decide.

use emberfs_wire::FsError;
use emberfs_wire::meta::{Caller, Mode};

use super::inode::Inode;
use super::stop::{Stop, ensure};

/// To read: a file's bytes, a directory's names.
pub(super) const READ: u16 = 4;
/// To write: a file's bytes, a directory's names.
pub(super) const WRITE: u16 = 2;
/// To execute a file, or to pass through a directory.
pub(super) const EXECUTE: u16 = 1;

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;
const STICKY: u16 = 0o1000;
const GROUP_EXECUTE: u16 = 0o010;
const ALL_BITS: u16 = 0o7777;

pub(super) fn is_root(caller: &Caller) -> bool {
    caller.uid == 0
}

/// Owner or root.
pub(super) fn owns(caller: &Caller, inode: &Inode) -> bool {
    is_root(caller) || caller.uid == inode.uid
}

/// Whether the caller is in the group; `None` if only the groups that were not given can tell.
fn known_in_group(caller: &Caller, gid: u32) -> Option<bool> {
    if caller.gid == gid {
        return Some(true);
    }
    caller.groups.as_ref().map(|groups| groups.contains(&gid))
}

/// Whether the caller is in the group, or root, who counts as a member of each.
pub(super) fn in_group(caller: &Caller, gid: u32) -> Result<bool, Stop> {
    if is_root(caller) {
        return Ok(true);
    }
    known_in_group(caller, gid).ok_or(Stop::GroupsNeeded)
}

/// Whether the caller has all bits of `want`.
pub(super) fn may(caller: &Caller, inode: &Inode, want: u16) -> Result<bool, Stop> {
    let mode = inode.mode.0;
    if is_root(caller) {
        let executable = inode.directory().is_some() || mode & 0o111 != 0;
        return Ok(want & EXECUTE == 0 || executable);
    }
    let has = |shift: u16| (mode >> shift) & want == want;
    if caller.uid == inode.uid {
        return Ok(has(6));
    }
    match known_in_group(caller, inode.gid) {
        Some(member) => Ok(has(if member { 3 } else { 0 })),
        None if has(3) == has(0) => Ok(has(0)),
        None => Err(Stop::GroupsNeeded),
    }
}

/// Refuses a caller who lacks one of the bits.
pub(super) fn check(caller: &Caller, inode: &Inode, want: u16) -> Result<(), Stop> {
    ensure(may(caller, inode, want)?, FsError::PermissionDenied)
}

/// Refuses a caller who may not change the directory's names.
pub(super) fn check_change_names(caller: &Caller, directory: &Inode) -> Result<(), Stop> {
    check(caller, directory, WRITE | EXECUTE)
}

/// Refuses a caller who may not take `victim`'s name out of the directory.
pub(super) fn check_take(caller: &Caller, directory: &Inode, victim: &Inode) -> Result<(), Stop> {
    check_change_names(caller, directory)?;
    let sticky = directory.mode.0 & STICKY != 0;
    let permitted = !sticky || owns(caller, directory) || owns(caller, victim);
    ensure(permitted, FsError::NotPermitted)
}

/// Refuses a caller who may not give this thing, no directory, a further name: it would outlive what its owner removes.
pub(super) fn check_link(caller: &Caller, inode: &Inode) -> Result<(), Stop> {
    if owns(caller, inode) {
        return Ok(());
    }
    let lends = |bits| inode.mode.0 & bits == bits;
    let lends_rights = lends(SET_UID) || lends(SET_GID | GROUP_EXECUTE);
    let permitted = inode.file().is_some() && !lends_rights && may(caller, inode, READ | WRITE)?;
    ensure(permitted, FsError::NotPermitted)
}

/// Whether the caller may empty this directory, or make it so that it may: its owner can, and whoever may
/// read, write and search it, unless it is sticky.
pub(super) fn may_empty(caller: &Caller, directory: &Inode) -> Result<bool, Stop> {
    if owns(caller, directory) {
        return Ok(true);
    }
    let sticky = directory.mode.0 & STICKY != 0;
    Ok(!sticky && may(caller, directory, READ | WRITE | EXECUTE)?)
}

/// Group and mode of something new in `directory`.
pub(super) fn inherit(
    caller: &Caller,
    directory: &Inode,
    mode: Mode,
    makes_directory: bool,
) -> Result<(u32, Mode), Stop> {
    let mode = mode.0 & ALL_BITS;
    if directory.mode.0 & SET_GID == 0 {
        return Ok((caller.gid, Mode(mode)));
    }
    if makes_directory {
        return Ok((directory.gid, Mode(mode | SET_GID)));
    }
    let risky = SET_GID | GROUP_EXECUTE;
    let strips = mode & risky == risky && !in_group(caller, directory.gid)?;
    Ok((directory.gid, Mode(if strips { mode & !SET_GID } else { mode })))
}

/// The mode after `chmod`: set-group-id only for members of the group, `gid`.
pub(super) fn changed_mode(caller: &Caller, mode: Mode, gid: u32) -> Result<Mode, Stop> {
    let mode = mode.0 & ALL_BITS;
    let strips = mode & SET_GID != 0 && !in_group(caller, gid)?;
    Ok(Mode(if strips { mode & !SET_GID } else { mode }))
}

/// The mode once `caller` changed owner or group of something that is no directory. Without group
/// execution the bit is an old mark for locks, which members keep.
pub(super) fn mode_after_chown(caller: &Caller, inode: &Inode) -> Result<Mode, Stop> {
    let mode = inode.mode.0;
    let drops = mode & SET_GID != 0 && (mode & GROUP_EXECUTE != 0 || !in_group(caller, inode.gid)?);
    Ok(Mode(mode & !SET_UID & !(if drops { SET_GID } else { 0 })))
}

/// The mode once `caller` changed bytes: root keeps it. Groups that were not given count as none: a
/// report must not fail for them.
pub(super) fn mode_after_write(caller: &Caller, inode: &Inode) -> Mode {
    let mode = inode.mode.0;
    if is_root(caller) {
        return Mode(mode);
    }
    let member = known_in_group(caller, inode.gid).unwrap_or(false);
    let drops = mode & GROUP_EXECUTE != 0 || !member;
    Mode(mode & !SET_UID & !(if drops { SET_GID } else { 0 }))
}
