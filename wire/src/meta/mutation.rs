//! Operations that change the namespace. Raft replicates them as they stand here.

use emberfs_layout::{ByteLen, ChunkSize, FileOffset, InodeId, Sequence};
use minicbor::{Decode, Encode};

use super::inode::{Attributes, Caller, Device, InodeKind, Mode, Time};
use super::layout::LayoutChange;
use super::name::{Name, Place, SymlinkTarget};
use super::session::{HandleId, Slot};

/// Asks for a change, once for each [`Slot`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Mutate {
    /// Which request of which session.
    #[n(0)]
    pub slot: Slot,
    /// On whose behalf.
    #[n(1)]
    pub caller: Caller,
    /// The change.
    #[n(2)]
    pub mutation: Mutation,
}

/// A change of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Mutation {
    /// Creates a regular file, or opens the one that has the name.
    #[n(0)]
    Create {
        /// The directory.
        #[n(0)]
        parent: Place,
        /// The name in it.
        #[n(1)]
        name: Name,
        /// Permission bits of a new file, the caller's umask already taken off.
        #[n(2)]
        mode: Mode,
        /// Refuse if the name is taken (`O_EXCL`).
        #[n(3)]
        exclusive: bool,
        /// Cut a file that is there to nothing (`O_TRUNC`).
        #[n(4)]
        truncate: bool,
        /// Whether it is opened for reading.
        #[n(5)]
        read: bool,
        /// Opens it for writing under this handle.
        #[n(6)]
        write: Option<HandleId>,
        /// Chunk size of a new file; `None`: as its directory says.
        #[n(7)]
        chunk_size: Option<ChunkSize>,
    },
    /// Makes something without bytes or entries.
    #[n(1)]
    MakeNode {
        /// The directory.
        #[n(0)]
        parent: Place,
        /// The name in it.
        #[n(1)]
        name: Name,
        /// Permission bits, the caller's umask already taken off.
        #[n(2)]
        mode: Mode,
        /// What to make.
        #[n(3)]
        node: NewNode,
    },
    /// Gives a file another name.
    #[n(2)]
    Link {
        /// The file; a symbolic link at the end is not followed.
        #[n(0)]
        file: Place,
        /// The directory.
        #[n(1)]
        parent: Place,
        /// The new name in it.
        #[n(2)]
        name: Name,
    },
    /// Removes a name.
    #[n(3)]
    Remove {
        /// The directory.
        #[n(0)]
        parent: Place,
        /// The name in it.
        #[n(1)]
        name: Name,
        /// What it may be.
        #[n(2)]
        kind: RemoveKind,
    },
    /// Moves a name, in one step.
    #[n(4)]
    Rename {
        /// The directory that has the name.
        #[n(0)]
        parent: Place,
        /// The name.
        #[n(1)]
        name: Name,
        /// The directory that shall have it.
        #[n(2)]
        new_parent: Place,
        /// The name there; what has it is replaced, unless the flags say otherwise.
        #[n(3)]
        new_name: Name,
        /// What `renameat2` was told.
        #[n(4)]
        flags: RenameFlags,
    },
    /// Changes attributes.
    #[n(5)]
    SetAttributes {
        /// Of what.
        #[n(0)]
        of: Place,
        /// Whether a symbolic link at the end is followed.
        #[n(1)]
        follow: bool,
        /// The changes.
        #[n(2)]
        change: AttributeChange,
    },
    /// Opens a file that is there.
    #[n(6)]
    Open {
        /// Which; a symbolic link at the end is followed.
        #[n(0)]
        file: Place,
        /// Whether it is opened for reading.
        #[n(1)]
        read: bool,
        /// Opens it for writing under this handle.
        #[n(2)]
        write: Option<HandleId>,
        /// Cut it to nothing (`O_TRUNC`).
        #[n(3)]
        truncate: bool,
    },
    /// Says what was written under a handle, and perhaps closes it.
    #[n(7)]
    Report {
        /// The file.
        #[n(0)]
        inode: InodeId,
        /// The handle.
        #[n(1)]
        handle: HandleId,
        /// Acknowledged bytes not reported before; `None`: none.
        #[n(2)]
        written: Option<WrittenRange>,
        /// Whether the handle is closed.
        #[n(3)]
        close: bool,
    },
    /// Reserves the next bytes behind the end of a file for one append.
    #[n(8)]
    Reserve {
        /// The file.
        #[n(0)]
        inode: InodeId,
        /// The handle that appends.
        #[n(1)]
        handle: HandleId,
        /// How many bytes.
        #[n(2)]
        len: ByteLen,
    },
    /// Changes what new files in a directory get; those that are there keep their layouts.
    #[n(9)]
    SetLayout {
        /// The directory; a symbolic link at the end is followed.
        #[n(0)]
        of: Place,
        /// The changes.
        #[n(1)]
        change: LayoutChange,
    },
}

/// What [`Mutation::MakeNode`] makes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum NewNode {
    /// A directory.
    #[n(0)]
    Directory,
    /// A symbolic link.
    #[n(1)]
    Symlink(#[n(0)] SymlinkTarget),
    /// A named pipe, socket or device; other kinds are refused.
    #[n(2)]
    Special(#[n(0)] InodeKind, #[n(1)] Device),
}

/// What [`Mutation::Remove`] may remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RemoveKind {
    /// Anything but a directory (`unlink`).
    #[n(0)]
    File,
    /// An empty directory (`rmdir`).
    #[n(1)]
    Directory,
    /// Anything, with all that is in it.
    #[n(2)]
    Tree,
}

/// Flags of `renameat2`, as Linux numbers them: [`Self::NO_REPLACE`] or [`Self::EXCHANGE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct RenameFlags(#[n(0)] pub u32);

impl RenameFlags {
    /// A new name that is there is not replaced.
    pub const NO_REPLACE: Self = Self(1);
    /// What has the new name gets the old one.
    pub const EXCHANGE: Self = Self(2);
}

/// What a time is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum SetTime {
    /// The leader's clock.
    #[n(0)]
    Now,
    /// This moment.
    #[n(1)]
    At(#[n(0)] Time),
}

/// Attributes to be changed; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AttributeChange {
    /// Permission bits.
    #[n(0)]
    pub mode: Option<Mode>,
    /// Owner.
    #[n(1)]
    pub uid: Option<u32>,
    /// Group.
    #[n(2)]
    pub gid: Option<u32>,
    /// Length of a file: what lies behind is gone when the call returns, what is new reads as zeros.
    #[n(3)]
    pub size: Option<ByteLen>,
    /// Last read.
    #[n(4)]
    pub atime: Option<SetTime>,
    /// Last change of bytes.
    #[n(5)]
    pub mtime: Option<SetTime>,
    /// The handle that it goes through, if the file is open for writing under one: `ftruncate` needs no
    /// permission of its own.
    #[n(6)]
    pub handle: Option<HandleId>,
}

/// Bytes that chains acknowledged: `start` to `end`, without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WrittenRange {
    /// Where they begin.
    #[n(0)]
    pub start: FileOffset,
    /// Where they end: the furthest end that was written.
    #[n(1)]
    pub end: FileOffset,
    /// The last cut of the file that the writer had heard of before it began to write any of them
    /// ([`FileData::cut`](super::inode::FileData::cut)): they come after that, and perhaps before later ones.
    #[n(2)]
    pub since: Option<Sequence>,
}

/// Answers [`Mutate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum MutationReply {
    /// Of all that make, open or change an inode: how it is now.
    #[n(0)]
    Inode {
        /// Its attributes.
        #[n(0)]
        attributes: Attributes,
        /// Whether it was made by this. No client of ours reads it yet.
        #[n(1)]
        created: bool,
    },
    /// Of a removal or a renaming.
    #[n(1)]
    Done,
    /// Of a reservation.
    #[n(2)]
    Reserved {
        /// Where the reserved bytes begin.
        #[n(0)]
        at: FileOffset,
        /// The file now.
        #[n(1)]
        attributes: Attributes,
    },
    /// The caller's groups decide, and were not given: send the same again, with them, as a new request.
    #[n(3)]
    GroupsNeeded,
}
