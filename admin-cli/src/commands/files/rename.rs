//! `emberfs mv`.

use anyhow::{Context, Error, Result, bail};
use emberfs_client::{ClientError, Fs, FsError, InodeKind};

use crate::location::ClusterPath;

pub(super) async fn run(fs: &Fs, from: &ClusterPath, to: &ClusterPath) -> Result<()> {
    let name = from.name().map_err(Error::msg)?;
    let into = is_directory(fs, to).await?;
    let new = if into { ClusterPath(to.0.join(name)) } else { to.clone() };
    new.name().map_err(Error::msg)?;
    let said = || format!("{from} to {new}");
    let moved = fs.lstat(from.without_slashes()).await.with_context(said)?;
    if moved.kind != InodeKind::Directory {
        if from.ends_in_slash() {
            bail!("{from}: not a directory");
        }
        if new.ends_in_slash() {
            bail!("{new}: no such directory");
        }
    }
    let there = match fs.lstat(new.without_slashes()).await {
        Err(ClientError::Fs(FsError::NotFound)) => None,
        found => Some(found.with_context(said)?),
    };
    if there.as_ref().is_some_and(|there| there.inode == moved.inode) {
        // Asked to rename one onto the other, the file system does nothing and says that all is well.
        bail!("{from} and {new} are the same file");
    }
    match fs.rename(&from.0, &new.0).await {
        // Both have names: nothing else can be wrong with them.
        Err(ClientError::Fs(FsError::InvalidArgument)) => {
            bail!("{from} cannot be moved into itself: {new} lies within it")
        }
        Err(ClientError::Fs(FsError::NotADirectory)) if there.is_some() => {
            bail!("{new} is no directory, and {from} is one: only a directory can replace it")
        }
        Err(ClientError::Fs(FsError::IsADirectory)) => {
            bail!("{new} is a directory, and {from} is none: it cannot be replaced by it")
        }
        renamed => renamed.with_context(said),
    }
}

/// Whether a path leads to a directory; one that leads nowhere does not.
async fn is_directory(fs: &Fs, path: &ClusterPath) -> Result<bool> {
    match fs.stat(&path.0).await {
        Ok(attributes) => Ok(attributes.kind == InodeKind::Directory),
        Err(ClientError::Fs(FsError::NotFound)) => Ok(false),
        Err(error) => Err(error).context(path.to_string()),
    }
}
