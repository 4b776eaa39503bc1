//! The operations on the namespace.

use emberfs_layout::InodeId;
use emberfs_wire::FsError;
use emberfs_wire::meta::{
    Access, AttributeChange, Attributes, Cursor, Entry, LayoutChange, Mode, Mutation, Name,
    NewNode, Place, Query, QueryReply, RemoveKind, RenameFlags, Space, SymlinkTarget,
};

use super::{Meta, done, inode_of, misfit};
use crate::error::ClientError;
use crate::file::{File, OpenOptions};

/// A name in a directory that is reached by a [`Place`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The directory.
    pub parent: Place,
    /// The name in it.
    pub name: Name,
}

/// A page of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The directory itself, `.`.
    pub directory: Attributes,
    /// Its parent, `..`.
    pub parent: InodeId,
    /// Entries in the order of cursors.
    pub entries: Vec<Entry>,
    /// Whether nothing follows.
    pub end: bool,
}

impl Meta {
    /// The attributes of what is there: `stat` of an inode, and a lookup of a name in a directory
    /// ([`Place::entry`]). `follow`: whether a symbolic link at the end is followed.
    ///
    /// # Errors
    /// [`ClientError`], as of all functions here.
    pub async fn attributes(&self, of: Place, follow: bool) -> Result<Attributes, ClientError> {
        match self.ask(Query::Attributes { of, follow }, &mut self.patience()).await? {
            QueryReply::Attributes(attributes) => Ok(attributes),
            QueryReply::GroupsNeeded => Err(FsError::PermissionDenied.into()),
            other => Err(misfit(&other)),
        }
    }

    /// A page of at most about `limit` entries behind `after`; each with its attributes, if wanted.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list(
        &self,
        directory: Place,
        after: Cursor,
        limit: u32,
        attributes: bool,
    ) -> Result<Page, ClientError> {
        let query = Query::List { directory, after, limit, attributes };
        match self.ask(query, &mut self.patience()).await? {
            QueryReply::Entries { directory, parent, entries, end } => {
                Ok(Page { directory, parent, entries, end })
            }
            QueryReply::GroupsNeeded => Err(FsError::PermissionDenied.into()),
            other => Err(misfit(&other)),
        }
    }

    /// What a symbolic link points to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read_link(&self, link: Place) -> Result<SymlinkTarget, ClientError> {
        match self.ask(Query::ReadLink { link }, &mut self.patience()).await? {
            QueryReply::Target(target) => Ok(target),
            QueryReply::GroupsNeeded => Err(FsError::PermissionDenied.into()),
            other => Err(misfit(&other)),
        }
    }

    /// The attributes of what the caller may reach so.
    ///
    /// # Errors
    /// [`FsError::PermissionDenied`] if it may not, or another [`ClientError`].
    pub async fn access(&self, of: Place, access: Access) -> Result<Attributes, ClientError> {
        match self.ask(Query::Access { of, access }, &mut self.patience()).await? {
            QueryReply::Attributes(attributes) => Ok(attributes),
            QueryReply::GroupsNeeded => Err(FsError::PermissionDenied.into()),
            other => Err(misfit(&other)),
        }
    }

    /// How much room there is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn space(&self) -> Result<Space, ClientError> {
        match self.ask(Query::Space, &mut self.patience()).await? {
            QueryReply::Space(space) => Ok(space),
            other => Err(misfit(&other)),
        }
    }

    /// Opens a file that is there. Without `write`, `append` and `truncate` nothing is changed, and the
    /// metadata group is only asked.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open(&self, file: Place, options: &OpenOptions) -> Result<File, ClientError> {
        File::open(self, file, options).await
    }

    /// Creates a file, or opens the one that has the name, as `options` say.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create(&self, at: Position, options: &OpenOptions) -> Result<File, ClientError> {
        File::create(self, at, options).await
    }

    /// Makes a directory, a symbolic link, a pipe, a socket or a device. `mode` is taken as it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn make_node(
        &self,
        at: Position,
        mode: Mode,
        node: NewNode,
    ) -> Result<Attributes, ClientError> {
        let Position { parent, name } = at;
        let mutation = Mutation::MakeNode { parent, name, mode, node };
        let reply = self.change(mutation, &mut self.patience()).await?;
        inode_of(reply)
    }

    /// Gives a file another name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn link(&self, file: Place, at: Position) -> Result<Attributes, ClientError> {
        let Position { parent, name } = at;
        let mutation = Mutation::Link { file, parent, name };
        let reply = self.change(mutation, &mut self.patience()).await?;
        inode_of(reply)
    }

    /// Removes a name: of a file, of an empty directory, or of anything with all that is in it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, at: Position, kind: RemoveKind) -> Result<(), ClientError> {
        let Position { parent, name } = at;
        let mutation = Mutation::Remove { parent, name, kind };
        done(self.change(mutation, &mut self.patience()).await?)
    }

    /// Moves a name, in one step; what has the new one is replaced, unless the flags say otherwise.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rename(
        &self,
        from: Position,
        to: Position,
        flags: RenameFlags,
    ) -> Result<(), ClientError> {
        let mutation = Mutation::Rename {
            parent: from.parent,
            name: from.name,
            new_parent: to.parent,
            new_name: to.name,
            flags,
        };
        done(self.change(mutation, &mut self.patience()).await?)
    }

    /// Changes attributes; of a file that this client has open for writing, [`File::set_len`] and
    /// [`File::set_attributes`] know what it has yet to report.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_attributes(
        &self,
        of: Place,
        follow: bool,
        change: AttributeChange,
    ) -> Result<Attributes, ClientError> {
        let mutation = Mutation::SetAttributes { of, follow, change };
        let reply = self.change(mutation, &mut self.patience()).await?;
        inode_of(reply)
    }

    /// Changes what new files in a directory get; those that are there keep their layouts. A new directory begins with
    /// what the one says that it is made in.
    ///
    /// # Errors
    /// [`FsError::InvalidArgument`] for a table that is not there, or a stripe that is wider than the table;
    /// [`FsError::NotPermitted`] unless its owner or root asks; [`FsError::NotADirectory`]; or another [`ClientError`].
    pub async fn set_layout(
        &self,
        of: Place,
        change: LayoutChange,
    ) -> Result<Attributes, ClientError> {
        let mutation = Mutation::SetLayout { of, change };
        let reply = self.change(mutation, &mut self.patience()).await?;
        inode_of(reply)
    }
}
