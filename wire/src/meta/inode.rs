//! What an inode says of itself, and on whose behalf something is asked.

use emberfs_layout::{
    ByteLen, ChangeNumber, DataId, DirectoryLayout, FileLayout, InodeId, Sequence,
};
use minicbor::{Decode, Encode};

use crate::codec::list;
use crate::limits::GROUPS_MAX;

/// What kind of thing an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum InodeKind {
    /// A regular file.
    #[n(0)]
    File,
    /// A directory.
    #[n(1)]
    Directory,
    /// A symbolic link.
    #[n(2)]
    Symlink,
    /// A named pipe.
    #[n(3)]
    Fifo,
    /// A socket.
    #[n(4)]
    Socket,
    /// A character device.
    #[n(5)]
    CharDevice,
    /// A block device.
    #[n(6)]
    BlockDevice,
}

/// Permission bits with set-user-id, set-group-id and sticky: the low 12 bits of `st_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Mode(#[n(0)] pub u16);

/// Number of a device node, as `st_rdev` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Device(#[n(0)] pub u64);

/// A moment since 1970-01-01 00:00 UTC; before it the seconds are negative, the nanoseconds never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Time {
    /// Whole seconds.
    #[n(0)]
    pub seconds: i64,
    /// Nanoseconds beyond them, below 10⁹.
    #[n(1)]
    pub nanos: u32,
}

/// On whose behalf something is asked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Caller {
    /// User.
    #[n(0)]
    pub uid: u32,
    /// Group.
    #[n(1)]
    pub gid: u32,
    /// Supplementary groups; `None`: not looked up, ask for them where they matter.
    #[cbor(n(2), decode_with = "some_groups")]
    pub groups: Option<Vec<u32>>,
}

fn some_groups<'b, C>(
    d: &mut minicbor::Decoder<'b>,
    ctx: &mut C,
) -> Result<Option<Vec<u32>>, minicbor::decode::Error> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        return Ok(None);
    }
    list::<GROUPS_MAX, _, _>(d, ctx).map(Some)
}

/// An inode's attributes, with what its bytes need to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Attributes {
    /// Which inode.
    #[n(0)]
    pub inode: InodeId,
    /// What it is.
    #[n(1)]
    pub kind: InodeKind,
    /// Permission bits.
    #[n(2)]
    pub mode: Mode,
    /// Owner.
    #[n(3)]
    pub uid: u32,
    /// Group.
    #[n(4)]
    pub gid: u32,
    /// Hard links; of a directory 2 and one for each directory in it.
    #[n(5)]
    pub nlink: u32,
    /// Bytes: of a file its length, of a symbolic link its target's, of a directory its entries' number.
    #[n(6)]
    pub size: ByteLen,
    /// Last read.
    #[n(7)]
    pub atime: Time,
    /// Last change of bytes or entries.
    #[n(8)]
    pub mtime: Time,
    /// Last change of anything.
    #[n(9)]
    pub ctime: Time,
    /// Which device, if it is one.
    #[n(10)]
    pub device: Device,
    /// Grows with each change: the key of what clients cache.
    #[n(11)]
    pub change: ChangeNumber,
    /// For how long these may be cached, in milliseconds; 0 today.
    #[n(12)]
    pub lease_ms: u32,
    /// How to find the bytes; `None` if it is no file.
    #[n(13)]
    pub data: Option<FileData>,
    /// Of a directory, what new files in it get; `None`: what the cluster gives, or it is no directory.
    #[n(14)]
    pub layout: Option<DirectoryLayout>,
}

/// Where a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileData {
    /// What chunks know them as.
    #[n(0)]
    pub id: DataId,
    /// How they are laid out.
    #[n(1)]
    pub layout: FileLayout,
    /// Up to here every byte was written: an absent chunk below it is a lost one.
    #[n(2)]
    pub dense_to: ByteLen,
    /// Whether the length is exact; otherwise a session has the file open for writing, and may have
    /// written further.
    #[n(3)]
    pub exact: bool,
    /// The last cut that the chains have carried out, by its round; `None`: none. What is written by
    /// whoever has heard of it comes after it.
    #[n(4)]
    pub cut: Option<Sequence>,
}
