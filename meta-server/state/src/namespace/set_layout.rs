//! Changing what new files in a directory get: chunk size, stripe width, chain table.
//!
//! | what | else |
//! | --- | --- |
//! | it is a directory | ENOTDIR |
//! | the caller is its owner or root | EPERM, as of `chmod` |
//! | the table is there; a stripe or a table that is said goes with the other | EINVAL |
//!
//! A stripe that is not said anew is not looked at: what it was set over may have changed, and a file that is made then
//! gets one that fits.

use emberfs_layout::DirectoryLayout;
use emberfs_wire::FsError;
use emberfs_wire::meta::{LayoutChange, Place};

use crate::cluster;
use crate::transaction::View;

use super::inode::{self, Directory, ROOT};
use super::operation::{Done, Operation};
use super::permission::owns;
use super::stop::{Stop, ensure};
use super::walk::{Found, Walk};

/// [`Mutation::SetLayout`](emberfs_wire::meta::Mutation::SetLayout).
pub(super) fn set(
    operation: &mut Operation<'_>,
    of: &Place,
    change: &LayoutChange,
) -> Result<Done, Stop> {
    let found = Walk::new(operation.txn, operation.caller).reach(of, true)?;
    let Found { id, mut inode } = found;
    let directory = *inode.directory().ok_or(FsError::NotADirectory)?;
    ensure(owns(operation.caller, &inode), FsError::NotPermitted)?;
    if *change == LayoutChange::default() {
        return Ok(Done::with(id, &inode, false));
    }
    let above = if change.inherit && id != ROOT {
        let parent = inode::find(operation.txn, directory.parent)?.ok_or(FsError::NotFound)?;
        parent.directory().map(Directory::layout)
    } else {
        None
    };
    let layout = change.apply(directory.layout(), above.unwrap_or_default());
    if change.stripe.is_some() || change.table.is_some() {
        check(operation.txn, layout)?;
    }
    if let Some(directory) = inode.directory_mut() {
        directory.set_layout(layout);
    }
    inode.touch(operation.now);
    inode::store(operation.txn, id, &inode);
    Ok(Done::with(id, &inode, false))
}

/// Whether the table is there, and has as many chains as the stripe is wide.
fn check(view: &dyn View, layout: DirectoryLayout) -> Result<(), Stop> {
    let given = cluster::given(view, layout.table)?;
    let is_known = given.is_some() || layout.table.is_none();
    ensure(is_known, FsError::InvalidArgument)?;
    let Some(stripe) = layout.stripe else { return Ok(()) };
    let fits = given.is_some_and(|given| stripe.get() <= given.chains);
    ensure(fits, FsError::InvalidArgument)
}
