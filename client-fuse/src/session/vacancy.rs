//! Where something can be mounted: at a directory at which no mount of ours is, and which lies in none.
//!
//! A mount of ours may hang, so none is asked: the way to it ends there. Whether it has its daemon is told by the
//! list of sockets (`presence`), which is that of one network namespace, and by who has its connection open.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use emberfs_client_fuse_mounts::{MountTable, Taken, Way, sockets, unheard};

use super::mount_point::MountError;

/// Such a directory.
pub(super) struct Vacancy {
    /// Its path, without links.
    pub(super) path: PathBuf,
    /// Its kind and permission bits, as in `stat`.
    pub(super) mode: u32,
}

impl Vacancy {
    /// The one at this path.
    ///
    /// # Errors
    /// [`MountError`] says why it is none.
    pub(super) fn at(path: &Path) -> Result<Self, MountError> {
        let table = table(path)?;
        match way(&table, path)? {
            Way::Free(free) => {
                let found = std::fs::metadata(&free).map_err(|error| unreadable(&free, error))?;
                match found.is_dir() {
                    true => Ok(Self { path: free, mode: found.mode() }),
                    false => Err(MountError::NotADirectory { path: free }),
                }
            }
            Way::Mount(mount) => Err(served(&table, mount).into()),
            Way::Below { mount, .. } => Err(Taken::Below { path: path.to_owned(), mount }.into()),
        }
    }
}

/// The mount of ours that is at a path, without links.
///
/// # Errors
/// [`MountError::NotMounted`] if none is, or what is wrong with the path.
pub(super) fn mounted(path: &Path) -> Result<PathBuf, MountError> {
    match way(&table(path)?, path)? {
        Way::Mount(mount) => Ok(mount),
        Way::Free(free) => {
            std::fs::metadata(&free).map_err(|error| unreadable(&free, error))?;
            Err(MountError::NotMounted { path: free })
        }
        Way::Below { .. } => Err(MountError::NotMounted { path: path.to_owned() }),
    }
}

fn unreadable(path: &Path, source: io::Error) -> MountError {
    MountError::Path { path: path.to_owned(), source }
}

fn table(path: &Path) -> Result<MountTable, MountError> {
    MountTable::read().map_err(|error| unreadable(path, error))
}

fn way(table: &MountTable, path: &Path) -> Result<Way, MountError> {
    table.way(path).map_err(|error| unreadable(path, error))
}

/// By whom the mount of ours at this path is served.
fn served(table: &MountTable, path: PathBuf) -> Taken {
    let Some(device) = table.topmost(&path).map(|mount| mount.device.clone()) else {
        return Taken::Served { path };
    };
    let sockets = sockets();
    if sockets.iter().any(|socket| socket.device == device) {
        return Taken::Served { path };
    }
    let processes: Vec<_> = sockets.into_iter().map(|socket| socket.process).collect();
    match unheard(&device, &processes) {
        Some(unheard) => Taken::Unheard { path, process: unheard.number },
        None => Taken::Dead { path },
    }
}
