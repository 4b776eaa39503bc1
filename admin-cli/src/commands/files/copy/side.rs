//! One side of a copy: the cluster or this machine, with the few calls that copying needs.

use std::ffi::OsStr;
use std::fs::{DirBuilder, Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Error, Result, bail};
use emberfs_client::{
    AttributeChange, Attributes, ByteLen, ClientError, Fs, FsError, InodeKind, Mode, OpenOptions,
};

use super::open_file::{Made, OpenFile};
use crate::commands::files::this_process;
use crate::location::{ClusterPath, shown};

/// The permission bits that are copied: the others would speak of another owner.
const COPIED: u16 = 0o777;
/// What the owner of a directory needs to fill it.
const OWNER: u16 = 0o700;

/// Names that are tried for a link until it gets its own (a count): more are not left by copies that were killed.
const NAMES_TRIED: u32 = 100;

/// The cluster or this machine.
#[derive(Clone, Debug)]
pub(super) enum Side {
    Cluster(Fs),
    Local,
}

/// What a path names; a symbolic link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `None`: it says nothing of its length, as files of the kernel do.
    File {
        len: Option<u64>,
    },
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
    fn of_cluster(found: &Attributes) -> Self {
        let changed = (found.ctime.seconds, found.ctime.nanos.into());
        Self { device: None, inode: found.inode.get(), changed }
    }

    fn of_local(found: &Metadata) -> Self {
        let changed = (found.ctime(), found.ctime_nsec());
        Self { device: Some(found.dev()), inode: found.ino(), changed }
    }

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
                        id: Id::of_cluster(&found),
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
                        let mode = bits(&found)?;
                        let id = Id::of_local(&found);
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
            Self::Local => shown(path),
        }
    }

    /// The paths in a directory, in no order; and why they are not all of them.
    pub(super) async fn list(&self, directory: &Path) -> (Vec<PathBuf>, Result<()>) {
        let mut paths = Vec::new();
        let end = self.list_into(directory, &mut paths).await;
        (paths, end)
    }

    async fn list_into(&self, directory: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
        match self {
            Self::Cluster(fs) => {
                let mut listing = fs.list_names(directory)?;
                while let Some(entry) = listing.next().await? {
                    paths.push(directory.join(OsStr::from_bytes(entry.name.as_bytes())));
                }
            }
            Self::Local => {
                for entry in std::fs::read_dir(directory)? {
                    paths.push(entry?.path());
                }
            }
        }
        Ok(())
    }

    /// Makes a directory that its owner can fill, with `mode` less the umask, and those above it; the bits that it
    /// is to have in the end, if they are others. One that is there is no error, and stays as it is.
    pub(super) async fn make_directory(&self, path: &Path, mode: u16) -> Result<Option<u16>> {
        let (found, wanted) = match self {
            Self::Cluster(fs) => {
                let made = match fs.mkdir(path).await {
                    Err(ClientError::Fs(FsError::NotFound)) => {
                        fs.mkdir_all(path.parent().context("the root is there")?).await?;
                        fs.mkdir(path).await
                    }
                    made => made,
                };
                let found = match made {
                    Err(ClientError::Fs(FsError::Exists)) => return self.is_directory(path).await,
                    made => made?.mode.0,
                };
                // It was made with all bits that the umask leaves, and perhaps one of its parent's.
                let wanted = found & (mode | !COPIED);
                if found != wanted | OWNER {
                    self.set_mode(path, wanted | OWNER).await?;
                }
                (wanted | OWNER, wanted)
            }
            Self::Local => {
                let mut builder = DirBuilder::new();
                builder.mode(((mode & COPIED) | OWNER).into());
                let made = match builder.create(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        std::fs::create_dir_all(path.parent().context("the root is there")?)?;
                        builder.create(path)
                    }
                    made => made,
                };
                match made {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                        return self.is_directory(path).await;
                    }
                    made => made?,
                }
                let found = bits(&path.symlink_metadata()?)?;
                (found, found & (mode | !OWNER))
            }
        };
        Ok((found != wanted).then_some(wanted))
    }

    /// What is there has to be a directory, and gets no other bits.
    async fn is_directory(&self, path: &Path) -> Result<Option<u16>> {
        match self.meta(path, true).await? {
            Some(Meta { kind: Kind::Directory, .. }) => Ok(None),
            _ => bail!("something that is no directory is there"),
        }
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

    /// Makes a symbolic link, in place of what has the name, unless that is a directory: what is there goes in the
    /// step in which the link has its name.
    pub(super) async fn make_link(&self, target: &Path, path: &Path) -> Result<()> {
        if self.link(target, path).await? {
            return Ok(());
        }
        let there = self.meta(path, false).await?;
        if there.is_some_and(|there| there.kind == Kind::Directory) {
            bail!("a directory is there: it cannot become a link");
        }
        let beside = self.link_beside(target, path).await?;
        let renamed = match self {
            Self::Cluster(fs) => fs.rename(&beside, path).await.map_err(Error::from),
            Self::Local => std::fs::rename(&beside, path).map_err(Error::from),
        };
        match renamed {
            Err(error) if self.remove(&beside).await.is_err() => {
                Err(error.context(format!("{} may be left", self.shown(&beside))))
            }
            renamed => renamed,
        }
    }

    /// Makes a symbolic link in the directory of `path`; where.
    async fn link_beside(&self, target: &Path, path: &Path) -> Result<PathBuf> {
        let process = std::process::id();
        for number in 0..NAMES_TRIED {
            let beside = path.with_file_name(format!(".emberfs-cp-{process}-{number}"));
            let made = self.link(target, &beside).await;
            if made.with_context(|| self.shown(&beside))? {
                return Ok(beside);
            }
        }
        bail!("all of `.emberfs-cp-*` is taken beside it: remove what copies that were killed left")
    }

    /// Makes a symbolic link; `false` if something has the name.
    async fn link(&self, target: &Path, path: &Path) -> Result<bool> {
        match self {
            Self::Cluster(fs) => match fs.symlink(target, path).await {
                Err(ClientError::Fs(FsError::Exists)) => Ok(false),
                made => Ok(made.map(|_| true)?),
            },
            Self::Local => match symlink(target, path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                made => Ok(made.map(|()| true)?),
            },
        }
    }

    pub(super) async fn open(&self, path: &Path) -> Result<OpenFile> {
        match self {
            Self::Cluster(fs) => {
                let options = OpenOptions::new().read(true);
                Ok(OpenFile::Cluster(fs.open(path, &options).await?))
            }
            Self::Local => {
                let path = path.to_owned();
                OpenFile::local(move || std::fs::File::open(path)).await
            }
        }
    }

    /// Creates a file, or empties the one that is there; what it is known by, if it was created. It gets `mode` less
    /// the umask. A link that leads nowhere is no name for a new one.
    pub(super) async fn create(&self, path: &Path, mode: u16) -> Result<(OpenFile, Option<Made>)> {
        let nowhere = "a link is there that leads nowhere: remove it first";
        match self {
            Self::Cluster(fs) => {
                // Written as a whole and closed once: the length is reported then.
                let options = || OpenOptions::new().write(true).report_late(true);
                let mode = Mode(mode & COPIED & !*UMASK);
                // What a link leads to is not to be removed by the link's name.
                match fs.open(path, &options().create_new(true).mode(mode)).await {
                    Err(ClientError::Fs(FsError::Exists)) => {
                        match fs.open(path, &options().truncate(true)).await {
                            Err(ClientError::Fs(FsError::NotFound)) => bail!(nowhere),
                            opened => {
                                let late = "it was there before, and may be empty now";
                                let opened = opened.map_err(|error| unsure(error, late))?;
                                Ok((OpenFile::Cluster(opened), None))
                            }
                        }
                    }
                    Err(ClientError::Fs(FsError::NotFound)) => {
                        let not_found = || ClientError::from(FsError::NotFound).into();
                        Err(self.missing(path).await.map_or_else(not_found, Error::msg))
                    }
                    created => {
                        let late = "an empty file may be left";
                        let created = created.map_err(|error| unsure(error, late))?;
                        let created = OpenFile::Cluster(created);
                        let made = created.made();
                        Ok((created, Some(made)))
                    }
                }
            }
            Self::Local => {
                let mut options = std::fs::File::options();
                options.write(true);
                let mut new = options.clone();
                new.create_new(true).mode((mode & COPIED).into());
                let (there, new_path) = (path.to_owned(), path.to_owned());
                match OpenFile::local(move || new.open(new_path)).await {
                    Err(error) if is_kind(&error, ErrorKind::AlreadyExists) => {
                        // A pipe waits here for its reader.
                        let opened = move || options.truncate(true).open(there);
                        match OpenFile::local(opened).await {
                            Err(error) if is_kind(&error, ErrorKind::NotFound) => bail!(nowhere),
                            opened => Ok((opened?, None)),
                        }
                    }
                    Err(error) if is_kind(&error, ErrorKind::NotFound) => {
                        Err(self.missing(path).await.map_or(error, Error::msg))
                    }
                    created => {
                        let created = created?;
                        let made = created.made();
                        Ok((created, Some(made)))
                    }
                }
            }
        }
    }

    /// What is not there of the directories above `path`: the first of them, in words.
    async fn missing(&self, path: &Path) -> Option<String> {
        let mut missing = None;
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            match self.meta(above, true).await {
                Ok(None) => missing = Some(above),
                _ => break,
            }
        }
        missing.map(|missing| {
            format!("no such file or directory: {} has to be made first", self.shown(missing))
        })
    }

    /// Removes a file that was made here, unless its name is gone or something else's by now.
    pub(super) async fn take_back(&self, path: &Path, made: Made) -> Result<()> {
        let there = self.meta(path, false).await?;
        let is_same = match &made {
            Made::Cluster(inode) => there.is_some_and(|there| there.id.inode == inode.get()),
            Made::Local(file) => {
                let made = Id::of_local(&file.metadata()?);
                there.is_some_and(|there| there.id.is_same(made))
            }
        };
        if is_same { self.remove(path).await } else { Ok(()) }
    }

    /// Removes what is no directory.
    async fn remove(&self, path: &Path) -> Result<()> {
        match self {
            Self::Cluster(fs) => Ok(fs.remove(path).await?),
            Self::Local => Ok(std::fs::remove_file(path)?),
        }
    }
}

/// What new files and directories of this process do not get.
static UMASK: LazyLock<u16> = LazyLock::new(this_process::umask);

/// Why the cluster did not do it; with what it may have done, where that was only waited for.
fn unsure(error: ClientError, late: &'static str) -> Error {
    let is_late = matches!(error, ClientError::Deadline { .. });
    let error = Error::from(error);
    if is_late { error.context(late) } else { error }
}

fn cluster_kind(kind: InodeKind, size: ByteLen) -> Kind {
    match kind {
        InodeKind::File => Kind::File { len: Some(size.get()) },
        InodeKind::Directory => Kind::Directory,
        InodeKind::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

fn local_kind(meta: &Metadata) -> Kind {
    match meta.file_type() {
        file if file.is_file() => Kind::File { len: Some(meta.len()).filter(|len| *len > 0) },
        directory if directory.is_dir() => Kind::Directory,
        link if link.is_symlink() => Kind::Symlink,
        _ => Kind::Other,
    }
}

fn bits(meta: &Metadata) -> Result<u16> {
    u16::try_from(meta.permissions().mode() & 0o7777).context("twelve bits")
}

fn is_kind(error: &Error, kind: ErrorKind) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == kind)
}
