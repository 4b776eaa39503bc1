//! From a place to the inode there.
//!
//! The walk starts at the place's inode, or at the root if the path begins with `/` (also that of a
//! symbolic link). Each directory that it passes through needs execute permission; each symbolic link
//! on the way is followed, at most [`SYMLINKS_MAX`] in all. A path that ends in `/` or `/.` names a
//! directory, and its last link is followed.

use std::collections::VecDeque;

use emberfs_layout::InodeId;
use emberfs_wire::FsError;
use emberfs_wire::limits::NAME_BYTES_MAX;
use emberfs_wire::meta::{Caller, Name, Path, Place, SymlinkTarget};

use crate::transaction::View;

use super::entry;
use super::inode::{self, Content, Inode, ROOT};
use super::permission::{self, EXECUTE};
use super::stop::{Stop, ensure};

/// Symbolic links followed in one walk: what Linux allows.
const SYMLINKS_MAX: u32 = 40;

/// An inode and its number.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: InodeId,
    pub(super) inode: Inode,
}

/// A walk under way.
pub(super) struct Walk<'a> {
    view: &'a dyn View,
    caller: &'a Caller,
    links: u32,
}

fn ends_as_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || path.ends_with(b"/.") || path == b"."
}

fn parts(path: &Path) -> VecDeque<Vec<u8>> {
    path.parts().map(<[u8]>::to_owned).collect()
}

impl Found {
    /// One that the caller names by its number.
    pub(super) fn start(view: &dyn View, id: InodeId) -> Result<Self, Stop> {
        let inode = inode::find(view, id)?.ok_or(FsError::Stale)?;
        Ok(Self { id, inode })
    }

    /// One that another record names.
    pub(super) fn load(view: &dyn View, id: InodeId) -> Result<Self, Stop> {
        Ok(Self { id, inode: inode::load(view, id)? })
    }
}

impl<'a> Walk<'a> {
    /// A walk that has followed no link yet.
    pub(super) fn new(view: &'a dyn View, caller: &'a Caller) -> Self {
        Self { view, caller, links: 0 }
    }

    /// The inode at `place`; `follow` says whether a symbolic link at the end is followed.
    pub(super) fn reach(&mut self, place: &Place, follow: bool) -> Result<Found, Stop> {
        let absolute = place.path.as_bytes().starts_with(b"/");
        let start = if absolute { ROOT } else { place.start };
        self.walk(Found::start(self.view, start)?, &place.path, follow)
    }

    /// The directory at `place`, passable by the caller.
    pub(super) fn reach_directory(&mut self, place: &Place) -> Result<Found, Stop> {
        let found = self.reach(place, true)?;
        self.check_passable(&found)?;
        Ok(found)
    }

    /// Where a name would be made that is now this link's: the directory and name that it points to.
    pub(super) fn beyond(
        &mut self,
        directory: Found,
        target: &SymlinkTarget,
    ) -> Result<(Found, Name), Stop> {
        self.follow_one()?;
        let bytes = target.as_bytes();
        ensure(!ends_as_directory(bytes), FsError::IsADirectory)?;
        let split = bytes.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
        let (way, name) = bytes.split_at(split);
        ensure(name != b"..", FsError::IsADirectory)?;
        let name = Name::new(name).map_err(FsError::from)?;
        let way = Path::new(way).expect("part of a target, which is shorter than a path");
        let start = if way.as_bytes().starts_with(b"/") {
            Found::load(self.view, ROOT)?
        } else {
            directory
        };
        let directory = self.walk(start, &way, true)?;
        self.check_passable(&directory)?;
        Ok((directory, name))
    }

    fn check_passable(&self, found: &Found) -> Result<(), Stop> {
        ensure(found.inode.directory().is_some(), FsError::NotADirectory)?;
        permission::check(self.caller, &found.inode, EXECUTE)
    }

    fn follow_one(&mut self) -> Result<(), Stop> {
        self.links += 1;
        ensure(self.links <= SYMLINKS_MAX, FsError::SymlinkLoop)
    }

    fn walk(&mut self, start: Found, path: &Path, follow: bool) -> Result<Found, Stop> {
        let mut at = start;
        let mut rest = parts(path);
        let mut directory_wanted = ends_as_directory(path.as_bytes());
        while let Some(part) = rest.pop_front() {
            let next = self.step(&at, part)?;
            let Content::Symlink(target) = &next.inode.content else {
                at = next;
                continue;
            };
            if rest.is_empty() && !follow && !directory_wanted {
                return Ok(next);
            }
            self.follow_one()?;
            let target = target.as_bytes();
            directory_wanted |= rest.is_empty() && ends_as_directory(target);
            if target.starts_with(b"/") {
                at = Found::load(self.view, ROOT)?;
            }
            let target = Path::new(target).expect("a target is shorter than a path");
            parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
        }
        let wrong = directory_wanted && at.inode.directory().is_none();
        ensure(!wrong, FsError::NotADirectory)?;
        Ok(at)
    }

    fn step(&self, at: &Found, part: Vec<u8>) -> Result<Found, Stop> {
        self.check_passable(at)?;
        if part == b".." {
            let parent = at.inode.directory().ok_or(FsError::NotADirectory)?.parent;
            let inode = inode::find(self.view, parent)?.ok_or(FsError::NotFound)?;
            return Ok(Found { id: parent, inode });
        }
        ensure(part.len() <= NAME_BYTES_MAX, FsError::NameTooLong)?;
        let name = Name::new(part).map_err(FsError::from)?;
        let entry = entry::lookup(self.view, at.id, &name)?.ok_or(FsError::NotFound)?;
        Found::load(self.view, entry.inode)
    }
}
