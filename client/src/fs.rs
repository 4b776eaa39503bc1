//! Files and directories by path from the root.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use emberfs_layout::InodeId;
use emberfs_wire::FsError;
use emberfs_wire::meta::{
    AttributeChange, Attributes, Cursor, Entry, InodeKind, LayoutChange, Mode, Name, NewNode,
    Place, RemoveKind, RenameFlags, Space, SymlinkTarget,
};

use crate::error::ClientError;
use crate::file::{File, OpenOptions};
use crate::meta::{Meta, Position};

/// Entries asked for at once: a page with attributes stays well below a message's limit.
const PAGE: u32 = 1024;

/// The file system by path. A leading slash may be there or not: there is no current directory.
#[derive(Clone, Debug)]
pub struct Fs {
    meta: Meta,
}

/// A directory's entries, page by page, in no order that means anything.
#[derive(Debug)]
pub struct Listing {
    meta: Meta,
    directory: Place,
    /// Whether each comes with its attributes.
    attributes: bool,
    after: Cursor,
    page: VecDeque<Entry>,
    end: bool,
}

impl Fs {
    pub(crate) fn new(meta: Meta) -> Self {
        Self { meta }
    }

    /// The same by inode and name.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`ClientError`], as of all functions here.
    pub async fn open(
        &self,
        path: impl AsRef<Path>,
        options: &OpenOptions,
    ) -> Result<File, ClientError> {
        let path = path.as_ref();
        match options.creates() {
            true => self.meta.create(position(path)?, options).await,
            false => self.meta.open(place(path)?, options).await,
        }
    }

    /// The attributes of what a path leads to, symbolic links followed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stat(&self, path: impl AsRef<Path>) -> Result<Attributes, ClientError> {
        self.meta.attributes(place(path.as_ref())?, true).await
    }

    /// The same, but of a symbolic link itself.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lstat(&self, path: impl AsRef<Path>) -> Result<Attributes, ClientError> {
        self.meta.attributes(place(path.as_ref())?, false).await
    }

    /// The entries of a directory, each with its attributes. A file whose writer has died is waited for until its
    /// length is known.
    ///
    /// # Errors
    /// [`FsError::NameTooLong`]; all else is found by [`Listing::next`].
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Listing, ClientError> {
        self.listing(path.as_ref(), true)
    }

    /// The same without attributes, which waits for no file.
    ///
    /// # Errors
    /// As of [`Self::list`].
    pub fn list_names(&self, path: impl AsRef<Path>) -> Result<Listing, ClientError> {
        self.listing(path.as_ref(), false)
    }

    fn listing(&self, path: &Path, attributes: bool) -> Result<Listing, ClientError> {
        let (directory, after) = (place(path)?, Cursor::START);
        let (meta, page) = (self.meta.clone(), VecDeque::new());
        Ok(Listing { meta, directory, attributes, after, page, end: false })
    }

    /// Makes a directory, with the permission bits 0777 less this process's umask.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn mkdir(&self, path: impl AsRef<Path>) -> Result<Attributes, ClientError> {
        let mode = Mode(0o777 & !self.meta.inner.umask.0);
        self.meta.make_node(position(path.as_ref())?, mode, NewNode::Directory).await
    }

    /// Makes a directory and all above it that are not there; one that is there is no error. As `mkdir -p` has it, what
    /// stands before a `..` is made too.
    ///
    /// # Errors
    /// [`FsError::NotADirectory`] if something else has one of the names, or another [`ClientError`].
    pub async fn mkdir_all(&self, path: impl AsRef<Path>) -> Result<(), ClientError> {
        // Also what is too long by what says nothing: slashes at the end, or a `.` behind a name.
        place(path.as_ref())?;
        // From the whole path upwards to what is there, then down again.
        let mut missing = vec![path.as_ref().components().as_path()];
        while let Some(path) = missing.pop() {
            let made = match path.file_name() {
                Some(_) => self.mkdir(path).await.map(|_| ()),
                // The root, or one that goes up again from what must be there.
                None => self.must_be_directory(path).await,
            };
            match made {
                Ok(()) => {}
                Err(ClientError::Fs(FsError::Exists)) => self.must_be_directory(path).await?,
                Err(ClientError::Fs(FsError::NotFound)) => {
                    let can_be_made =
                        |path: &&Path| path.file_name().is_some() || path.ends_with("..");
                    let parent = path.parent().filter(can_be_made).ok_or(FsError::NotFound)?;
                    missing.extend([path, parent]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn must_be_directory(&self, path: &Path) -> Result<(), ClientError> {
        match self.stat(path).await?.kind {
            InodeKind::Directory => Ok(()),
            _ => Err(FsError::NotADirectory.into()),
        }
    }

    /// Removes anything but a directory.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, path: impl AsRef<Path>) -> Result<(), ClientError> {
        self.meta.remove(position(path.as_ref())?, RemoveKind::File).await
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_dir(&self, path: impl AsRef<Path>) -> Result<(), ClientError> {
        self.meta.remove(position(path.as_ref())?, RemoveKind::Directory).await
    }

    /// Removes anything, with all that is in it, in one request.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_all(&self, path: impl AsRef<Path>) -> Result<(), ClientError> {
        self.meta.remove(position(path.as_ref())?, RemoveKind::Tree).await
    }

    /// Moves a name in one step; what has the new name is replaced.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rename(
        &self,
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
    ) -> Result<(), ClientError> {
        let (from, to) = (position(from.as_ref())?, position(to.as_ref())?);
        self.meta.rename(from, to, RenameFlags::default()).await
    }

    /// Makes the symbolic link `link`, which points to `target`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn symlink(
        &self,
        target: impl AsRef<Path>,
        link: impl AsRef<Path>,
    ) -> Result<Attributes, ClientError> {
        let target = SymlinkTarget::new(target.as_ref().as_os_str().as_bytes())?;
        let node = NewNode::Symlink(target);
        self.meta.make_node(position(link.as_ref())?, Mode(0o777), node).await
    }

    /// What a symbolic link points to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read_link(&self, path: impl AsRef<Path>) -> Result<PathBuf, ClientError> {
        let target = self.meta.read_link(place(path.as_ref())?).await?;
        Ok(OsString::from_vec(target.as_bytes().to_vec()).into())
    }

    /// Gives `file` the further name `link`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hard_link(
        &self,
        file: impl AsRef<Path>,
        link: impl AsRef<Path>,
    ) -> Result<Attributes, ClientError> {
        self.meta.link(place(file.as_ref())?, position(link.as_ref())?).await
    }

    /// Changes attributes of what a path leads to, symbolic links followed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_attributes(
        &self,
        path: impl AsRef<Path>,
        change: AttributeChange,
    ) -> Result<Attributes, ClientError> {
        self.meta.set_attributes(place(path.as_ref())?, true, change).await
    }

    /// Changes what new files in a directory get, symbolic links followed; see [`Meta::set_layout`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_layout(
        &self,
        path: impl AsRef<Path>,
        change: LayoutChange,
    ) -> Result<Attributes, ClientError> {
        self.meta.set_layout(place(path.as_ref())?, change).await
    }

    /// How much room there is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn space(&self) -> Result<Space, ClientError> {
        self.meta.space().await
    }
}

impl Listing {
    /// The next entry; `None` at the end. Entries that are added or removed meanwhile may or may not be
    /// seen, all others are seen once.
    ///
    /// # Errors
    /// [`ClientError`]; asked again, it goes on where it was.
    pub async fn next(&mut self) -> Result<Option<Entry>, ClientError> {
        loop {
            self.fill().await?;
            let Some(entry) = self.page.front_mut() else { return Ok(None) };
            if self.attributes && entry.attributes.is_none() {
                // Left out of the page, as its length is not known yet: a question about it alone waits for that.
                match self.meta.attributes(Place::inode(entry.inode), false).await {
                    Ok(found) => entry.attributes = Some(found),
                    Err(ClientError::Fs(FsError::NotFound | FsError::Stale)) => {
                        self.page.pop_front(); // removed meanwhile
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            return Ok(self.page.pop_front());
        }
    }

    /// Asks for a page, if none is left and there are more.
    async fn fill(&mut self) -> Result<(), ClientError> {
        while self.page.is_empty() && !self.end {
            let directory = self.directory.clone();
            let page = self.meta.list(directory, self.after, PAGE, self.attributes).await?;
            // Whatever happens to the path, all pages are of the same directory.
            self.directory = Place::inode(page.directory.inode);
            match page.entries.last() {
                Some(last) => self.after = last.cursor,
                None if !page.end => {
                    return Err(ClientError::Fault { text: "an empty page".into() });
                }
                None => {}
            }
            self.end = page.end;
            self.page = page.entries.into();
        }
        Ok(())
    }
}

/// Where a path leads, from the root.
fn place(path: &Path) -> Result<Place, ClientError> {
    let path = emberfs_wire::meta::Path::new(path.as_os_str().as_bytes())?;
    Ok(Place { start: InodeId::ROOT, path })
}

/// A path's last name, and where it is.
fn position(path: &Path) -> Result<Position, ClientError> {
    // Also what is too long only by the slashes at its end.
    place(path)?;
    let (parent, name) = split(path.as_os_str().as_bytes());
    let parent = emberfs_wire::meta::Path::new(parent)?;
    let name = match name {
        // The root, the directory itself, the one above: they have their names elsewhere.
        b"" | b"." | b".." => return Err(FsError::InvalidArgument.into()),
        name => Name::new(name)?,
    };
    Ok(Position { parent: Place { start: InodeId::ROOT, path: parent }, name })
}

/// All that stands before a path's last name, and that, without the slashes at its end.
fn split(mut path: &[u8]) -> (&[u8], &[u8]) {
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    let slash = path.iter().rposition(|byte| *byte == b'/');
    path.split_at(slash.map_or(0, |slash| slash + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_in_a_name() {
        let split = |path: &str| {
            let at = position(Path::new(path))?;
            Ok((at.parent.path.to_string(), at.name.to_string()))
        };
        let is = |parent: &str, name: &str| Ok((parent.to_owned(), name.to_owned()));
        assert_eq!(split("a"), is("", "a"));
        assert_eq!(split("/a/b"), is("/a/", "b"));
        assert_eq!(split("a/../b//"), is("a/../", "b"));
        for no_name in ["", "/", "a/..", "."] {
            assert_eq!(split(no_name), Err(ClientError::Fs(FsError::InvalidArgument)), "{no_name}");
        }
        assert_eq!(split(&"a".repeat(256)), Err(ClientError::Fs(FsError::NameTooLong)));
        assert_eq!(split(&"a/".repeat(2049)), Err(ClientError::Fs(FsError::NameTooLong)));
    }
}
