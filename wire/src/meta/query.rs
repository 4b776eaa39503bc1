//! Operations that change nothing.

use emberfs_layout::{ByteLen, InodeId};
use minicbor::{Decode, Encode};

use super::inode::{Attributes, Caller, InodeKind};
use super::name::{Name, Place, SymlinkTarget};
use crate::codec::list;
use crate::limits::ENTRIES_PAGE_MAX;

/// Asks something.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ask {
    /// On whose behalf.
    #[n(0)]
    pub caller: Caller,
    /// What.
    #[n(1)]
    pub query: Query,
}

/// Place in a listing: the key of the last entry seen. It stays valid whatever is added or removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Cursor(#[n(0)] pub u64);

/// What to be permitted: bits as in `access(2)`, 4 read, 2 write, 1 execute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Access(#[n(0)] pub u8);

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Query {
    /// The attributes of what is there: `stat`, and a mount's lookup.
    #[n(0)]
    Attributes {
        /// Of what.
        #[n(0)]
        of: Place,
        /// Whether a symbolic link at the end is followed.
        #[n(1)]
        follow: bool,
    },
    /// A page of a directory, without `.` and `..`, in the order of cursors.
    #[n(1)]
    List {
        /// The directory.
        #[n(0)]
        directory: Place,
        /// Behind which entry to begin; [`Cursor::START`] for the first page.
        #[n(1)]
        after: Cursor,
        /// How many entries at most; the answer may have fewer, and a few more where the last ones
        /// share a cursor.
        #[n(2)]
        limit: u32,
        /// Whether each entry comes with its attributes.
        #[n(3)]
        attributes: bool,
    },
    /// What a symbolic link points to.
    #[n(2)]
    ReadLink {
        /// Which; not followed.
        #[n(0)]
        link: Place,
    },
    /// Whether the caller may.
    #[n(3)]
    Access {
        /// What is to be reached; a symbolic link at the end is followed.
        #[n(0)]
        of: Place,
        /// How.
        #[n(1)]
        access: Access,
    },
    /// How much room there is.
    #[n(4)]
    Space,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Its name.
    #[n(0)]
    pub name: Name,
    /// Its place in the listing.
    #[n(1)]
    pub cursor: Cursor,
    /// What it names.
    #[n(2)]
    pub inode: InodeId,
    /// What kind of thing that is.
    #[n(3)]
    pub kind: InodeKind,
    /// Its attributes, if they were asked for.
    #[n(4)]
    pub attributes: Option<Attributes>,
}

/// Room of the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Space {
    /// Bytes that files could take: what disks have, divided by the replicas.
    #[n(0)]
    pub total: ByteLen,
    /// Bytes that are free, by the same measure.
    #[n(1)]
    pub free: ByteLen,
    /// Inodes that are there.
    #[n(2)]
    pub inodes: u64,
}

/// Answers [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum QueryReply {
    /// Of [`Query::Attributes`] and of [`Query::Access`] that is permitted.
    #[n(0)]
    Attributes(#[n(0)] Attributes),
    /// Of [`Query::List`].
    #[n(1)]
    Entries {
        /// The directory itself, `.`.
        #[n(0)]
        directory: Attributes,
        /// Its parent, `..`.
        #[n(1)]
        parent: InodeId,
        /// The page.
        #[cbor(n(2), decode_with = "list::<ENTRIES_PAGE_MAX, _, _>")]
        entries: Vec<Entry>,
        /// Whether nothing follows.
        #[n(3)]
        end: bool,
    },
    /// Of [`Query::ReadLink`].
    #[n(2)]
    Target(#[n(0)] SymlinkTarget),
    /// Of [`Query::Space`].
    #[n(3)]
    Space(#[n(0)] Space),
    /// The caller's groups decide, and were not given: ask again with them.
    #[n(4)]
    GroupsNeeded,
}

impl Cursor {
    /// Before the first entry.
    pub const START: Self = Self(0);
}
