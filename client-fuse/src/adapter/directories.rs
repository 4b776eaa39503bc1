//! Listing directories.
//!
//! An entry's offset is its cursor: the place *behind* it, which stays valid whatever is added or removed.
//! Entries that share a cursor (two names with equal hashes, rarer than one listing in 10⁸ of a million
//! names) must not be parted: all but the last of them say the place before them all, so that a reader
//! who stops between them sees them twice rather than not at all.

use emberfs_client::{
    Access, Attributes, Credentials, Cursor, Entry, InodeId, InodeKind, Meta, Page, Place,
};

use super::{Adapter, ask};
use crate::caller::Caller;
use crate::errno::Errno;

/// Offset behind `.`; the start is 0.
const BEHIND_SELF: u64 = 1;
/// Offset behind `..`; entries lie behind it.
const BEHIND_PARENT: u64 = 2;

/// A directory that is open for reading.
#[derive(Debug)]
pub struct OpenDirectory {
    /// It may do all, and lists this directory, which is what was permitted when it was opened: that is not asked
    /// again, and who opened it may be gone, with its groups.
    meta: Meta,
    inode: InodeId,
}

/// An entry as a program sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Vec<u8>,
    /// What it names.
    pub inode: InodeId,
    /// What kind of thing that is.
    pub kind: InodeKind,
    /// Where to go on behind it.
    pub offset: u64,
    /// Its attributes, if they were asked for; never those of `.` and `..`.
    pub attributes: Option<Attributes>,
}

impl Adapter {
    /// `opendir`.
    ///
    /// # Errors
    /// An [`Errno`], as of all functions here.
    pub async fn opendir(&self, caller: Caller, inode: InodeId) -> Result<u64, Errno> {
        const READ: Access = Access(4);
        ask(self.meta(caller).access(Place::inode(inode), READ)).await?;
        let meta = self.client.meta(Credentials::root());
        self.directories.insert(OpenDirectory { meta, inode })
    }

    /// `readdir` and, with attributes, `readdirplus`: at most about `limit` entries behind `offset`, and
    /// where to go on, unless that was all.
    ///
    /// # Errors
    /// An [`Errno`].
    pub async fn list(
        &self,
        directory: u64,
        offset: u64,
        (limit, attributes): (u32, bool),
    ) -> Result<(Vec<Listed>, Option<u64>), Errno> {
        let directory = self.directories.get(directory)?;
        let OpenDirectory { meta, inode } = &*directory;
        let after = if offset > BEHIND_PARENT { Cursor(offset) } else { Cursor::START };
        let page = ask(meta.list(Place::inode(*inode), after, limit, attributes)).await?;
        let next = page.entries.last().filter(|_| !page.end).map(|last| last.cursor.0);
        let mut listed = listed(page, offset);
        if attributes {
            self.complete(meta, &mut listed).await?;
        }
        Ok((listed, next))
    }

    /// `releasedir`.
    pub fn releasedir(&self, directory: u64) {
        self.directories.remove(directory);
    }

    /// Asks for attributes that did not come with the page, or are older than what was written here.
    async fn complete(&self, meta: &Meta, listed: &mut Vec<Listed>) -> Result<(), Errno> {
        for entry in listed.iter_mut().filter(|entry| !entry.is_dot()) {
            let found = match entry.attributes {
                Some(found) => self.settled(meta, found).await,
                None => ask(meta.attributes(Place::inode(entry.inode), false)).await,
            };
            entry.attributes = unless_gone(found)?;
        }
        listed.retain(|entry| entry.is_dot() || entry.attributes.is_some());
        Ok(())
    }
}

impl Listed {
    /// Whether it is the directory itself or the one above.
    #[must_use]
    pub fn is_dot(&self) -> bool {
        matches!(self.name.as_slice(), b"." | b"..")
    }
}

/// What was found, if it is there still: what was listed and removed since is no failure of the listing.
fn unless_gone(found: Result<Attributes, Errno>) -> Result<Option<Attributes>, Errno> {
    match found {
        Err(Errno::NOENT | Errno::STALE) => Ok(None),
        found => found.map(Some),
    }
}

/// A page as it is listed behind `offset`.
fn listed(page: Page, offset: u64) -> Vec<Listed> {
    let Page { directory, parent, entries, .. } = page;
    let dots = [(&b"."[..], directory.inode, BEHIND_SELF), (b"..", parent, BEHIND_PARENT)];
    let dots = dots.into_iter().filter(|(_, _, behind)| offset < *behind);
    let kind = InodeKind::Directory;
    let dots = dots.map(|(name, inode, offset)| Listed {
        name: name.to_vec(),
        inode,
        kind,
        offset,
        attributes: None,
    });
    let shared: Vec<bool> = entries.windows(2).map(|two| two[0].cursor == two[1].cursor).collect();
    let shared = shared.into_iter().chain([false]);
    let named = entries.into_iter().zip(shared).map(|(entry, shared)| {
        let Entry { name, cursor, inode, kind, attributes } = entry;
        let offset = cursor.0 - u64::from(shared);
        Listed { name: name.as_bytes().to_vec(), inode, kind, offset, attributes }
    });
    dots.chain(named).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use emberfs_client::{ByteLen, Device, Mode, Name, Time};

    pub(in crate::adapter) fn directory() -> Attributes {
        let (inode, kind, mode, time) =
            (InodeId(7), InodeKind::Directory, Mode(0o755), Time::default());
        let (size, device, change) = (ByteLen(0), Device::default(), Default::default());
        let (atime, mtime, ctime) = (time, time, time);
        let (uid, gid, nlink, lease_ms, data, layout) = (0, 0, 2, 0, None, None);
        Attributes {
            inode,
            kind,
            mode,
            uid,
            gid,
            nlink,
            size,
            atime,
            mtime,
            ctime,
            device,
            change,
            lease_ms,
            data,
            layout,
        }
    }

    fn page(cursors: &[u64]) -> Page {
        let entries = cursors.iter().enumerate().map(|(number, cursor)| Entry {
            name: Name::new(format!("n{number}")).expect("a name"),
            cursor: Cursor(*cursor),
            inode: InodeId(100 + number as u64),
            kind: InodeKind::File,
            attributes: None,
        });
        Page { directory: directory(), parent: InodeId(1), entries: entries.collect(), end: true }
    }

    fn offsets(page: Page, from: u64) -> Vec<u64> {
        listed(page, from).iter().map(|entry| entry.offset).collect()
    }

    #[test]
    fn dots_come_first_and_once() {
        assert_eq!(offsets(page(&[10, 20]), 0), [1, 2, 10, 20]);
        assert_eq!(offsets(page(&[10, 20]), 1), [2, 10, 20]);
        assert_eq!(offsets(page(&[10, 20]), 2), [10, 20]);
        let two = listed(page(&[]), 0);
        assert_eq!((two[0].inode, two[1].inode), (InodeId(7), InodeId(1)));
    }

    #[test]
    fn what_was_removed_meanwhile_is_left_out_and_other_failures_are_told() {
        assert_eq!(unless_gone(Ok(directory())), Ok(Some(directory())));
        for gone in [Errno::NOENT, Errno::STALE] {
            assert_eq!(unless_gone(Err(gone)), Ok(None));
        }
        assert_eq!(unless_gone(Err(Errno::TIMEDOUT)), Err(Errno::TIMEDOUT));
    }

    #[test]
    fn entries_with_one_cursor_are_not_parted() {
        let offsets = offsets(page(&[10, 20, 20, 20, 30]), 10);
        assert_eq!(offsets, [10, 19, 19, 20, 30], "19 shows all three again, 20 none");
    }
}
