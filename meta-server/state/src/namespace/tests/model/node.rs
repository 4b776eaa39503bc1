//! A node of the model: what it is, whose, and what it allows.

use std::collections::BTreeMap;

use emberfs_wire::FsError::{self, PermissionDenied};
use emberfs_wire::meta::Caller;

/// Number of a node: its place in the model's list.
pub(super) type Id = usize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::namespace::tests) enum Kind {
    File { size: u64 },
    Link(String),
    Directory { entries: BTreeMap<String, Id>, parent: Id },
}

/// Chunk size as its logarithm, stripe, table: of a directory what it says, of a file what it has.
pub(in crate::namespace::tests) type Layout = [Option<u32>; 3];

#[derive(Clone, Debug)]
pub(in crate::namespace::tests) struct Node {
    pub(in crate::namespace::tests) kind: Kind,
    pub(in crate::namespace::tests) mode: u16,
    pub(in crate::namespace::tests) uid: u32,
    pub(in crate::namespace::tests) gid: u32,
    pub(super) names: u32,
    pub(in crate::namespace::tests) layout: Layout,
}

pub(super) fn member(who: &Caller, gid: u32) -> bool {
    who.gid == gid || who.groups.as_ref().is_some_and(|groups| groups.contains(&gid))
}

pub(super) fn fail<T>(error: FsError) -> Result<T, FsError> {
    Err(error)
}

impl Node {
    pub(super) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory { .. })
    }

    pub(super) fn allows(&self, who: &Caller, bits: u16) -> bool {
        if who.uid == 0 {
            return bits & 1 == 0 || self.is_directory() || self.mode & 0o111 != 0;
        }
        let granted = match () {
            () if who.uid == self.uid => self.mode / 0o100,
            () if member(who, self.gid) => self.mode / 0o10,
            () => self.mode,
        };
        granted & bits == bits
    }

    pub(super) fn need(&self, who: &Caller, bits: u16) -> Result<(), FsError> {
        if self.allows(who, bits) { Ok(()) } else { fail(PermissionDenied) }
    }

    pub(super) fn strip_ids(&mut self, who: &Caller) {
        self.mode &= !0o4000;
        if self.mode & 0o10 != 0 || !(who.uid == 0 || member(who, self.gid)) {
            self.mode &= !0o2000;
        }
    }
}
