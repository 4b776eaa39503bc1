//! Questions about the tree, answered from one consistent view.

use emberfs_layout::InodeId;
use emberfs_wire::FsError;
use emberfs_wire::limits::{ENTRIES_PAGE_MAX, MESSAGE_BYTES_MAX};
use emberfs_wire::meta::{Access, Ask, Caller, Cursor, Entry, Place, Query, QueryReply};

use crate::command::Unfinished;
use crate::transaction::{StoreError, View};

use super::counters::counters;
use super::entry::{self, Listed};
use super::inode::{self, Content};
use super::permission::{self, EXECUTE, READ};
use super::recovery;
use super::stop::{Stop, ensure};
use super::walk::{Found, Walk};

/// Entries that may share a cursor at the end of a page: two are rarer than one listing in 10⁸ of a million
/// names.
const SHARED_CURSOR_MAX: usize = 64;

/// Bytes of an entry without its name and attributes, and of attributes: not less than their codec takes.
const ENTRY_BYTES: usize = 40;
const ATTRIBUTES_BYTES: usize = 220;

/// What comes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply.
    Reply(QueryReply),
    /// The answer is no.
    Refused(FsError),
    /// Finish this, then ask again: how long the file is only its chains know.
    After(Unfinished),
}

/// Answers a question. [`Query::Space`] is answered with the inodes alone: bytes stand in the leader's
/// memory.
///
/// # Errors
/// [`StoreError`].
pub fn ask(view: &dyn View, ask: &Ask) -> Result<Answer, StoreError> {
    match answer(view, &ask.caller, &ask.query) {
        Ok(reply) => Ok(Answer::Reply(reply)),
        Err(Stop::Refused(why)) => Ok(Answer::Refused(why)),
        Err(Stop::GroupsNeeded) => Ok(Answer::Reply(QueryReply::GroupsNeeded)),
        Err(Stop::Blocked(by)) => Ok(Answer::After(by)),
        Err(Stop::Store(error)) => Err(error),
    }
}

/// How many inodes there are, also those that are being removed.
///
/// # Errors
/// [`StoreError`].
pub fn inode_count(view: &dyn View) -> Result<u64, StoreError> {
    Ok(counters(view)?.inodes)
}

fn answer(view: &dyn View, caller: &Caller, query: &Query) -> Result<QueryReply, Stop> {
    let mut walk = Walk::new(view, caller);
    match query {
        Query::Attributes { of, follow } => settled(view, walk.reach(of, *follow)?),
        Query::Access { of, access } => {
            let Access(bits) = *access;
            ensure(bits <= 7, FsError::InvalidArgument)?;
            let found = walk.reach(of, true)?;
            permission::check(caller, &found.inode, bits.into())?;
            settled(view, found)
        }
        Query::List { directory, after, limit, attributes } => {
            let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
            list(view, caller, directory, *after, (limit, *attributes))
        }
        Query::ReadLink { link } => match walk.reach(link, false)?.inode.content {
            Content::Symlink(target) => Ok(QueryReply::Target(target)),
            _ => Err(FsError::InvalidArgument.into()),
        },
        Query::Space => Ok(QueryReply::Space(emberfs_wire::meta::Space {
            inodes: inode_count(view)?,
            ..Default::default()
        })),
    }
}

/// The attributes, if the length is not in doubt.
fn settled(view: &dyn View, Found { id, inode }: Found) -> Result<QueryReply, Stop> {
    if inode.file().is_some_and(|file| file.recovering) {
        recovery::check_settled(view, id)?;
    }
    Ok(QueryReply::Attributes(inode.attributes(id)))
}

/// A page of a directory. Entries whose length is in doubt come without their attributes: they are to be
/// asked for one by one. Who may read the names but not pass through the directory gets names alone.
fn list(
    view: &dyn View,
    caller: &Caller,
    directory: &Place,
    after: Cursor,
    (limit, with_attributes): (usize, bool),
) -> Result<QueryReply, Stop> {
    let Found { id, inode } = Walk::new(view, caller).reach(directory, true)?;
    let parent = inode.directory().ok_or(FsError::NotADirectory)?.parent;
    permission::check(caller, &inode, READ)?;
    let with_attributes = with_attributes && permission::may(caller, &inode, EXECUTE)?;
    let limit = limit.clamp(1, ENTRIES_PAGE_MAX - SHARED_CURSOR_MAX);
    let (mut page, mut end) = entry::page(view, id, after, limit)?;
    let fits = entries_that_fit(&page, with_attributes);
    end &= fits == page.len();
    page.truncate(fits);
    let mut entries = Vec::with_capacity(page.len());
    for Listed { name, cursor, record } in page {
        let attributes = if with_attributes { attributes(view, record.inode)? } else { None };
        entries.push(Entry { name, cursor, inode: record.inode, kind: record.kind, attributes });
    }
    Ok(QueryReply::Entries { directory: inode.attributes(id), parent, entries, end })
}

fn attributes(
    view: &dyn View,
    id: InodeId,
) -> Result<Option<emberfs_wire::meta::Attributes>, StoreError> {
    let inode = inode::load(view, id)?;
    let in_doubt = inode.file().is_some_and(|file| file.recovering);
    Ok((!in_doubt).then(|| inode.attributes(id)))
}

/// How many of the entries make a page of at most a quarter of a message, without parting equal cursors.
fn entries_that_fit(page: &[Listed], with_attributes: bool) -> usize {
    let each = ENTRY_BYTES + if with_attributes { ATTRIBUTES_BYTES } else { 0 };
    let mut left = MESSAGE_BYTES_MAX as usize / 4;
    let mut fits = 0;
    for same in page.chunk_by(|a, b| a.cursor == b.cursor) {
        let bytes = same.iter().map(|entry| each + entry.name.as_bytes().len()).sum::<usize>();
        if bytes > left {
            break;
        }
        left -= bytes;
        fits += same.len();
    }
    fits
}
