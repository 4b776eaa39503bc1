//! The inode record, and how it becomes the attributes that clients see.

use emberfs_layout::{
    ByteLen, ChangeNumber, DataId, DirectoryLayout, FileLayout, InodeId, Sequence,
};
use emberfs_wire::meta::inode::FileData;
use emberfs_wire::meta::{Attributes, Device, InodeKind, Mode, SymlinkTarget, Time};
use minicbor::{Decode, Encode};

use crate::keys::{Kind, key};
use crate::transaction::{StoreError, Transaction, View, damaged, get_record, put_record};

/// The directory from which all others are reached.
pub const ROOT: InodeId = InodeId::ROOT;

/// Value of [`Kind::Inode`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Inode {
    /// Permission bits.
    #[n(0)]
    pub(super) mode: Mode,
    #[n(1)]
    pub(super) uid: u32,
    #[n(2)]
    pub(super) gid: u32,
    /// Names that it has; of a directory 2 and one for each directory in it; 0 once it is removed.
    #[n(3)]
    pub(super) nlink: u32,
    #[n(4)]
    pub(super) atime: Time,
    #[n(5)]
    pub(super) mtime: Time,
    #[n(6)]
    pub(super) ctime: Time,
    #[n(7)]
    pub(super) change: ChangeNumber,
    #[n(8)]
    pub(super) content: Content,
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Content {
    #[n(0)]
    File(#[n(0)] File),
    #[n(1)]
    Directory(#[n(0)] Directory),
    #[n(2)]
    Symlink(#[n(0)] SymlinkTarget),
    /// A named pipe, socket or device.
    #[n(3)]
    Special(#[n(0)] InodeKind, #[n(1)] Device),
}

/// A regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct File {
    #[n(0)]
    pub(super) data: DataId,
    #[n(1)]
    pub(super) layout: FileLayout,
    #[n(2)]
    pub(super) len: ByteLen,
    /// Up to here every byte was written.
    #[n(3)]
    pub(super) dense_to: ByteLen,
    /// How many handles have it open for writing: as many as it has records of [`Kind::Writer`].
    #[n(4)]
    pub(super) writers: u32,
    /// Whether its chains must be asked how long it is: it has a record of [`Kind::LengthRecovery`].
    #[n(5)]
    pub(super) recovering: bool,
    /// The round of the last cut that its chains have carried out.
    #[n(6)]
    pub(super) cut: Option<Sequence>,
}

/// A directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Directory {
    /// The directory that it is in; the root is in itself.
    #[n(0)]
    pub(super) parent: InodeId,
    /// How many entries it has.
    #[n(1)]
    pub(super) entries: u64,
    /// What new files in it get; `None`: it says nothing.
    #[n(2)]
    layout: Option<DirectoryLayout>,
}

impl File {
    /// Whether nobody can have written behind `len`.
    pub(super) fn exact(&self) -> bool {
        self.writers == 0 && !self.recovering
    }

    pub(super) fn data(&self) -> FileData {
        let Self { data: id, layout, dense_to, cut, .. } = *self;
        FileData { id, layout, dense_to, exact: self.exact(), cut }
    }
}

impl Directory {
    /// An empty one in `parent`, which says this of new files.
    pub(super) fn new(parent: InodeId, layout: DirectoryLayout) -> Self {
        Self { parent, entries: 0, layout: Some(layout).filter(|layout| !layout.is_empty()) }
    }

    /// What it says of new files.
    pub(super) fn layout(&self) -> DirectoryLayout {
        self.layout.unwrap_or_default()
    }

    pub(super) fn set_layout(&mut self, layout: DirectoryLayout) {
        self.layout = Self::new(self.parent, layout).layout;
    }
}

impl Inode {
    pub(super) fn kind(&self) -> InodeKind {
        match &self.content {
            Content::File(_) => InodeKind::File,
            Content::Directory(_) => InodeKind::Directory,
            Content::Symlink(_) => InodeKind::Symlink,
            Content::Special(kind, _) => *kind,
        }
    }

    pub(super) fn file(&self) -> Option<&File> {
        if let Content::File(file) = &self.content { Some(file) } else { None }
    }

    pub(super) fn file_mut(&mut self) -> Option<&mut File> {
        if let Content::File(file) = &mut self.content { Some(file) } else { None }
    }

    pub(super) fn directory(&self) -> Option<&Directory> {
        if let Content::Directory(directory) = &self.content { Some(directory) } else { None }
    }

    pub(super) fn directory_mut(&mut self) -> Option<&mut Directory> {
        if let Content::Directory(directory) = &mut self.content { Some(directory) } else { None }
    }

    /// Notes a change of anything.
    pub(super) fn touch(&mut self, now: Time) {
        self.ctime = now;
        self.change = self.change.next();
    }

    /// Notes a change of bytes or entries.
    pub(super) fn touch_content(&mut self, now: Time) {
        self.mtime = now;
        self.touch(now);
    }

    pub(super) fn attributes(&self, inode: InodeId) -> Attributes {
        let size = match &self.content {
            Content::File(file) => file.len,
            Content::Directory(directory) => ByteLen(directory.entries),
            Content::Symlink(target) => ByteLen(target.as_bytes().len() as u64),
            Content::Special(..) => ByteLen::ZERO,
        };
        let device = match self.content {
            Content::Special(_, device) => device,
            _ => Device::default(),
        };
        Attributes {
            inode,
            kind: self.kind(),
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            nlink: self.nlink,
            size,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            device,
            change: self.change,
            lease_ms: 0,
            data: self.file().map(File::data),
            layout: self.directory().and_then(|directory| directory.layout),
        }
    }
}

pub(super) fn inode_key(id: InodeId) -> Vec<u8> {
    key(Kind::Inode, &[&id.0.to_be_bytes()])
}

/// The inode, if it is there.
pub(super) fn find(view: &dyn View, id: InodeId) -> Result<Option<Inode>, StoreError> {
    get_record(view, &inode_key(id))
}

/// An inode that another record names.
pub(super) fn load(view: &dyn View, id: InodeId) -> Result<Inode, StoreError> {
    let lost = || damaged::<Inode>(&inode_key(id), "another record names it, and it is not there");
    find(view, id)?.ok_or_else(lost)
}

pub(super) fn store(txn: &mut dyn Transaction, id: InodeId, inode: &Inode) {
    put_record(txn, &inode_key(id), inode);
}

/// Changes an inode that is there; gives it as it is then.
pub(super) fn edit(
    txn: &mut dyn Transaction,
    id: InodeId,
    change: impl FnOnce(&mut Inode),
) -> Result<Inode, StoreError> {
    let mut inode = load(txn, id)?;
    change(&mut inode);
    store(txn, id, &inode);
    Ok(inode)
}
