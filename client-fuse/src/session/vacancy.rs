//! Where something can be mounted: at a directory at which no mount of ours is, and which lies in none.
//!
//! A mount of ours may hang, so none is asked: the way to it ends there, and whether it has its daemon is told by the
//! machine's list of sockets (`presence`).

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use emberfs_client_fuse_mounts::{MountTable, SOCKETS, Way};

use super::mount_point::{MountError, topmost};

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
        match way(path)? {
            Way::Free(free) => {
                let found = std::fs::metadata(&free).map_err(|error| unreadable(&free, error))?;
                match found.is_dir() {
                    true => Ok(Self { path: free, mode: found.mode() }),
                    false => Err(MountError::NotADirectory { path: free }),
                }
            }
            Way::Mount(mount) if is_served(&mount) => Err(MountError::Mounted { path: mount }),
            Way::Mount(mount) => Err(MountError::Dead { path: mount }),
            Way::Below { mount, .. } => Err(MountError::Below { path: path.to_owned(), mount }),
        }
    }
}

/// The mount of ours that is at a path, without links.
///
/// # Errors
/// [`MountError::NotMounted`] if none is, or what is wrong with the path.
pub(super) fn mounted(path: &Path) -> Result<PathBuf, MountError> {
    match way(path)? {
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

fn way(path: &Path) -> Result<Way, MountError> {
    let table = MountTable::read().map_err(|error| unreadable(path, error))?;
    table.way(path).map_err(|error| unreadable(path, error))
}

/// Whether a daemon listens that says to be this mount's.
fn is_served(mount: &Path) -> bool {
    let Some(device) = topmost(mount).map(|mount| mount.device) else { return false };
    let sockets = std::fs::read("/proc/net/unix").unwrap_or_default();
    let name = format!(" @{SOCKETS}{device}/");
    String::from_utf8_lossy(&sockets).contains(&name)
}
