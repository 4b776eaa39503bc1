//! One side of a copy: the cluster or this machine, with the few calls that copying needs.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use emberfs_client::{
    AttributeChange, ByteLen, ClientError, Fs, FsError, InodeKind, Mode, OpenOptions,
};

use super::open_file::OpenFile;
use crate::location::ClusterPath;

/// The cluster or this machine.
#[derive(Clone, Debug)]
pub(super) enum Side {
    Cluster(Fs),
    Local,
}

/// What a path names; a symbolic link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File { len: u64 },
    Directory,
    Symlink,
    Other,
}

/// What tells an inode from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    /// `None` is the cluster.
    device: Option<u64>,
    inode: u64,
    /// When it last changed, in seconds and nanoseconds.
    changed: (i64, i64),
}

impl Id {
    /// Whether both are one inode. A file of the cluster may be met on a mount of it as well, where it has its
    /// number: no two of different clusters also changed in the same nanosecond.
    pub(super) fn is_same(self, other: Self) -> bool {
        let (here, there) = (self.device, other.device);
        let met_twice = here.is_none() != there.is_none() && self.changed == other.changed;
        self.inode == other.inode && (here == there || met_twice)
    }
}

/// An entry that is to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) kind: Kind,
    pub(super) id: Id,
    /// The permission bits.
    pub(super) mode: u16,
}

impl Side {
    /// What is at `path`, symbolic links followed if `follow`; `None` if nothing is.
    pub(super) async fn meta(&self, path: &Path, follow: bool) -> Result<Option<Meta>> {
        match self {
            Self::Cluster(fs) => {
                let found = if follow { fs.stat(path).await } else { fs.lstat(path).await };
                match found {
                    Ok(found) => Ok(Some(Meta {
                        kind: cluster_kind(found.kind, found.size),
                        id: Id {
                            device: None,
                            inode: found.inode.get(),
                            changed: (found.ctime.seconds, found.ctime.nanos.into()),
                        },
                        mode: found.mode.0,
                    })),
                    Err(ClientError::Fs(FsError::NotFound)) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Local => {
                let found = if follow { std::fs::metadata(path) } else { path.symlink_metadata() };
                match found {
                    Ok(found) => {
                        let mode = found.permissions().mode() & 0o7777;
                        let mode = u16::try_from(mode).context("twelve bits")?;
                        let id = Id {
                            device: Some(found.dev()),
                            inode: found.ino(),
                            changed: (found.ctime(), found.ctime_nsec()),
                        };
                        Ok(Some(Meta { kind: local_kind(&found), id, mode }))
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// What is at `path` or, if nothing is yet, at the nearest path above it.
    pub(super) async fn ground(&self, path: &Path) -> Result<Option<Id>> {
        for above in path.ancestors() {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            if let Some(found) = self.meta(above, true).await? {
                return Ok(Some(found.id));
            }
        }
        Ok(None)
    }

    /// A path as people write it.
    pub(super) fn shown(&self, path: &Path) -> String {
        match self {
            Self::Cluster(_) => ClusterPath(path.to_owned()).to_string(),
            Self::Local => path.display().to_string(),
        }
    }

    /// The paths in a directory.
    pub(super) async fn list(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        use std::os::unix::ffi::OsStrExt;
        let mut paths = Vec::new();
        match self {
            Self::Cluster(fs) => {
                let mut listing = fs.list(directory)?;
                while let Some(entry) = listing.next().await? {
                    let name = std::ffi::OsStr::from_bytes(entry.name.as_bytes());
                    paths.push(directory.join(name));
                }
            }
            Self::Local => {
                for entry in std::fs::read_dir(directory)? {
                    paths.push(entry?.path());
                }
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Makes a directory that its owner can fill; one that is there is no error.
    pub(super) async fn make_directory(&self, path: &Path) -> Result<()> {
        match self {
            Self::Cluster(fs) => fs.mkdir_all(path).await?,
            Self::Local => std::fs::create_dir_all(path)?,
        }
        Ok(())
    }

    /// Sets the permission bits: of a directory after it was filled.
    pub(super) async fn set_mode(&self, path: &Path, mode: u16) -> Result<()> {
        match self {
            Self::Cluster(fs) => {
                let change =
                    AttributeChange { mode: Some(Mode(mode)), ..AttributeChange::default() };
                fs.set_attributes(path, change).await?;
            }
            Self::Local => std::fs::set_permissions(path, Permissions::from_mode(mode.into()))?,
        }
        Ok(())
    }

    pub(super) async fn read_link(&self, path: &Path) -> Result<PathBuf> {
        match self {
            Self::Cluster(fs) => Ok(fs.read_link(path).await?),
            Self::Local => Ok(path.read_link()?),
        }
    }

    /// Makes a symbolic link, in place of one that has the name.
    pub(super) async fn make_link(&self, target: &Path, path: &Path) -> Result<()> {
        let is_link = |meta: Meta| meta.kind == Kind::Symlink;
        let replace = self.meta(path, false).await?.is_some_and(is_link);
        match self {
            Self::Cluster(fs) => {
                if replace {
                    fs.remove(path).await?;
                }
                fs.symlink(target, path).await?;
            }
            Self::Local => {
                if replace {
                    std::fs::remove_file(path)?;
                }
                symlink(target, path)?;
            }
        }
        Ok(())
    }

    pub(super) async fn open(&self, path: &Path) -> Result<OpenFile> {
        match self {
            Self::Cluster(fs) => {
                let options = OpenOptions::new().read(true);
                Ok(OpenFile::Cluster(fs.open(path, &options).await?))
            }
            Self::Local => Ok(OpenFile::Local(Arc::new(std::fs::File::open(path)?))),
        }
    }

    /// Creates a file, or empties the one that is there; whether it was created.
    pub(super) async fn create(&self, path: &Path, mode: u16) -> Result<(OpenFile, bool)> {
        match self {
            Self::Cluster(fs) => {
                // Written as a whole and closed once: the length is reported then.
                let options = || OpenOptions::new().write(true).report_late(true).mode(Mode(mode));
                // What a link leads to is not to be removed by the link's name.
                let (file, created) = match fs.open(path, &options().create_new(true)).await {
                    Err(error) if error.as_fs() == FsError::Exists => {
                        (fs.open(path, &options().create(true).truncate(true)).await?, false)
                    }
                    created => (created?, true),
                };
                Ok((OpenFile::Cluster(file), created))
            }
            Self::Local => {
                let mut options = std::fs::File::options();
                options.write(true).mode(mode.into());
                let (file, created) = match options.clone().create_new(true).open(path) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        (options.create(true).truncate(true).open(path)?, false)
                    }
                    created => (created?, true),
                };
                Ok((OpenFile::Local(Arc::new(file)), created))
            }
        }
    }

    /// Removes a file.
    pub(super) async fn remove(&self, path: &Path) -> Result<()> {
        match self {
            Self::Cluster(fs) => Ok(fs.remove(path).await?),
            Self::Local => Ok(std::fs::remove_file(path)?),
        }
    }
}

fn cluster_kind(kind: InodeKind, size: ByteLen) -> Kind {
    match kind {
        InodeKind::File => Kind::File { len: size.get() },
        InodeKind::Directory => Kind::Directory,
        InodeKind::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

fn local_kind(meta: &std::fs::Metadata) -> Kind {
    match meta.file_type() {
        file if file.is_file() => Kind::File { len: meta.len() },
        directory if directory.is_dir() => Kind::Directory,
        link if link.is_symlink() => Kind::Symlink,
        _ => Kind::Other,
    }
}
