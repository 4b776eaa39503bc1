//! Opening files, also those that are made by it.
//!
//! A file that is made by opening it is open as asked, whatever its new mode says. A name that is a
//! symbolic link is followed, also to a name that is not there yet, unless the open is exclusive.

use emberfs_layout::{ByteLen, ChunkSize, FileLayout};
use emberfs_wire::FsError;
use emberfs_wire::meta::{HandleId, InodeKind, Mode, Name, Place};

use crate::cluster;

use super::counters::count;
use super::entry::{self, EntryRecord};
use super::inode::{self, Content, Directory, File};
use super::operation::{Done, Operation, add_name};
use super::permission::{self, READ, WRITE};
use super::stop::{Stop, ensure};
use super::walk::{Found, Walk};
use super::{node, truncation, writer};

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) read: bool,
    pub(super) write: Option<HandleId>,
    pub(super) truncate: bool,
}

/// What a file is made like.
#[derive(Clone, Copy, Debug)]
pub(super) struct New {
    pub(super) mode: Mode,
    pub(super) exclusive: bool,
    pub(super) chunk_size: Option<ChunkSize>,
}

/// [`Mutation::Open`](emberfs_wire::meta::Mutation::Open).
pub(super) fn open(operation: &mut Operation<'_>, file: &Place, how: How) -> Result<Done, Stop> {
    let found = Walk::new(operation.txn, operation.caller).reach(file, true)?;
    open_found(operation, found, how)
}

/// [`Mutation::Create`](emberfs_wire::meta::Mutation::Create).
pub(super) fn create(
    operation: &mut Operation<'_>,
    parent: &Place,
    name: &Name,
    new: New,
    how: How,
) -> Result<Done, Stop> {
    let mut walk = Walk::new(operation.txn, operation.caller);
    let mut directory = walk.reach_directory(parent)?;
    let mut name = name.clone();
    loop {
        let Some(entry) = entry::lookup(operation.txn, directory.id, &name)? else {
            return make(operation, &directory, &name, new, how);
        };
        ensure(!new.exclusive, FsError::Exists)?;
        let found = Found::load(operation.txn, entry.inode)?;
        let Content::Symlink(target) = &found.inode.content else {
            ensure(entry.kind != InodeKind::Directory, FsError::IsADirectory)?;
            return open_found(operation, found, how);
        };
        (directory, name) = walk.beyond(directory, target)?;
    }
}

fn open_found(operation: &mut Operation<'_>, found: Found, how: How) -> Result<Done, Stop> {
    let Found { id, mut inode } = found;
    let writes = how.write.is_some() || how.truncate;
    let want = if how.read { READ } else { 0 } | if writes { WRITE } else { 0 };
    ensure(!writes || inode.directory().is_none(), FsError::IsADirectory)?;
    permission::check(operation.caller, &inode, want)?;
    ensure(!writes || inode.file().is_some(), FsError::NotSupported)?;
    let truncation = if how.truncate {
        truncation::set_len(operation, id, &mut inode, ByteLen::ZERO)?
    } else {
        None
    };
    if let Some(handle) = how.write {
        // Who truncates is answered after the cut; for others it may still come.
        let standing = truncation::pending(operation.txn, id)?.filter(|_| !how.truncate);
        writer::open(operation, (id, &mut inode), handle, standing.map(|standing| standing.len))?;
    }
    if writes {
        inode::store(operation.txn, id, &inode);
    }
    Ok(Done { truncation, ..Done::with(id, &inode, false) })
}

fn make(
    operation: &mut Operation<'_>,
    directory: &Found,
    name: &Name,
    new: New,
    how: How,
) -> Result<Done, Stop> {
    node::check_may_add(operation.caller, directory)?;
    let layout = layout(operation, directory, new.chunk_size)?;
    let data = count(operation.txn, |counters| counters.data.0 += 1)?.data;
    let zero = ByteLen::ZERO;
    let (recovering, cut) = (false, None);
    let file = File { data, layout, len: zero, dense_to: zero, writers: 0, recovering, cut };
    let (id, mut inode) = node::fresh(operation, directory, new.mode, Content::File(file))?;
    if let Some(handle) = how.write {
        writer::open(operation, (id, &mut inode), handle, None)?;
    }
    inode::store(operation.txn, id, &inode);
    add_name(operation, directory.id, name, EntryRecord { inode: id, kind: InodeKind::File })?;
    Ok(Done::with(id, &inode, true))
}

/// Where the bytes of a new file shall live: as its maker says, its directory, its table. Without a table of chains
/// there is no room for any.
fn layout(
    operation: &Operation<'_>,
    directory: &Found,
    size: Option<ChunkSize>,
) -> Result<FileLayout, Stop> {
    let said = directory.inode.directory().map(Directory::layout).unwrap_or_default();
    let given = cluster::given(operation.txn, said.table)?.ok_or(FsError::NoSpace)?;
    let stripe = said.stripe_over(given.chains).map_err(|_| FsError::NoSpace)?;
    Ok(FileLayout {
        chunk_size: size.or(said.chunk_size).unwrap_or(given.chunk_size),
        stripe,
        table: given.table,
        table_version: given.version,
        seed: operation.seed,
    })
}
